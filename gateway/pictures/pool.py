"""Decoding in processes of its own, so that what breaks in a codec costs one request and nothing else.

Each gateway process has a few decoders. A decoder holds one image at a time, has an upper limit of CPU time (counted by the kernel,
so a busy machine fails nobody) and of memory, and is replaced when it dies. Compressed bytes and pixels pass through anonymous memory
files: nothing is pickled, no byte is sent twice, nothing stays behind when either side is killed. Those for pixels are used again, because
fresh pages cost several times what writing into them does. A pool of a package (pebble) was as fast for small pictures, slower for large
PNGs, and has one pipe for all its processes.

This keeps crashes and bombs away from the service. It is no sandbox: decoders have the rights of the gateway.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import queue
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from multiprocessing.util import Finalize
from typing import Any

from gateway import deadline
from gateway.errors import (
    GatewayError,
    ImageTooComplex,
    InternalError,
    UndecodableImage,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.pictures import decoding
from gateway.pictures.buffers import Buffer, Buffers, memory_file
from gateway.pictures.child import MESSAGE_BYTES, Decode, work
from gateway.pictures.decoding import Rules
from gateway.pictures.encoding import encoding_from
from gateway.pictures.picture import Picture
from gateway.settings import Settings

log = logging.getLogger("vultus.decoders")

# Deaths that the image is to blame for; any other (the kernel out of memory, an operator) is not the caller's fault.
BY_SIGNAL: dict[int, type[GatewayError]] = {
    signal.SIGPROF: ImageTooComplex,
    **dict.fromkeys((signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP), UndecodableImage),
}
START_S = 20.0
LEAST_PATIENCE_S = 0.05
# A forked server with everything imported starts a decoder in milliseconds; forking the gateway's threads would be unsafe.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["gateway.pictures.child"])
_STARTING = threading.RLock()  # again in the same thread when a finalizer runs
# EOFError: the server that forks could not.
NOT_STARTED = (OSError, EOFError)


class Decoders:
    """The decoders of this process. With `processes` 0 everything is decoded here. Thread-safe; `function` is for tests."""

    def __init__(self, settings: Settings, function: Decode = decoding.decode) -> None:
        self._processes, self._patience_s = settings.decode_processes, settings.deadline_s
        self._limits = (settings.decode_cpu_s, settings.decode_memory_bytes)
        self._function = function
        self._buffers = Buffers()
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
        """As `decode`; also ImageTooComplex, UpstreamTimeout, and for want of a decoder UpstreamOverloaded, UpstreamUnavailable."""
        if not self._processes:
            return self._function(data, rules, working_side_px)
        decoding.check_bytes(data, rules)
        started, current = time.perf_counter(), deadline.current(self._patience_s)
        for attempt in (1, 2):
            with self._borrowed(current) as decoder:
                try:
                    picture = decoder.ask(data, rules, working_side_px, max(current.left_s, LEAST_PATIENCE_S), self._buffers)
                    break
                except UpstreamUnavailable:
                    if attempt == 2:
                        raise  # a decoder that was killed from outside is worth another try
        return replace(picture, decode_ms=(time.perf_counter() - started) * 1e3)

    def rest(self) -> None:
        """Give back what is kept for the next picture."""
        self._buffers.release()

    @contextmanager
    def _borrowed(self, current: deadline.Call) -> Iterator[_Decoder]:
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


class _Decoder:
    """One process and the socket to it. Not thread-safe: one caller at a time."""

    def __init__(self, function: Decode, cpu_s: float, memory_bytes: int) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = _CONTEXT.Process(target=work, args=(theirs, function, cpu_s, memory_bytes), daemon=True, name="decoder")
        with _STARTING, theirs:
            self._process.start()
        self.usable = True
        # At exit too, and before multiprocessing waits for its children.
        self._ending = Finalize(self, _end_process, args=(self._socket, self._process), exitpriority=10)
        self._socket.settimeout(START_S)
        if not self._socket.recv(MESSAGE_BYTES):
            self._end()
            raise ChildProcessError

    def ask(self, data: bytes, rules: Rules, working_side_px: int, patience_s: float, buffers: Buffers) -> Picture:
        """The picture. Raises what the decoder raised or what its death means."""
        buffer = buffers.take()
        try:
            answer = self._answer(data, rules, working_side_px, patience_s, buffer)
            height, width, channels = answer["shape"]
            pixels = buffers.lend(buffer, height * width * channels).reshape(height, width, channels)
        except Exception:
            buffer.close()  # a dying decoder may have written into it
            raise
        return Picture(pixels, answer["width_px"], answer["height_px"], 0.0, encoding_from(answer["encoding"]))

    def _answer(self, data: bytes, rules: Rules, working_side_px: int, patience_s: float, buffer: Buffer) -> dict[str, Any]:
        question = json.dumps([{**asdict(rules), "formats": sorted(rules.formats)}, working_side_px]).encode()
        with memory_file(data) as file:
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
        """The error that a dead decoder stands for."""
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


def _errors() -> dict[str, type[GatewayError]]:
    """Every error by its code."""
    found: dict[str, type[GatewayError]] = {}
    kinds: list[type[GatewayError]] = [GatewayError]
    while kinds:
        kind = kinds.pop()
        found[kind.code] = kind
        kinds += kind.__subclasses__()
    return found
