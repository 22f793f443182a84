"""Builds the parts of the ensemble that are arithmetic, not learned: ONNX graphs written in ONNX's text format."""
