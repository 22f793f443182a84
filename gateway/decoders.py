"""Decoding in processes of its own, so that what breaks in a codec costs one request and nothing else.

Each gateway process has a few decoders. A decoder holds one image at a time, has an upper limit of processor time (counted by the kernel,
so a busy machine fails nobody) and of memory, and is replaced when it dies. Compressed bytes and pixels pass through anonymous memory
files: nothing is pickled, no byte is sent twice, nothing stays behind when either side is killed. Those for pixels are used again, because
fresh pages cost several times what writing into them does. A pool of a package (pebble) was as fast for small pictures, slower for large
PNGs, and has one pipe for all its processes.

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
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gateway import call, images
from gateway.errors import (
    GatewayError,
    ImageTooComplex,
    InternalError,
    UndecodableImage,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)
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
# Buffers for pixels that a process keeps, and the largest of them: 1920x1080 and a little more.
KEPT_BUFFERS, KEPT_BYTES = 4, 2**23
# A forked server with everything imported starts a decoder in milliseconds; forking the gateway's threads would be unsafe.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["gateway.decoders"])
_STARTING = threading.RLock()  # again in the same thread when a finalizer runs
# EOFError: the server that forks could not.
NOT_STARTED = (OSError, EOFError)


class Decoders:
    """The decoders of this process. With `processes` 0 everything is decoded here. Thread-safe; `function` is for tests."""

    def __init__(self, settings: Settings, function: Decode = images.decode) -> None:
        self._processes, self._patience_s = settings.decode_processes, settings.deadline_s
        self._limits = (settings.decode_cpu_s, settings.decode_memory_bytes)
        self._function = function
        self._buffers = _Buffers()
        self._free: queue.LifoQueue[_Decoder | None] = queue.LifoQueue()
        for _ in range(self._processes):
            self._free.put(None)

    def start(self) -> None:
        """Start all decoders now rather than when they are first needed, which is when those are started that cannot be now."""
        ready = [self._free.get() for _ in range(self._processes)]
        for decoder in ready:
            try:
                decoder = decoder or _Decoder(self._function, *self._limits)
            except NOT_STARTED as problem:
                log.error("no decoder of images can be started", exc_info=problem)
            self._free.put(decoder)

    def decode(self, data: bytes, rules: Rules, working_side_px: int) -> Picture:
        """As `images.decode`; also ImageTooComplex, UpstreamTimeout, and for want of a decoder UpstreamOverloaded, UpstreamUnavailable."""
        if not self._processes:
            return self._function(data, rules, working_side_px)
        images.check_bytes(data, rules)
        started, current = time.perf_counter(), call.current(self._patience_s)
        for attempt in (1, 2):
            with self._borrowed(current) as decoder:
                try:
                    pixels, width_px, height_px = decoder.ask(
                        data, rules, working_side_px, max(current.left_s, LEAST_PATIENCE_S), self._buffers
                    )
                    break
                except UpstreamUnavailable:
                    if attempt == 2:
                        raise  # a decoder that was killed from outside is worth another try
        return Picture(pixels, width_px, height_px, (time.perf_counter() - started) * 1e3)

    def rest(self) -> None:
        """Give back what is kept for the next picture."""
        self._buffers.release()

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
        except NOT_STARTED as problem:
            log.error("no decoder of images can be started", exc_info=problem)
            raise UpstreamUnavailable("No decoder of images can be started now.", retry_after_s=1) from None
        finally:
            self._free.put(decoder if decoder and decoder.usable else None)


class _Buffer:
    """A memory file, mapped here."""

    def __init__(self) -> None:
        self.file = os.memfd_create("vultus-pixels")
        self._mapping: mmap.mmap | None = None
        self.size = 0

    def pixels(self, count: int) -> NDArray[np.uint8]:
        """Its first `count` bytes as a flat array."""
        if self._mapping is None or self.size < count:
            self.size = os.fstat(self.file).st_size
            self._mapping = mmap.mmap(self.file, self.size, mmap.MAP_SHARED | mmap.MAP_POPULATE)
        return np.frombuffer(self._mapping, np.uint8, count)

    def wipe(self, count: int) -> None:
        """Forget its first `count` bytes."""
        self.pixels(count)[:] = 0

    def close(self) -> None:
        """Give the file back; the mapping goes with the last array."""
        os.close(self.file)
        self._mapping = None


class _Buffers:
    """Buffers between decoders and this process. Thread-safe."""

    def __init__(self) -> None:
        self._free: deque[_Buffer] = deque()

    def take(self) -> _Buffer:
        """One that is wiped."""
        try:
            return self._free.pop()
        except IndexError:
            return _Buffer()

    def lend(self, buffer: _Buffer, count: int) -> NDArray[np.uint8]:
        """Its first `count` bytes; when no array needs them any more, it is wiped and kept for the next picture."""
        pixels = buffer.pixels(count)
        weakref.finalize(pixels, self._back, buffer, count).atexit = False
        return pixels

    def release(self) -> None:
        """Give back all that are not lent."""
        with suppress(IndexError):
            while True:
                self._free.pop().close()

    def _back(self, buffer: _Buffer, used: int) -> None:
        if buffer.size > KEPT_BYTES or len(self._free) >= KEPT_BUFFERS:
            buffer.close()
        else:
            buffer.wipe(used)
            self._free.append(buffer)


class _Decoder:
    """One process and the socket to it. Not thread-safe: one caller at a time."""

    def __init__(self, function: Decode, cpu_s: float, memory_bytes: int) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = _CONTEXT.Process(target=_work, args=(theirs, function, cpu_s, memory_bytes), daemon=True, name="decoder")
        with _STARTING, theirs:
            self._process.start()
        self.usable = True
        # At exit too, and before multiprocessing waits for its children.
        self._ending = Finalize(self, _end_process, args=(self._socket, self._process), exitpriority=10)
        self._socket.settimeout(START_S)
        if not self._socket.recv(MESSAGE_BYTES):
            self._end()
            raise ChildProcessError

    def ask(
        self, data: bytes, rules: Rules, working_side_px: int, patience_s: float, buffers: _Buffers
    ) -> tuple[NDArray[np.uint8], int, int]:
        """Pixels and the size of the upright original. Raises what the decoder raised or what its death means."""
        buffer = buffers.take()
        try:
            answer = self._answer(data, rules, working_side_px, patience_s, buffer)
            height, width, channels = answer["shape"]
            pixels = buffers.lend(buffer, height * width * channels).reshape(height, width, channels)
        except Exception:
            buffer.close()  # a dying decoder may have written into it
            raise
        return pixels, answer["width_px"], answer["height_px"]

    def _answer(self, data: bytes, rules: Rules, working_side_px: int, patience_s: float, buffer: _Buffer) -> dict[str, Any]:
        question = json.dumps([{**asdict(rules), "formats": sorted(rules.formats)}, working_side_px]).encode()
        with _memory_file(data) as file:
            try:
                self._socket.settimeout(patience_s)
                socket.send_fds(self._socket, [question], [file, buffer.file])
                message = self._socket.recv(MESSAGE_BYTES)
            except TimeoutError:
                self._end()  # there is no other way to stop it
                raise UpstreamTimeout from None
            except OSError:
                message = b""
        if not message:
            raise self._buried()
        answer: dict[str, Any] = json.loads(message)
        if "error" in answer:
            raise _errors().get(answer["error"], InternalError)(answer["detail"])
        return answer

    def _buried(self) -> GatewayError:
        """What it means that this decoder is dead."""
        with _STARTING:  # a start looks after all children, and of two that do only one hears the exit code
            self._process.join(1)
            code = self._process.exitcode or 0
        self._end()
        log.warning("a decoder of images ended", extra={"exit_code": code})
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
        message, files, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 2)
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
            _write(files[1], np.ascontiguousarray(picture.pixels).data)
            size_px = {"width_px": picture.width_px, "height_px": picture.height_px}
            _answer(connection, {"shape": picture.pixels.shape, **size_px})
            del picture
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.close(files[1])


def _answer(connection: socket.socket, answer: dict[str, object]) -> None:
    connection.send(json.dumps(answer).encode())


@contextmanager
def _memory_file(data: bytes) -> Iterator[int]:
    """The descriptor of an anonymous file in memory that holds `data`."""
    with _closing(os.memfd_create("vultus-image")) as file:
        _write(file, memoryview(data))
        yield file


def _write(file: int, data: memoryview) -> None:
    """From the start of the file; faster than touching fresh pages of a mapping."""
    rest, done = data.cast("B"), 0
    while done < len(rest):
        done += os.pwrite(file, rest[done:], done)


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
