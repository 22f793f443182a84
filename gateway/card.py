"""model.toml, typed: what a model answers, what it learned from, its licence and its limits."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Base: no field that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class File(Part):
    """Of the weights. `path`: where they are when 1/model.onnx is built from them. `int8_sha256`: of the quantised file."""

    sha256: str
    int8_sha256: str | None = None
    path: Path | None = None


class Training(Part):
    """How the weights were made."""

    recipe: str
    teacher: str
    data: tuple[str, ...]


class Licence(Part):
    """Of the weights."""

    summary: str
    commercial_use: str


class Limits(Part):
    """Known weaknesses of the model."""

    known: tuple[str, ...]


class Answer(Part):
    """One tensor: the attribute that it stands for, its labels in the tensor's order (empty: numbers), its unit."""

    attribute: str
    unit: str
    labels: tuple[str, ...] = ()
    note: str = ""
    only_on_request: bool = False


class Card(Part):
    """The whole file. `outputs` by name of the tensor."""

    version: str
    summary: str
    file: File
    training: Training
    licence: Licence
    limits: Limits
    outputs: dict[str, Answer] = {}


def read_card(folder: Path) -> Card:
    """The model.toml of one folder of the repository. Raises OSError, ValueError."""
    return Card.model_validate(tomllib.loads((folder / "model.toml").read_text()))
