"""The kernel: a sequence model has two forms, a field, and a state that is passed."""
