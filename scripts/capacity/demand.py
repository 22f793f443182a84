"""Measures what one image costs: CPU time of the gateway and of Triton, from a running scripts/serve."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "tests" / "pictures" / "astronaut.jpg"
CLIENTS, WARM_UP, BLOCK = 4, 40, 25


def measure(blocks: int = 12) -> dict[str, Any]:
    """Processor milliseconds per image by tier: mean over `blocks` blocks of requests, and their spread.

    CPU time, not wall time: it is the same on a busy machine. The picture is 512x512 with one face, all default attributes.
    """
    command = [sys.executable, "-m", "scripts.serving", *(f"--{name}=0" for name in ("port", "grpc-port", "metrics-port"))]
    quiet = {**os.environ, "VULTUS_LOG_LEVEL": "WARNING"}
    with subprocess.Popen(command, cwd=ROOT, env=quiet, stdout=subprocess.PIPE, text=True) as serving:
        try:
            url = _ready(serving)
            _load(url, WARM_UP)
            rows = [_block(url, serving.pid) for _ in range(blocks)]
        finally:
            serving.send_signal(signal.SIGTERM)
            serving.wait()
    gateway, triton = np.array(rows).T
    return {
        "picture": f"{PICTURE.relative_to(ROOT)} (512x512, one face), all default attributes, {CLIENTS} clients",
        "images": blocks * BLOCK,
        "processor": _processor(),
        "gateway_ms": round(float(gateway.mean()), 2),
        "gateway_spread_ms": round(float(gateway.std()), 2),
        "triton_ms": round(float(triton.mean()), 2),
        "triton_spread_ms": round(float(triton.std()), 2),
    }


def _ready(serving: subprocess.Popen[str]) -> str:
    assert serving.stdout is not None  # noqa: S101
    for line in serving.stdout:
        found = re.search(r"gateway +(\S+)", line)
        if found:
            threading.Thread(target=serving.stdout.read, daemon=True).start()
            return f"{found[1]}/v1/analyze"
    raise RuntimeError("scripts/serve did not start; its messages are above")


def _load(url: str, images: int) -> None:
    picture = PICTURE.read_bytes()

    def one(_: int) -> None:
        call = urllib.request.Request(url, data=picture, headers={"Content-Type": "image/jpeg"})  # noqa: S310
        with urllib.request.urlopen(call, timeout=60) as answer:  # noqa: S310
            answer.read()

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(one, range(images)))


def _block(url: str, serving: int) -> tuple[float, float]:
    before = _processor_s(serving)
    _load(url, BLOCK)
    time.sleep(0.2)
    after = _processor_s(serving)
    return (after[0] - before[0]) / BLOCK * 1e3, (after[1] - before[1]) / BLOCK * 1e3


def _processor_s(serving: int) -> tuple[float, float]:
    """Of all gateway processes, and of Triton with its model processes."""
    family = psutil.Process(serving).children(recursive=True)
    gunicorn = [process for process in family if "gunicorn" in " ".join(process.cmdline())]
    return _sum(gunicorn), _sum(set(family) - set(gunicorn))


def _sum(processes: Iterable[psutil.Process]) -> float:
    return sum(process.cpu_times().user + process.cpu_times().system for process in processes)


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return f"{found[1] if found else 'unknown'}, {psutil.cpu_count()} logical cores"
