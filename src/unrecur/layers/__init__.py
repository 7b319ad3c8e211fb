"""Layers: sequence models that architectures are built from."""
