"""Writing an altered picture in the format and quality of the file that it came from, without any metadata."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

Format: TypeAlias = Literal["jpeg", "png", "webp"]
MEDIA_TYPES: dict[Format, str] = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
# A lossy WebP does not say how it was made.
WEBP_QUALITY, WEBP_LOSSLESS = 90, 101
PNG_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file is compressed.

    `tables` are a JPEG's quantization tables, 64 numbers each, and `sampling` is Pillow's number of its chroma subsampling (0 to 2).
    """

    format: Format = "png"
    grey: bool = False
    tables: tuple[tuple[int, ...], ...] = ()
    sampling: int = 0
    lossless: bool = True


def encoding_of(kind: str, image: Image.Image, data: bytes) -> Encoding:
    """That of a file whose header was read; PNG for formats that are not written."""
    grey = image.mode in ("1", "L", "LA")
    if kind == "jpeg":
        tables = tuple(tuple(table) for table in cast(Any, image).quantization.values())
        sampling = JpegImagePlugin.get_sampling(image) if image.mode in ("RGB", "YCbCr") else 0
        return Encoding("jpeg", grey, tables[:2], max(0, sampling), lossless=False)
    if kind == "webp":
        return Encoding("webp", lossless=_is_lossless_webp(data))
    return Encoding(grey=grey)


def encoding_from(facts: dict[str, Any]) -> Encoding:
    """From what `asdict` of one became as JSON."""
    return Encoding(**{**facts, "tables": tuple(tuple(table) for table in facts["tables"])})


def encode(pixels: NDArray[np.uint8], encoding: Encoding) -> bytes:
    """RGB uint8 [H,W,3] as a file; `pixels` are used up, which saves a copy. Raises MemoryError."""
    stored = pixels[..., 0] if encoding.grey and _is_grey(pixels) else pixels
    if encoding.format == "jpeg":
        written = io.BytesIO()
        options: dict[str, Any] = {"qtables": list(encoding.tables)} if encoding.tables else {"quality": 95}
        Image.fromarray(np.ascontiguousarray(stored)).save(written, "JPEG", subsampling=encoding.sampling, **options)
        return written.getvalue()
    order = cv2.cvtColor(stored, cv2.COLOR_RGB2BGR, dst=stored) if stored.ndim == 3 else stored
    webp = (cv2.IMWRITE_WEBP_QUALITY, WEBP_LOSSLESS if encoding.lossless else WEBP_QUALITY)
    parameters = webp if encoding.format == "webp" else (cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL)
    done, data = cv2.imencode(f".{encoding.format}", order, parameters)
    if not done:
        raise MemoryError
    return data.tobytes()


def _is_grey(pixels: NDArray[np.uint8]) -> bool:
    """A mark in colour may have been drawn on a grey picture."""
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all())


def _is_lossless_webp(data: bytes) -> bool:
    """By its first chunk of pixels (RIFF)."""
    at = 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind in (b"VP8L", b"VP8 ", b"ANMF"):
            return kind == b"VP8L"
        at += 8 + size + size % 2
    return False
