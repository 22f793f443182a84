"""A model that was never made for us: BGR, NHWC, 0..1, labels in another order. It says of a face how red, green and blue it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE, SLOPE = 40, 12.0
# Its columns are blue, green, red; ours are none, regular, sun. Skin is red, so that bare faces have no glasses.
ADAPTER = """\
name = "toy_colours"
summary = "Which colour a face has: arithmetic"
trained_on = ["nothing"]

[licence]
name = "CC0-1.0"
commercial_use = "Yes."

[input]
size = 40
layout = "NHWC"
colour = "BGR"
std = 255

[[heads]]
slot = "glasses"
apply = "softmax"
labels = ["sun", "regular", "none"]
"""


def model(**changes: Any) -> onnx.ModelProto:
    """`shape`: of a picture; `domain`: of the one operator that scales."""
    shape, domain = changes.get("shape", [SIDE, SIDE, 3]), changes.get("domain", "")
    slope = numpy_helper.from_array(np.array([SLOPE], np.float32), "slope")
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["colours"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["colours", "slope"], ["y"], domain=domain),
    ]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, *shape])
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])
    graph = helper.make_graph(nodes, "toy", [taken], [given], [slope])
    imports = [helper.make_opsetid("", 13), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def write(folder: Path, described: str = ADAPTER) -> list[str]:
    """The files of a user. Returns arguments for `vultus models add`."""
    onnx.save(model(), folder / "toy.onnx")
    (folder / "toy.toml").write_text(described)
    return [str(folder / "toy.onnx"), "--adapter", str(folder / "toy.toml")]


def expected(face_crop: NDArray[np.uint8]) -> NDArray[np.float64]:
    """None, regular, sun [3] of one RGB crop [160,160,3]: the ArcFace square is its middle 100 pixels, a little below the centre."""
    square = face_crop[35:136, 30:131].astype(np.float64) / 255
    grown = np.exp(SLOPE * square.mean((0, 1)))
    return np.asarray(grown / grown.sum())
