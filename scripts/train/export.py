"""From PyTorch to the model repository: ONNX, checked against PyTorch, with its sha256 written into model.toml."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"
OPSET = 17  # taken by ONNX Runtime and by TensorRT alike


def export(model: nn.Module, name: str, example: NDArray[np.uint8], input_name: str, output_names: Sequence[str], tolerance: float) -> Path:
    """Write `<name>/1/model.onnx` with a dynamic first dimension and prove that it answers as PyTorch does.

    Raises AssertionError when any output differs by more than `tolerance`.
    """
    path = REPOSITORY / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    model = model.cpu().eval()
    batch = {tensor: {0: "batch"} for tensor in (input_name, *output_names)}
    torch.onnx.export(
        model,
        (torch.from_numpy(example),),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        input_names=[input_name],
        output_names=list(output_names),
        dynamic_axes=batch,
    )
    graph = onnx.load(path)
    graph.producer_name, graph.doc_string = "vultus", name
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)
    _compare(model, path, example, input_name, output_names, tolerance)
    write_sha256(name)
    return path


def write_sha256(name: str) -> None:
    """Record the file's hash in its model.toml."""
    digest = hashlib.sha256((REPOSITORY / name / "1" / "model.onnx").read_bytes()).hexdigest()
    card = REPOSITORY / name / "model.toml"
    if card.exists():
        card.write_text(re.sub(r'(?m)^sha256 = ".*"$', f'sha256 = "{digest}"', card.read_text()))


def _compare(
    model: nn.Module, path: Path, example: NDArray[np.uint8], input_name: str, output_names: Sequence[str], tolerance: float
) -> None:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (example, example[:1], np.concatenate([example, example[::-1]])):
        with torch.no_grad():
            expected = model(torch.from_numpy(np.ascontiguousarray(batch)))
        expected = expected if isinstance(expected, tuple) else (expected,)
        for name, ours, theirs in zip(output_names, expected, session.run(list(output_names), {input_name: batch}), strict=True):
            if ours.ndim == 3:  # a sorted list: far down, rows with nearly equal scores change places
                ours, theirs = ours[:, :5], theirs[:, :5]
            worst = float(np.abs(ours.numpy() - theirs).max())
            assert worst <= tolerance, f"{name}: ONNX differs from PyTorch by {worst}"
