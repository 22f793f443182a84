"""Decoding in processes of its own, so that what breaks in a codec costs one request and nothing else.

Each gateway process has a few decoders. A decoder holds one image at a time, has an upper limit of processor time (counted by the kernel,
so a busy machine fails nobody) and of memory, and is replaced when it dies. Compressed bytes and pixels pass through anonymous memory
files: nothing is pickled, no byte is sent twice, nothing stays behind when either side is killed. A pool of a package (pebble) was as
fast for small pictures, 1.5 times as slow for twelve megapixels in PNG, and has one pipe for all its processes.

This keeps crashes and bombs away from the service. It is no sandbox: decoders have the rights of the gateway.
"""

from __future__ import annotations

import json
import logging
import mmap
import multiprocessing
import os
import queue
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from multiprocessing.util import Finalize
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gateway import call, images
from gateway.errors import GatewayError, ImageTooComplex, InternalError, UndecodableImage, UpstreamOverloaded, UpstreamUnavailable
from gateway.faces import Picture
from gateway.images import Rules
from gateway.settings import Settings

log = logging.getLogger("vultus.decoders")

Decode = Callable[[bytes, Rules, int], Picture]

# Deaths that the image is to blame for; any other (the kernel out of memory, an operator) is not the caller's fault.
BY_SIGNAL: dict[int, type[GatewayError]] = {
    signal.SIGPROF: ImageTooComplex,
    **dict.fromkeys((signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP), UndecodableImage),
}
MESSAGE_BYTES, START_S = 2048, 20.0
LEAST_PATIENCE_S = 0.05
# A forked server with everything imported starts a decoder in milliseconds; forking the gateway's threads would be unsafe.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["gateway.decoders"])
_STARTING = threading.Lock()


class Decoders:
    """The decoders of this process. With `processes` 0 everything is decoded here. Thread-safe; `function` is for tests."""

    def __init__(self, settings: Settings, function: Decode = images.decode) -> None:
        self._processes, self._patience_s = settings.decode_processes, settings.deadline_s
        self._limits = (settings.decode_cpu_s, settings.decode_memory_bytes)
        self._function = function
        self._free: queue.LifoQueue[_Decoder | None] = queue.LifoQueue()
        for _ in range(self._processes):
            self._free.put(None)

    def start(self) -> None:
        """Start all decoders now rather than when they are first needed."""
        ready = [self._free.get() for _ in range(self._processes)]
        for decoder in ready:
            self._free.put(decoder or _Decoder(self._function, *self._limits))

    def decode(self, data: bytes, rules: Rules, working_side_px: int) -> Picture:
        """As `images.decode`, and raises ImageTooComplex; UpstreamOverloaded, UpstreamUnavailable when no decoder can be had."""
        if not self._processes:
            return self._function(data, rules, working_side_px)
        images.check_bytes(data, rules)
        started, current = time.perf_counter(), call.current(self._patience_s)
        for attempt in (1, 2):
            with self._borrowed(current) as decoder:
                try:
                    pixels, width_px, height_px = decoder.ask(data, rules, working_side_px, max(current.left_s, LEAST_PATIENCE_S))
                    break
                except UpstreamUnavailable:
                    if attempt == 2 or decoder.silent:
                        raise  # a decoder that was killed from outside is worth another try
        return Picture(pixels, width_px, height_px, (time.perf_counter() - started) * 1e3)

    @contextmanager
    def _borrowed(self, current: call.Call) -> Iterator[_Decoder]:
        try:
            decoder = self._free.get(timeout=max(current.left_s, LEAST_PATIENCE_S))
        except queue.Empty:
            raise UpstreamOverloaded("All decoders of images are busy.", retry_after_s=1) from None
        try:
            if decoder is None or not decoder.usable:
                decoder = None
                decoder = _Decoder(self._function, *self._limits)
            yield decoder
        except OSError as problem:
            log.error("no decoder of images can be started", exc_info=problem)
            raise UpstreamUnavailable("No decoder of images can be started now.", retry_after_s=1) from None
        finally:
            self._free.put(decoder if decoder and decoder.usable else None)


