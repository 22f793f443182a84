"""A real Triton server from PyPI packages alone: nvidia-pytriton's binary and our ONNX backend."""
