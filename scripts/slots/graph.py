"""Collects ONNX nodes and constants under fresh names."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper

PREFIX = "vultus/"


class Graph:
    """Nodes in the order of their making. Names begin with PREFIX, so that they meet none of the foreign model's."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """One node with one output, whose name is returned."""
        return self.many(operator, 1, *inputs, **attributes)[0]

    def many(self, operator: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """One node with several outputs."""
        names = [f"{PREFIX}{len(self.nodes)}.{place}" for place in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names

    def named(self, operator: str, name: str, *inputs: str) -> None:
        """One node whose output has a given name."""
        self.nodes.append(helper.make_node(operator, inputs, [name]))

    def floats(self, values: ArrayLike) -> str:
        """A FP32 constant."""
        return self._constant(np.asarray(values, np.float32))

    def integers(self, *values: int) -> str:
        """An INT64 constant, one axis."""
        return self._constant(np.array(values, np.int64))

    def _constant(self, values: Any) -> str:
        name = f"{PREFIX}constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name
