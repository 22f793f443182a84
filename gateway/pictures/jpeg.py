"""JPEG: what the file consists of, and decoding that says when rows are missing.

Decoders make up what a file lacks: OpenCV and Pillow answer a picture cut in half as a whole one whose lower half is grey. TurboJPEG counts
warnings, so every warning is an error here. Whole rows are what counts: a file that lacks only its end marker is whole.
It decodes at 1/2, 1/4 and 1/8 and straight to RGB, which takes two thirds of OpenCV's time for the same pixels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from gateway.errors import ImageTooComplex, UndecodableImage, UnsupportedImage

SOF_PROGRESSIVE, SOS, EOI, APP14 = (0xC2, 0xCA), 0xDA, 0xD9, 0xEE
# Markers without a length: 01 and the restart markers, and a second start of image.
ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
# Markers that decoding needs: frame, tables, restart interval, scans.
NEEDED = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDD, SOS, EOI})
# Encoders write up to ten scans, optimisers a few more. Each costs a pass over the whole picture (50 ms at 50 megapixels), however few
# bytes it has.
MAX_SCANS = 30
# The decoder's words when every row was there and something else came before the end marker, as some cameras write it.
PADDED = "extraneous bytes before marker 0xd9"
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker and what belongs to it, of a scan the compressed data too: bytes `start` to `end` of the file."""

    marker: int
    start: int
    end: int


def decode(data: bytes, size: tuple[int, int], reduction: int, mode: str) -> NDArray[np.uint8]:
    """Pixels as stored, [H,W,3] RGB or with `mode` CMYK [H,W,4], at 1/`reduction`; `size` is what the header said.

    Raises UndecodableImage when rows are missing or damaged, UnsupportedImage, ImageTooComplex, MemoryError.
    """
    segments = _segments(data)
    scans = [segment for segment in segments if segment.marker == SOS]
    if not scans:
        raise UndecodableImage
    if segments[-1].marker != EOI and not _all_scans(data, segments):
        raise UndecodableImage
    whole = data[: segments[-1].end] + (b"" if segments[-1].marker == EOI else b"\xff\xd9")
    space = "CMYK" if mode == "CMYK" else "RGB"
    try:
        return _pixels(whole, size, reduction, space)
    except _Warned:
        pass
    try:
        return _pixels(_bare(whole, segments), size, reduction, space)
    except _Warned:
        raise UndecodableImage from None


class _Warned(Exception):
    """The decoder complained about something that may not matter."""


def _pixels(data: bytes, size: tuple[int, int], reduction: int, space: str) -> NDArray[np.uint8]:
    smallest = [-(-side // reduction) if reduction > 1 else 0 for side in size]
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        if (width, height) != size:  # the limits were checked with another size
            raise UndecodableImage
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, space, min_width=smallest[0], min_height=smallest[1])
    except ValueError as problem:
        if PADDED in str(problem):
            return np.asarray(simplejpeg.decode_jpeg(data, space, min_width=smallest[0], min_height=smallest[1], strict=False))
        if "nsufficient memory" in str(problem):
            raise MemoryError from None
        if "subsampling" in str(problem):  # libjpeg alone reads it, but does not tell missing rows
            raise UnsupportedImage("JPEGs with such a subsampling of their colours are not read.") from None
        raise (UndecodableImage if "remature end" in str(problem) else _Warned) from None
    return pixels


def _segments(data: bytes) -> list[Segment]:
    """Segments of the first picture in the file, up to its end marker if it has one. Raises ImageTooComplex."""
    found: list[Segment] = []
    scans, at = 0, 2
    while (marker := _MARKER.search(data, at)) is not None:
        start, kind = marker.start(), data[marker.start() + 1]
        at = start + 2
        if kind in ALONE:
            continue
        if kind == EOI:
            return [*found, Segment(kind, start, at)]
        at += max(2, int.from_bytes(data[at : at + 2]))
        if kind == SOS:
            scans += 1
            end = _SCAN_END.search(data, at)
            at = end.start() if end else len(data)
        if scans > MAX_SCANS:
            raise ImageTooComplex(f"JPEGs of at most {MAX_SCANS} scans are decoded.")
        found.append(Segment(kind, start, min(at, len(data))))
    return found


def _all_scans(data: bytes, segments: Sequence[Segment]) -> bool:
    """Whether a file without an end marker has all its scans: every coefficient of every component to its last bit."""
    frames = [segment for segment in segments if 0xC0 <= segment.marker <= 0xCF and segment.marker not in (0xC4, 0xC8, 0xCC)]
    if len(frames) != 1:
        return False
    frame = data[frames[0].start : frames[0].end]
    bits_left = {component: [1] * 64 for component in frame[10::3]}
    for segment in segments:
        if segment.marker != SOS:
            continue
        header = data[segment.start : segment.end]
        first, last, precision = header[5 + 2 * header[4] :][:3] if frame[1] in SOF_PROGRESSIVE else (0, 63, 0)
        for component in header[5 : 5 + 2 * header[4] : 2]:
            bits_left[component][first : last + 1] = [precision & 15] * (last + 1 - first)
    return not any(any(left) for left in bits_left.values())


def _bare(data: bytes, segments: Sequence[Segment]) -> bytes:
    """The same picture without what decoders only warn of: bytes between segments, unknown versions, scan headers not filled in."""
    progressive = any(segment.marker in SOF_PROGRESSIVE for segment in segments)
    parts = [b"\xff\xd8"]
    for segment in segments:
        part = data[segment.start : segment.end]
        if segment.marker == SOS and not progressive:
            at = 5 + 2 * part[4]
            part = part[:at] + b"\x00\x3f\x00" + part[at + 3 :]
        if segment.marker in NEEDED or (segment.marker == APP14 and part[15:16] <= b"\x02"):
            parts.append(part)
    return b"".join(parts) + (b"" if segments[-1].marker == EOI else b"\xff\xd9")
