"""Training: one loop, with exact resume."""
