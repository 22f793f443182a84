"""One photograph written in odd ways that are nevertheless right: other sample widths, orders, colours and ends of file.

Every variant must be answered as the plain photograph is, or refused: another answer would be one about nothing. `broken` holds what must
be refused.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

Named = Iterator[tuple[str, bytes]]
Ways = dict[str, dict[str, Any]]


def variants(photo: Image.Image) -> Named:
    """Name and bytes. `photo` is RGB, with at least 256 pixels a side."""
    pixels = np.asarray(photo)
    grey = np.asarray(photo.convert("L"))
    yield from _wide_tiffs(pixels, grey)
    yield from _odd_tiffs(pixels)
    yield from _bitmaps(pixels)
    yield from _jpegs(photo)
    yield from _pngs(photo)


def broken(photo: Image.Image) -> Named:
    """Name and bytes of files from which rows are missing, or that are no pictures yet."""
    ways: Ways = {"sequential": {}, "progressive": {"progressive": True}, "restarts": {"restart_marker_rows": 1}}
    for name, options in ways.items():
        whole = saved(photo, "JPEG", quality=90, **options)
        for share in (30, 60, 95):
            cut = whole[: len(whole) * share // 100]
            yield f"jpeg {name} {share} %", cut
            yield f"jpeg {name} {share} % with an end", cut + b"\xff\xd9"
    lost = saved(photo, "JPEG", quality=90, restart_marker_rows=1)
    yield "jpeg without a restart interval", lost[: lost.index(b"\xff\xd3")] + lost[lost.index(b"\xff\xd5") :]
    yield "jpeg of too many scans", with_scans(saved(photo, "JPEG", progressive=True), 2000)
    small = np.asarray(photo)[::4, ::4]
    for name, tag in {"cfa": (262, "H", 1, 32803, True), "dng": (50706, "B", 4, (1, 4, 0, 0), True)}.items():
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer) as file:
            if name == "dng":
                file.write(small, photometric="rgb", subfiletype=1, extratags=[tag], metadata=None)
            else:
                file.write(small, photometric="rgb", subfiletype=1, subifds=1, metadata=None)
                file.write(np.asarray(photo.convert("L")).astype(np.uint16) * 16, photometric=32803, metadata=None,
                           extratags=[(33421, "H", 2, (2, 2), True), (33422, "B", 4, (0, 1, 1, 2), True)])  # fmt: skip
        yield f"raw {name}", buffer.getvalue()
    plain = packed_tiff(np.zeros((64, 64), np.uint16), 12)
    yield "raw cr2", plain[:8] + b"CR\x02\x00" + plain[12:]
    yield "tiff of floats in colour", tiff(np.asarray(photo) / np.float32(255), photometric="rgb")
    yield "tiff without a number", tiff(np.full(small.shape[:2], np.nan, np.float32), photometric="minisblack")


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """As Pillow writes it."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    """As tifffile writes it."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **{"bigtiff": False, **options})
    return buffer.getvalue()


