"""TIFF: which of the pictures in a file is meant, and samples of more than eight bits.

Pillow reads the first directory only, takes eight bits of sixteen, and guesses at what it has no name for. Here the directories are read
first: thumbnails and raw files are told apart from pictures. Pictures of eight bits go through Pillow. Of all others libtiff, in Pillow,
only decompresses, as if each byte were a grey pixel; samples are made of the bytes here. (tifffile does that too, but LZW, the usual
compression, only with imagecodecs, sixty megabytes of codecs.)
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from gateway.errors import UndecodableImage, UnsupportedImage
from gateway.pictures import samples
from gateway.pictures.formats import RAW

BEGINNINGS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
MAX_DIRECTORIES = 32
# Numbers of tags: TIFF 6.0, its Photoshop and technical notes, and DNG.
NEW_SUBFILE_TYPE, SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 254, 255, 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, SAMPLES, STRIP_ROWS, STRIP_BYTES, MAX_SAMPLE, PLANAR, PREDICTOR = 273, 274, 277, 278, 279, 281, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES, SUB_DIRECTORIES, EXTRA_SAMPLES, SAMPLE_FORMAT = 322, 323, 324, 325, 330, 338, 339
S_MIN, S_MAX, SUBSAMPLING, PROFILE, DNG_VERSION = 340, 341, 530, 34675, 50706
REDUCED, MASK = 1, 4  # bits of the subfile type
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK, YCBCR, CFA, LINEAR_RAW = 0, 1, 2, 5, 6, 32803, 34892
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, CMYK: 4}  # samples of a pixel
IFD8 = 18  # a type of tags
UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4
# None, LZW, Deflate (two numbers), PackBits, LZMA, Zstandard.
LOSSLESS = frozenset({1, 5, 8, 32946, 32773, 34925, 50000})


class Directory:
    """One picture's tags. `offset` is where they lie in the file."""

    def __init__(self, data: bytes, offset: int) -> None:
        self.offset = offset
        self._tags = _tags(data)
        stream = io.BytesIO(data)
        stream.seek(offset)
        self._tags.load(stream)
        self.next = self._tags.next

    def all(self, tag: int) -> tuple[Any, ...]:
        """The values of a tag, none where it is missing."""
        value = self._tags.get(tag, ())
        return tuple(value) if isinstance(value, tuple | list) else (value,)

    def one(self, tag: int, default: int = 0) -> int:
        """The first value of a tag with whole numbers. Raises UndecodableImage."""
        value = next(iter(self.all(tag)), default)
        if not isinstance(value, int):
            raise UndecodableImage
        return value

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.one(WIDTH), self.one(HEIGHT)

    @property
    def is_part(self) -> bool:
        """Whether it is a smaller version of another picture, or its mask."""
        return bool(self.one(NEW_SUBFILE_TYPE) & (REDUCED | MASK)) or self.one(SUBFILE_TYPE) == 2

    @property
    def is_raw(self) -> bool:
        """Whether it comes from a camera's sensor."""
        return self.one(PHOTOMETRIC) in (CFA, LINEAR_RAW) or bool(self.all(DNG_VERSION))

    @property
    def is_plain(self) -> bool:
        """Whether its samples are whole numbers of at most eight bits, which is what Pillow reads."""
        return max(self.all(BITS), default=1) <= 8 and set(self.all(SAMPLE_FORMAT)) <= {UNSIGNED, UNDEFINED}

    @property
    def profile(self) -> bytes | None:
        """The ICC profile."""
        found = self._tags.get(PROFILE)
        return found if isinstance(found, bytes) else None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The picture in a TIFF that is meant. `turned` is its orientation, else that of the file's first directory."""

    data: bytes
    directory: Directory
    turned: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self.directory.size

    def read(self) -> Image.Image:
        """The picture, not yet turned and in its own colours. Raises UnsupportedImage, UndecodableImage, MemoryError, and as Pillow."""
        if self.directory.is_plain:
            return self._plain()
        made = _image(self.data, self.directory)
        made.info["icc_profile"] = self.directory.profile
        return made

    def _plain(self) -> Image.Image:
        """By Pillow, which takes the first directory, so that has to be the one."""
        uncompressed = self.directory.one(COMPRESSION, 1) == 1
        if uncompressed and self.directory.one(PHOTOMETRIC) == YCBCR and self.directory.all(SUBSAMPLING) != (1, 1):
            raise UnsupportedImage("Uncompressed TIFFs with subsampled colours are not read.")
        try:
            image = Image.open(io.BytesIO(_beginning_at(self.data, self.directory.offset)), formats=["TIFF"])
        except UnidentifiedImageError:
            raise UnsupportedImage("TIFFs with such samples are not read.") from None
        if image.size not in (self.size, self.size[::-1]):  # the limits were checked with another size
            raise UndecodableImage
        image.load()  # which turns it, too
        return image


