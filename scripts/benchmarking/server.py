"""A scripts/serve of our own on free ports, with what its processes use and what Triton counts."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import tritonclient.grpc as triton
from pydantic import SecretStr

ROOT = Path(__file__).resolve().parents[2]
FREE_PORTS = ("--port=0", "--grpc-port=0", "--metrics-port=0")
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
    metrics: int
    run: _Run

    @property
    def process(self) -> psutil.Process:
        """The supervisor."""
        return psutil.Process(self.run.serve.pid)

    @property
    def secret(self) -> SecretStr:
        """What opens the restricted protocols of Triton, as the gateway was told; this user may read it."""
        gateway = next(process for process in self.process.children() if "gunicorn" in " ".join(process.cmdline()))
        return SecretStr(gateway.environ()["VULTUS_TRITON_SECRET"])

    @property
    def lines(self) -> list[str]:
        """What has been written so far."""
        return self.run.lines

    def start_again(self) -> None:
        """After it was killed: the same command on the same ports, as a service manager does it."""
        self.run.serve.wait()
        self.run.start(
            *(f"--{name}port={address.rsplit(':', 1)[1]}" for name, address in (("", self.base), ("grpc-", self.grpc))),
            f"--metrics-port={self.metrics}",
        )

    def counts(self) -> dict[str, ModelCount]:
        """Triton's statistics by model."""
        with triton.InferenceServerClient(self.grpc) as client:
            rows = client.get_inference_statistics(client_timeout=10).model_stats
        return {
            row.name: ModelCount(
                row.inference_count,
                row.execution_count,
                row.inference_stats.queue.ns / NS_PER_MS,
                sum(getattr(row.inference_stats, part).ns for part in ("compute_input", "compute_infer", "compute_output")) / NS_PER_MS,
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


class _Run:
    """One scripts/serve after the other, and what they write."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._arguments, self._environment = arguments, {**os.environ, **environment}
        self.lines: list[str] = []
        self.start()

    def start(self, *more: str) -> None:
        command = [sys.executable, "-m", "scripts.serving", *self._arguments, *more]
        self.serve = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._reader = threading.Thread(target=self._read, args=(self.serve,), daemon=True)
        self._reader.start()

    def _read(self, serve: subprocess.Popen[str]) -> None:
        if serve.stdout:
            with serve.stdout:
                self.lines.extend(iter(serve.stdout.readline, ""))

    def await_ready(self) -> str:
        """What it has written. Raises RuntimeError with that when it does not start."""
        while not any("curl -F" in line for line in self.lines):
            if self.serve.poll() is not None:
                raise RuntimeError("".join(self.lines))
            time.sleep(0.05)
        return "".join(self.lines)

    def stop(self) -> None:
        if self.serve.poll() is None:
            self.serve.send_signal(signal.SIGTERM)
        self.serve.wait(60)
        self._reader.join(10)


@contextmanager
def serving(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Start, wait until both answer, stop. Raises RuntimeError with the output when it does not start."""
    run = _Run((*FREE_PORTS, *arguments), environment or {})
    try:
        text = run.await_ready()
        grpc, metrics = re.findall(r"Triton gRPC +(\S+) +\(metrics (\d+)", text)[0]
        yield Server(re.findall(r"gateway +(\S+)", text)[0], grpc, int(metrics), run)
    finally:
        run.stop()
