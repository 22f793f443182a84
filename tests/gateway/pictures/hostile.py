"""An image format that only the tests know, whose decoder does what broken codecs do. Used inside decoder processes."""

from __future__ import annotations

import ctypes
import os
import signal
import struct

from PIL import Image, ImageFile

from gateway.pictures import decoding
from gateway.pictures.decoding import Rules
from gateway.pictures.formats import FORMATS
from gateway.pictures.picture import Picture

MAGIC = b"HOSTILE "


class HostileImage(ImageFile.ImageFile):
    """Eight bytes of magic, then what loading does."""

    format = "HOSTILE"

    def _open(self) -> None:
        assert self.fp is not None
        self.act = self.fp.read()[len(MAGIC) :]
        self._mode, self._size = "RGB", (64, 64)

    def load(self) -> None:
        {b"abort": os.abort, b"segfault": _read_null, b"spin": _spin, b"grow": _grow, b"killed": _die, b"stopped": _stop}[self.act]()


def decode(data: bytes, rules: Rules, working_side_px: int) -> Picture:
    """The product's decode, with one more format."""
    if "HOSTILE" not in FORMATS:
        Image.register_open("HOSTILE", HostileImage, lambda prefix: prefix.startswith(MAGIC))
        FORMATS["HOSTILE"] = "png"
    return decoding.decode(data, rules, working_side_px)


def _read_null() -> None:
    ctypes.string_at(0)


def _spin() -> None:
    while True:
        struct.calcsize("i")


def _grow() -> None:
    bytearray(2**40)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
