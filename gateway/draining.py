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


def close_port_when_stopping(worker: Any) -> None:
    """Make a gunicorn thread worker, once it stops, take what has connected so far and then close its copy of the listening socket.

    By itself it keeps the socket open until its last request is done: callers that connect meanwhile would wait and then be cut off.
    """
    toggle = getattr(worker, "set_accept_enabled", None)
    if toggle is None:  # gunicorn before 24 closes it by itself
        return

    def toggled(enabled: bool) -> None:
        toggle(enabled)
        if not enabled and not worker.alive:
            for listener in worker.sockets:
                _take_all(worker, listener)
                listener.close()

    worker.set_accept_enabled = toggled


def _take_all(worker: Any, listener: Any) -> None:
    """Accept until nobody is waiting; the worker's own method swallows that nobody is."""
    before = -1
    while worker.nr_conns != before:
        before = worker.nr_conns
        worker.accept(listener)
