from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from flask import Flask

from tests.in_process import listening
from vultus import AsyncClient, Client


@dataclass(frozen=True)
class Asking:
    """Calls one method of one of the twins, so that every test runs against both."""

    asynchronous: bool

    def __call__(self, url: str, method: str, /, *arguments: Any, options: dict[str, Any] | None = None, **named: Any) -> Any:
        if self.asynchronous:
            return asyncio.run(self._await(url, method, arguments, options or {}, named))
        with Client(url, **(options or {})) as client:
            return getattr(client, method)(*arguments, **named)

    async def _await(self, url: str, method: str, arguments: tuple[Any, ...], options: dict[str, Any], named: dict[str, Any]) -> Any:
        async with AsyncClient(url, **options) as client:
            return await getattr(client, method)(*arguments, **named)


@pytest.fixture(params=[False, True], ids=["Client", "AsyncClient"])
def ask(request: pytest.FixtureRequest) -> Asking:
    return Asking(request.param)


@pytest.fixture
def service(app: Flask) -> Iterator[str]:
    with listening(app) as base:
        yield base


@dataclass
class Script:
    """A server that gives prepared answers (status, headers, body) in turn, the last one for ever; None closes the connection."""

    answers: list[tuple[int, dict[str, str], bytes] | None] = field(default_factory=list)
    pause: threading.Event = field(default_factory=threading.Event)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    moments_s: list[float] = field(default_factory=list)
    url: str = ""

    def next(self) -> tuple[int, dict[str, str], bytes] | None:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def script() -> Iterator[Script]:
    scripted = Script()
    scripted.pause.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            scripted.moments_s.append(time.monotonic())
            scripted.headers.append(dict(self.headers.items()))
            scripted.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            scripted.pause.wait(30)
            answer = scripted.next()
            if answer is None:
                self.close_connection = True
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    scripted.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield scripted
    scripted.pause.set()
    server.shutdown()
    thread.join()
    server.server_close()
