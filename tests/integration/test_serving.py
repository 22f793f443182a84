"""scripts/serve as an operator sees it: faults, messages, and that nothing is left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.served import FREE_PORTS, ROOT, Served, start, stop


def children(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, check=True, text=True).stdout.split()
    pairs = [(int(a), int(b)) for a, b in zip(listing[::2], listing[1::2], strict=True)]
    found = [child for child, parent in pairs if parent == pid]
    return found + [grandchild for child in found for grandchild in children(child)]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def failure(*arguments: str, environment: dict[str, str] | None = None) -> str:
    served = start(*arguments, environment=environment)
    assert served.process.wait(150) == 1
    time.sleep(0.2)
    lines = [line for line in served.lines if line.startswith("vultus: ") and "starting" not in line and "stopping" not in line]
    assert len(lines) == 1, served.lines
    assert not any("Traceback" in line for line in served.lines)
    return lines[0]


def test_stop_leaves_nothing() -> None:
    served = start(*FREE_PORTS)
    served.wait_for("curl -F")
    family = children(served.process.pid)
    assert any("tritonserver" in command_of(pid) for pid in family)
    assert any("gunicorn" in command_of(pid) for pid in family)
    assert stop(served) == 0
    time.sleep(0.5)
    assert [command_of(pid) for pid in family if command_of(pid)] == []
    assert list(Path("/dev/shm").glob(f"vultus{served.process.pid}_*")) == []  # noqa: S108


def test_triton_killed_while_serving(astronaut: bytes) -> None:
    served = start(*FREE_PORTS)
    served.wait_for("curl -F")
    served.base = re.findall(r"gateway +(\S+)", "".join(served.lines))[0]
    assert served.post(astronaut)[0] == 200
    (triton,) = [pid for pid in children(served.process.pid) if "bin/tritonserver" in command_of(pid) and "stub" not in command_of(pid)]
    os.kill(triton, signal.SIGKILL)
    started = time.monotonic()
    status, body = served.post(astronaut)
    assert (status, body["code"]) == (503, "upstream_unavailable")
    assert time.monotonic() - started < 10
    assert served.get("/readyz")[0] == 503
    assert served.get("/healthz")[0] == 200
    served.wait_for("Triton is ready again")
    deadline = time.monotonic() + 10
    while served.post(astronaut)[0] != 200 or served.get("/readyz")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert stop(served) == 0
    assert list(Path("/dev/shm").glob(f"vultus{served.process.pid}_*")) == []  # noqa: S108


def test_killed_it_takes_all_with_it_and_starts_again_on_its_ports(astronaut: bytes) -> None:
    """Also a process of a model that is stopped, which the kernel does not end."""
    served = start(*FREE_PORTS)
    served.wait_for("curl -F", timeout_s=240)
    served.find_addresses()
    family = children(served.process.pid)
    (stopped, *_) = [pid for pid in family if "triton_python_backend_stub" in command_of(pid)]
    os.kill(stopped, signal.SIGSTOP)
    served.process.kill()
    served.process.wait()
    deadline = time.monotonic() + 30
    while left := [command_of(pid) for pid in family if pid != stopped and command_of(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    ports = [f"--{name}port={address.rpartition(':')[2]}" for name, address in (("", served.base), ("grpc-", served.triton))]
    again = start(*ports, f"--metrics-port={served.triton_metrics}")
    again.wait_for("curl -F", timeout_s=240)
    again.find_addresses()
    assert not command_of(stopped)
    assert again.post(astronaut)[0] == 200
    assert stop(again) == 0


def test_any_path_will_do(tmp_path: Path, astronaut: bytes) -> None:
    """Of the clone and of temporary files: Triton hands paths to a shell, unquoted."""
    clone, temporary = tmp_path / "it's a clone (of 'Vultus') & $HOME", tmp_path / "temporary files"
    temporary.mkdir()
    for part in ("gateway", "scripts", "model_repository", "tests/pictures"):
        shutil.copytree(ROOT / part, clone / part, ignore=shutil.ignore_patterns("__pycache__", "train", "web"))
    shutil.copytree(ROOT / "gateway" / "web", clone / "gateway" / "web")
    shutil.copy(ROOT / "pyproject.toml", clone)
    served = start(*FREE_PORTS, environment={"TMPDIR": str(temporary), "VULTUS_DATA": str(tmp_path / "data")}, folder=clone)
    served.wait_for("curl -F", timeout_s=240)
    served.find_addresses()
    assert served.post(astronaut)[0] == 200
    (triton,) = [pid for pid in children(served.process.pid) if "bin/tritonserver" in command_of(pid) and "stub" not in command_of(pid)]
    assert str(tmp_path) not in command_of(triton)
    assert stop(served) == 0


def test_a_triton_that_runs_elsewhere(served: Served, astronaut: bytes) -> None:
    second = start("--port=0", "--triton", served.triton)
    second.wait_for("curl -F")
    second.base = re.findall(r"gateway +(\S+)", "".join(second.lines))[0]
    assert second.post(astronaut)[0] == 200
    assert stop(second) == 0
    assert served.post(astronaut)[0] == 200


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
def test_a_busy_port_is_said(option: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = failure(*[argument for argument in FREE_PORTS if not argument.startswith(option)], f"{option}={port}")
    assert f"Port {port}" in said
    assert option in said


def test_a_model_that_does_not_load_is_named(tmp_path: Path) -> None:
    repository = Path(shutil.copytree(ROOT / "model_repository", tmp_path / "models"))
    (repository / "face_landmarks" / "1" / "model.onnx").write_bytes(b"not a model")
    assert "Model face_landmarks does not load" in failure(*FREE_PORTS, "--model-repository", str(repository))


def test_the_gpu_profile_is_one_that_triton_takes(tmp_path: Path, astronaut: bytes) -> None:
    """All of it but where models run: sizes, warm-up and the files of 32 bits."""
    repository = Path(shutil.copytree(ROOT / "model_repository", tmp_path / "models"))
    for profile in repository.glob("*/configs/gpu.pbtxt"):
        (profile.parents[1] / "config.pbtxt").write_text(profile.read_text().replace("KIND_GPU", "KIND_CPU"))
    served = start(*FREE_PORTS, "--model-repository", str(repository))
    served.wait_for("curl -F", timeout_s=240)
    served.base = re.findall(r"gateway +(\S+)", "".join(served.lines))[0]
    status, body = served.post(astronaut)
    assert (status, len(body["faces"])) == (200, 1)
    assert stop(served) == 0


def test_a_gpu_that_is_not_there_is_an_error() -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine may have one")
    assert "GPU" in failure(*FREE_PORTS, "--device", "gpu")


def test_others_are_not_served_without_keys(tmp_path: Path) -> None:
    said = failure("--host=0.0.0.0", *FREE_PORTS, environment={"VULTUS_KEYS_URL": f"sqlite:///{tmp_path / 'none.sqlite'}"})
    assert "--insecure-open" in said


def test_triton_is_not_opened_to_others_by_accident() -> None:
    said = failure("--triton-host=0.0.0.0", *FREE_PORTS, environment={"VULTUS_REQUIRE_KEYS": "true"})
    assert "--insecure-open" in said


def test_a_triton_that_is_not_there_is_said() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "Not ready" in failure("--port=0", "--triton", f"127.0.0.1:{port}")


@pytest.mark.parametrize("version", ["3.8", "3.13"])
@pytest.mark.parametrize("other", ["none", "a shim"])
def test_an_unsupported_python_is_said(tmp_path: Path, version: str, other: str) -> None:
    """The bootstrap, run as if by such a Python with no other on the PATH but a version manager's name for one that is not installed."""
    if other == "a shim":
        (tmp_path / "python3.12").write_text("#!/bin/sh\nexit 127\n")
        (tmp_path / "python3.12").chmod(0o700)
    program = f"""import sys
sys.path.insert(0, sys.argv[1])
sys.version_info = ({version.replace(".", ", ")}, 1)
import scripts.environment
scripts.environment._supported_python()
"""
    command = [sys.executable, "-c", program, str(ROOT)]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert f"Python {version} is not supported" in done.stderr
