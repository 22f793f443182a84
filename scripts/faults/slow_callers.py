"""Callers without a key who do not send, do not read or do not close; and how long a probe takes beside them."""

from __future__ import annotations

import http.client
import itertools
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

Connect = Callable[[], socket.socket]

PROBES = ("/healthz", "/readyz", "/metrics")
EVERY_S, PROBE_EVERY_S, PATIENCE_S = 0.5, 0.2, 60.0
HEAD = b"Host: a\r\nContent-Type: image/jpeg\r\n"
# What each kind sends first, and whether it goes on with a byte every EVERY_S. None of them reads.
KINDS: dict[str, tuple[bytes, bool]] = {
    "says nothing": (b"", False),
    "sends a head without end": (b"POST /v1/analyze HTTP/1.1\r\nX: ", True),
    "begins a second head": (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /", True),
    "sends a body without end": (b"POST /v1/analyze HTTP/1.1\r\nContent-Length: 100000\r\n" + HEAD + b"\r\n", True),
    "announces a body for a page": (b"GET /healthz HTTP/1.1\r\nContent-Length: 9\r\n" + HEAD + b"\r\n", False),
    "does not read": (b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 100, False),
    "does not close": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
}


class Crowd:
    """As many slow callers, of every kind, who come again when they are thrown out."""

    def __init__(self, connect: Connect, size: int) -> None:
        self._connect, self._size, self._ended = connect, size, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """All of them go."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        kinds = itertools.cycle(KINDS.values())
        callers: list[tuple[socket.socket | None, bytes, bool]] = [(None, *next(kinds)) for _ in range(self._size)]
        while not self._ended.wait(EVERY_S):
            callers = [(_go_on(connection, drips) or _begin(self._connect, first), first, drips) for connection, first, drips in callers]
        for connection, _, _ in callers:
            if connection:
                connection.close()


def _begin(connect: Connect, first: bytes) -> socket.socket | None:
    with suppress(OSError):
        connection = connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.1)
        with suppress(TimeoutError):  # of what is not read either
            connection.sendall(first)
        return connection
    return None


def _go_on(connection: socket.socket | None, drips: bool) -> socket.socket | None:
    """The same connection, None when it is not one any more."""
    if connection is None:
        return None
    try:
        if drips:
            connection.send(b"x")
        elif connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise ConnectionResetError
    except OSError:
        connection.close()
        return None
    return connection


class Prober:
    """Asks every probe, again and again, on a connection of its own each. `took_s` by path; `failed`: no answer, or not 200."""

    def __init__(self, connect: Connect) -> None:
        self._connect, self._ended = connect, threading.Event()
        self.took_s: dict[str, list[float]] = {path: [] for path in PROBES}
        self.failed = 0
        self._threads = [threading.Thread(target=self._probe, args=(path,), daemon=True) for path in PROBES]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """After the probes that are under way."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _probe(self, path: str) -> None:
        while not self._ended.wait(PROBE_EVERY_S):
            began_s = time.monotonic()
            self.failed += not self._answers(path)
            self.took_s[path].append(time.monotonic() - began_s)

    def _answers(self, path: str) -> bool:
        connection = http.client.HTTPConnection("localhost")
        try:
            connection.sock = self._connect()
            connection.sock.settimeout(PATIENCE_S)
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            return answer.status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
