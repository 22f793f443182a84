"""One photograph in as many odd forms as wanted: formats, sample types, orders and orientations by chance.

Each form is right and must be answered as the plain photograph is, or refused. What `cut` gives lacks rows and must be refused.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scripts.fuzzing import variants

Random = np.random.Generator
# What a decoder does to a picture of this EXIF orientation, undone beforehand.
BEFORE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip
ORIENTATION = 274
# NumPy's names of sample types, and how many of their bits are used.
COLOUR_SAMPLES = ("u1", "u2", "u2 of 10", "u2 of 12", "u2 of 14")
GREY_SAMPLES = ("u1", "u2", "u4", "i1", "i2", "f2", "f4", "f8")
# First row, first column, step down and across of the seven passes of an interlaced PNG.
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def draw(photo: Image.Image, random: Random) -> tuple[str, bytes]:
    """Name and bytes. The photograph is RGB; up to 15 pixels are added at its right and its lower edge, as widths decide about padding."""
    width, height = (side + int(random.integers(0, 16)) for side in photo.size)
    wider = np.pad(np.asarray(photo), ((0, height - photo.height), (0, width - photo.width), (0, 0)), mode="edge")
    orientation = int(random.integers(1, 9))
    turned = Image.fromarray(wider)
    if orientation in BEFORE:
        turned = turned.transpose(BEFORE[orientation])
    makers: tuple[Callable[[Image.Image, int, Random], tuple[str, bytes]], ...] = (_tiff, _tiff, _png, _jpeg, _webp)
    choice = int(random.integers(0, len(makers) + 1))
    name, data = _bitmap(Image.fromarray(wider), random) if choice == len(makers) else makers[choice](turned, orientation, random)
    return f"{name}, {width}x{height}, orientation {orientation}", data


def cut(photo: Image.Image, random: Random) -> tuple[str, bytes]:
    """Name and bytes of a JPEG that lacks rows; it may have an end marker all the same."""
    options, share, end = _jpeg_options(random), float(random.uniform(0.1, 0.93)), bool(random.integers(0, 2))
    whole = variants.saved(photo, "JPEG", **options)
    return f"jpeg {options}, first {share:.2f}, end {end}", whole[: int(len(whole) * share)] + b"\xff\xd9" * end


def _tiff(image: Image.Image, orientation: int, random: Random) -> tuple[str, bytes]:
    colour = bool(random.integers(0, 2))
    pixels = np.asarray(image if colour else image.convert("L"))
    kind = str(random.choice(COLOUR_SAMPLES if colour else GREY_SAMPLES))
    inverted = not colour and kind in ("u1", "u2", "u4") and bool(random.integers(0, 2))
    if inverted:
        pixels = 255 - pixels
    options: dict[str, Any] = {"photometric": "rgb" if colour else "miniswhite" if inverted else "minisblack"}
    values = _samples(pixels, kind, random)
    if colour and random.integers(0, 2):
        values, options["planarconfig"] = np.ascontiguousarray(np.moveaxis(values, 2, 0)), "separate"
    if random.integers(0, 2):
        options["tile"] = tuple(int(side) * 16 for side in random.integers(1, 20, 2))
    elif random.integers(0, 2):
        options["rowsperstrip"] = int(random.integers(1, image.height + 1))
    if random.integers(0, 2):
        options |= {"compression": "zlib", "predictor": kind[0] != "f" and bool(random.integers(0, 2))}
    order, *big = str(random.choice(["<", ">", "< big", "> big"], p=[0.4, 0.4, 0.17, 0.03])).split()
    options |= {"byteorder": order, "bigtiff": bool(big)}
    tags = [(ORIENTATION, "H", 1, orientation, True)]
    return f"tiff {kind} {options}", variants.tiff(values, extratags=tags, **options)


def _samples(pixels: NDArray[np.uint8], kind: str, random: Random) -> NDArray[Any]:
    """Pixels as numbers of another type, over all its range; of floating point over one of the ranges that programs use."""
    if kind[0] == "f":
        factor = random.choice([1 / 255, random.uniform(1, 1.05) / 255, 1.0] + ([257.0] if kind != "f2" else []))
        return np.asarray((pixels * factor).astype(kind))
    if " of " in kind:
        return np.asarray(np.rint(pixels * ((2 ** int(kind[6:]) - 1) / 255)), np.uint16)
    integer = np.dtype(kind)
    full = pixels.astype(np.int64) * ((256**integer.itemsize - 1) // 255)
    return np.asarray(full + np.iinfo(integer).min, integer)


def _png(image: Image.Image, orientation: int, random: Random) -> tuple[str, bytes]:
    # Colour type: channels of the picture, alpha, palette.
    mode = str(random.choice(["RGB", "L", "RGBA", "LA", "P"]))
    wide, interlaced = mode != "P" and bool(random.integers(0, 2)), bool(random.integers(0, 2))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    pixels = np.asarray(image.quantize(256) if mode == "P" else image.convert(mode))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    parts = [pixels[top::down, left::across] for top, left, down, across in ADAM7] if interlaced else [pixels]
    rows = b"".join(_png_rows(part.astype(">u2") * 257 if wide else part, random) for part in parts if part.size)
    colour = {"RGB": 2, "L": 0, "RGBA": 6, "LA": 4, "P": 3}[mode]
    head = struct.pack(">IIBBBBB", image.width, image.height, 16 if wide else 8, colour, 0, 0, interlaced)
    chunks = [(b"IHDR", head), (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))]
    if mode == "P":
        chunks.append((b"PLTE", bytes(image.quantize(256).getpalette() or ())))
    packed = zlib.compress(rows, int(random.integers(0, 10)))
    place = int(random.integers(1, len(packed)))
    chunks += [(b"IDAT", packed[:place]), (b"IDAT", packed[place:]), (b"IEND", b"")]
    return f"png {mode} wide {wide} interlaced {interlaced}", b"\x89PNG\r\n\x1a\n" + b"".join(variants.chunk(*part) for part in chunks)


def _png_rows(part: NDArray[Any], random: Random) -> bytes:
    """Rows [H,W,C], each after its filter: none, or the difference to the pixel on the left."""
    sample = part.shape[2] * part.itemsize
    rows = np.frombuffer(np.ascontiguousarray(part.astype(part.dtype.newbyteorder(">"))).tobytes(), np.uint8).reshape(len(part), -1)
    left = np.pad(rows, ((0, 0), (sample, 0)))[:, : rows.shape[1]]
    chosen = random.integers(0, 2, len(rows)).astype(np.uint8)
    return np.hstack([chosen[:, None], np.where(chosen[:, None] == 1, rows - left, rows)]).tobytes()


def _jpeg_options(random: Random) -> dict[str, Any]:
    options: dict[str, Any] = {
        "quality": int(random.integers(70, 99)), "subsampling": int(random.integers(0, 3)), "progressive": bool(random.integers(0, 2)),
        "optimize": bool(random.integers(0, 2)),
    }  # fmt: skip
    if random.integers(0, 2):
        options["restart_marker_blocks"] = int(random.integers(1, 200))
    return options


def _jpeg(image: Image.Image, orientation: int, random: Random) -> tuple[str, bytes]:
    options, mode = _jpeg_options(random), str(random.choice(["RGB", "L", "CMYK"]))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = variants.saved(image.convert(mode), "JPEG", exif=exif, **options)
    end = int(random.integers(0, 4))
    data = (data, data[:-2], data[:-1], data + random.bytes(int(random.integers(1, 3000))))[end]
    return f"jpeg {mode} {options}, {('whole', 'no end', 'half an end', 'and more')[end]}", data


def _webp(image: Image.Image, orientation: int, random: Random) -> tuple[str, bytes]:
    options = {"lossless": bool(random.integers(0, 2)), "quality": int(random.integers(75, 100)), "method": int(random.integers(0, 5))}
    mode = str(random.choice(["RGB", "RGBA"]))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return f"webp {mode} {options}", variants.saved(image.convert(mode), "WEBP", exif=exif, **options)


def _bitmap(image: Image.Image, random: Random) -> tuple[str, bytes]:
    """BMP: it knows no orientation but rows from above."""
    bits, above, header = int(random.choice([16, 24, 32])), bool(random.integers(0, 2)), int(random.choice([40, 108, 124]))
    pixels = np.asarray(image)[:: 1 if above else -1].astype(np.uint32)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    masks = (0xF800, 0x7E0, 0x1F, 0) if bits == 16 else (0xFF0000, 0xFF00, 0xFF, 0)
    if bits == 16:
        rows = ((red >> 3) << 11 | (green >> 2) << 5 | blue >> 3).astype("<u2").view(np.uint8).reshape(image.height, -1)
    else:
        four = (red << 16 | green << 8 | blue).astype("<u4").view(np.uint8).reshape(image.height, image.width, 4)
        rows = np.ascontiguousarray(four[..., : bits // 8]).reshape(image.height, -1)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    with_masks = bits != 24
    height = -image.height if above else image.height
    head = struct.pack("<IiiHHIIiiII", header, image.width, height, 1, bits, 3 * with_masks, rows.size, 0, 0, 0, 0)
    head += struct.pack("<4I", *masks) if header > 40 else struct.pack("<3I", *masks[:3]) if with_masks else b""
    head = head.ljust(header + (12 if header == 40 and with_masks else 0), b"\0")
    if header > 40:
        head = head[:56] + b"BGRs" + head[60:]
    file = b"BM" + struct.pack("<IHHI", 14 + len(head) + rows.size, 0, 0, 14 + len(head)) + head + rows.tobytes()
    return f"bmp {bits} bits, header {header}, from above {above}", file
