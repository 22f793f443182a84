"""An adapter: a TOML that says what a model made elsewhere wants to see and what its outputs mean."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from scripts.slots.contract import Refused, slot_of

NAME = r"^[a-z][a-z0-9_]{2,47}$"
RESERVED = ("face_", "mean_")  # how the built-in folders and those of weighted means begin
DROPPED = "-"  # a class of the model that is none of the slot's labels
ARCFACE_SIDE_PX = 112
# Boxes up to this margin are cut from the aligned crop, larger ones from the surroundings, which end at WIDEST.
FROM_FACE_CROP, WIDEST = 1.5, 3.0

Text = Annotated[str, Field(min_length=1)]


def _three(value: object) -> object:
    return (value,) if isinstance(value, int | float) else value


Channels = Annotated[tuple[float, ...], BeforeValidator(_three)]


class Part(BaseModel):
    """Base: no field that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Licence(Part):
    """Of the weights. `commercial_use`: what is known of it, the terms of the training pictures included."""

    name: Text
    commercial_use: str = "Not stated: read the licence, and the terms of what the model learned from."
    url: str = ""


class Source(Part):
    """Where the file comes from; wanted of an entry of the catalogue. No `url`: it is not published in this form, only `home` is known."""

    file: Text
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    home: Text
    url: str | None = Field(None, pattern=r"^https://")


class Input(Part):
    """What the model sees: (pixel - mean) / std of pixels 0..255, channels in the order of `colour`, of a crop `size` px wide and high.

    aligned: the five points laid onto `points`, pixels of a square of `points_px` (ArcFace's when left out). box: `margin` times the box,
    upright in the picture, square by its longer side or of the box's own shape. Up to FROM_FACE_CROP it is the box that a face usually has,
    laid by the five points; wider ones follow the detector's.
    """

    tensor: str | None = None
    size: int = Field(ge=16, le=512)
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    colour: Literal["RGB", "BGR", "GREY"] = "RGB"
    mean: Channels = (0.0,)
    std: Channels = (1.0,)
    crop: Literal["aligned", "box"] = "aligned"
    points: tuple[tuple[float, float], ...] | None = Field(None, min_length=5, max_length=5)
    points_px: float = Field(ARCFACE_SIDE_PX, gt=0)
    margin: float = Field(1.0, ge=0.5, le=WIDEST)
    shape: Literal["square", "box"] = "square"

    @property
    def channels(self) -> int:
        """1 for grey pictures, else 3."""
        return 1 if self.colour == "GREY" else 3

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                raise ValueError(f"{name} has {len(values)} numbers, {self.colour} wants 1 or {self.channels}")
        if any(value <= 0 for value in self.std):
            raise ValueError("std must be above 0: pixels are divided by it")
        if self.crop == "box" and self.points:
            raise ValueError("points are for crop = 'aligned'")
        if self.crop == "aligned" and {"margin", "shape"} & self.model_fields_set:
            raise ValueError("margin and shape are for crop = 'box'")
        return self


class Bins(Part):
    """Equally spaced values: first, first + step, ..."""

    first: float
    step: float = Field(1.0, gt=0)


