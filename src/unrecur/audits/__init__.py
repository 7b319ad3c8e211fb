"""Audits: what a trained model remembers, measured."""
