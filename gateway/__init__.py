"""The Flask service in front of Triton: decode, one gRPC call, render."""

__version__ = "0.1.0"
