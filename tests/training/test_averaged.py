"""One file that answers with the weighted mean of two networks."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from scripts.train.averaged import FIRST, SECOND, averaged, part


def network(factor: float, offset: float, output: str = "AGE") -> onnx.ModelProto:
    return onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[N, 2] FACE_CROPS) => (float[N, 2] {output}, float[N, 2] GENDER)
        <float[1] w = {{{factor}}}, float[1] b = {{{offset}}}> {{
            x = Mul (FACE_CROPS, w)
            {output} = Add (x, b)
            GENDER = Mul (x, b)
        }}""")


def answers(model: onnx.ModelProto) -> list[NDArray[np.float32]]:
    crops = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[NDArray[np.float32]] = session.run(None, {"FACE_CROPS": crops})
    return found


def test_every_output_is_the_weighted_mean() -> None:
    first, second = network(2, 1), network(-1, 5)
    merged = averaged(first, second, 0.75)
    assert [tensor.name for tensor in merged.graph.output] == ["AGE", "GENDER"]
    for ours, one, other in zip(answers(merged), answers(first), answers(second), strict=True):
        np.testing.assert_allclose(ours, 0.75 * one + 0.25 * other, rtol=1e-6)


def test_either_network_can_be_taken_out_again() -> None:
    first, second = network(2, 1), network(-1, 5)
    merged = averaged(first, second, 0.3)
    for prefix, model in ((FIRST, first), (SECOND, second)):
        for ours, one in zip(answers(part(merged, prefix)), answers(model), strict=True):
            np.testing.assert_array_equal(ours, one)


def test_two_contracts_are_not_averaged() -> None:
    with pytest.raises(ValueError, match="two contracts"):
        averaged(network(1, 1), network(1, 1, "RACE"), 0.5)
