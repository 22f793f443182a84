"""Whether this gateway is about to end. Memory shared by gunicorn's parent and its workers, as the parent learns it first."""

from __future__ import annotations

import mmap
import signal
import threading
from types import FrameType
from typing import Any

_FLAG = mmap.mmap(-1, 1)  # shared with every process that is forked after this import


def begin() -> None:
    """From now on this gateway is not ready, but still answers."""
    _FLAG[0] = 1


def begun() -> bool:
    """Whether the end has been announced."""
    return bool(_FLAG[0])


def announce_before_stopping(server: Any, notice_s: float) -> None:
    """Make gunicorn's parent, on SIGTERM, say for `notice_s` that it will stop before its port closes. A second SIGTERM stops now."""
    stop = signal.getsignal(signal.SIGTERM)
    if not callable(stop):
        return

    def announce(number: int, frame: FrameType | None) -> None:
        if begun() or notice_s <= 0:
            stop(number, frame)
            return
        begin()
        timer = threading.Timer(notice_s, stop, (number, None))
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, announce)
