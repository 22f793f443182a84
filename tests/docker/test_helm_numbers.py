"""Every number of docker/helm/vultus/values.yaml, with what it must fit: a setting, an image, another value or a measurement."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
import yaml

from gateway.server import gunicorn_config
from gateway.settings import Settings
from scripts.embedded_triton import alive, pools
from scripts.faults import rollout
from tests.docker.expressions import MONITORING
from tests.docker.image import instructions
from tests.docker.manifests import CHART, container
from tests.docker.quantities import amount
from tests.docker.test_images import GATEWAY, TRITON_CPU, TRITON_GPU
from tests.served import ROOT

DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
PAGE = (ROOT / "docker" / "helm" / "README.md").read_text()
NUMBER = re.compile(r"(\d+(?:\.\d+)?)(m|Ki|Mi|Gi|Ti|s|h)?")
# What the kubelet keeps of a container's log by default (containerLogMaxSize 10Mi, containerLogMaxFiles 5): it counts as ephemeral storage.
LOGS = 50 * 2**20
HPA_DOWN_S = 300  # Kubernetes' own default
GPU_ESTIMATE = "No GPU was measured: these are estimates."
SETTINGS = Settings()
Check: TypeAlias = Callable[[float], bool]


def leaves(values: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and text of every number, with or without a unit."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(values, list):
        for value in values:
            yield from leaves(value, f"{path}[]")
    elif not isinstance(values, bool) and NUMBER.fullmatch(str(values)):
        yield path, str(values)


NUMBERS = dict(leaves(DEFAULTS))


def of(path: str) -> float:
    """A number of the chart: bytes, cores, seconds or pieces."""
    text = NUMBERS[path]
    return float(text[:-1]) * {"s": 1, "h": 3600}[text[-1]] if text[-1] in "sh" else amount(text)


def from_image(dockerfile: Any, instruction: str, pattern: str) -> float:
    (found,) = re.findall(pattern, " ".join(value for name, value in instructions(dockerfile) if name == instruction))
    return float(found)


def start_s(dockerfile: Any) -> float:
    return from_image(dockerfile, "HEALTHCHECK", r"--start-period=(\d+)s")


def user(dockerfile: Any) -> float:
    return from_image(dockerfile, "USER", r"^(\d+):")


def sized(option: str) -> float:
    """What the table of one pod in the README was simulated with."""
    return float(re.findall(rf"scripts\.capacity .*--{option} (\d+)", PAGE)[0])


def alert(name: str) -> float:
    rules = [rule for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
    (threshold,) = [re.findall(r"> ([\d.]+)$", rule["expr"])[0] for rule in rules if rule["alert"] == name]
    return float(threshold)


@dataclass(frozen=True)
class Tie:
    """Paths, what each must be, and why."""

    paths: str
    why: str
    right: Check


EXIT_S = float(re.findall(r"--exit-timeout-secs=(\d+)", (ROOT / "docker" / "triton" / "start").read_text())[0])
COMPOSE = (ROOT / "docker" / "compose.yaml").read_text()
OPERATING = (ROOT / "docker" / "operating.md").read_text()
WINDOWS_MIN = re.findall(r"\[(\d+)m\]", "".join((MONITORING / name).read_text() for name in ("adapter.yaml", "alerts.yaml")))
TRACES = Settings.model_fields["trace_endpoint"].description or ""
DECODERS = of("gateway.processes") * SETTINGS.decode_processes * SETTINGS.decode_memory_bytes
CUDA_CACHE = float(DEFAULTS["triton"]["gpu"]["env"]["CUDA_CACHE_MAXSIZE"])
TIES = [
    Tie("gateway.replicas", "the autoscaler's least", lambda n: n == of("autoscaling.gateway.minReplicas") >= 2),
    Tie("triton.replicas", "the autoscaler's least", lambda n: n == of("autoscaling.triton.minReplicas") >= 2),
    Tie("gateway.processes", "of the image", lambda n: n == from_image(GATEWAY, "ENV", r"WEB_CONCURRENCY=(\d+)")),
    Tie("gateway.maxBodyBytes", "the setting", lambda n: n == SETTINGS.max_body_bytes),
    Tie("gateway.resources.requests.cpu", "the capacity table", lambda n: n == sized("cores")),
    Tie("triton.cpu.resources.requests.cpu", "the capacity table", lambda n: n == sized("servers")),
    Tie("gateway.resources.requests.memory", "memory at rest: test_conformance.py", lambda n: n < of("gateway.resources.limits.memory")),
    Tie(
        "triton.cpu.resources.requests.memory",
        "memory at rest: test_conformance.py",
        lambda n: n < of("triton.cpu.resources.limits.memory"),
    ),
    Tie(
        "gateway.resources.limits.memory",
        "the worst pictures, and /tmp",
        lambda n: n >= DECODERS + of("gateway.processes") * 2**29 + of("gateway.tmpSize"),
    ),
    Tie(
        "triton.cpu.resources.limits.memory",
        "what is asked for, with /dev/shm full",
        lambda n: n >= of("triton.cpu.resources.requests.memory") + of("triton.cpu.sharedMemorySize"),
    ),
    Tie(
        " ".join(f"{tier}.resources.requests.ephemeral-storage" for tier in ("gateway", "triton.cpu", "triton.gpu")),
        "the logs",
        lambda n: n >= LOGS,
    ),
    Tie("gateway.resources.limits.ephemeral-storage", "pictures and logs", lambda n: n >= of("gateway.stateSize") + LOGS),
    Tie("triton.cpu.resources.limits.ephemeral-storage", "temporary files and logs", lambda n: n >= of("triton.cpu.tmpSize") + LOGS),
    Tie("triton.gpu.resources.limits.ephemeral-storage", "temporary files and logs", lambda n: n >= of("triton.gpu.tmpSize") + LOGS),
    Tie("gateway.tmpSize triton.cpu.tmpSize", "as on one machine (compose.yaml)", lambda n: f":size={n / 2**20:.0f}m," in COMPOSE),
    Tie("triton.gpu.tmpSize", "the compiled kernels", lambda n: n >= 2 * CUDA_CACHE),
    Tie("gateway.stateSize", "the drawn pictures", lambda n: n > SETTINGS.pictures_max_bytes),
    Tie("persistence.size", "the drawn pictures, and as much for the keys", lambda n: n > 2 * SETTINGS.pictures_max_bytes),
    Tie("triton.cpu.sharedMemorySize", "the models' pools", lambda n: n >= pools.LEAST_BYTES),
    Tie("gateway.endpoints.port", "of the image", lambda n: n == from_image(GATEWAY, "EXPOSE", r"^(\d+)$")),
    Tie("gateway.startup.seconds", "the image's", lambda n: n >= start_s(GATEWAY)),
    Tie("gateway.startup.periodSeconds", "divides the time to start", lambda n: of("gateway.startup.seconds") % n == 0),
    Tie("triton.cpu.startSeconds", "the image's", lambda n: n >= start_s(TRITON_CPU)),
    Tie("triton.gpu.startSeconds", "the image's", lambda n: n >= start_s(TRITON_GPU)),
    Tie("gateway.ending.pauseSeconds", "longer than it says that it stops", lambda n: n > SETTINGS.drain_notice_s),
    Tie("triton.ending.pauseSeconds", "as simulated; names are kept so long", lambda n: n == rollout.PAUSE_S >= rollout.TTL_S),
    Tie("gateway.ending.finishSeconds", "gunicorn's", lambda n: n == gunicorn_config.graceful_timeout > SETTINGS.deadline_s),
    Tie("triton.ending.finishSeconds", "Triton's", lambda n: n == EXIT_S > SETTINGS.deadline_s),
    Tie("gateway.ending.marginSeconds", "the notice, and an exit", lambda n: n >= SETTINGS.drain_notice_s + 5),
    Tie("triton.ending.marginSeconds", "as simulated", lambda n: n + of("triton.ending.finishSeconds") == rollout.END_S),
    Tie("gateway.strategy.maxUnavailable triton.strategy.maxUnavailable", "as simulated: the new one first", lambda n: n == 0),
    Tie("gateway.strategy.maxSurge triton.strategy.maxSurge", "as simulated: one by one", lambda n: n == 1),
    Tie("gateway.disruption.maxUnavailable", "one stays", lambda n: 0 < n < of("gateway.replicas")),
    Tie("triton.disruption.maxUnavailable", "one stays", lambda n: 0 < n < of("triton.replicas")),
    Tie("triton.cpu.user", "the image's", lambda n: n == user(TRITON_CPU)),
    Tie("triton.gpu.user", "the image's", lambda n: n == user(TRITON_GPU)),
    Tie("triton.gpu.env.CUDA_CACHE_MAXSIZE", "as on one machine (compose.yaml)", lambda n: f'CUDA_CACHE_MAXSIZE: "{n:.0f}"' in COMPOSE),
    Tie("triton.gpu.count", "as on one machine (compose.yaml)", lambda n: f"driver: nvidia, count: {n:.0f}," in COMPOSE),
    Tie(
        " ".join(f"triton.gpu.resources.{what}" for what in ("requests.cpu", "requests.memory", "limits.memory")),
        "said to be estimates",
        lambda n: GPU_ESTIMATE in PAGE,
    ),
    Tie("autoscaling.gateway.minReplicas", "a rollout and a drain leave one", lambda n: n - of("gateway.disruption.maxUnavailable") >= 1),
    Tie("autoscaling.triton.minReplicas", "a rollout and a drain leave one", lambda n: n - of("triton.disruption.maxUnavailable") >= 1),
    Tie("autoscaling.gateway.maxReplicas", "room to grow", lambda n: n > 2 * of("autoscaling.gateway.minReplicas")),
    Tie("autoscaling.triton.maxReplicas", "room to grow", lambda n: n > 2 * of("autoscaling.triton.minReplicas")),
    Tie("autoscaling.gateway.inFlight", "half of the places", lambda n: n < of("gateway.processes") * SETTINGS.max_in_flight / 2),
    Tie(
        "autoscaling.gateway.refusedPercent autoscaling.triton.refusedPercent",
        "no later than the alert",
        lambda n: n <= 100 * alert("VultusRefusing"),
    ),
    Tie("autoscaling.triton.queueMs", "long before the alert", lambda n: n <= alert("VultusTritonQueueLong") / 10),
    Tie(
        "autoscaling.gateway.downSeconds",
        "not sooner than Kubernetes, nor than a start",
        lambda n: n >= max(HPA_DOWN_S, of("gateway.startup.seconds")),
    ),
    Tie("autoscaling.triton.downSeconds", "none goes sooner than another is there", lambda n: n >= of("triton.gpu.startSeconds")),
    Tie("autoscaling.triton.upSeconds", "two looks", lambda n: n == 2 * of("monitoring.interval")),
    Tie("monitoring.interval", "four looks in the shortest window", lambda n: n * 4 <= 60 * min(map(int, WINDOWS_MIN))),
    Tie("gatewayApi.timeout", "an upload and an analysis", lambda n: n > SETTINGS.upload_s + SETTINGS.deadline_s),
    Tie("secrets.external.refreshInterval", "as the page says", lambda n: f"looks at the store every {n / 3600:.0f} h" in OPERATING),
    Tie("postgresql.port", "libpq's", lambda n: n == 5432),
    Tie("redis.port", "Redis' own", lambda n: n == 6379),
    Tie("redis.database", "Redis' own", lambda n: n == 0),
    Tie("traces.port", "of OTLP over HTTP, as the setting's example", lambda n: f":{n:.0f}/v1/traces" in TRACES),
    Tie("pictures.port", "HTTPS", lambda n: n == 443),
    Tie("service.port", "HTTP: kubectl port-forward of the page", lambda n: f"svc/vultus-gateway 8080:{n:.0f}`" in PAGE),
]
BY_PATH = {path: tie for tie in TIES for path in tie.paths.split()}


def test_every_number_has_its_reason() -> None:
    assert set(NUMBERS) == set(BY_PATH)
    assert len(BY_PATH) == sum(len(tie.paths.split()) for tie in TIES), "one reason each"


@pytest.mark.parametrize("path", BY_PATH)
def test_the_number_fits(path: str) -> None:
    assert BY_PATH[path].right(of(path)), f"{path} = {NUMBERS[path]}: {BY_PATH[path].why}"


@pytest.mark.parametrize("path", sorted(set(BY_PATH) - {p for p in BY_PATH if "estimates" in BY_PATH[p].why}))
def test_a_wrong_number_is_seen(path: str) -> None:
    """Far too small or far too large: one of both breaks what the number is tied to."""
    right = BY_PATH[path].right
    assert not (right(of(path) * 1e-3 - 1) and right(of(path) * 1e3 + 1))


def test_probes_wait_longer_than_what_they_ask_takes() -> None:
    gateway, triton = container("cpu", "gateway"), container("cpu", "triton")
    assert triton["livenessProbe"]["timeoutSeconds"] > 2 * alive.TIMEOUT_S + alive.LOOKS_APART_S
    assert gateway["startupProbe"]["periodSeconds"] * gateway["startupProbe"]["failureThreshold"] == of("gateway.startup.seconds")
    for one in (gateway, triton):
        assert one["livenessProbe"]["failureThreshold"] >= 3, "one slow answer ends nothing"
        readiness = one["readinessProbe"]
        assert readiness["timeoutSeconds"] <= readiness["periodSeconds"], "looks do not overlap"
        assert readiness["periodSeconds"] * readiness["failureThreshold"] <= rollout.BUSY_WITHIN_S, "callers are turned away in time"
