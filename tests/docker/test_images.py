from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from scripts import environment
from scripts.embedded_triton import alive
from scripts.embedded_triton.allocation import MALLOC
from scripts.locks import LOCKS, Lock
from tests.docker.conftest import Running, free_port, wait_until
from tests.docker.image import WITHOUT_RIGHTS, Image, context_files, instructions
from tests.served import ROOT, request

DOCKERFILES = sorted((ROOT / "docker").rglob("*Dockerfile"))
GATEWAY, TRITON_GPU, TRITON_CPU = (ROOT / "docker" / name for name in ("gateway/Dockerfile", "triton/Dockerfile", "triton/cpu.Dockerfile"))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_linter_finds_nothing(path: Path) -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, "--no-color", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_every_image_has(path: Path) -> None:
    parts = dict(instructions(path))
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", parts["USER"]), "a number, so that Kubernetes sees that it is not root"
    assert parts["STOPSIGNAL"] == "SIGTERM"
    assert isinstance(json.loads(parts["HEALTHCHECK"].partition("CMD")[2]), list)
    assert isinstance(json.loads(parts["ENTRYPOINT"]), list)
    assert f'"{_version()}"' in parts["LABEL"]
    base = dict(line.split("=", 1) for name, line in instructions(path) if name == "ARG")
    assert all(re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*", image) for image in base.values()), "a tag with a version"
    assert {value.partition(" AS ")[0] for name, value in instructions(path) if name == "FROM"} == {f"${{{name}}}" for name in base}


def _version() -> str:
    found = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert found
    return found[1]


def test_nothing_private_goes_to_the_engine() -> None:
    files = context_files()
    assert "gateway/app.py" in files
    assert "model_repository/face_detector/1/model.onnx" in files
    tops = {path.split("/")[0] for path in files}
    assert tops == {"LICENSE", "README.md", "pyproject.toml", "gateway", "model_repository", "scripts", "docker"}
    assert not [path for path in files if re.search(r"sqlite|\.pyc$|\.git/|\.venv|vultus-pictures|\.env", path)]


def name_of(lock: Lock) -> str:
    return f"{lock.path.parent.name}/{lock.path.stem}"


@pytest.mark.parametrize("lock", LOCKS, ids=name_of)
def test_the_lock_covers_pyproject(lock: Lock) -> None:
    assert lock.missing() == []
    assert len(lock.pins()) > 40
    text = lock.path.read_text()
    blocks = re.split(r"^(?=[a-z])", text, flags=re.M)[1:]
    assert len(blocks) == len(lock.pins())
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text, "a lock names no index"


def test_all_locks_have_the_same_versions() -> None:
    """Images run what scripts/serve runs, and both what is tested."""
    tested, *others = [{(pin.name, str(pin.marker)): str(pin.specifier) for pin in lock.pins()} for lock in LOCKS]
    versions = {(name, version) for (name, _), version in tested.items()}
    for pins in others:
        assert {(name, version) for (name, _), version in pins.items()} <= versions


@pytest.mark.parametrize("extras", [["embedded"], ["embedded", "dev"]])
def test_the_commands_install_what_is_locked(extras: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[list[str]] = []
    monkeypatch.setenv("VULTUS_VENV", str(tmp_path))
    monkeypatch.setattr(environment, "_call", lambda command, _: calls.append(command))
    environment._prepare(extras)  # type: ignore[no-untyped-call]
    _, pins, this = calls
    assert pins[pins.index("-r") + 1] in {str(lock.path) for lock in LOCKS[:2]}
    assert "--require-hashes" in pins
    assert {"--no-deps", "--no-build-isolation"} < set(this)
    (first,) = [path.read_text() for path in tmp_path.glob("vultus-*")]
    monkeypatch.setattr(environment, "_pins", lambda _: LOCKS[2].path)
    assert environment._fingerprint(extras) != first, "another lock is installed anew"  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("lock", LOCKS[1:], ids=name_of)
def test_the_lock_installs_on_arm_without_a_compiler(lock: Lock, tmp_path: Path) -> None:
    """The wheel of Triton wants glibc 2.35, which the base image (Debian 12) has."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--target", str(tmp_path), "--python-platform"]
    command += ["aarch64-manylinux_2_35", "--python-version", "3.11", "--only-binary", ":all:", "--require-hashes", "-r", str(lock.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_requirement_without_a_pin_is_seen(tmp_path: Path) -> None:
    lock = LOCKS[2]
    shorter = re.sub(r"^flask==.*?(?=^[a-z])", "", lock.path.read_text(), count=1, flags=re.M | re.S)
    path = tmp_path / "requirements.txt"
    path.write_text(shorter)
    assert type(lock)(path, lock.base, lock.extras).missing() == ["flask>=3.1"]


def triton_options(path: Path) -> set[str]:
    """Those that an image starts Triton with."""
    words = (ROOT / "docker" / "triton" / "start").read_text().split() + json.loads(dict(instructions(path))["CMD"])
    return {word.partition("=")[0] for word in words if word.startswith("--")}


@pytest.mark.parametrize("path", [TRITON_GPU, TRITON_CPU], ids=["gpu", "cpu"])
def test_triton_knows_every_option(path: Path, triton_help: str) -> None:
    known = set(re.findall(r"^\s+(--[a-z-]+)", triton_help, re.M))
    assert len(known) > 40
    options = triton_options(path)
    assert {"--model-repository", "--strict-readiness"} < options
    assert options <= known


@pytest.mark.parametrize("path", [TRITON_GPU, TRITON_CPU], ids=["gpu", "cpu"])
def test_the_probe_is_given_time(path: Path) -> None:
    """All its looks, before the engine gives it up; and it asks the metrics' port."""
    given, _, command = dict(instructions(path))["HEALTHCHECK"].partition("CMD")
    timeout_s = int(re.findall(r"--timeout=(\d+)s", given)[0])
    assert timeout_s > alive.LOOKS * (alive.LOOKS_APART_S + 2 * alive.TIMEOUT_S)
    assert json.loads(command) == ["vultus-triton-alive", "--end", alive.METRICS_URL]
    assert ("scripts/embedded_triton/alive.py /usr/local/bin/vultus-triton-alive") in [v for n, v in instructions(path) if n == "COPY"]


def test_the_gpu_image_takes_a_profile_that_every_model_has() -> None:
    assert json.loads(dict(instructions(TRITON_GPU))["CMD"]) == ["--model-config-name=gpu"]
    models = [path.parent for path in (ROOT / "model_repository").glob("*/config.pbtxt") if path.parent.name != "face_analysis"]
    assert models
    assert [model.name for model in models if not (model / "configs" / "gpu.pbtxt").exists()] == []


def test_the_gpu_image_is_the_embedded_triton_s_release() -> None:
    """Both images run one version of Triton: 2.51.0 is release 24.10."""
    assert any(value == "TRITON_IMAGE=nvcr.io/nvidia/tritonserver:24.10-py3" for _, value in instructions(TRITON_GPU))
    assert "nvidia-pytriton==0.7.0" in LOCKS[1].path.read_text()


def files_of(root: Path) -> set[str]:
    return {os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names}


@pytest.fixture(scope="module")
def gateway(gateway_image: Image, running_triton: Running, triton_ports: dict[str, int]) -> Any:
    port = free_port()
    # The form that the Kubernetes manifests give.
    environment = {"VULTUS_TRITON": f"dns:///localhost:{triton_ports['grpc']}", "VULTUS_REQUIRE_KEYS": "true"}
    running = Running(gateway_image.start(environment=environment, port=port))
    wait_until(lambda: gateway_image.healthy(port=port), running)
    yield running, f"http://127.0.0.1:{port}"
    assert running.stop() == 0


@pytest.mark.integration
def test_the_gateway_image_serves(gateway: tuple[Running, str], gateway_image: Image, astronaut: bytes) -> None:
    _, base = gateway
    call = urllib.request.Request(f"{base}/v1/analyze", data=astronaut, headers={"Content-Type": "image/jpeg"})
    assert request(call)[0] == 401
    command = [gateway_image.inside("/opt/vultus/bin/vultus"), "keys", "create", "vultus", "test"]
    said = subprocess.run(command, env=gateway_image.full_environment(), capture_output=True, text=True, check=True).stdout
    call.add_header("X-API-Key", said.split()[-1])
    status, answer = request(call)
    assert (status, len(answer["faces"])) == (200, 1)
    assert request(urllib.request.Request(f"{base}/readyz"))[0] == 200
    with urllib.request.urlopen(f"{base}/metrics") as metrics:
        assert b"vultus_requests_total{" in metrics.read()


@pytest.mark.integration
def test_the_gateway_image_writes_only_where_it_may(gateway: tuple[Running, str], gateway_image: Image) -> None:
    written = {path for path in files_of(gateway_image.root) if path.startswith(("tmp/", "var/"))}
    assert any(path.startswith("tmp/vultus-metrics/") for path in written)
    assert "var/lib/vultus/keys.sqlite" in written
    dropped = WITHOUT_RIGHTS if os.geteuid() == 0 else ()
    code = f"open({str(gateway_image.root / 'opt' / 'vultus' / 'x')!r}, 'w')"
    tried = subprocess.run([*dropped, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "PermissionError" in tried.stderr


@pytest.mark.integration
def test_the_gateway_image_gives_memory_back_as_serve_does(gateway_image: Image) -> None:
    assert {name: value for name, value in gateway_image.environment.items() if name.startswith("MALLOC_")} == MALLOC


@pytest.mark.integration
def test_the_gateway_image_holds_no_weights(gateway_image: Image) -> None:
    files = files_of(gateway_image.root / "models")
    assert "face_detector/model.toml" in files
    assert not [path for path in files if path.endswith(".onnx")]


@pytest.mark.integration
def test_the_gateway_image_refuses_strangers_without_keys(gateway_image: Image, tmp_path: Path) -> None:
    none = {"VULTUS_KEYS_URL": f"sqlite:///{tmp_path / 'none.sqlite'}"}
    running = Running(gateway_image.start(environment=none, port=free_port()))
    assert running.process.wait(60) == 1
    running.stop()
    said = "".join(running.lines)
    assert "VULTUS_INSECURE_OPEN" in said
    assert "Traceback" not in said


@pytest.mark.integration
def test_the_drivers_of_databases_for_several_replicas_are_in_the_image(gateway_image: Image) -> None:
    code = """import sqlalchemy, boto3, pillow_heif
from limits.storage import storage_from_string
sqlalchemy.create_engine("postgresql+psycopg://u:p@db/vultus")
storage_from_string("redis://cache:6379")
"""
    python = gateway_image.inside("/opt/vultus/bin/python")
    subprocess.run([python, "-c", code], env=gateway_image.full_environment(), check=True)


# Libraries that python:*-slim has: the C and C++ run times, zlib.
IN_THE_BASE = re.compile(r"lib(c|dl|gcc_s|m|mvec|pthread|resolv|rt|stdc\+\+|z)\.so\.\d+|ld-linux.*|linux-vdso.*|libpython3\.11\.so.*")


@pytest.mark.integration
@pytest.mark.parametrize("name", ["gateway_image", "triton_image"])
def test_the_slim_base_has_every_library(name: str, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(name).root
    libraries = [str(path) for path in root.rglob("*.so*") if path.is_file()]
    assert len(libraries) > 50
    done = subprocess.run(["ldd", *libraries], capture_output=True, text=True, check=False)
    outside = {line.split()[0] for line in done.stdout.splitlines() if "=> /" in line and str(root) not in line}
    assert {library for library in outside if not IN_THE_BASE.fullmatch(library)} == set()


@pytest.mark.integration
def test_nobody_changes_a_running_triton(running_triton: Running, triton_ports: dict[str, int]) -> None:
    client = grpc.InferenceServerClient(f"127.0.0.1:{triton_ports['grpc']}")
    assert client.is_model_ready("face_analysis")
    for forbidden in (
        lambda: client.unload_model("face_beauty"),
        lambda: client.load_model("face_beauty"),
        lambda: client.update_log_settings({"log_verbose_level": 1}),
        lambda: client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}),
        lambda: client.register_system_shared_memory("mine", "/somebody", 16),
    ):
        with pytest.raises(InferenceServerException, match="restricted"):
            forbidden()  # type: ignore[no-untyped-call]
    for path, body in (("logging", None), ("systemsharedmemory/status", None), ("models/face_analysis/infer", b"{}")):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{triton_ports['http']}/v2/{path}", body)
        assert refused.value.code == 403, path
        refused.value.close()
    client.close()


@pytest.mark.integration
def test_triton_writes_nothing(running_triton: Running, triton_image: Image) -> None:
    """Also not the mark of ONNX Runtime's reports to its maker, which are switched off."""
    assert {path for path in files_of(triton_image.root) if path.startswith("tmp/")} == set()


@contextmanager
def triton_of_its_own(image: Image) -> Iterator[tuple[Running, dict[str, int]]]:
    ports = {name: free_port() for name in ("grpc", "http", "metrics")}
    options = [f"--{name}-port={port}" for name, port in ports.items()]
    running = Running(image.start(*options, *(f"--{name}-address=127.0.0.1" for name in ports)))
    try:
        wait_until(lambda: image.healthy(port=ports["metrics"]), running)
        yield running, ports
    finally:
        running.stop()


@pytest.mark.integration
def test_the_probe_sees_what_triton_does_not(triton_image: Image) -> None:
    """The processes of a model are stopped, then killed, and Triton itself says that all is well."""
    program = triton_image.inside("/usr/local/bin/vultus-triton-alive")
    image = grpc.InferInput("IMAGE", [1, 64, 64, 3], "UINT8")
    image.set_data_from_numpy(np.zeros((1, 64, 64, 3), np.uint8))
    with triton_of_its_own(triton_image) as (running, ports), grpc.InferenceServerClient(f"127.0.0.1:{ports['grpc']}") as client:

        def ask() -> None:
            client.async_infer("face_analysis", [image], lambda **_: None, outputs=[grpc.InferRequestedOutput("BEAUTY")])

        def probe() -> tuple[int, str]:
            command = [program, f"http://127.0.0.1:{ports['metrics']}/metrics"]
            done = subprocess.run(command, env=triton_image.full_environment(), capture_output=True, text=True, check=False)
            with urllib.request.urlopen(f"http://127.0.0.1:{ports['http']}/v2/health/ready") as ready:
                assert ready.status == 200
            return done.returncode, done.stderr

        family = psutil.Process(running.process.pid).children(recursive=True)
        hung = [process for process in family if "face_beauty" in " ".join(process.cmdline())]
        assert hung
        for process in hung:
            process.suspend()
        for _ in range(40):
            ask()
        deadline = time.monotonic() + 60
        while (said := probe()) == (0, ""):
            assert time.monotonic() < deadline
        assert said == (1, f"stopped processes of models: {len(hung)}\n")
        hung[0].kill()
        while (said := probe()) != (1, "dead processes of models: 1\n"):
            assert time.monotonic() < deadline, said
        for process in hung[1:]:
            process.resume()


@pytest.mark.integration
def test_triton_stops_when_told(triton_image: Image) -> None:
    with triton_of_its_own(triton_image) as (running, _):
        assert running.stop() == 0
