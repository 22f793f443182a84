"""Names of labels in the order of their tensors, from model.toml: training and evaluation have the order that is served."""

from __future__ import annotations

from gateway.card import read_card
from scripts.pipeline import REPOSITORY


def labels(model: str, tensor: str) -> tuple[str, ...]:
    """Of one tensor. Raises KeyError."""
    return read_card(REPOSITORY / model).outputs[tensor].labels