def recognised(data: bytes) -> bool:
    """Whether it is a TIFF, of whichever byte order and size of offsets."""
    return data.startswith(BEGINNINGS)


def choose(data: bytes) -> Chosen:
    """The first picture that is no smaller version of another one; the first of all where there is none.

    Raises UnsupportedImage for raw files and big-endian BigTIFFs, UndecodableImage.
    """
    if data.startswith(b"MM\x00+"):  # whose offsets Pillow reads as four bytes
        raise UnsupportedImage("Big-endian BigTIFFs are not read.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = [directory for directory in _directories(data) if min(directory.size) > 0]
            if not found:
                raise UndecodableImage
            if data[8:12] == b"CR\x02\x00" or any(directory.is_raw for directory in found):
                raise UnsupportedImage(RAW)
            chosen = next((directory for directory in found if not directory.is_part), found[0])
            turned = 1 if chosen.all(ORIENTATION) and chosen.is_plain else (chosen.one(ORIENTATION) or found[0].one(ORIENTATION, 1))
        except (SyntaxError, struct.error, ValueError, TypeError):
            raise UndecodableImage from None
    return Chosen(data, chosen, turned)


def _directories(data: bytes) -> Iterator[Directory]:
    """In the file's order, each before its subdirectories, of which only those of the first level count."""
    seen: set[int] = set()
    offset = _tags(data).next
    while offset and offset not in seen and len(seen) < MAX_DIRECTORIES:
        seen.add(offset)
        page = Directory(data, offset)
        yield page
        for below in (page.all(SUB_DIRECTORIES) or _long_offsets(data, offset))[:MAX_DIRECTORIES]:
            if isinstance(below, int) and 8 <= below < len(data) and below not in seen:
                seen.add(below)
                yield Directory(data, below)
        offset = page.next


def _long_offsets(data: bytes, at: int) -> tuple[int, ...]:
    """Offsets of subdirectories of the type IFD8, which Pillow leaves out."""
    if not _is_big(data):
        return ()
    order = "<" if data.startswith(b"II") else ">"
    (entries,) = struct.unpack_from(f"{order}Q", data, at)
    for entry in range(at + 8, min(at + 8 + 20 * entries, len(data) - 19), 20):
        tag, kind, count, value = struct.unpack_from(f"{order}HHQQ", data, entry)
        if (tag, kind) == (SUB_DIRECTORIES, IFD8):
            return (value,) if count == 1 else struct.unpack_from(f"{order}{min(count, MAX_DIRECTORIES)}Q", data, value)
    return ()


def _is_big(data: bytes) -> bool:
    """Whether offsets have eight bytes."""
    return data[2:4] in (b"+\x00", b"\x00+")


def _tags(data: bytes) -> ImageFileDirectory_v2:
    return ImageFileDirectory_v2(data[: 16 if _is_big(data) else 8])


def _beginning_at(data: bytes, offset: int) -> bytes:
    order = "<" if data.startswith(b"II") else ">"
    if _is_big(data):
        return data[:8] + struct.pack(f"{order}Q", offset) + data[16:]
    return data[:4] + struct.pack(f"{order}I", offset) + data[8:]


def _image(data: bytes, directory: Directory) -> Image.Image:
    """A picture of whole numbers of any width, or of grey floating-point numbers."""
    kind, colours = _kind_of(directory), COLOURS.get(directory.one(PHOTOMETRIC), 0)
    values = _Layout(data, directory).values(kind)
    if not colours or values.shape[2] < colours:
        raise UnsupportedImage("TIFFs with such samples are not read.")
    if kind == FLOAT and colours > 1:
        raise UnsupportedImage("Colours as floating-point numbers are not read: what white is depends on who wrote them.")
    shown = samples.eight_bits(values[..., :colours], _range(directory, values[..., :colours], kind))
    if directory.one(PHOTOMETRIC) == WHITE_IS_ZERO:
        shown = np.invert(shown)
    extra = directory.one(EXTRA_SAMPLES)
    if values.shape[2] > colours and extra in (1, 2) and colours < 4 and kind == UNSIGNED:
        alpha = values[..., colours : colours + 1]
        opacity = samples.eight_bits(alpha, _range(directory, alpha, kind))
        together = np.concatenate([*[shown] * (3 // colours), opacity], axis=2)
        return _from_array("RGBa" if extra == 1 else "RGBA", together).convert("RGBA")
    return _from_array({1: "L", 3: "RGB", 4: "CMYK"}[colours], shown)


def _from_array(mode: str, pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.frombytes(mode, (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(pixels).tobytes())


def _kind_of(directory: Directory) -> int:
    kinds = {UNSIGNED if kind == UNDEFINED else kind for kind in directory.all(SAMPLE_FORMAT)} or {UNSIGNED}
    if len(kinds) > 1 or not kinds <= {UNSIGNED, SIGNED, FLOAT} or len(set(directory.all(BITS))) != 1:
        raise UnsupportedImage("TIFFs with such samples are not read.")
    return int(kinds.pop())


def _range(directory: Directory, values: NDArray[Any], kind: int) -> samples.Range:
    """What black and white are.

    Samples of 9 to 15 bits say it themselves. Those of 16 bits may hold 10, 12 or 14, so their width is the narrowest that holds the
    greatest of them and MaxSampleValue. All others have the declared range (SMinSampleValue, SMaxSampleValue) where every
    sample lies in it, else floats within 0 to 1 that range, else the range that they have.
    """
    bits = directory.one(BITS)
    if kind == UNSIGNED and bits < 16:
        return 0, 2**bits - 1
    if kind == UNSIGNED and bits == 16:
        declared = [value for value in directory.all(MAX_SAMPLE) if isinstance(value, int)]
        return samples.width_range(max(int(values.max()), *declared, 0))
    own = samples.own_range(values)
    if own is None:
        raise UndecodableImage("No sample of the image is a number.")
    low, high = ([value for value in directory.all(tag) if isinstance(value, int | float)] for tag in (S_MIN, S_MAX))
    if high and min(low, default=0) <= own[0] and own[1] <= max(high) < np.inf:
        return min(low, default=0), max(high)
    return (0, 1) if kind == FLOAT and own[0] >= 0 and own[1] <= 1 else own


class _Layout:
    """How the samples of a picture lie in strips or tiles. Raises UnsupportedImage, UndecodableImage."""

    def __init__(self, data: bytes, directory: Directory) -> None:
        self._data, self._directory = data, directory
        self._width, self._height = directory.size
        self._tiled = bool(directory.all(TILE_OFFSETS))
        self._bits, count = directory.one(BITS), directory.one(SAMPLES, 1)
        self._planes = count if directory.one(PLANAR, 1) == 2 else 1
        self._unit = count // self._planes
        if self._tiled:
            self._tile = directory.one(TILE_WIDTH), directory.one(TILE_HEIGHT)
        else:
            self._tile = self._width, min(directory.one(STRIP_ROWS, self._height), self._height)
        if min(self._tile) < 1 or not 1 <= count <= 8 or not self._bits or directory.one(COMPRESSION, 1) not in LOSSLESS:
            raise UnsupportedImage("TIFFs with such samples or such a compression are not read.")
        self._across, self._down = -(-self._width // self._tile[0]), -(-self._height // self._tile[1])
        self._row_bytes = -(-self._tile[0] * self._unit * self._bits // 8)
        if self._across * self._down * self._tile[0] * self._tile[1] > 4 * self._width * self._height + 2**20:
            raise UndecodableImage  # tiles much larger than the picture

    def values(self, kind: int) -> NDArray[Any]:
        """All samples, [H,W,S]."""
        planes = [self._unpacked(self._decompressed(chunks), kind) for chunks in self._chunks()]
        return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)

    def _chunks(self) -> list[list[bytes]]:
        """The compressed strips or tiles of each plane."""
        offsets, sizes = (TILE_OFFSETS, TILE_BYTES) if self._tiled else (STRIP_OFFSETS, STRIP_BYTES)
        places = list(zip(self._directory.all(offsets), self._directory.all(sizes), strict=False))
        each = self._across * self._down
        if len(places) != each * self._planes or sum(size for _, size in places) > 2 * len(self._data):
            raise UndecodableImage
        parts = [self._data[offset : offset + size] for offset, size in places]
        return [parts[start : start + each] for start in range(0, len(parts), each)]

    def _decompressed(self, chunks: Sequence[bytes]) -> NDArray[np.uint8]:
        """The bytes of a plane, [rows, tiles in a row, bytes]: a TIFF of grey bytes with the same chunks is made and read."""
        rows = self._down * self._tile[1] if self._tiled else self._height
        width = self._across * self._row_bytes
        tags = {WIDTH: [width], HEIGHT: [rows], BITS: [8], COMPRESSION: [self._directory.one(COMPRESSION, 1)], PHOTOMETRIC: [BLACK_IS_ZERO],
                FILL_ORDER: [self._directory.one(FILL_ORDER, 1)], SAMPLES: [1]}  # fmt: skip
        lengths = [len(chunk) for chunk in chunks]
        starts = [8 + int(at) for at in np.cumsum([0, *lengths[:-1]])]
        if self._tiled:
            tags |= {TILE_WIDTH: [self._row_bytes], TILE_HEIGHT: [self._tile[1]], TILE_OFFSETS: starts, TILE_BYTES: lengths}
        else:
            tags |= {STRIP_OFFSETS: starts, STRIP_ROWS: [self._tile[1]], STRIP_BYTES: lengths}
        image = Image.open(io.BytesIO(_file(tags, b"".join(chunks))), formats=["TIFF"])
        return np.asarray(image).reshape(rows, self._across, self._row_bytes)

    def _unpacked(self, data: NDArray[np.uint8], kind: int) -> NDArray[Any]:
        if self._bits in ((16, 32, 64) if kind == FLOAT else (8, 16, 32)):
            values = self._whole_bytes(data, kind)
        elif kind == UNSIGNED and 8 < self._bits < 16 and self._directory.one(PREDICTOR, 1) == 1:
            values = _packed(data, self._bits, self._tile[0] * self._unit)
        else:
            raise UnsupportedImage("TIFFs with such samples are not read.")
        rows = values.reshape(len(data), -1, self._unit)
        return rows[: self._height, : self._width]

    def _whole_bytes(self, data: NDArray[np.uint8], kind: int) -> NDArray[Any]:
        size, predictor = self._bits // 8, self._directory.one(PREDICTOR, 1)
        letter = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}[kind]
        pixels = (*data.shape[:2], -1, self._unit)
        if predictor == 3 and kind == FLOAT:
            summed = np.cumsum(data.reshape(pixels), axis=2, dtype=np.uint8).reshape(*data.shape[:2], size, -1)
            return np.ascontiguousarray(np.moveaxis(summed, 2, 3)).view(f">f{size}")
        order = "<" if self._data.startswith(b"II") else ">"
        values = np.ascontiguousarray(data).view(f"{order}u{size}").reshape(pixels)
        if predictor == 2:
            values = np.cumsum(values, axis=2, dtype=f"=u{size}")
        elif predictor != 1:
            raise UnsupportedImage("TIFFs with such a compression are not read.")
        return values.view(values.dtype.str.replace("u", letter))


def _packed(data: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint16]:
    """`count` samples of 9 to 15 bits from each row of bytes, in bands because each bit needs a byte for a while."""
    weights = 2 ** np.arange(bits - 1, -1, -1, dtype=np.uint16)
    values = np.empty((*data.shape[:2], count), np.uint16)
    for start in range(0, len(data), samples.BAND_ROWS):
        band = np.unpackbits(data[start : start + samples.BAND_ROWS], axis=2, count=count * bits)
        values[start : start + samples.BAND_ROWS] = band.reshape(*band.shape[:2], count, bits) @ weights
    return values


def _file(tags: dict[int, list[int]], data: bytes) -> bytes:
    """A little-endian TIFF of one directory, whose chunks begin at byte 8."""
    at = 8 + len(data) + len(data) % 2
    entries, rest = b"", b""
    beyond = at + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            packed, rest = struct.pack("<I", beyond + len(rest)), rest + packed
        entries += struct.pack("<HHI", tag, 4, len(values)) + packed
    return b"II*\x00" + struct.pack("<I", at) + data + bytes(len(data) % 2) + struct.pack("<H", len(tags)) + entries + bytes(4) + rest
