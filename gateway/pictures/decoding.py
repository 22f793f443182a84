"""From bytes to pixels: type, limits and orientation from the header first, then decoding.

A JPEG is decoded at 1/2, 1/4 or 1/8 where it is large (jpeg.py). Everything else goes through Pillow, which refuses incomplete data, or
for samples of more than eight bits through tiff.py, and is reduced by the same rule afterwards: so every picture that models see fits into
shared memory. Colours become sRGB (colour.py).
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from gateway.errors import BodyTooLarge, EmptyImage, GatewayError, ImageTooLarge, ImageTooSmall, UndecodableImage, UnsupportedImage
from gateway.pictures import colour, jpeg, samples, tiff
from gateway.pictures.encoding import Encoding, encoding_of
from gateway.pictures.formats import EVERY_FORMAT, FORMATS, refusal
from gateway.pictures.picture import Picture, Raster
from gateway.settings import Settings

# EXIF orientation to (transpose, flip code of OpenCV or None), applied in this order.
ORIENTATIONS: dict[int, tuple[bool, int | None]] = {
    2: (False, 1), 3: (False, -1), 4: (False, 0), 5: (True, None), 6: (True, 1), 7: (True, -1), 8: (True, 0),
}  # fmt: skip

# Limits are ours and are checked from the header; Pillow's own would raise at other sizes.
Image.MAX_IMAGE_PIXELS = None
try:
    import pillow_heif

    pillow_heif.register_heif_opener()
except ImportError:
    pass


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits of an API. Sides are pixels as stored, bounds inclusive."""

    formats: frozenset[str]
    max_bytes: int
    max_pixels: int
    min_side_px: int
    max_side_px: int


def rules_of(settings: Settings, formats: frozenset[str] = EVERY_FORMAT) -> Rules:
    """The deployment's own limits."""
    return Rules(formats, settings.max_image_bytes, settings.max_image_pixels, settings.min_image_side_px, settings.max_image_side_px)


@dataclass(frozen=True, slots=True)
class _Source:
    """An opened image: its header, and `read`, which takes the working side."""

    format: str
    size: tuple[int, int]
    read: Callable[[int], Raster]
    encoding: Encoding


def decode(data: bytes, rules: Rules, working_side_px: int) -> Picture:
    """Decode an image that obeys `rules`, at reduced scale while the longer side stays at least `working_side_px`.

    Raises EmptyImage, BodyTooLarge, UnrecognisedImage, UnsupportedImage, ImageTooLarge, ImageTooSmall, ImageTooComplex, UndecodableImage;
    MemoryError where memory is limited (pool.py). Only one frame is ever looked at, however many there are: the first, of a TIFF the first
    that is no thumbnail.
    """
    started = time.perf_counter()
    check_bytes(data, rules)
    source = _source(data)
    if source.format not in rules.formats:
        raise UnsupportedImage
    _check_size(source.size, rules)
    try:
        raster = source.read(working_side_px)
        pixels = colour.to_srgb(raster.pixels, raster.mode, raster.info)
    except (GatewayError, MemoryError):
        raise
    except Exception:  # noqa: BLE001  decoders raise whatever their author thought of
        raise UndecodableImage from None
    width, height = raster.size[::-1] if raster.turned in (5, 6, 7, 8) else raster.size
    return Picture(_turned(pixels, raster.turned), width, height, (time.perf_counter() - started) * 1e3, source.encoding)


def reduced(pixels: NDArray[np.uint8], working_side_px: int) -> NDArray[np.uint8]:
    """A picture [H,W] or [H,W,C] at 1/2, 1/4 or 1/8, as a JPEG of its size is decoded.

    Its longer side stays at least `working_side_px`. Raises MemoryError.
    """
    height, width = pixels.shape[:2]
    reduction = _reduction((width, height), working_side_px)
    if reduction == 1:
        return pixels
    size = (-(-width // reduction), -(-height // reduction))
    try:
        return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    except cv2.error:
        raise MemoryError from None  # no other reason to fail


def _reduction(size: tuple[int, int], working_side_px: int) -> int:
    return max((r for r in (1, 2, 4, 8) if max(size) >= r * working_side_px), default=1)


def check_bytes(data: bytes, rules: Rules) -> None:
    """Checks that need only the size. Raises EmptyImage, BodyTooLarge."""
    if not data:
        raise EmptyImage
    if len(data) > rules.max_bytes:
        raise BodyTooLarge


def _source(data: bytes) -> _Source:
    """Read the header only."""
    if tiff.recognised(data):
        chosen = tiff.choose(data)
        return _Source("tiff", chosen.size, lambda side: _whole(chosen.read(), chosen.turned, side), Encoding())
    image = _open(data)
    kind = FORMATS[image.format or ""]
    encoding = encoding_of(kind, image, data)
    if kind == "jpeg":
        return _Source(kind, image.size, lambda side: _jpeg(data, image, side), encoding)
    return _Source(kind, image.size, lambda side: _loaded(image, side), encoding)


def _open(data: bytes) -> Image.Image:
    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN and name != "TIFF"])
    except UnidentifiedImageError:
        raise refusal(data) from None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  decoders raise whatever their author thought of
        raise UndecodableImage from None


def _check_size(size: tuple[int, int], rules: Rules) -> None:
    width, height = size
    if width * height > rules.max_pixels or max(size) > rules.max_side_px:
        raise ImageTooLarge(f"At most {rules.max_pixels} pixels and {rules.max_side_px} pixels a side are accepted.")
    if min(size) < rules.min_side_px:
        raise ImageTooSmall(f"Each side must have at least {rules.min_side_px} pixels.")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8; a damaged or missing EXIF block means 1."""
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001  whatever Pillow stumbles over
        return 1
    return turned if isinstance(turned, int) else 1


def _jpeg(data: bytes, header: Image.Image, working_side_px: int) -> Raster:
    pixels = jpeg.decode(data, header.size, _reduction(header.size, working_side_px), header.mode)
    if header.mode != "CMYK":
        # A grey picture becomes RGB here already, whose profile may be for grey.
        return Raster(pixels, "RGB", header.info, _orientation(header), header.size)
    # Adobe's programs store ink inverted and say so.
    inks = np.invert(pixels) if "adobe" in header.info else pixels
    return Raster(inks, "CMYK", header.info, _orientation(header), header.size)


def _loaded(image: Image.Image, working_side_px: int) -> Raster:
    image.load()
    return _whole(image, _orientation(image), working_side_px)


def _whole(image: Image.Image, turned: int, working_side_px: int) -> Raster:
    info, size = image.info, image.size
    if image.mode.startswith("I"):  # a PNG of 16 bits, which its writer must have scaled to all of them
        return Raster(reduced(samples.eight_bits(np.asarray(image), (0, 2**16 - 1)), working_side_px), "L", info, turned, size)
    flat = colour.opaque(image)
    profiled = flat.info if image.mode == "LAB" else info
    return Raster(reduced(np.asarray(flat), working_side_px), flat.mode, profiled, turned, size)


def _turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Upright, if `pixels` lie as an EXIF orientation says."""
    transpose, flip = ORIENTATIONS.get(orientation, (False, None))
    if transpose:
        pixels = cv2.transpose(pixels).astype(np.uint8, copy=False)
    return pixels if flip is None else cv2.flip(pixels, flip).astype(np.uint8, copy=False)
