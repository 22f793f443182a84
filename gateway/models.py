"""What the model repository says about itself: tensors from config.pbtxt, meaning from model.toml, accuracy from results.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from gateway.card import read_card

ENSEMBLE = "face_analysis"
# Outputs of the ensemble that every request asks for.
GEOMETRY = ("NUM_FACES", "BOXES", "SCORES", "KEYPOINTS")
DETECTOR = "face_detector"
# The members that find the faces: all others answer attributes.
FACE_STEPS = ("face_prepare", DETECTOR, "face_align")
# Which models take part in the built-in repository. The ensemble's config is generated from this tuple (scripts/graphs/ensemble.py).
ATTRIBUTE_MODELS = (
    "face_demographics",
    "face_expression",
    "face_liveness",
    "face_accessories",
    "face_landmarks",
    "face_quality",
    "face_beauty",
)
# The members of the ensemble, in their order.
STEPS = ("face_prepare", DETECTOR, "face_align", *ATTRIBUTE_MODELS)

# The int8 file beside model.onnx, where there is one: served on CPUs (scripts/train/quantise.py).
QUANTISED = "model.int8.onnx"

Config: TypeAlias = model_config_pb2.ModelConfig


@dataclass(frozen=True, slots=True)
class Output:
    """One tensor of a model: the attribute it stands for, its labels in order (empty: a number), its unit.

    `by_default`: whether /v1 answers with it when the caller names no attributes.
    """

    model: str
    tensor: str
    attribute: str
    labels: tuple[str, ...]
    unit: str
    measured: str
    note: str
    by_default: bool


@dataclass(frozen=True, slots=True)
class Model:
    """One folder of the repository."""

    name: str
    version: str
    licence: str
    sha256: str
    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The detector and the attribute models of this deployment."""

    detector: Model
    attribute_models: tuple[Model, ...]

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Every attribute that can be asked for, in the order of the registry."""
        return tuple(output for model in self.attribute_models for output in model.outputs)

    @property
    def versions(self) -> dict[str, str]:
        """Version by model name."""
        return {model.name: model.version for model in (self.detector, *self.attribute_models)}


def read_config(folder: Path) -> Config:
    """Parse a model's config.pbtxt. Raises `google.protobuf.text_format.ParseError`."""
    config: Config = text_format.Parse((folder / "config.pbtxt").read_text(), Config())
    return config


def served_file(config: Config) -> str:
    """Name of the ONNX file that Triton opens."""
    return config.default_model_filename or "model.onnx"


def read_model(folder: Path) -> Model:
    """Read a model's card and what was measured. Raises OSError, ValueError."""
    card = read_card(folder)
    results = folder / "results.json"
    measured: Mapping[str, Any] = json.loads(results.read_text()) if results.exists() else {}
    outputs = tuple(
        Output(
            model=folder.name,
            tensor=tensor,
            attribute=answer.attribute,
            labels=answer.labels,
            unit=answer.unit,
            measured=measured.get(tensor, {}).get("summary", ""),
            note=answer.note,
            by_default=not answer.only_on_request,
        )
        for tensor, answer in card.outputs.items()
    )
    return Model(folder.name, card.version, card.licence.summary, card.file.sha256, outputs)


def read_catalogue(repository: Path) -> Catalogue:
    """The models that the ensemble of the repository runs, each with those of its outputs that the ensemble answers with."""
    ensemble = read_config(repository / ENSEMBLE)
    answered = {tensor.name for tensor in ensemble.output}
    members = {
        step.model_name: {tensor for tensor, name in step.output_map.items() if name in answered}
        for step in ensemble.ensemble_scheduling.step
        if step.model_name not in FACE_STEPS
    }
    models = {name: read_model(repository / name) for name in members}
    told = [replace(model, outputs=tuple(o for o in model.outputs if o.tensor in members[name])) for name, model in models.items()]
    return Catalogue(read_model(repository / DETECTOR), tuple(told))
