"""How fast a recurrence forgets: statements with their evidence and assumptions."""
