"""Opens an ONNX file that somebody else made, and refuses what cannot or should not be served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx.checker
import onnx.inliner
from onnx import version_converter
from onnx.external_data_helper import uses_external_data

from scripts.slots.contract import Refused

# The lowest that has GridSample, which cuts the crop; the highest that the served ONNX Runtime (1.19 and later) is sure to know.
LOWEST_OPSET, CONVERTED_OPSET, HIGHEST_OPSET = 16, 17, 21
IR_VERSION = 10
DOMAINS = ("", "ai.onnx")
MOST_BYTES = 2**31 - 1  # of a protocol buffer
# What other files begin with.
KINDS = {
    b"\x80": "a pickle, which can run any program when it is opened",
    b"PK\x03\x04": "an archive (a PyTorch checkpoint is one, with a pickle in it)",
    b"\x89HDF": "an HDF5 file (Keras)",
}
ADVICE = "export the model to ONNX where it was made"


def load(file: Path) -> onnx.ModelProto:
    """The model, checked, without functions of its own, in an operator set that can be joined to ours. Raises Refused."""
    model = _parse(_content(file), file.name)
    _check(model, file.name)
    try:
        onnx.checker.check_model(model)
        model = onnx.inliner.inline_local_functions(model)
        model = _converted(model)
    except Exception as problem:  # noqa: BLE001  the converter's own are plain RuntimeErrors
        raise Refused(f"{file.name} is no sound ONNX model: {_line(problem)}") from None
    model.ir_version = min(max(model.ir_version, 8), IR_VERSION)
    return model


def _content(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as problem:
        raise Refused(f"{file} cannot be read: {problem.strerror}.") from None
    if content[4:8] == b"TFL3":
        raise Refused(f"{file.name} is a TFLite file: {ADVICE}.")
    for start, kind in KINDS.items():
        if content.startswith(start):
            raise Refused(f"{file.name} is {kind}: {ADVICE}.")
    if len(content) > MOST_BYTES:
        raise Refused(f"{file.name} has more than 2 GiB.")
    return content


def _parse(content: bytes, name: str) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(content)
    except Exception:  # noqa: BLE001  protobuf's DecodeError, or a UnicodeDecodeError
        raise Refused(f"{name} is no ONNX file.") from None
    if not model.graph.node or not model.opset_import:
        raise Refused(f"{name} is no ONNX file.")
    return model


def _check(model: onnx.ModelProto, name: str) -> None:
    if any(uses_external_data(tensor) for tensor in _tensors(model)):
        raise Refused(f"{name} keeps its weights in another file: save it with all data inside (onnx.save without external data).")
    own = {function.name for function in model.functions}
    for node in (*nodes(model.graph), *(node for function in model.functions for node in function.node)):
        if node.domain not in DOMAINS and node.op_type not in own:
            raise Refused(f"{name} uses {node.op_type} of {node.domain}, an operator that is not in ONNX.")
    opset = opset_of(model)
    if opset > HIGHEST_OPSET:
        raise Refused(f"{name} is of operator set {opset}; the server knows those up to {HIGHEST_OPSET}: export it for one of them.")


def opset_of(model: onnx.ModelProto) -> int:
    """Version of ONNX's own operators, 0 when it names none."""
    return next((entry.version for entry in model.opset_import if entry.domain in DOMAINS), 0)


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All, those of inner graphs included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from nodes(inner)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    found = list(nodes(model.graph))
    yield from model.graph.initializer
    for node in found:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from inner.initializer


def _converted(model: onnx.ModelProto) -> onnx.ModelProto:
    return model if opset_of(model) >= LOWEST_OPSET else version_converter.convert_version(model, CONVERTED_OPSET)


def _line(problem: Exception) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:200]
