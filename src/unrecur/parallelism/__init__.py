"""Recurrent layers run in parallel over time, with the answer of the sequential run."""
