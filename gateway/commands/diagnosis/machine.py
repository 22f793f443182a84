"""Python, processor, memory, GPU. Linux tells; elsewhere a check says that it does not know."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from gateway.commands.diagnosis.finding import Finding, State

LOWEST, HIGHEST = (3, 11), (3, 12)  # as scripts/environment.py
# What ONNX Runtime's kernels choose between, slowest first, by the kernel's name of the feature. The first is needed for good speed.
FEATURES = {
    "x86_64": ("avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8"),
    "aarch64": ("asimd", "asimddp", "i8mm", "sve", "bf16"),
}
# scripts/serve with its defaults, all processes together (proportional set size), after 200 photographs at four a time.
NEEDED_MB = 1900
# As scripts/embedded_triton/pools.py says, which is not part of the installed package.
SHARED_MB = 1536
SHARED_MEMORY = "/dev/shm"  # noqa: S108  where Triton takes it
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def python() -> Finding:
    """Whether this Python is one that is supported."""
    told = platform.python_version()
    if LOWEST <= sys.version_info[:2] <= HIGHEST:
        return Finding("Python", State.OK, told)
    return Finding("Python", State.FAILED, told, "Install Python 3.11 or 3.12 and make the environment anew.")


def processor(info: Path = Path("/proc/cpuinfo")) -> Finding:
    """Vector instructions that ONNX Runtime uses."""
    machine = platform.machine()
    known = FEATURES.get(machine)
    if known is None or not info.exists():
        return Finding("processor", State.NOTE, f"{machine}, features unknown")
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", info.read_text(), re.M)
    present = set(line[1].split()) if line else set()
    told = f"{machine}, {' '.join(name for name in known if name in present) or 'no vector features'}"
    if known[0] in present:
        return Finding("processor", State.OK, told)
    return Finding("processor", State.NOTE, told, f"Without {known[0]} inference is much slower; another machine is better.")


def memory(running: bool, info: Path = Path("/proc/meminfo"), limit: Path = CGROUP_LIMIT) -> Finding:
    """Whether a start would find enough; when a service runs already, it has found it."""
    if not info.exists():
        return Finding("memory", State.NOTE, "unknown")
    kib = dict(re.findall(r"^(\w+):\s+(\d+) kB", info.read_text(), re.M))
    total_mb, available_mb = int(kib["MemTotal"]) // 1024, int(kib["MemAvailable"]) // 1024
    text = limit.read_text().strip() if limit.exists() else "max"
    allowed_mb = int(text) // 2**20 if text.isdigit() else total_mb
    told = f"{min(total_mb, allowed_mb)} MB, {min(available_mb, allowed_mb)} MB free; scripts/serve uses about {NEEDED_MB} MB"
    if running or min(available_mb, allowed_mb) >= NEEDED_MB:
        return Finding("memory", State.OK, told)
    return Finding("memory", State.FAILED, told, "Stop other programs, raise the container's limit, or try scripts/serve --workers 1.")


def shared_memory(running: bool) -> Finding:
    """Whether a start would find room for large photographs; when a service runs already, it has taken its own."""
    try:
        found = os.statvfs(SHARED_MEMORY)
    except OSError:
        return Finding(SHARED_MEMORY, State.NOTE, "unknown")
    free_mb = found.f_bavail * found.f_frsize >> 20
    told = f"{free_mb} MB free; scripts/serve wants {SHARED_MB} MB"
    if running or free_mb >= SHARED_MB:
        return Finding(SHARED_MEMORY, State.OK, told)
    return Finding(SHARED_MEMORY, State.NOTE, told, "Large photographs may be refused. A container gets more by --shm-size=2g.")


def gpu() -> Finding:
    """Whether there is a GPU, and whether ONNX Runtime here could use it."""
    listed = _listed_gpus()
    if "GPU" not in listed:
        return Finding("GPU", State.OK, "none found; models run on the CPU")
    told = re.sub(r" \(UUID.*", "", listed.splitlines()[0])
    if find_spec("onnxruntime"):
        import onnxruntime

        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            return Finding("GPU", State.OK, f"{told}; scripts/serve --device gpu insists on it")
    return Finding("GPU", State.NOTE, f"{told}; this ONNX Runtime cannot use it", "Install onnxruntime-gpu in its place.")


def _listed_gpus() -> str:
    """One line a GPU; empty without a driver, or with one that does not answer."""
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
