from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from gateway import errors as e
from gateway.inference.shared_pixels import LARGEST_BYTES
from gateway.pictures import decoding
from gateway.pictures.picture import Picture
from gateway.settings import Settings

SETTINGS = Settings()


def decode(data: bytes) -> Picture:
    return decoding.decode(data, decoding.rules_of(SETTINGS), SETTINGS.working_side_px)


@pytest.fixture
def scene() -> Image.Image:
    """Four different quarters, not square: every turn and mirror changes it."""
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[:30, :40], pixels[:30, 40:], pixels[30:, :40], pixels[30:, 40:] = (220, 30, 30), (30, 220, 30), (30, 30, 220), (230, 230, 40)
    return Image.fromarray(pixels)


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corners(pixels: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    return [tuple(round(v / 255) for v in pixels[y, x]) for y in (8, -8) for x in (8, -8)]


QUARTERS = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", *(["AVIF"] if features.check("avif") else [])])
def test_every_format_gives_the_same_picture(scene: Image.Image, kind: str) -> None:
    picture = decode(save(scene, kind))
    assert (picture.width_px, picture.height_px) == (80, 60)
    assert picture.pixels.dtype == np.uint8
    assert corners(picture.pixels) == QUARTERS


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_becomes_upright(scene: Image.Image, orientation: int, kind: str) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = scene.transpose(undo[orientation]) if orientation > 1 else scene
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(save(stored, kind, exif=exif))
    assert (picture.width_px, picture.height_px) == (80, 60)
    assert corners(picture.pixels) == QUARTERS


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1"])
def test_colour_modes_become_rgb(scene: Image.Image, mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    picture = decode(save(scene.convert(mode), kind))
    assert picture.pixels.shape == (60, 80, 3)
    if mode in ("P", "CMYK"):
        assert corners(picture.pixels) == QUARTERS


def test_cmyk_jpeg_is_not_inverted(scene: Image.Image) -> None:
    assert corners(decode(save(scene.convert("CMYK"), "JPEG", quality=95)).pixels) == QUARTERS


def test_transparency_lies_on_white(scene: Image.Image) -> None:
    scene.putalpha(0)
    assert (decode(save(scene, "PNG")).pixels == 255).all()


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    grey = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    pixels = decode(save(Image.fromarray(grey), "PNG")).pixels
    assert pixels[0, 0, 0] == 0
    assert 120 <= pixels[32, 0, 0] <= 135
    assert pixels[-1, -1, 0] == 255


def test_first_frame_of_an_animation(scene: Image.Image) -> None:
    other = Image.new("RGB", scene.size, "black")
    assert corners(decode(save(scene, "GIF", save_all=True, append_images=[other])).pixels) == QUARTERS


def test_large_jpeg_is_reduced_but_keeps_its_size() -> None:
    data = save(Image.new("RGB", (4000, 3000), (10, 200, 30)), "JPEG")
    picture = decode(data)
    assert (picture.width_px, picture.height_px) == (4000, 3000)
    assert picture.pixels.shape == (1500, 2000, 3)


def bomb(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    body = b"IDAT" + zlib.compress(bytes(1000))
    chunks = b"".join(struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (chunk, body))
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", e.EmptyImage),
        (b"just a text", e.UnrecognisedImage),
        (b"%PDF-1.7", e.UnsupportedImage),
        (bomb(60_000, 60_000), e.ImageTooLarge),
        (bomb(20_000, 20), e.ImageTooLarge),
        (save(Image.new("RGB", (1, 1)), "PNG"), e.ImageTooSmall),
        (save(Image.new("RGB", (64, 64)), "PNG")[:60], e.UndecodableImage),
        (save(Image.effect_noise((256, 256), 90), "JPEG")[:3000], e.UndecodableImage),
        (save(Image.effect_noise((256, 256), 90), "WEBP")[:3000], e.UndecodableImage),
        (save(Image.effect_noise((256, 256), 90), "TIFF")[:3000], e.UndecodableImage),
    ],
    ids=["empty", "text", "pdf", "bomb", "strip", "1x1", "cut png", "cut jpeg", "cut webp", "cut tiff"],
)
def test_bad_input(data: bytes, error: type[e.GatewayError]) -> None:
    with pytest.raises(error):
        decode(data)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(640, 480, (640, 480)), (3199, 3199, (3199, 3199)), (3200, 2001, (1600, 1001)), (8000, 6001, (2000, 1501)), (16384, 16, (2048, 2))],
)
def test_a_picture_for_triton_fits_into_shared_memory(width: int, height: int, expected: tuple[int, int]) -> None:
    small = decoding.reduced(np.full((height, width, 3), 9, np.uint8), 1600)
    assert small.shape == (*expected[::-1], 3)
    assert small.nbytes <= LARGEST_BYTES
    assert (small == 9).all()
