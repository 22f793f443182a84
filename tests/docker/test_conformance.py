"""The chart without a cluster: the images' own programs, started with the commands and environment that Helm renders, and probed as the
kubelet probes. Ports and absolute paths are those of this machine; CPU and volume limits are not enforced."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace

import psutil
import pytest

from tests.docker.conftest import Running, free_port, wait_until
from tests.docker.image import Image
from tests.docker.manifests import Manifest, container, environment_of, pods
from tests.docker.quantities import amount
from tests.served import request

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif("VULTUS_CONFORMANCE" not in os.environ, reason="takes minutes: VULTUS_CONFORMANCE=1 runs it"),
]
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
START_S = 600.0  # this machine may be slower than a node


@dataclass
class Started:
    """A container of the chart: what was rendered, the image, the process, and the ports in place of those of the chart."""

    rendered: Manifest
    image: Image
    running: Running
    ports: dict[int, int]
    environment: dict[str, str]

    def passes(self, probe: Manifest) -> bool:
        """As the kubelet asks, with the probe's own limit."""
        limit_s = probe.get("timeoutSeconds", 1)
        if "exec" in probe:
            return self.run(*probe["exec"]["command"], f"http://127.0.0.1:{self.ports[8002]}/metrics", timeout_s=limit_s).returncode == 0
        named = {port["name"]: port["containerPort"] for port in self.rendered["ports"]}
        url = f"http://127.0.0.1:{self.ports[named[probe['httpGet']['port']]]}{probe['httpGet']['path']}"
        try:
            with urllib.request.urlopen(url, timeout=limit_s) as answer:
                return bool(200 <= answer.status < 400)
        except (urllib.error.URLError, OSError):
            return False

    def run(self, program: str, *arguments: str, timeout_s: float = START_S) -> subprocess.CompletedProcess[str]:
        """As `kubectl exec`."""
        (path,) = [path for folder in ("usr/local/bin", "opt/vultus/bin") if (path := self.image.root / folder / program).exists()]
        environment = {**self.image.full_environment(), **self.environment}
        return subprocess.run([path, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=timeout_s)

    def memory(self) -> float:
        """Bytes of all its processes, shared pages counted once."""
        first = psutil.Process(self.running.process.pid)
        return sum(process.memory_full_info().pss for process in (first, *first.children(recursive=True)))


def end(started: Started, grace_s: float) -> None:
    """SIGTERM; it must be gone before the kubelet would kill it. (A Triton that cannot unload its models in time ends with status 1.)"""
    sent = time.monotonic()
    started.running.stop()
    assert time.monotonic() - sent < grace_s


def grace_s() -> float:
    """From SIGTERM to SIGKILL."""
    spec = pods("single")["gateway"]["spec"]
    (gateway,) = spec["containers"]
    return float(spec["terminationGracePeriodSeconds"]) - float(gateway["lifecycle"]["preStop"]["exec"]["command"][1])


@pytest.fixture(scope="module")
def triton(triton_image: Image) -> Iterator[Started]:
    one, ports = container("single", "triton"), {number: free_port() for number in (8000, 8001, 8002)}
    names = dict(zip(("http", "grpc", "metrics"), ports.values(), strict=True))
    options = [f"--{name}-port={port}" for name, port in names.items()]
    options += [f"--{name}-address=127.0.0.1" for name in ("http", "metrics")]
    environment = environment_of("single", one)
    started = Started(
        one, triton_image, Running(replace(triton_image, cmd=one["args"]).start(*options, environment=environment)), ports, {}
    )
    wait_until(lambda: started.passes(one["startupProbe"]), started.running, START_S)
    yield started
    end(started, grace_s())


@pytest.fixture(scope="module", params=["single"])
def gateway(request: pytest.FixtureRequest, gateway_image: Image, triton: Started) -> Iterator[Started]:
    """With the environment of the chart, but for addresses and, where there is a Secret, a database of its own."""
    one, port = container(request.param, "gateway"), free_port()
    given = {name: gateway_image.inside(value) for name, value in environment_of(request.param, one).items()}
    assert given["VULTUS_TRITON"].endswith(":8001")
    host = "localhost" if given["VULTUS_TRITON"].startswith("dns:///") else "127.0.0.1"
    target = given["VULTUS_TRITON"].replace("vultus-triton", host).replace(":8001", f":{triton.ports[8001]}")
    environment = {"VULTUS_KEYS_URL": f"sqlite:///{request.param}.sqlite", **given, "VULTUS_TRITON": target}
    running = Running(gateway_image.start(environment=environment, port=port))
    started = Started(one, gateway_image, running, {8080: port}, environment)
    wait_until(lambda: started.passes(one["startupProbe"]), running, START_S)
    yield started
    end(started, grace_s())


def await_passing(started: Started, probe: Manifest) -> None:
    wait_until(lambda: started.passes(probe), started.running, 60)


def test_every_probe_of_triton_passes(triton: Started) -> None:
    assert [probe for probe in PROBES if probe in triton.rendered] == ["startupProbe", "livenessProbe"]
    for probe in ("startupProbe", "livenessProbe"):
        await_passing(triton, triton.rendered[probe])


def test_every_probe_of_the_gateway_passes(gateway: Started) -> None:
    for probe in PROBES:
        await_passing(gateway, gateway.rendered[probe])


def test_a_wrong_probe_fails(gateway: Started) -> None:
    assert not gateway.passes({"httpGet": {"path": "/v2/health/ready", "port": "http"}, "timeoutSeconds": 5})


def test_a_key_of_the_pod_is_answered_and_no_key_is_not(gateway: Started, astronaut: bytes) -> None:
    await_passing(gateway, gateway.rendered["readinessProbe"])
    call = urllib.request.Request(
        f"http://127.0.0.1:{gateway.ports[8080]}/v1/analyze", data=astronaut, headers={"Content-Type": "image/jpeg"}
    )
    assert request(call)[0] == 401
    made = gateway.run("vultus", "keys", "create", "vultus", "conformance")
    assert made.returncode == 0, made.stderr
    call.add_header("X-API-Key", made.stdout.split()[-1])
    status, answer = request(call)
    assert (status, len(answer["faces"])) == (200, 1)


def test_memory_at_rest_is_what_is_asked_for(gateway: Started, triton: Started) -> None:
    for started in (gateway, triton):
        assert started.memory() < amount(started.rendered["resources"]["requests"]["memory"]), started.rendered["name"]
