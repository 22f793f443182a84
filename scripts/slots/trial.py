"""Runs a wrapped model on the built-in pictures before anybody is served by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from scripts.pipeline import DirectPipeline
from scripts.slots import crops
from scripts.slots.contract import PHOTO, Refused, Slot, slots

SOURCES = (crops.FACE_CROPS, crops.WIDE_CROPS, crops.BOXES, crops.TO_IMAGE)
# Answers for one face and for several may differ by so much, probabilities may add up to something so far from 1.
ALIKE, SUM = 1e-3, 1e-2
# Angles that the built-in model turns by more than this from the photograph to its mirror image have to turn the same way.
TURNED = 10.0
# The built-in model is sure from here on; who gives its label less than DOUBTED, or an age so far away, contradicts it.
SURE, DOUBTED, YEARS = 0.9, 0.1, 30.0
Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Answers:
    """Of one slot on the built-in pictures, one row a picture: by the model on trial and by the built-in one."""

    slot: Slot
    rows: Rows
    built_in: Rows


def run(model: onnx.ModelProto, filled: Sequence[Slot]) -> list[Answers]:
    """Raises Refused when the model does not run, or answers what its slot cannot hold."""
    session = _session(model)
    faces, built_in = _faces()
    rows = _infer(session, faces, filled)
    single = _infer(session, {name: values[:1] for name, values in faces.items()}, filled)
    blind = _infer(session, _blank(faces), filled)
    for slot, answer, alone, blank in zip(filled, rows, single, blind, strict=True):
        _check(slot, answer)
        if np.abs(alone[0] - answer[0]).max() > ALIKE * max(1.0, slot.high / 100):
            raise Refused(
                f"{slot.attribute}: several faces get other answers than each alone; the model is made for one picture at a time."
            )
        if np.abs(answer - blank[:1]).max() < 1e-6:
            raise Refused(f"{slot.attribute}: the answer does not depend on the picture: look at mean, std and columns.")
    return [Answers(slot, answer, built_in[slot.attribute]) for slot, answer in zip(filled, rows, strict=True)]


def contradiction(answers: Answers) -> str:
    """What speaks against a wrong order of labels or a wrong scale, in one line; empty: nothing."""
    slot, ours, theirs = answers.slot, answers.built_in.mean(0), answers.rows.mean(0)
    if slot.attribute == "age":
        apart = abs(float(ours[0] - theirs[0]))
        return (
            f"age: {theirs[0]:.0f} years where the built-in model says {ours[0]:.0f}: look at the bins, scale and offset"
            if apart > YEARS
            else ""
        )
    if slot.attribute == "pose":
        return _turned_the_wrong_way(answers)
    if not slot.labels:
        return ""
    labels = slot.labels
    ours, theirs = (np.array([1 - row[0], row[0]]) if slot.is_decision else row for row in (ours, theirs))
    best = int(np.argmax(ours))
    if ours[best] < SURE or theirs[best] >= DOUBTED:
        return ""
    return (
        f"{slot.attribute}: {labels[best]!r} has {theirs[best]:.2f}, and the built-in model gives it {ours[best]:.2f}; "
        f"this one says {labels[int(np.argmax(theirs))]!r}: look at the order of labels, colour, mean and std"
    )


def _turned_the_wrong_way(answers: Answers) -> str:
    """By the photograph and its mirror image, the first two."""
    for place, name in enumerate(("yaw", "pitch", "roll")):
        ours, theirs = (float(rows[1, place] - rows[0, place]) for rows in (answers.built_in, answers.rows))
        if abs(ours) > TURNED and ours * theirs < 0:
            return (
                f"pose: {name} turns by {theirs:.0f} degrees in the mirror image, where the built-in model's turns by {ours:.0f}: "
                "look at the order of columns and the signs of scale"
            )
    return ""


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = 1, 1, 4
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # noqa: BLE001  ONNX Runtime's own classes are not documented
        raise Refused(f"ONNX Runtime does not open the model: {_line(problem)}") from None


def _infer(session: ort.InferenceSession, faces: dict[str, Any], filled: Sequence[Slot]) -> list[Rows]:
    try:
        return list(session.run([slot.tensor for slot in filled], {value.name: faces[value.name] for value in session.get_inputs()}))
    except Exception as problem:  # noqa: BLE001
        count = len(next(iter(faces.values())))
        raise Refused(f"The model does not run on {count} face{'s' if count > 1 else ''}: {_line(problem)}") from None


def _check(slot: Slot, rows: Rows) -> None:
    if not np.isfinite(rows).all():
        raise Refused(f"{slot.attribute}: the answers are not finite numbers.")
    if slot.labels and slot.width > 1:
        total = rows.sum(1)
        if np.abs(total - 1).max() > SUM:
            raise Refused(f"{slot.attribute}: probabilities add up to {total.min():.2f} to {total.max():.2f}: do they want softmax?")
    if slot.attribute == "age" and ((rows <= slot.low) | (rows >= slot.high)).any():
        raise Refused(f"age: {rows.min():.0f} to {rows.max():.0f} years; look at scale and offset.")


@cache
def _faces() -> tuple[dict[str, NDArray[Any]], dict[str, Rows]]:
    """What `face_align` gives for the pictures, one face each, and what the built-in models answer to it."""
    pipeline = DirectPipeline()
    wanted = [*SOURCES, *(slot.tensor for slot in slots().values())]
    answers = [pipeline.infer(picture, wanted) for picture in _pictures()]
    tensors = {name: np.concatenate([answer[name][:1] for answer in answers]) for name in wanted}
    return {name: tensors[name] for name in SOURCES}, {slot.attribute: tensors[slot.tensor] for slot in slots().values()}


def _pictures() -> list[NDArray[np.uint8]]:
    """RGB: the photograph, its mirror image, darker, smaller."""
    image = cv2.imread(str(PHOTO))
    if image is None:
        raise Refused(f"{PHOTO} is missing: models are tried on it.")
    rgb = np.ascontiguousarray(image[..., ::-1]).astype(np.uint8)
    half = cv2.resize(rgb, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return [rgb, np.ascontiguousarray(rgb[:, ::-1]), (rgb * 0.7).astype(np.uint8), half]


def _blank(faces: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Grey crops where the same faces would be."""
    return {name: np.full_like(values, 128) if values.dtype == np.uint8 else values for name, values in faces.items()}


def _line(problem: Exception) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:300]
