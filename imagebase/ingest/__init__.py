"""Bring images and label files into a dataset: checked first, imported on request."""
