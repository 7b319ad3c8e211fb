"""Running a cell over time."""
