"""Read request bodies under a time limit, which gunicorn's threads do not have."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from flask import request

from gateway.errors import UploadTooSlow

PIECE_BYTES = 65_536
LOOK_S = 0.25  # how often the watching thread checks; a timer per request would cost more than reading most bodies


@dataclass(slots=True, eq=False)
class _Upload:
    connection: socket.socket | None
    ends_s: float
    late: bool = False

    def cut(self) -> None:
        """The reading thread sees the end of the stream; an answer can still be sent."""
        self.late = True
        if self.connection:
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RD)


class Uploads:
    """Uploads in progress, and one thread that cuts those that take longer than `longest_s`."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._lock = threading.Lock()
        self._arriving: set[_Upload] = set()
        self._watching = False

    def read(self) -> None:
        """Read the body of the current request, which keeps it: views and form parsing find it. Raises UploadTooSlow, MalformedBody."""
        with self._watched() as upload:
            try:
                request.get_data()
            except Exception:
                if upload.late:
                    raise UploadTooSlow from None
                raise
        if upload.late:  # gunicorn may also give what there is
            raise UploadTooSlow

    def drop(self) -> None:
        """Read what is left of a refused request's body and forget it: closing a connection with unread bytes would lose the answer."""
        left = request.content_length
        if left is None and "gunicorn.socket" not in request.environ:
            return  # only gunicorn's stream knows where a body without a length ends
        body = request.environ["wsgi.input"]
        with self._watched() as upload, suppress(Exception):
            while not upload.late and time.monotonic() < upload.ends_s and left != 0:
                piece = body.read(PIECE_BYTES if left is None else min(left, PIECE_BYTES))
                if not piece:
                    break
                left = None if left is None else left - len(piece)

    @contextmanager
    def _watched(self) -> Iterator[_Upload]:
        upload = _Upload(request.environ.get("gunicorn.socket"), time.monotonic() + self._longest_s)
        with self._lock:
            self._arriving.add(upload)
            if not self._watching:  # not before the first request, and so after gunicorn has forked
                self._watching = True
                threading.Thread(target=self._watch, daemon=True, name="uploads").start()
        try:
            yield upload
        finally:
            with self._lock:
                self._arriving.discard(upload)

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_S)
            with self._lock:
                late = [upload for upload in self._arriving if upload.ends_s <= time.monotonic() and not upload.late]
            for upload in late:
                upload.cut()
