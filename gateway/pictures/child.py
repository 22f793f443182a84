"""The decoder process: decodes one image after another. The fork server imports only what this module imports."""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import socket
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from gateway.errors import GatewayError, ImageTooComplex, InternalError
from gateway.pictures.buffers import closing, write
from gateway.pictures.decoding import Rules
from gateway.pictures.picture import Picture

Decode = Callable[[bytes, Rules, int], Picture]

MESSAGE_BYTES = 4096  # quantization tables of a JPEG are the longest that is said


def work(connection: socket.socket, function: Decode, cpu_s: float, memory_bytes: int) -> None:
    """The decoder: ends when the gateway does, whichever way that happens."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # sent to the whole group while the gateway still drains
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold somebody's picture
    cv2.setNumThreads(1)
    _answer(connection, {"ready": True})
    while True:
        message, files, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 2)
        if not message:
            return
        limits, working_side_px = json.loads(message)
        rules = Rules(**{**limits, "formats": frozenset(limits["formats"])})
        with closing(files[0]) as file, mmap.mmap(file, 0, access=mmap.ACCESS_READ) as view:
            data = bytes(view)
        signal.setitimer(signal.ITIMER_PROF, cpu_s)  # its signal ends this process
        try:
            picture = function(data, rules, working_side_px)
        except MemoryError:
            _answer(connection, {"error": ImageTooComplex.code, "detail": None})
        except GatewayError as error:
            _answer(connection, {"error": error.code, "detail": error.detail})
        except Exception:  # noqa: BLE001  a defect of ours, not a crash: the gateway says so
            _answer(connection, {"error": InternalError.code, "detail": None})
        else:
            write(files[1], np.ascontiguousarray(picture.pixels).data)
            size_px = {"width_px": picture.width_px, "height_px": picture.height_px}
            _answer(connection, {"shape": picture.pixels.shape, **size_px, "encoding": asdict(picture.encoding)})
            del picture
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.close(files[1])


def _answer(connection: socket.socket, answer: dict[str, object]) -> None:
    connection.send(json.dumps(answer).encode())
