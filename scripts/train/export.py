"""From PyTorch to the model repository: ONNX, checked against PyTorch, with its sha256 written into model.toml."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

from scripts.train.parity import difference

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"
OPSET = 17  # taken by ONNX Runtime and by TensorRT alike


def export(
    model: nn.Module,
    name: str,
    example: NDArray[np.uint8] | tuple[NDArray[Any], ...],
    input_names: str | Sequence[str],
    output_names: Sequence[str],
    tolerance: float,
    other_sizes: Sequence[NDArray[np.uint8]] = (),
) -> None:
    """`write_onnx` into the model repository; the file's hash goes into its model.toml."""
    path = REPOSITORY / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    inputs = (input_names,) if isinstance(input_names, str) else tuple(input_names)
    write_onnx(model, path, name, example, inputs, output_names, tolerance, other_sizes)
    write_sha256(name)


def write_onnx(
    model: nn.Module,
    path: Path,
    name: str,
    example: NDArray[np.uint8] | tuple[NDArray[Any], ...],
    input_names: Sequence[str],
    output_names: Sequence[str],
    tolerance: float,
    other_sizes: Sequence[NDArray[np.uint8]] = (),
) -> None:
    """Write a file with a dynamic first dimension and prove that it answers as PyTorch does.

    With `other_sizes`, examples [B,3,h,w] for the one input, its height and width are dynamic too.
    Raises AssertionError when any output differs by more than `tolerance`.
    """
    examples = example if isinstance(example, tuple) else (example,)
    model = model.cpu().eval()
    plane = {2: "height", 3: "width"} if other_sizes else {}
    torch.onnx.export(
        model,
        tuple(torch.from_numpy(part) for part in examples),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        input_names=list(input_names),
        output_names=list(output_names),
        dynamic_axes={tensor: {0: "batch"} for tensor in output_names} | {tensor: {0: "batch", **plane} for tensor in input_names},
    )
    graph = onnx.load(path)
    graph.producer_name, graph.doc_string = "vultus", name
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)
    for compared in (examples, *((other,) for other in other_sizes)):
        _compare(model, path, dict(zip(input_names, compared, strict=True)), output_names, tolerance)


def write_sha256(name: str) -> None:
    """Record the file's hash in its model.toml."""
    digest = hashlib.sha256((REPOSITORY / name / "1" / "model.onnx").read_bytes()).hexdigest()
    card = REPOSITORY / name / "model.toml"
    if card.exists():
        card.write_text(re.sub(r'(?m)^sha256 = ".*"$', f'sha256 = "{digest}"', card.read_text()))


def _compare(model: nn.Module, path: Path, example: dict[str, NDArray[Any]], output_names: Sequence[str], tolerance: float) -> None:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for pick in (slice(None), slice(1), [*range(len(next(iter(example.values())))), 0]):
        batch = {name: np.ascontiguousarray(part[pick]) for name, part in example.items()}
        with torch.no_grad():
            expected = model(*(torch.from_numpy(part) for part in batch.values()))
        expected = expected if isinstance(expected, tuple) else (expected,)
        for name, ours, theirs in zip(output_names, expected, session.run(list(output_names), batch), strict=True):
            worst = difference(ours.numpy(), theirs)
            assert worst <= tolerance, f"{name}: ONNX differs from PyTorch by {worst}"
