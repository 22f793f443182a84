"""A real scripts/serve with a real Triton, started once for all tests that ask for it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import tritonclient.grpc as grpc

ROOT = Path(__file__).resolve().parents[1]
FREE_PORTS = ("--port=0", "--grpc-port=0", "--metrics-port=0")


@dataclass
class Served:
    """A running scripts/serve: addresses, output so far, plain HTTP helpers."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    base: str = ""
    triton: str = ""
    triton_metrics: int = 0

    def wait_for(self, text: str, timeout_s: float = 60, since: int = 0) -> None:
        deadline = time.monotonic() + timeout_s
        while not any(text in line for line in self.lines[since:]):
            assert time.monotonic() < deadline, "".join(self.lines)
            assert self.process.poll() is None, "".join(self.lines)
            time.sleep(0.05)

    def get(self, path: str) -> tuple[int, Any]:
        return request(urllib.request.Request(self.base + path))

    def post(self, data: bytes, query: str = "", kind: str = "image/jpeg") -> tuple[int, Any]:
        return request(urllib.request.Request(f"{self.base}/v1/analyze{query}", data=data, headers={"Content-Type": kind}))

    def statistics(self) -> dict[str, tuple[int, int]]:
        """Rows and executions by model, from Triton's own statistics."""
        with grpc.InferenceServerClient(self.triton) as client:
            rows = client.get_inference_statistics().model_stats
        return {row.name: (row.inference_count, row.execution_count) for row in rows}

    def find_addresses(self) -> None:
        """From what it says when it is ready."""
        text = "".join(self.lines)
        self.base = re.findall(r"gateway +(\S+)", text)[0]
        self.triton, metrics = re.findall(r"Triton gRPC +(\S+) +\(metrics (\d+)", text)[0]
        self.triton_metrics = int(metrics)

    def gateway_environment(self) -> dict[str, str]:
        """Which this user may read."""
        gateway = next(child for child in psutil.Process(self.process.pid).children() if "gunicorn" in " ".join(child.cmdline()))
        return gateway.environ()


def request(call: urllib.request.Request, timeout_s: float = 60) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(call, timeout=timeout_s) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as problem:
        with problem:
            return problem.code, json.loads(problem.read())


def start(*arguments: str, environment: dict[str, str] | None = None, folder: Path = ROOT) -> Served:
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.serving", *arguments],
        cwd=folder, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    served = Served(process)
    _started.append(served)

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            served.lines.extend(iter(process.stdout.readline, ""))

    threading.Thread(target=read, daemon=True).start()
    return served


def stop(served: Served) -> int:
    if served.process.poll() is None:
        served.process.send_signal(signal.SIGTERM)
    return served.process.wait(60)


_started: list[Served] = []


@pytest.fixture(scope="session", autouse=True)
def _nothing_stays() -> Iterator[None]:
    """Ends what a failed test left running: scripts/serve takes its Triton and gunicorn with it."""
    yield
    for served in _started:
        stop(served)


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    running = start(*FREE_PORTS)
    running.wait_for("curl -F")
    running.find_addresses()
    yield running
    stop(running)
