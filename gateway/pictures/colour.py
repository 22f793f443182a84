"""From a file's own colours to opaque sRGB: transparency, ICC profiles, the gamma of a PNG."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

# Profiles of printing presses have up to 3 MB. Larger ones, like damaged ones, are ignored.
MAX_PROFILE_BYTES = 4 * 2**20
# A profile that changes no colour by more than this, of 255, is sRGB.
SAME = 3
SRGB_GAMMA, GAMMA_TOLERANCE, GAMMAS = 0.45455, 0.01, (0.1, 5.0)
# The colour space of a profile by what it can be applied to.
_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}


def opaque(image: Image.Image) -> Image.Image:
    """The picture as L, RGB or CMYK, transparent parts on white.

    A bitmap (BMP) whose alpha is 0 everywhere is opaque, as for browsers: most programs leave that byte alone. All other formats mean it.
    """
    if image.mode == "LAB":
        return _of_lab(image)
    if not image.has_transparency_data:
        return image if image.mode in _SPACES else image.convert("L" if image.mode in ("1", "LA") else "RGB")
    if image.format == "BMP" and image.getchannel("A").getextrema()[1] == 0:
        return image.convert("RGB")
    layer = image if image.mode == "RGBA" else image.convert("RGBA")
    ground = Image.new("RGB", layer.size, "white")
    ground.paste(layer, mask=layer.getchannel("A"))
    return ground


def to_srgb(pixels: NDArray[np.uint8], mode: str, info: dict[Any, Any]) -> NDArray[np.uint8]:
    """Pixels of mode L, RGB or CMYK as sRGB [H,W,3]. `info` is what Pillow read beside them. Whatever is wrong with it is ignored."""
    profile = info.get("icc_profile")
    if isinstance(profile, bytes) and 0 < len(profile) <= MAX_PROFILE_BYTES:
        mode, pixels = _as_profiled(profile, mode, pixels)
        transform = _transform(profile, mode)
        if transform is not None:
            return np.asarray(transform.apply(_cmyk(pixels) if mode == "CMYK" else Image.fromarray(pixels)))
    elif "gamma" in info and "srgb" not in info:
        pixels = _without_gamma(pixels, info["gamma"])
    if mode == "CMYK":
        return np.asarray(_cmyk(pixels).convert("RGB"))
    return pixels if mode == "RGB" else np.repeat(pixels[..., None], 3, axis=2)


def _cmyk(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.frombuffer("CMYK", (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(pixels).tobytes(), "raw", "CMYK", 0, 1)


def _as_profiled(profile: bytes, mode: str, pixels: NDArray[np.uint8]) -> tuple[str, NDArray[np.uint8]]:
    """Grey pixels beside a profile for RGB, and the other way round, are brought to what the profile is for."""
    space = profile[16:20]
    if mode == "L" and space == b"RGB ":
        return "RGB", np.repeat(pixels[..., None], 3, axis=2)
    if mode == "RGB" and space == b"GRAY" and (pixels == pixels[..., :1]).all():
        return "L", np.ascontiguousarray(pixels[..., 0])
    return mode, pixels


@lru_cache(4)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """To sRGB; None for a profile that is sRGB already, does not fit or is damaged."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode == "CMYK":
            return transform
        probe = _probe(mode)
        changed = np.asarray(transform.apply(probe)).astype(int) - np.asarray(probe.convert("RGB"))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  whatever littleCMS stumbles over
        return None
    return None if np.abs(changed).max() <= SAME else transform


def _probe(mode: str) -> Image.Image:
    """All combinations of six levels, or all greys."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(6, 36, 3))


def _of_lab(image: Image.Image) -> Image.Image:
    made = ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert made is not None  # noqa: S101  nothing was asked to be done in place
    made.info.pop("icc_profile", None)
    return made


def _without_gamma(pixels: NDArray[np.uint8], gamma: object) -> NDArray[np.uint8]:
    """Samples that were encoded with the exponent `gamma`, in the encoding of sRGB."""
    if not isinstance(gamma, float) or not GAMMAS[0] <= gamma <= GAMMAS[1] or abs(gamma - SRGB_GAMMA) <= GAMMA_TOLERANCE:
        return pixels
    light = (np.arange(256) / 255) ** (1 / gamma)
    encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    table: NDArray[np.uint8] = np.rint(encoded * 255).astype(np.uint8)
    return table[pixels]
