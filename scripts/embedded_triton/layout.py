"""Lays out what tritonserver needs to start from a virtual environment."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from scripts.embedded_triton.allocation import TRITON_MALLOC

BACKEND = Path(__file__).resolve().parent / "onnxruntime" / "model.py"
STUB = "triton_python_backend_stub"


class Unusable(Exception):
    """Python or its environment cannot run the embedded server. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the binary and the backends lie, and the environment to start it with."""

    binary: Path
    backends: Path
    environment: dict[str, str]


def build(folder: Path) -> Layout:
    """Put the backend directory into `folder`, unless it is there already. Raises Unusable."""
    package = _package()
    backends = folder / "backends"
    if not backends.exists():
        _fill(package, backends)
    return Layout(package / "tritonserver" / "bin" / "tritonserver", backends, _environment(package, libpython()))


def _fill(package: Path, backends: Path) -> None:
    (backends / "python").mkdir(parents=True)
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        # Copied: Triton refuses a backend that is a link out of its directory.
        shutil.copy(package / "tritonserver" / "backends" / "python" / name, backends / "python" / name)
    stub = package / "tritonserver" / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}" / STUB
    if not stub.exists():
        raise Unusable(
            f"nvidia-pytriton has no backend stub for Python {sys.version_info.major}.{sys.version_info.minor}; use Python 3.11 to 3.13."
        )
    copied = Path(shutil.copy(stub, backends / "python" / STUB))
    copied.chmod(copied.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    (backends / "onnxruntime").mkdir()
    shutil.copy(BACKEND, backends / "onnxruntime" / "model.py")


def libpython() -> Path:
    """The shared library of the running Python, which the stub links. Raises Unusable."""
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    places = [
        Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib"),
        Path(sys.base_prefix) / "lib",
        Path("/usr/lib") / (sysconfig.get_config_var("MULTIARCH") or ""),
        Path("/usr/lib64"),
    ]
    for place in places:
        if (place / name).exists():
            return place / name
    short = name.removeprefix("lib").removesuffix(".so.1.0")
    raise Unusable(
        f"This Python has no shared library {name}: install it (Debian, Ubuntu: apt install lib{short}) "
        "or use a Python built with --enable-shared."
    )


def _package() -> Path:
    spec = find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise Unusable("nvidia-pytriton is not installed: pip install -e '.[embedded]'.")
    return Path(spec.origin).parent


def _environment(package: Path, library: Path) -> dict[str, str]:
    bundled = package.parent / "nvidia_pytriton.libs"
    inherited = os.environ.get("LD_LIBRARY_PATH")
    return {
        **TRITON_MALLOC,
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, [str(bundled), str(library.parent), inherited])),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        # The runtime would report its use to its maker, over the network.
        "ORT_DISABLE_TELEMETRY": "1",
    }
