"""The images' contents, made once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from scripts.embedded_triton.layout import build
from tests.docker.image import Image, follow
from tests.served import ROOT


@dataclass
class Running:
    """A started entry point and what it said."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            self.lines.extend(iter(self.process.stdout.readline, ""))

    def stop(self) -> int:
        """The exit status after STOPSIGNAL; then nothing of the process group is left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return status


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: object, running: Running, timeout_s: float = 120) -> None:
    assert callable(true)
    deadline = time.monotonic() + timeout_s
    while not true():
        assert running.process.poll() is None, "".join(running.lines)
        assert time.monotonic() < deadline, "".join(running.lines)
        time.sleep(0.2)


def _image(path: str, factory: pytest.TempPathFactory) -> Iterator[Image]:
    image = follow(ROOT / path, factory.mktemp("image") / "root")
    image.seal()
    yield image
    image.unseal()


@pytest.fixture(scope="session")
def gateway_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    yield from _image("docker/gateway/Dockerfile", tmp_path_factory)


@pytest.fixture(scope="session")
def triton_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    yield from _image("docker/triton/cpu.Dockerfile", tmp_path_factory)


@pytest.fixture(scope="session")
def triton_ports() -> dict[str, int]:
    return {name: free_port() for name in ("grpc", "http", "metrics")}


@pytest.fixture(scope="session")
def running_triton(triton_image: Image, triton_ports: dict[str, int]) -> Iterator[Running]:
    """The CPU image's own command on free ports of this machine."""
    options = [f"--{name}-port={port}" for name, port in triton_ports.items()]
    running = Running(triton_image.start(*options, *(f"--{name}-address=127.0.0.1" for name in triton_ports)))
    try:
        wait_until(lambda: triton_image.healthy(port=triton_ports["metrics"]), running)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def triton_help(tmp_path_factory: pytest.TempPathFactory) -> str:
    layout = build(tmp_path_factory.mktemp("layout"))
    return subprocess.run([layout.binary, "--help"], env=layout.environment, capture_output=True, text=True, check=False).stderr
