"""Taught models: find more like a few examples, with the features of a bundled net."""