def _wide_tiffs(pixels: NDArray[np.uint8], grey: NDArray[np.uint8]) -> Named:
    """More than eight bits."""
    wide = pixels.astype(np.uint16) * 257
    ways: Ways = {
        "chunky": {}, "planes": {"planarconfig": "separate"}, "big-endian": {"byteorder": ">"}, "bigtiff": {"bigtiff": True},
        "deflate": {"compression": "zlib", "predictor": False}, "tiles": {"tile": (64, 128)}, "strips": {"rowsperstrip": 7},
        "tiled planes": {"tile": (64, 64), "planarconfig": "separate", "compression": "zlib"},
    }  # fmt: skip
    for name, options in ways.items():
        yield f"tiff rgb16 {name}", tiff(_planes(wide) if "planarconfig" in options else wide, photometric="rgb", **options)
    for bits in (10, 12, 14):
        values = np.rint(pixels * ((2**bits - 1) / 255)).astype(np.uint16)
        yield f"tiff rgb16 of {bits} bits", tiff(values, photometric="rgb")
        yield f"tiff grey16 of {bits} bits", tiff(values[..., 1], photometric="minisblack")
        yield f"tiff grey of {bits} packed bits", packed_tiff(values[..., 1], bits)
    yield "tiff grey16", tiff(grey.astype(np.uint16) * 257, photometric="minisblack")
    yield "tiff grey16 white is zero", tiff(65535 - grey.astype(np.uint16) * 257, photometric="miniswhite")
    yield "tiff grey16 lzw", saved(Image.fromarray(grey.astype(np.uint16) * 257), "TIFF", compression="tiff_lzw")
    yield "tiff grey32", tiff(grey.astype(np.uint32) * 16843009, photometric="minisblack")
    yield "tiff grey32 of 16 bits", tiff(grey.astype(np.uint32) * 257, photometric="minisblack")
    yield "tiff signed 16", tiff((grey.astype(np.int32) * 257 - 32768).astype(np.int16), photometric="minisblack")
    yield "tiff signed 8", tiff((grey.astype(np.int16) - 128).astype(np.int8), photometric="minisblack")
    scale = {"float": 1 / 255, "float over 1": 1.02 / 255, "float to 255": 1, "float to 65535": 257}
    for name, factor in scale.items():
        yield f"tiff {name}", tiff(grey * np.float32(factor), photometric="minisblack")
    hole = grey / np.float32(255)
    hole[0, 0], hole[0, 1] = np.nan, np.inf
    yield "tiff float with nan", tiff(hole, photometric="minisblack")
    yield "tiff double", tiff(grey / 255, photometric="minisblack")
    yield "tiff half", tiff((grey / 255).astype(np.float16), photometric="minisblack")
    opaque = np.dstack([wide, np.full(grey.shape, 65535, np.uint16)])
    yield "tiff rgba16", tiff(opaque, photometric="rgb", extrasamples=["unassalpha"])
    yield "tiff rgba16 premultiplied", tiff(opaque, photometric="rgb", extrasamples=["assocalpha"])


def _planes(pixels: NDArray[Any]) -> NDArray[Any]:
    """Colours first, [3,H,W]."""
    return np.ascontiguousarray(np.moveaxis(pixels, 2, 0))


def _odd_tiffs(pixels: NDArray[np.uint8]) -> Named:
    """Eight bits, but not at the beginning of the file, or in another order."""
    small, photo = pixels[::8, ::8] // 2, Image.fromarray(pixels)
    ways: Ways = {"": {}, " bigtiff": {"bigtiff": True}, " big-endian": {"byteorder": ">"}}
    for name, options in ways.items():
        for where in ("page 2", "subifd"):
            buffer = io.BytesIO()
            with tifffile.TiffWriter(buffer, **options) as file:
                file.write(small, photometric="rgb", subfiletype=1, subifds=where == "subifd", metadata=None)
                file.write(pixels, photometric="rgb", metadata=None)
            yield f"tiff thumbnail first, {where}{name}", buffer.getvalue()
    yield "tiff planes", tiff(_planes(pixels), photometric="rgb", planarconfig="separate")
    yield "tiff tiles", tiff(pixels, photometric="rgb", tile=(64, 64))
    yield "tiff white is zero", tiff(255 - np.asarray(photo.convert("L")), photometric="miniswhite")
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield f"tiff {compression}", saved(photo, "TIFF", compression=compression)
    lab = ImageCms.profileToProfile(photo, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")
    assert lab is not None  # noqa: S101
    yield "tiff lab", saved(lab, "TIFF", icc_profile=b"")


def packed_tiff(values: NDArray[np.uint16], bits: int) -> bytes:
    """Grey samples of 9 to 15 bits without gaps but at the end of each row."""
    each = (values[..., None] >> np.arange(bits - 1, -1, -1, dtype=np.uint16)) & 1
    data = np.packbits(each.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()
    height, width = values.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\x00" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def bitmap(pixels: NDArray[np.uint8], alpha: int) -> bytes:
    """A BMP of 32 bits with a mask for alpha (header version 5)."""
    height, width = pixels.shape[:2]
    four = np.dstack([pixels[::-1, :, ::-1], np.full((height, width), alpha, np.uint8)]).tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 32, 3, len(four), 2835, 2835, 0, 0) + masks + b"BGRs" + bytes(64)
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(four), 0, 0, 14 + len(header)) + header + four


