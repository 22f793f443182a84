"""One picture and the wanted attributes in, one `Analysis` out: the middle of every API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway import deadline, metrics
from gateway.attributes import BY_NAME
from gateway.errors import ModelContractError, UpstreamUnavailable
from gateway.faces import Analysis, Box, Face, Point, Timings
from gateway.inference.joining import joined, moved, uncut
from gateway.models import GEOMETRY, Catalogue, Output
from gateway.pictures.picture import Picture
from gateway.pictures.tiles import tiles

Row = NDArray[Any]


@dataclass(frozen=True, slots=True)
class SmallFaces:
    """From which height on faces are looked for, pixels of the upright image, and in how many tiles at most."""

    face_px: float
    most_tiles: int


class Inference(Protocol):
    """The part of the Triton client that the analyzer uses."""

    def infer(self, image: NDArray[np.uint8], outputs: tuple[str, ...]) -> Mapping[str, NDArray[Any]]:
        """Tensors by name for one RGB picture."""


class Analyzer:
    """Asks for exactly the tensors that the wanted attributes need. `measured` is held around each call of Triton."""

    def __init__(self, triton: Inference, catalogue: Catalogue, measured: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._triton, self._measured = triton, measured
        self._catalogue = catalogue
        self._outputs = {output.attribute: output for output in catalogue.outputs}

    @property
    def by_default(self) -> tuple[str, ...]:
        """Names of the attributes that a caller gets without naming any."""
        return tuple(name for name, output in self._outputs.items() if output.by_default)

    def analyze(self, picture: Picture, wanted: Sequence[str], *, all_needed: bool = False, small: SmallFaces | None = None) -> Analysis:
        """Analyse one picture.

        Attributes without a model stay None; with `all_needed` they raise UpstreamUnavailable. With `small`, faces that the whole picture
        would not show are looked for in tiles, each of which costs as much as a picture. Raises UpstreamError, ModelContractError.
        """
        if all_needed and not set(wanted) <= set(self._outputs):
            raise UpstreamUnavailable("This deployment has no model for an attribute that the answer needs.")
        outputs = [self._outputs[name] for name in wanted if name in self._outputs]
        started = time.perf_counter()
        faces = self._faces(picture.pixels, outputs, _scale(picture))
        small_faces = list(self._faces_in_tiles(picture, outputs, small)) if small else []
        if small_faces:
            faces = joined([*faces, *small_faces])
        inference_ms = (time.perf_counter() - started) * 1e3
        used = {self._catalogue.detector.name, *(output.model for output in outputs)}
        analysis = Analysis(
            width_px=picture.width_px,
            height_px=picture.height_px,
            faces=faces,
            model_versions={name: version for name, version in self._catalogue.versions.items() if name in used},
            timings=Timings(picture.decode_ms, inference_ms),
        )
        metrics.observe(analysis)
        deadline.note_analysed()
        return analysis

    def _faces(self, pixels: NDArray[np.uint8], outputs: list[Output], scale: Row) -> tuple[Face, ...]:
        with self._measured():
            tensors = self._triton.infer(pixels, (*GEOMETRY, *(output.tensor for output in outputs)))
        return _read_faces(tensors, outputs, scale)

    def _faces_in_tiles(self, picture: Picture, outputs: list[Output], small: SmallFaces) -> Iterator[Face]:
        height, width = picture.pixels.shape[:2]
        x, y = scale = _scale(picture)
        for tile in tiles(width, height, small.face_px / float(x), small.most_tiles):
            place = Box(tile.left * x, tile.top * y, (tile.left + tile.width) * x, (tile.top + tile.height) * y)
            faces = (moved(face, place.x1, place.y1) for face in self._faces(tile.of(picture.pixels), outputs, scale))
            yield from uncut(faces, place, picture.width_px, picture.height_px)


def _scale(picture: Picture) -> Row:
    height, width = picture.pixels.shape[:2]
    return np.array([picture.width_px / width, picture.height_px / height], np.float64)


def _read_faces(tensors: Mapping[str, NDArray[Any]], outputs: list[Output], scale: Row) -> tuple[Face, ...]:
    """`scale`: pixels of the upright image per pixel that the models saw, x and y."""
    count = int(tensors["NUM_FACES"].reshape(-1)[0])
    for output in outputs:
        _check(tensors[output.tensor], output, count)
    faces = [_read_face(tensors, outputs, row, scale) for row in range(count)]
    return tuple(sorted(faces, key=lambda face: (-face.confidence, -face.box.area, face.box.x1)))


def _check(tensor: NDArray[Any], output: Output, count: int) -> None:
    if len(tensor) < count or (output.labels and tensor.shape[1:] != (len(output.labels),)):
        raise ModelContractError(f"{output.tensor} of {output.model} has an unexpected shape.")


def _read_face(tensors: Mapping[str, NDArray[Any]], outputs: list[Output], row: int, scale: Row) -> Face:
    x1, y1, x2, y2 = (tensors["BOXES"][row].reshape(2, 2) * scale).reshape(-1).tolist()
    attributes = {o.attribute: BY_NAME[o.attribute].kind.read(tensors[o.tensor][row], o.labels, scale) for o in outputs}
    return Face(
        box=Box(x1, y1, x2, y2),
        confidence=float(tensors["SCORES"][row]),
        keypoints=_points(tensors["KEYPOINTS"][row], scale),
        **attributes,
    )


def _points(row: Row, scale: Row) -> tuple[Point, ...]:
    return tuple((x, y) for x, y in (row * scale).tolist())
