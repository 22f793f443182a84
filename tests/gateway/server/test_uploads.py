"""Slow and malformed requests against the real gunicorn with its real configuration."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from scripts.faults.slow_callers import KINDS, Crowd, Prober
from scripts.fuzzing.mutations import malformed
from scripts.fuzzing.targets import LEAKS, PATHS
from tests.served import ROOT

PATIENCE_S = 60.0
Head = dict[str, str]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("gunicorn")
    where = str(folder / "socket")
    command = [sys.executable, "-m", "gunicorn", "--config", "python:gateway.server.gunicorn_config", "--bind", f"unix:{where}"]
    environment = {**os.environ, "VULTUS_TEST_FOLDER": str(folder), "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "tests.gateway.server.application:application()"], cwd=ROOT, env=environment, stderr=log)
    deadline = time.monotonic() + PATIENCE_S
    while not _answers(where):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield where
    process.terminate()
    assert process.wait(PATIENCE_S) == 0


def _answers(where: str) -> bool:
    if not Path(where).exists():
        return False
    try:
        return exchange(where, b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")[0] == 200
    except ConnectionError:
        return False


def exchange(where: str, data: bytes, end: bool = False) -> tuple[int, bytes]:
    """Status and body of the answer to `data`; 0 when the connection is closed without one. `end`: say that no more will come."""
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(where)
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


def begun(path: str, kind: str = "image/jpeg") -> bytes:
    """A request whose body stops after the first bytes."""
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: 5000\r\nConnection: close\r\n\r\n--x".encode()


@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_a_head_that_never_ends_is_cut_off(address: str, before: bytes) -> None:
    began_s = time.monotonic()
    status, _ = exchange(address, before + b"POST /v1/analyze HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    assert status == (200 if before else 0)
    assert 4 < time.monotonic() - began_s < 15


def test_probes_are_answered_beside_slow_callers(address: str) -> None:
    """More of them than there are threads: they do not send, do not read, do not close."""

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address)
        return connection

    slow = Crowd(connect, 10 * len(KINDS))
    time.sleep(2)
    prober = Prober(connect)
    time.sleep(8)
    prober.stop()
    slow.stop()
    assert prober.failed == 0
    assert max(median(took_s) for took_s in prober.took_s.values()) < 1  # not each, as this machine may have other things to do


def test_one_connection_takes_many_requests(address: str) -> None:
    """In one packet, in pieces, and one after the other."""
    get, last = b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"Connection: close\r\n\r\n"
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(address)
        for part in (get + b"\r\n" + get + b"\r\n" + get[:30], get[30:] + b"\r", b"\n", get + b"Content-Length: 3\r\n\r\nabc", get + last):
            connection.sendall(part)
            time.sleep(0.2)
        with connection.makefile("rb") as answers:
            assert answers.read().count(b'{"status":"ok"}') == 5


def test_a_head_that_is_too_large_is_refused(address: str) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: %s\r\n" % (number, bytes([65]) * 4000) for number in range(20))
    status, body = exchange(address, head)
    assert (status, json.loads(body)["code"]) == (431, "headers_too_large")


@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_never_ends_is_an_error_of_its_api(address: str, path: str) -> None:
    kind = "application/json" if "face_" in path and "faceapi" in path else "multipart/form-data; boundary=x"
    status, body = exchange(address, begun(path, kind))
    answer: dict[str, Any] = json.loads(body)
    assert status in (400, 408, 415, 422) or (status == 200 and answer["code"] in (1, 5))


def test_slow_clients_do_not_stop_others(address: str, astronaut: bytes) -> None:
    slow = [socket.socket(socket.AF_UNIX) for _ in range(12)]
    for connection in slow:
        connection.connect(address)
        connection.sendall(begun("/v1/analyze"))
    head = (
        f"POST /v1/analyze HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: {len(astronaut)}\r\nConnection: close\r\n\r\n"
    )
    status, body = exchange(address, head.encode() + astronaut)
    assert status == 200
    assert len(json.loads(body)["faces"]) == 2
    for connection in slow:
        connection.close()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/9.9", 400),
        (b"G\xe4T / HTTP/1.1", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1", 414),
        (b"GET / HTTP/1.1\r\nA b: c", 400),
    ],
)
def test_what_the_server_refuses_is_a_problem_too(address: str, request_line: bytes, status: int) -> None:
    answered, body = exchange(address, request_line + b"\r\nHost: a\r\nConnection: close\r\n\r\n", end=True)
    problem = json.loads(body)
    assert (answered, problem["status"]) == (status, status)
    assert set(problem) == {"type", "title", "status", "code", "request_id"}
    assert problem["type"] == f"urn:vultus:problem:{problem['code']}"


def test_headers_do_not_change_routing(address: str) -> None:
    for header in (b"SCRIPT_NAME: /healthz", b"Script-Name: /x", b"PATH_INFO: /metrics", b"Host: evil.example/metrics?"):
        host = b"" if header.startswith(b"Host") else b"Host: a\r\n"
        status, body = exchange(address, b"GET /healthz HTTP/1.1\r\n" + host + header + b"\r\nConnection: close\r\n\r\n")
        assert (status, json.loads(body)) == (200, {"status": "ok"})


def test_every_line_of_the_log_is_json(address: str) -> None:
    exchange(address, b"GET / HTTP/9.9\r\n\r\n", end=True)
    lines = [json.loads(line) for line in (Path(address).parent / "log").read_text().splitlines()]
    assert "gunicorn.error" in {line["name"] for line in lines}
    assert all(line.keys() >= {"time", "level", "name", "message"} for line in lines)


def test_malformed_http_is_refused(address: str) -> None:
    seen = set()
    chance = random.Random(3)
    for _ in range(150):
        name, data = malformed(chance)
        status, body = exchange(address, data, end=True)
        seen.add(name)
        assert status < 500, name
        assert not any(leak in body for leak in LEAKS), name
    assert len(seen) > 14
    assert _answers(address)
