"""ONNX models by family: their inputs, and their outputs as boxes."""
