"""A scripts/serve of our own on free ports, with what its processes use and what Triton counts."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
FREE_PORTS = ("--port=0", "--grpc-port=0", "--http-port=0", "--metrics-port=0")
NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class ModelCount:
    """Triton's counters of one model since its start: rows, executions, and milliseconds in the queue and in computing."""

    rows: int
    executions: int
    queue_ms: float
    compute_ms: float

    def since(self, before: ModelCount) -> ModelCount:
        """What came on top."""
        return ModelCount(
            self.rows - before.rows,
            self.executions - before.executions,
            self.queue_ms - before.queue_ms,
            self.compute_ms - before.compute_ms,
        )

    @property
    def average_batch(self) -> float:
        """Rows an execution."""
        return self.rows / self.executions if self.executions else 0.0


@dataclass(frozen=True, slots=True)
class Server:
    """Addresses of a running service, its processes, and what they have written so far."""

    base: str
    grpc: str
    http: int
    process: psutil.Process
    lines: list[str]

    def counts(self) -> dict[str, ModelCount]:
        """Triton's statistics by model."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/v2/models/stats", timeout=10) as answer:
            rows: list[dict[str, Any]] = json.loads(answer.read())["model_stats"]
        return {
            row["name"]: ModelCount(
                row["inference_count"],
                row["execution_count"],
                row["inference_stats"]["queue"]["ns"] / NS_PER_MS,
                sum(row["inference_stats"][part]["ns"] for part in ("compute_input", "compute_infer", "compute_output")) / NS_PER_MS,
            )
            for row in rows
        }

    def processes(self) -> list[psutil.Process]:
        """All of them: supervisor, gateway workers, Triton and its backends."""
        return [self.process, *self.process.children(recursive=True)]

    def cpu_s(self) -> float:
        """Processor seconds used so far by all processes that still run."""
        total = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory_mb(self) -> float:
        """Resident megabytes; pages that processes share count once a process."""
        total = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss / 2**20
        return total


@contextmanager
def serving(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Start, wait until both answer, stop. Raises RuntimeError with the output when it does not start."""
    command = [sys.executable, "-m", "scripts.serving", *FREE_PORTS, *arguments]
    variables = {**os.environ, **(environment or {})}
    process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: list[str] = []

    def read() -> None:
        for line in process.stdout or ():
            lines.append(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while not any("curl -F" in line for line in lines):
            if process.poll() is not None:
                raise RuntimeError("".join(lines))
            time.sleep(0.05)
        text = "".join(lines)
        grpc, http = re.findall(r"Triton gRPC +(\S+) +\(HTTP (\d+)", text)[0]
        yield Server(re.findall(r"gateway +(\S+)", text)[0], grpc, int(http), psutil.Process(process.pid), lines)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        reader.join(10)
        if process.stdout:
            process.stdout.close()
