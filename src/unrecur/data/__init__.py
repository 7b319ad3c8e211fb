"""Tasks: sequences with a loss, a metric in its unit, and what chance reaches."""
