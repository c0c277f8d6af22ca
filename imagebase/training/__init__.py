"""Train a YOLOv4-tiny of one's own: the only part that imports PyTorch.

Modules that must work without it (settings, the prepared set, cfg texts) import none.
"""
