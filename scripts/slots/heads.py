"""From the outputs of a model made elsewhere to the tensors of our slots, as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from scripts.slots.adapter import DROPPED, Bins, Head
from scripts.slots.contract import Slot, slot_of
from scripts.slots.graph import Graph

LEAST = 1e-6


def build(graph: Graph, head: Head, output: str, width: int) -> None:
    """Nodes from `output` [N,...], `width` numbers a row, to the slot's tensor FP32 [N,slot.width]. `width` was checked."""
    slot = slot_of(head.slot)
    columns = graph("Cast", graph("Reshape", output, graph.integers(0, -1)), to=1)
    if head.columns:
        columns = graph("Slice", columns, *(graph.integers(place) for place in head.columns), graph.integers(1))
    if head.apply != "nothing":
        columns = graph("Softmax", columns, axis=1) if head.apply == "softmax" else graph("Sigmoid", columns)
    answer = _spread(graph, head, slot, columns) if slot.labels else _number(graph, head, columns, used(head, width))
    limits = graph.floats(slot.low), graph.floats(slot.high)
    graph.named("Clip", slot.tensor, answer, *limits)


def used(head: Head, width: int) -> int:
    """How many columns the head reads."""
    return head.columns[1] - head.columns[0] if head.columns else width


def _spread(graph: Graph, head: Head, slot: Slot, columns: str) -> str:
    labels = head.labels or ()
    if head.threshold is not None:
        columns = _moved(graph, columns, head.threshold)
    place = np.array([[float(label == wanted) for wanted in slot.labels] for label in labels])
    spread = graph("MatMul", columns, graph.floats(place))
    if head.resting:
        rest = graph("Sub", graph.floats([1.0]), graph("ReduceSum", columns, graph.integers(1)))
        spread = graph("Add", spread, graph("Mul", rest, graph.floats([[float(head.resting == wanted) for wanted in slot.labels]])))
    elif DROPPED in labels or head.apply == "sigmoid":
        total = graph("Max", graph("ReduceSum", spread, graph.integers(1)), graph.floats([LEAST]))
        spread = graph("Div", spread, total)
    return graph("Gather", spread, graph.integers(len(slot.labels) - 1), axis=1) if slot.is_decision else spread


def _moved(graph: Graph, probability: str, threshold: float) -> str:
    """0 to 0, the threshold to 0.5, 1 to 1, straight in between."""
    below = graph("Mul", probability, graph.floats([0.5 / threshold]))
    above = graph(
        "Sub", graph.floats([1.0]), graph("Mul", graph("Sub", graph.floats([1.0]), probability), graph.floats([0.5 / (1 - threshold)]))
    )
    return graph("Where", graph("Less", probability, graph.floats([threshold])), below, above)


def _number(graph: Graph, head: Head, columns: str, width: int) -> str:
    if head.values is not None:
        values = [head.values.first + head.values.step * place for place in range(width)] if isinstance(head.values, Bins) else head.values
        columns = _expected(graph, columns, list(values), head.top)
    scaled = graph("Mul", columns, graph.floats(head.scale)) if any(factor != 1 for factor in head.scale) else columns
    return graph("Add", scaled, graph.floats(head.offset)) if any(head.offset) else scaled


def _expected(graph: Graph, columns: str, values: list[float], top: int | None) -> str:
    """Mean of the values, weighted by their probabilities [N,1]."""
    each = graph.floats(values)
    if top is not None:
        columns, chosen = graph.many("TopK", 2, columns, graph.integers(top), axis=1)
        each = graph("Gather", each, chosen, axis=0)
    total = graph("Max", graph("ReduceSum", columns, graph.integers(1)), graph.floats([LEAST]))
    return graph("Div", graph("ReduceSum", graph("Mul", columns, each), graph.integers(1)), total)
