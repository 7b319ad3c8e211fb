"""What a study says, as a page, figures and tables: reads plain rows and knows no model."""
