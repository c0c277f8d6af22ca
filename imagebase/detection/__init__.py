"""Models in, detections out; the only package that imports inference runtimes."""
