"""Gunicorn's threaded worker with a limit to how long a request may take to arrive."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from gateway.services import KEY


class Worker(ThreadWorker):  # type: ignore[misc]
    """Gunicorn lets a client that has begun to send hold a thread for ever. Here its connection is read no longer than `upload_s`.

    What was late is then as if the client had hung up: in the head of the request the connection is closed, in the body the
    caller gets the answer to an incomplete body, in its own schema.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._due_s: dict[Any, float] = {}

    def handle(self, conn: Any) -> Any:
        """In a thread: one request of a connection."""
        self._due_s[conn] = time.monotonic() + self.wsgi.extensions[KEY].settings.upload_s
        try:
            return super().handle(conn)
        finally:
            self._due_s.pop(conn, None)

    def murder_pending(self) -> None:
        """In the main loop, about once a second. Shutting down the reading side leaves the way open for the answer."""
        super().murder_pending()
        now = time.monotonic()
        for conn, due_s in list(self._due_s.items()):
            if now > due_s and self._due_s.pop(conn, 0):
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)
