"""Darknet models: cfg and weights, into an ONNX graph."""