class Head(Part):
    """One slot that the model fills, from `columns` (first, behind the last) of one output, each row flattened.

    Labels in the model's order (what stands there twice is added), or `values` of bins (the answer is their expected value, over the `top`
    most probable), or neither: the numbers themselves times `scale` plus `offset`, one for all or one each (pose: yaw, pitch, roll).
    `absent`: labels of the slot that the model does not know. `threshold`: where a single probability decides, moved to 0.5. `rest`: the
    label that gets what a single probability leaves.
    """

    slot: Text
    output: str | None = None
    columns: tuple[int, int] | None = None
    apply: Literal["nothing", "softmax", "sigmoid"] = "nothing"
    labels: tuple[str, ...] | None = Field(None, min_length=1)
    absent: tuple[str, ...] = ()
    rest: str | None = None
    threshold: float | None = Field(None, gt=0, lt=1)
    values: tuple[float, ...] | Bins | None = None
    top: int | None = Field(None, gt=0)
    scale: Channels = (1.0,)
    offset: Channels = (0.0,)
    note: str = ""
    measured: str = ""

    @field_validator("slot")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            return slot_of(name).attribute
        except Refused as problem:
            raise ValueError(str(problem)) from None

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        slot = slot_of(self.slot)
        if bool(slot.labels) != (self.labels is not None):
            raise ValueError(f"{self.slot} is {'probabilities: give labels' if slot.labels else 'a number: it has no labels'}")
        if self.columns and not 0 <= self.columns[0] < self.columns[1]:
            raise ValueError("columns are the first and the one behind the last, counted from 0")
        if slot.labels:
            self._check_labels(slot.labels)
        elif any(len(given) not in (1, slot.width) for given in (self.scale, self.offset)):
            raise ValueError(f"scale and offset of {self.slot} have 1 number{f' or {slot.width}' if slot.width > 1 else ''}")
        elif slot.width > 1 and self.values is not None:
            raise ValueError(f"values are for one number, and {self.slot} has {slot.width}")
        elif isinstance(self.values, tuple) and list(self.values) != sorted(set(self.values)):
            raise ValueError("values of bins must rise")
        return self

    def _check_labels(self, wanted: tuple[str, ...]) -> None:
        labels = self.labels or ()
        if self.values is not None or self.top is not None or {"scale", "offset"} & self.model_fields_set:
            raise ValueError(f"values, top, scale and offset are for numbers, and {self.slot} has labels")
        for label in dict.fromkeys((*labels, *self.absent, *filter(None, [self.rest]))):
            if label != DROPPED and label not in wanted:
                raise ValueError(
                    f"{label!r} is no label of {self.slot}: {', '.join(wanted)}, or {DROPPED!r} for a class that is none of them"
                )
        if both := set(labels) & set(self.absent):
            raise ValueError(f"{', '.join(sorted(both))} cannot be among labels and absent")
        unsaid = [label for label in wanted if label not in (*labels, *self.absent, self.resting)]
        if unsaid:
            raise ValueError(f"nothing says what becomes of {', '.join(unsaid)}: name it among labels, or as absent")
        if self.threshold is not None and len(labels) > 1:
            raise ValueError("threshold is for a single probability")

    @property
    def resting(self) -> str | None:
        """The label that gets one minus a single probability."""
        others = [label for label in slot_of(self.slot).labels if label not in (*(self.labels or ()), *self.absent)]
        return self.rest or (others[0] if len(self.labels or ()) == 1 and len(others) == 1 else None)


class Adapter(Part):
    """The whole file."""

    name: str = Field(pattern=NAME)
    version: Text = "1"
    summary: Text
    trained_on: tuple[str, ...] = Field(min_length=1)
    limits: tuple[str, ...] = ()
    licence: Licence
    source: Source | None = None
    input: Input
    heads: tuple[Head, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _clear(self) -> Self:
        if self.name.startswith(RESERVED):
            raise ValueError(f"names that begin with {' or '.join(RESERVED)} are taken")
        if twice := [slot for slot, count in Counter(head.slot for head in self.heads).items() if count > 1]:
            raise ValueError(f"two heads fill {', '.join(twice)}")
        return self


def read(file: Path) -> Adapter:
    """The adapter in `file`. Raises Refused, in one line."""
    try:
        return Adapter.model_validate(tomllib.loads(file.read_text()))
    except (OSError, UnicodeDecodeError) as problem:
        raise Refused(f"{file} cannot be read: {problem}") from None
    except tomllib.TOMLDecodeError as problem:
        raise Refused(f"{file.name} is no TOML: {problem}") from None
    except ValidationError as problem:
        raise Refused(f"{file.name}: {_first(problem.errors()[0])}") from None


def _first(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    said = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        said = "is missing"
    return f"{where}: {said}" if where else said
