"""Studies: both families on one task at a matched budget, and a verdict with its evidence."""
