"""Train a YOLOv4-tiny: the only package that imports PyTorch.

Modules that must work without it (settings, training set, cfg) do not import it.
"""
