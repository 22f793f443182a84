"""Real gateway processes and slow callers, told to stop or not. Triton's part is played by a gRPC server, so that it can wait."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.grpc_server import Scripted, serving
from tests.served import ROOT, Served, start, stop


@pytest.fixture
def scripted() -> Iterator[tuple[Scripted, str]]:
    servicer = Scripted()
    with serving(servicer) as (_, port):
        yield servicer, f"127.0.0.1:{port}"


def plain_get(served: Served, path: str) -> tuple[int, str]:
    where = urlsplit(served.base)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def upload(served: Served, length: int, attributes: str = "") -> socket.socket:
    """A connection on which a picture of `length` bytes has been announced."""
    where = urlsplit(served.base)
    connection = socket.create_connection((where.hostname or "", where.port or 0), timeout=30)
    head = f"POST /v1/analyze?attributes={attributes} HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


@contextmanager
def gunicorn(triton_address: str, folder: Path) -> Iterator[Served]:
    """The gateway under plain gunicorn, as in a container."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--config", "python:gateway.server.gunicorn_config", "--bind", f"127.0.0.1:{port}"]
    environment = {**os.environ, "VULTUS_TRITON": triton_address, "VULTUS_KEYS_URL": f"sqlite:///{folder}/keys.sqlite"}
    process = subprocess.Popen([*command, "gateway.app:create_app()"], cwd=ROOT, env=environment, text=True)
    running = Served(process, base=f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + 30
        while not accepts(running):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield running
    finally:
        stop(running)


@contextmanager
def supervised(triton_address: str, folder: Path) -> Iterator[Served]:
    """The gateway under scripts/serve."""
    running = start("--port=0", "--triton", triton_address, environment={"VULTUS_KEYS_URL": f"sqlite:///{folder}/keys.sqlite"})
    try:
        running.wait_for("curl -F")
        running.base = re.findall(r"gateway +(\S+)", "".join(running.lines))[0]
        yield running
    finally:
        stop(running)


def accepts(served: Served) -> bool:
    where = urlsplit(served.base)
    try:
        socket.create_connection((where.hostname or "", where.port or 0), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_an_upload_that_never_ends_is_ended(scripted: tuple[Scripted, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VULTUS_UPLOAD_S", "0.5")
    with gunicorn(scripted[1], tmp_path) as gateway, upload(gateway, 1000) as slow:
        slow.sendall(b"x" * 10)
        with slow.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 408")
            assert b"upload_too_slow" in answer.read()


@pytest.mark.parametrize("way", [gunicorn, supervised])
def test_stopping_loses_no_request(scripted: tuple[Scripted, str], astronaut: bytes, tmp_path: Path, way: object) -> None:
    """Readiness drops first, requests are still answered, the port closes last, and what was under way gets its 200."""
    assert callable(way)
    servicer, address = scripted
    with way(address, tmp_path) as gateway:
        assert gateway.get("/readyz")[0] == 200
        uploading, working = upload(gateway, len(astronaut)), upload(gateway, len(astronaut))
        uploading.sendall(astronaut[:1000])
        servicer.free.clear()
        working.sendall(astronaut)
        assert servicer.entered.wait(10)
        gateway.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 20
        while gateway.get("/readyz")[0] == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert gateway.get("/healthz")[0] == 200
        late = upload(gateway, len(astronaut))  # a new connection while it is not ready any more
        late.sendall(astronaut)
        while accepts(gateway):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        uploading.sendall(astronaut[1000:])
        servicer.free.set()
        for connection in (uploading, working, late):
            with connection, connection.makefile("rb") as answer:
                assert answer.readline().startswith(b"HTTP/1.1 200")
        assert gateway.process.wait(40) == 0


@pytest.mark.parametrize("way", [gunicorn, supervised])
@pytest.mark.parametrize("cancels", ["true", "false"])
def test_a_caller_that_hangs_up(
    scripted: tuple[Scripted, str], astronaut: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: object, cancels: str
) -> None:
    """Frees Triton only where it may be cancelled."""
    assert callable(way)
    monkeypatch.setenv("VULTUS_CANCEL_AT_TRITON", cancels)
    servicer, address = scripted
    servicer.free.clear()
    with way(address, tmp_path) as gateway, upload(gateway, len(astronaut)) as caller:
        caller.sendall(astronaut)
        assert servicer.entered.wait(10)
        caller.close()
        assert servicer.cancelled.wait(5 if cancels == "true" else 0.5) is (cancels == "true")
        servicer.free.set()
