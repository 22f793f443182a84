"""Gunicorn's threaded worker with a limit to how long a request may hold a thread, and memory that is given back."""

from __future__ import annotations

import ctypes
import json
import socket
import time
import uuid
from contextlib import suppress
from typing import Any

from gateway.server.whole_heads import WholeHeads

# How long a probe may take to be sent and read; it has no body to wait for.
PROBE_S = 5.0
# After the time that a request may last: for sending what is left of its answer.
ANSWER_S = 5.0
# Freed memory is given back when nothing has been asked for so long, and on a busy worker so often.
TRIM_AFTER_S, TRIM_EVERY_S = 0.5, 10.0
# As gateway/apis/problems.py has it, which cannot be imported this early.
MEDIA_TYPE = "application/problem+json"
# Code and title of what gunicorn refuses, by status.
REFUSED = {
    400: ("malformed_request", "The request is not valid HTTP."),
    403: ("forbidden", "The request is not allowed."),
    414: ("address_too_long", "The address of the request is too long."),
    417: ("expectation_failed", "The expectation of the request cannot be met."),
    431: ("headers_too_large", "The headers of the request are too large, or too many."),
    501: ("unsupported_transfer", "This transfer coding is not accepted."),
    500: ("internal_error", "The service failed on this request."),
}
# glibc's: what is free between blocks in use goes back to the system. Other C libraries do without.
malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


class _AsProblem:
    """A caller's connection on which gunicorn's own answer becomes RFC 9457 with the same status. It says nothing of the request."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def sendall(self, answer: bytes) -> None:
        status, _, reason = answer.split(b"\r\n", 1)[0].decode("latin-1").removeprefix("HTTP/1.1 ").partition(" ")
        if not status.isdigit():
            self._connection.sendall(answer)
            return
        code, title = REFUSED.get(int(status), REFUSED[400] if int(status) < 500 else REFUSED[500])
        problem = {
            "type": f"urn:vultus:problem:{code}",
            "title": title,
            "status": int(status),
            "code": code,
            "request_id": uuid.uuid4().hex,
        }
        body = json.dumps(problem).encode()
        head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._connection.sendall(head.encode() + body)


class Worker(WholeHeads):
    """Gunicorn lets a client that does not send or does not read hold a thread for ever.

    Here its connection is read no longer than a request may last, and closed soon after. intake/uploads.py has the limit of bodies, which
    is shorter and has an answer.

    Bodies and pictures of changing sizes leave holes in the heap, which glibc keeps for ever unless it is asked.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._due_s: dict[Any, float] = {}
        self._answered_s, self._trimmed_s = 0.0, 0.0

    @property
    def _services(self) -> Any:
        from gateway.apis.services import KEY  # not above: see gunicorn_config.post_worker_init

        return self.wsgi.extensions[KEY]

    def handle(self, conn: Any) -> Any:
        """In a thread: one request of a connection."""
        settings = self._services.settings
        longest_s = PROBE_S if getattr(conn, "lane", None) else settings.upload_s + settings.deadline_s
        self._due_s[conn] = time.monotonic() + longest_s
        try:
            return super().handle(conn)
        finally:
            self._due_s.pop(conn, None)
            self._answered_s = time.monotonic()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Any) -> None:
        """What never reaches the application: malformed heads and the like. Gunicorn answers in HTML; here it is a problem as of /v1."""
        super().handle_error(req, _AsProblem(client), addr, exc)

    def murder_pending(self) -> None:
        """In the main loop, at least once a second. Shutting down the reading side leaves the way open for the answer."""
        super().murder_pending()
        now = time.monotonic()
        for conn, due_s in list(self._due_s.items()):
            if now > due_s:
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD if now <= due_s + ANSWER_S else socket.SHUT_RDWR)
        self._give_back(now)

    def _give_back(self, now: float) -> None:
        quiet = not self._due_s and now > self._answered_s + TRIM_AFTER_S
        if malloc_trim and self._answered_s > self._trimmed_s and (quiet or now > self._trimmed_s + TRIM_EVERY_S):
            self._trimmed_s = now
            if quiet:
                self._services.decoders.rest()
            malloc_trim(0)
