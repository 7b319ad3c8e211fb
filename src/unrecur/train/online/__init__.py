"""Gradients made forward in time, one step at a time, with no look at the future."""