class _Decoder:
    """One process and the socket to it. Not thread-safe: one caller at a time."""

    def __init__(self, function: Decode, cpu_s: float, memory_bytes: int) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = _CONTEXT.Process(target=_work, args=(theirs, function, cpu_s, memory_bytes), daemon=True, name="decoder")
        with _STARTING, theirs:
            self._process.start()
        self.usable, self.silent = True, False
        # At exit too, and before multiprocessing waits for its children.
        self._ending = Finalize(self, _end_process, args=(self._socket, self._process), exitpriority=10)
        self._socket.settimeout(START_S)
        if not self._socket.recv(MESSAGE_BYTES):
            self._end()
            raise ChildProcessError

    def ask(self, data: bytes, rules: Rules, working_side_px: int, patience_s: float) -> tuple[NDArray[np.uint8], int, int]:
        """Pixels and the size of the upright original. Raises what the decoder raised or what its death means."""
        limits = {**asdict(rules), "formats": sorted(rules.formats)}
        try:
            with _memory_file(data) as file:
                self._socket.settimeout(patience_s)
                socket.send_fds(self._socket, [json.dumps([limits, working_side_px]).encode()], [file])
                message, files, _, _ = socket.recv_fds(self._socket, MESSAGE_BYTES, 1)
        except OSError:
            message, files = b"", []
        if not message:
            raise self._buried()
        answer = json.loads(message)
        if "error" in answer:
            raise _errors().get(answer["error"], InternalError)(answer["detail"])
        height, width, channels = answer["shape"]
        with _closing(files[0]) as file:
            seen = mmap.mmap(file, height * width * channels, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ)
        return np.frombuffer(seen, np.uint8).reshape(height, width, channels), answer["width_px"], answer["height_px"]

    def _buried(self) -> GatewayError:
        """What it means that this decoder is dead or silent; afterwards it is dead."""
        self._process.join(1)
        code = self._process.exitcode
        self._end()
        log.warning("a decoder of images ended", extra={"exit_code": code})
        if code is None:
            self.silent = True
            return UpstreamUnavailable("A decoder of images did not answer.", retry_after_s=1)
        return BY_SIGNAL.get(-code, UpstreamUnavailable)(retry_after_s=None if -code in BY_SIGNAL else 1)

    def _end(self) -> None:
        self.usable = False
        self._ending()


def _end_process(connection: socket.socket, process: multiprocessing.process.BaseProcess) -> None:
    connection.close()
    with suppress(ProcessLookupError, AttributeError), _STARTING:
        process.kill()
        process.join(1)


def _work(connection: socket.socket, function: Decode, cpu_s: float, memory_bytes: int) -> None:
    """The decoder: ends when the gateway does, whichever way that happens."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # sent to the whole group while the gateway still drains
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold somebody's picture
    cv2.setNumThreads(1)
    _answer(connection, {"ready": True})
    while True:
        message, files, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 1)
        if not message:
            return
        limits, working_side_px = json.loads(message)
        rules = Rules(**{**limits, "formats": frozenset(limits["formats"])})
        with _closing(files[0]) as file, mmap.mmap(file, 0, access=mmap.ACCESS_READ) as view:
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
            with _memory_file(np.ascontiguousarray(picture.pixels).data) as file:
                size_px = {"width_px": picture.width_px, "height_px": picture.height_px}
                _answer(connection, {"shape": picture.pixels.shape, **size_px}, file)
            del picture
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


def _answer(connection: socket.socket, answer: dict[str, object], *files: int) -> None:
    socket.send_fds(connection, [json.dumps(answer).encode()], files)


@contextmanager
def _memory_file(data: bytes | memoryview) -> Iterator[int]:
    """The descriptor of an anonymous file in memory that holds `data`; writing is faster than touching fresh pages of a mapping."""
    with _closing(os.memfd_create("vultus-image")) as file:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[os.write(file, rest) :]
        yield file


@contextmanager
def _closing(file: int) -> Iterator[int]:
    try:
        yield file
    finally:
        os.close(file)


def _errors() -> dict[str, type[GatewayError]]:
    """Every error by its code."""
    found: dict[str, type[GatewayError]] = {}
    kinds: list[type[GatewayError]] = [GatewayError]
    while kinds:
        kind = kinds.pop()
        found[kind.code] = kind
        kinds += kind.__subclasses__()
    return found