def _bitmaps(pixels: NDArray[np.uint8]) -> Named:
    for alpha in (0, 255):
        yield f"bmp with alpha {alpha}", bitmap(pixels, alpha)


def _jpegs(photo: Image.Image) -> Named:
    ways: Ways = {"": {}, " progressive": {"progressive": True}, " restarts": {"restart_marker_rows": 1}}
    for name, options in ways.items():
        whole = saved(photo, "JPEG", quality=95, **options)
        yield f"jpeg{name} without its end", whole[:-2]
        yield f"jpeg{name} with half its end", whole[:-1]
        yield f"jpeg{name} and more", whole + bytes(1000)
        yield f"jpeg{name} padded", whole[:-2] + bytes(5) + whole[-2:]
        at = whole.index(b"\xff\xdb")
        yield f"jpeg{name} padded in front", whole[:at] + bytes(5) + whole[at:]
    inks = photo.convert("CMYK")
    yield "jpeg cmyk of adobe", saved(inks, "JPEG", quality=95)
    yield "jpeg cmyk without a marker", plain_cmyk(inks)


def plain_cmyk(inks: Image.Image) -> bytes:
    """A CMYK JPEG as programs other than Adobe's write it: ink as it is, and no Adobe segment."""
    negative = Image.frombytes("CMYK", inks.size, np.invert(np.frombuffer(inks.tobytes(), np.uint8)).tobytes())
    data = saved(negative, "JPEG", quality=95)  # Pillow inverts, as Adobe does
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with one chunk more after its header."""
    return png[:33] + chunk(kind, data) + png[33:]


def _pngs(photo: Image.Image) -> Named:
    light = (np.asarray(photo) / 255) ** 2.2
    linear = Image.fromarray(np.rint(light ** (1 / 1.8) * 255).astype(np.uint8))
    yield "png gamma 1/1.8", with_chunk(saved(linear, "PNG"), b"gAMA", struct.pack(">I", 55556))
    yield "png gamma of srgb", with_chunk(saved(photo, "PNG"), b"gAMA", struct.pack(">I", 45455))
    yield "png gamma 0", with_chunk(saved(photo, "PNG"), b"gAMA", bytes(4))
    yield "png grey16", saved(Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257), "PNG")
    ways: Ways = {"PNG": {}, "JPEG": {"quality": 95}, "TIFF": {}}
    for kind, options in ways.items():
        yield f"{kind.lower()} with a damaged profile", saved(photo, kind, icc_profile=b"no profile" * 50, **options)
        yield f"{kind.lower()} with other primaries", saved(swapped(photo), kind, icc_profile=swapping_profile(), **options)


def swapped(photo: Image.Image) -> Image.Image:
    """Red and blue the wrong way round."""
    return Image.fromarray(np.ascontiguousarray(np.asarray(photo)[..., ::-1]))


def swapping_profile() -> bytes:
    """The profile of sRGB whose red and blue have changed places."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data.replace(b"rXYZ", b"none").replace(b"bXYZ", b"rXYZ").replace(b"none", b"bXYZ")


def with_scans(progressive: bytes, count: int) -> bytes:
    """A progressive JPEG whose last scan is there `count` times."""
    last = progressive.rindex(b"\xff\xda")
    return progressive[:last] + progressive[last:-2] * count + progressive[-2:]
