"""From bytes to pixels: type, limits and orientation from the header first, then decoding.

JPEG goes through OpenCV, which can decode at 1/2, 1/4 and 1/8 (5 ms instead of 13 ms at 1920x1080); everything else, and
JPEGs with unusual colour or a damaged end, goes through Pillow, which refuses incomplete data, and is reduced by the same rule afterwards:
so every picture that models see fits into shared memory.
"""

from __future__ import annotations

import io
import time
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from gateway.errors import BodyTooLarge, EmptyImage, ImageTooLarge, ImageTooSmall, UndecodableImage, UnrecognisedImage, UnsupportedImage
from gateway.pictures.picture import Picture
from gateway.settings import Settings

# Pillow's name by ours. MPO is a JPEG with further pictures behind it, as some phones write.
FORMATS = {
    "JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "BMP": "bmp", "WEBP": "webp",
    "TIFF": "tiff", "GIF": "gif", "HEIF": "heif", "AVIF": "avif",
}  # fmt: skip
EVERY_FORMAT = frozenset(FORMATS.values())
# Formats that no decoder here reads but that are no mystery either.
OTHER_SIGNATURES = (b"%PDF", b"<svg", b"<?xml", b"\x00\x00\x00\x0cjP  ")
JPEG_END = b"\xff\xd9"
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
    """What an API accepts. Sides are pixels as stored, bounds inclusive."""

    formats: frozenset[str]
    max_bytes: int
    max_pixels: int
    min_side_px: int
    max_side_px: int


def rules_of(settings: Settings, formats: frozenset[str] = EVERY_FORMAT) -> Rules:
    """The deployment's own limits."""
    return Rules(formats, settings.max_image_bytes, settings.max_image_pixels, settings.min_image_side_px, settings.max_image_side_px)


def decode(data: bytes, rules: Rules, working_side_px: int) -> Picture:
    """Decode an image that obeys `rules`, at reduced scale while the longer side stays at least `working_side_px`.

    Raises EmptyImage, BodyTooLarge, UnrecognisedImage, UnsupportedImage, ImageTooLarge, ImageTooSmall, UndecodableImage; MemoryError
    where memory is limited (pool.py). Only the first frame is ever looked at, however many there are.
    """
    started = time.perf_counter()
    check_bytes(data, rules)
    header = _open(data)
    if FORMATS[header.format or ""] not in rules.formats:
        raise UnsupportedImage
    _check_size(header.size, rules)
    is_jpeg = FORMATS[header.format or ""] == "jpeg"
    if is_jpeg and header.mode in ("RGB", "L") and data.endswith(JPEG_END):
        turned = _orientation(header)
        pixels = _decode_jpeg(data, header.size, turned, working_side_px)
        width, height = header.size[::-1] if turned in (5, 6, 7, 8) else header.size
    else:
        pixels = _decode_other(header)
        height, width = pixels.shape[:2]
        pixels = reduced(pixels, working_side_px)
    return Picture(pixels, width, height, (time.perf_counter() - started) * 1e3)


def reduced(pixels: NDArray[np.uint8], working_side_px: int) -> NDArray[np.uint8]:
    """A picture [H,W,3] at 1/2, 1/4 or 1/8, as a JPEG of its size is decoded, while the longer side stays at least `working_side_px`.

    Raises MemoryError.
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
    """What can be said without looking inside. Raises EmptyImage, BodyTooLarge."""
    if not data:
        raise EmptyImage
    if len(data) > rules.max_bytes:
        raise BodyTooLarge


def _open(data: bytes) -> Image.Image:
    """Read the header only."""
    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  decoders raise whatever their author thought of
        raise UndecodableImage from None


def _unidentified(data: bytes) -> UnrecognisedImage | UnsupportedImage:
    known = data.lstrip()[:64].startswith(OTHER_SIGNATURES) or data[4:8] == b"ftyp"
    return UnsupportedImage() if known else UnrecognisedImage()


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


def _decode_jpeg(data: bytes, size: tuple[int, int], turned: int, working_side_px: int) -> NDArray[np.uint8]:
    flags = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
    flag = flags[_reduction(size, working_side_px)]
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as problem:
        raise (MemoryError if problem.code == cv2.Error.StsNoMem else UndecodableImage) from None
    if image is None:
        raise UndecodableImage
    transpose, flip = ORIENTATIONS.get(turned, (False, None))
    if transpose:
        image = cv2.transpose(image)
    if flip is not None:
        image = cv2.flip(image, flip)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image).astype(np.uint8, copy=False)


def _decode_other(image: Image.Image) -> NDArray[np.uint8]:
    try:
        image.load()
        return np.asarray(_on_white(_to_eight_bits(_upright(image))))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  decoders raise whatever their author thought of
        raise UndecodableImage from None


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF block says, if that can be read."""
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001
        return image


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float greys scaled to 0..255 (Pillow's own conversion clips them)."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image).astype(np.float32)
    if image.mode.startswith("I"):
        values = values / 257
    elif values.size and values.max() <= 1:
        values = values * 255
    return Image.fromarray(values.clip(0, 255).astype(np.uint8), "L")


def _on_white(image: Image.Image) -> Image.Image:
    """RGB, transparent parts on white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    ground.alpha_composite(layer)
    return ground.convert("RGB")
