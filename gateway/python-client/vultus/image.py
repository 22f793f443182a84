"""The image of a request, sent in pieces and, when it must be sent again, from its first byte.

Files go as they are. Pixels (NumPy, Pillow) become PNG, which loses nothing. An address is fetched by the service.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

Image: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | NDArray[np.uint8] | PIL.Image.Image"

PIECE_BYTES = 2**18
ADDRESSES = ("http://", "https://")
ACCEPTED = (
    "a path, an http or https address, bytes (bytearray, memoryview), a file opened in binary mode, "
    "a NumPy array of uint8 ([H,W,3] in RGB, [H,W] in grey, or one dimension with an encoded image) or a Pillow image"
)
FAST = 1  # of PNG's levels: the network is seldom slower than a better one


def is_address(image: Image) -> bool:
    """Whether the service is to fetch the image."""
    return isinstance(image, str) and image.lower().startswith(ADDRESSES)


@contextmanager
def opened(image: Image) -> Iterator[BinaryIO]:
    """The image as a seekable file, an address as JSON.

    A caller's own file stays open and is read from where it stands; one that cannot seek is read whole.
    Raises OSError when a path cannot be read, TypeError for what is no image.
    """
    if isinstance(image, str | os.PathLike) and not is_address(image):
        with open(image, "rb") as file:
            yield _seekable(file)
    elif isinstance(image, io.TextIOBase):
        raise TypeError("The image is a file opened as text; open it with mode 'rb'.")
    elif hasattr(image, "read") and not _is_pillow(image):
        yield _seekable(cast(BinaryIO, image))
    else:
        yield io.BytesIO(_encoded(image))


def length_bytes(file: BinaryIO) -> int:
    """From where the file stands to its end."""
    start = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(start)
    return end - start


def pieces(file: BinaryIO, start: int) -> Iterator[bytes]:
    """The file from byte `start` on."""
    file.seek(start)
    while piece := file.read(PIECE_BYTES):
        yield piece


async def pieces_in_a_thread(file: BinaryIO, start: int) -> AsyncIterator[bytes]:
    """As `pieces`, without blocking the event loop while the disk works."""
    await asyncio.to_thread(file.seek, start)
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece


def _seekable(file: BinaryIO) -> BinaryIO:
    return file if file.seekable() else io.BytesIO(file.read())


def _encoded(image: Any) -> bytes:
    """Raises TypeError."""
    if isinstance(image, str):
        return json.dumps({"url": image}).encode()
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if _is_pillow(image):
        return _png(image)
    if hasattr(image, "__array_interface__"):
        return _of_array(image)
    raise TypeError(f"The image is of type {type(image).__name__}; it may be {ACCEPTED}.")


def _is_pillow(image: Any) -> bool:
    """Asked without importing Pillow: who has one of its images has imported it."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(image, pillow.Image)


def _of_array(array: Any) -> bytes:
    shape = array.shape
    if array.dtype != "uint8" or not (len(shape) in (1, 2) or (len(shape) == 3 and shape[2] == 3)) or 0 in shape:
        raise TypeError(f"The image is an array of {array.dtype} with shape {list(shape)}; it may be {ACCEPTED}.")
    if len(shape) == 1:
        return bytes(array.tobytes())
    from PIL import Image as pillow

    return _png(pillow.fromarray(array))


def _png(image: PIL.Image.Image) -> bytes:
    """Upright, since PNG would lose the orientation that a photograph's EXIF has."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    written = io.BytesIO()
    (upright if upright.mode in ("1", "L", "P", "RGB", "RGBA") else upright.convert("RGB")).save(written, "PNG", compress_level=FAST)
    return written.getvalue()
