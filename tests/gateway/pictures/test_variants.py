"""A photograph in every odd form gives its own pixels or an error: never a confident answer about something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gateway.errors import ImageTooComplex, RequestError, UndecodableImage, UnsupportedImage
from gateway.pictures import decoding
from gateway.pictures.formats import FORMATS
from gateway.settings import Settings
from scripts.fuzzing import drawn, variants

PHOTO = Image.open(Path(__file__).parents[2] / "pictures" / "astronaut.jpg").convert("RGB").resize((256, 256))
RULES = decoding.rules_of(Settings())
VARIANTS, BROKEN = dict(variants.variants(PHOTO)), dict(variants.broken(PHOTO))
# Mean difference of 255: JPEG, conversion to inks and back, and rounding of gammas stay below; an inverted or dark picture has over 50.
CLOSE = 5.0


@pytest.mark.parametrize("name", VARIANTS)
def test_an_odd_form_gives_the_same_picture(name: str) -> None:
    assert_like_the_photograph(decoding.decode(VARIANTS[name], RULES, 1600).pixels)


@pytest.mark.parametrize("seed", range(60))
def test_a_drawn_form_gives_the_same_picture(seed: int) -> None:
    name, data = drawn.draw(PHOTO, np.random.default_rng(seed))
    try:
        pixels = decoding.decode(data, RULES, 1600).pixels
    except UnsupportedImage:
        assert "jpeg CMYK" in name or "'byteorder': '>', 'bigtiff': True" in name
        return
    assert max(pixels.shape) < 256 + 16
    assert_like_the_photograph(pixels[:256, :256])


@pytest.mark.parametrize("seed", range(20))
def test_a_drawn_file_that_lacks_rows_is_refused(seed: int) -> None:
    with pytest.raises(UndecodableImage):
        decoding.decode(drawn.cut(PHOTO, np.random.default_rng(seed))[1], RULES, 1600)


def assert_like_the_photograph(pixels: NDArray[np.uint8]) -> None:
    seen, plain = pixels.astype(int), np.asarray(PHOTO).astype(int)
    assert seen.shape == plain.shape
    if (pixels == pixels[..., :1]).all():
        # The grey of a photograph or, of tests with one channel, its green.
        greys = np.asarray(PHOTO.convert("L")).astype(int), plain[..., 1]
        assert min(np.abs(seen[..., 0] - grey).mean() for grey in greys) < CLOSE
    else:
        assert np.abs(seen - plain).mean() < CLOSE


@pytest.mark.parametrize("name", BROKEN)
def test_what_lacks_something_is_refused(name: str) -> None:
    with pytest.raises(RequestError) as refused:
        decoding.decode(BROKEN[name], RULES, 1600)
    if name.startswith("raw"):
        assert refused.value.code == "unsupported_image"
        assert "developed" in (refused.value.detail or "")
    elif "floats" in name:
        assert refused.value.code == "unsupported_image"
    elif "scans" in name:
        assert isinstance(refused.value, ImageTooComplex)
        assert "30 scans" in (refused.value.detail or "")
    else:
        assert refused.value.code == "undecodable_image"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\x0a" + bytes(20), "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(20), "JPEG XL"),
        (b"\xff\x4f\xff\x51" + bytes(20), "JPEG 2000"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(20), "JPEG 2000"),
        (b"\x00\x00\x00\x18ftypcrx " + bytes(20), "Raw files"),
        (b"FUJIFILMCCD-RAW " + bytes(20), "Raw files"),
        (b"\xff\xd8\xff\xc0\x00\x0b\x0c\x00\x40\x00\x40\x01\x01\x11\x00" + bytes(20), "8 bits"),
    ],
)
def test_a_known_format_that_is_not_read_is_named(data: bytes, words: str) -> None:
    with pytest.raises(RequestError) as refused:
        decoding.decode(data, RULES, 1600)
    assert refused.value.code == "unsupported_image"
    assert words in (refused.value.detail or "")


def test_a_heic_picture_names_the_extra_that_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FORMATS, "HEIF")
    with pytest.raises(RequestError) as refused:
        decoding.decode(b"\x00\x00\x00\x18ftypheic" + bytes(50), RULES, 1600)
    assert refused.value.code == "unsupported_image"
    assert "`heif`" in (refused.value.detail or "")


def test_the_size_in_the_header_is_that_of_the_chosen_picture() -> None:
    with pytest.raises(RequestError) as refused:
        decoding.decode(VARIANTS["tiff thumbnail first, page 2"], decoding.Rules(RULES.formats, 2**24, 1000 * 60, 16, 4096), 1600)
    assert refused.value.code == "image_too_large"


def test_a_photo_of_a_phone_with_fifty_megapixels_is_accepted() -> None:
    decoding._check_size((8160, 6144), RULES)
    decoding._check_size((9248, 6944), RULES)


def test_a_picture_with_an_alpha_that_is_meant_stays_transparent() -> None:
    clear = PHOTO.copy()
    clear.putalpha(0)
    for kind in ("PNG", "WEBP", "TIFF"):
        assert (decoding.decode(variants.saved(clear, kind, lossless=True), RULES, 1600).pixels == 255).all()
