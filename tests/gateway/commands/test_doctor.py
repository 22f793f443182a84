"""`vultus doctor`: each check with something good and something bad before it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from flask import Flask

import vultus
from gateway.apis.services import KEY
from gateway.callers.keys import KeyStore
from gateway.commands.diagnosis import files, machine, ports, service
from gateway.commands.diagnosis.finding import State
from gateway.commands.diagnosis.ports import PORTS, Port
from gateway.commands.main import main
from gateway.settings import REPOSITORY
from scripts.embedded_triton import pools
from tests.conftest import FakeTriton

Vultus = Callable[..., Result]


@pytest.fixture
def other_program() -> Iterator[int]:
    """A web server that is no part of Vultus; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello")

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def on(port: Port, number: int) -> Port:
    return Port(number, port.purpose, port.option, port.ours)


def test_python(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.python().state is State.OK
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    assert machine.python().state is State.FAILED


def test_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: A\nflags\t\t: fpu avx avx2 fma avx512f\n\nflags\t\t: other\n")
    found = machine.processor(info)
    assert (found.state, found.told) == (State.OK, "x86_64, avx2 fma avx512f")
    info.write_text("flags : fpu sse4_1 avx\n")
    assert machine.processor(info).state is State.NOTE
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    info.write_text("Features\t: fp asimd asimddp\n")
    assert machine.processor(info).told == "aarch64, asimd asimddp"
    assert machine.processor(tmp_path / "none").state is State.NOTE


@pytest.mark.parametrize(
    ("free_mb", "limit", "running", "state"),
    [
        (machine.NEEDED_MB + 1, None, False, State.OK),
        (machine.NEEDED_MB - 1, None, False, State.FAILED),
        (machine.NEEDED_MB - 1, None, True, State.OK),
        (machine.NEEDED_MB + 1, "max", False, State.OK),
        (machine.NEEDED_MB + 1, str((machine.NEEDED_MB - 1) * 2**20), False, State.FAILED),
    ],
)
def test_memory(tmp_path: Path, free_mb: int, limit: str | None, running: bool, state: State) -> None:
    info, group = tmp_path / "meminfo", tmp_path / "memory.max"
    info.write_text(f"MemTotal:  99999999 kB\nMemFree: 1 kB\nMemAvailable: {free_mb * 1024} kB\n")
    if limit:
        group.write_text(limit + "\n")
    assert machine.memory(running, info, group).state is state


@pytest.mark.parametrize(
    ("free_mb", "running", "state"),
    [(machine.SHARED_MB, False, State.OK), (machine.SHARED_MB - 1, False, State.NOTE), (64, False, State.NOTE), (64, True, State.OK)],
)
def test_shared_memory(free_mb: int, running: bool, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pools.LEAST_BYTES >> 20 == machine.SHARED_MB
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free_mb * 256, f_frsize=4096))
    found = machine.shared_memory(running)
    assert found.state is state
    assert bool(found.advice) == (state is State.NOTE) == (bool(pools.shortage()) and not running)


def test_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = machine.gpu()
    assert "NVIDIA H100" in found.told
    assert "UUID" not in found.told
    program.write_text("#!/bin/sh\nexit 9\n")
    assert "CPU" in machine.gpu().told
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert "CPU" in machine.gpu().told


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.purpose)
def test_ports(port: Port, other_program: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    assert "free" in ports.check(on(port, number)).told
    taken = ports.check(on(port, other_program))
    assert taken.state is State.FAILED
    assert port.option in taken.advice


def test_the_port_of_a_gateway(service: str) -> None:
    found = ports.check(on(PORTS[0], int(service.rsplit(":", 1)[1])))
    assert (found.state, found.told) == (State.OK, "served by Vultus (gateway)")


def test_files(tmp_path: Path) -> None:
    assert [finding.state for finding in files.check(REPOSITORY)] == [State.OK]
    assert files.check(tmp_path)[0].state is State.FAILED
    copy = Path(shutil.copytree(REPOSITORY, tmp_path / "model_repository"))
    (copy / "face_prepare" / "1" / "model.onnx").unlink()
    (copy / "face_liveness" / "1" / "model.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with (copy / "face_detector" / "1" / "model.onnx").open("ab") as graph:
        graph.write(b"\0")
    summary, *faults = files.check(copy)
    assert "7 of 10" in summary.told
    assert {fault.subject: fault.told.split("model.onnx ")[1] for fault in faults} == {
        "face_prepare": "is missing",
        "face_detector": "is not what its card describes",
        "face_liveness": "is a Git LFS pointer, not the model",
    }
    assert all(fault.advice for fault in faults)


def test_the_graphs_run_here() -> None:
    found = service.analysis_here()
    assert found.state is State.OK, found
    assert "in this process" in found.told


def test_graphs_that_do_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = Path(shutil.copytree(REPOSITORY, tmp_path / "model_repository"))
    (copy / "face_landmarks" / "1" / "model.onnx").write_bytes(b"not a model")
    monkeypatch.setenv("VULTUS_MODEL_REPOSITORY", str(copy))
    assert service.analysis_here().state is State.FAILED


def test_a_service_with_other_faces_is_wrong(service: str) -> None:
    from gateway.commands.diagnosis.service import analysis_by

    with vultus.Client(service) as client:
        found = analysis_by(client)
    assert found.state is State.FAILED
    assert "2 by the service" in found.told


@pytest.fixture
def no_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else runs on this machine is not this test's matter."""
    monkeypatch.setattr(ports, "PORTS", ())


@pytest.mark.usefixtures("no_ports")
def test_the_report_of_a_good_machine_without_a_service() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        result = CliRunner().invoke(main, ["doctor", "--url", url])
    assert result.exit_code == 0, result.output
    assert "nothing runs at" in result.output
    assert "in this process" in result.output


@pytest.mark.usefixtures("no_ports")
def test_the_report_of_a_service(vultus: Vultus, triton: FakeTriton, app: Flask, service: str) -> None:
    triton.ready = False
    result = vultus("doctor")
    assert result.exit_code == 1
    assert "is not ready: Triton does not answer" in result.stdout
    assert "-> Look at the messages of scripts/serve" in result.stdout
    triton.ready = True
    KeyStore(app.extensions[KEY].settings.keys_url).create("vultus", "me")
    result = vultus("doctor")
    assert result.exit_code == 1
    assert "VULTUS_KEY" in result.stdout


@pytest.mark.usefixtures("no_ports")
def test_another_program_at_the_address(other_program: int) -> None:
    result = CliRunner().invoke(main, ["doctor", "--url", f"http://127.0.0.1:{other_program}"])
    assert result.exit_code == 1
    assert "not as Vultus does" in result.stdout
    assert CliRunner().invoke(main, ["doctor", "--url", "nowhere"]).exit_code == 2
