"""Triton's gRPC protocol as a descriptor set, for code generators of any language: `python scripts/triton_protocol.py FILE`.

The same as compiling `grpc_service.proto` and `model_config.proto`, out of the package tritonclient, which carries both compiled.
"""

from __future__ import annotations

import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tritonclient.grpc import model_config_pb2, service_pb2


def descriptor_set() -> bytes:
    """A serialised google.protobuf.FileDescriptorSet, what is imported before what imports it."""
    files = FileDescriptorSet()
    for module in (model_config_pb2, service_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    return bytes(files.SerializeToString())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/triton_protocol.py FILE")
    Path(sys.argv[1]).write_bytes(descriptor_set())
