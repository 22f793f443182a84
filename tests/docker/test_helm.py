"""The chart's manifests, and every number in them tied to the setting that it must fit."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import pytest
from flask import Flask

from gateway.inference.triton import CHANNEL_OPTIONS
from gateway.server import gunicorn_config
from gateway.settings import Settings
from scripts.embedded_triton import alive
from scripts.faults import rollout
from tests.docker.conftest import Running
from tests.docker.image import instructions
from tests.docker.manifests import SETS, Manifest, container, containers, environment_of, of_kind, pods
from tests.docker.quantities import amount
from tests.docker.test_images import GATEWAY, TRITON_CPU, TRITON_GPU
from tests.served import ROOT

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
START = (ROOT / "docker" / "triton" / "start").read_text()
RESOLVES_EVERY_MS = int(str(dict(CHANNEL_OPTIONS)["grpc.dns_min_time_between_resolutions_ms"]))
SCALER = {"gpu": "HorizontalPodAutoscaler", "gpu-mig": "HorizontalPodAutoscaler", "gpu-keda": "ScaledObject"}


@pytest.fixture(params=SETS)
def values(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def on_gpu(values: str) -> bool:
    return values.startswith("gpu")


def named_ports(one: Manifest) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in one["ports"]}


def image_of(one: Manifest) -> Path:
    known = {"vultus-gateway:0.1.0": GATEWAY, "vultus-triton:0.1.0-cpu": TRITON_CPU, "vultus-triton:0.1.0-gpu": TRITON_GPU}
    return known[one["image"].rpartition("/")[2]]


def test_ports_are_those_of_the_images(values: str) -> None:
    for _, one in containers(values):
        exposed = {int(port) for port in dict(instructions(image_of(one)))["EXPOSE"].split()}
        assert set(named_ports(one).values()) <= exposed
    assert json.loads(dict(instructions(GATEWAY))["CMD"])[:2] == ["--bind", "0.0.0.0:8080"]


def test_probes_ask_ports_and_paths_that_exist(values: str, app: Flask) -> None:
    routes = {rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    for _, one in containers(values):
        assert {"startupProbe", "livenessProbe"} <= one.keys()
        asked = {probe: one[probe]["httpGet"] for probe in PROBES if "httpGet" in one.get(probe, {})}
        programs = {tuple(one[probe]["exec"]["command"]) for probe in PROBES if "exec" in one.get(probe, {})}
        assert programs == (set() if one["name"] == "gateway" else {("vultus-triton-alive",)})
        assert {get["port"] for get in asked.values()} <= named_ports(one).keys()
        assert {get["path"] for get in asked.values()} <= (routes if one["name"] == "gateway" else {"/v2/health/ready"})
    assert all("readinessProbe" in pod["spec"]["containers"][0] for pod in pods(values).values())


def test_the_liveness_probe_of_triton_has_time_for_one_look(values: str) -> None:
    probe = container(values, "triton")["livenessProbe"]
    assert probe["timeoutSeconds"] > alive.TIMEOUT_S
    assert probe["failureThreshold"] >= 3, "one slow look ends nothing"


def test_triton_is_started_as_its_image_starts_it(values: str, triton_help: str) -> None:
    """`args` takes the place of CMD, so it must repeat it."""
    one = container(values, "triton")
    command = json.loads(dict(instructions(image_of(one)))["CMD"])
    assert one["args"][: len(command)] == command
    assert all(f"{option.partition('=')[0]} " in triton_help for option in one["args"])


@pytest.mark.integration
def test_triton_answers_its_probes(values: str, running_triton: Running, triton_ports: dict[str, int]) -> None:
    one = container(values, "triton")
    paths = {one[probe]["httpGet"]["path"] for probe in PROBES if "httpGet" in one.get(probe, {})}
    assert paths
    for path in paths:
        with urllib.request.urlopen(f"http://127.0.0.1:{triton_ports['http']}{path}") as answer:
            assert answer.status == 200


def settings_of(values: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    given = environment_of(values, container(values, "gateway"))
    for name, value in given.items():
        # Files of a Secret are not here.
        monkeypatch.setenv(name, __file__ if value.startswith("/certificates/") else value)
    return Settings()


def test_settings_exist_and_their_values_are_allowed(values: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = environment_of(values, container(values, "gateway"))
    names = {name.removeprefix("VULTUS_").lower() for name in given if name.startswith("VULTUS_")}
    assert names <= set(Settings.model_fields)
    assert given.keys() - {"WEB_CONCURRENCY", "REDIS_PASSWORD"} == {f"VULTUS_{name.upper()}" for name in names}
    assert settings_of(values, monkeypatch).require_keys is True


def test_the_gateway_finds_triton_by_its_service(values: str) -> None:
    address = environment_of(values, container(values, "gateway"))["VULTUS_TRITON"]
    services = of_kind(values, "Service")
    if values == "single":
        assert address == "127.0.0.1:8001"
        assert "triton" not in services
        assert "--grpc-address=127.0.0.1" in container(values, "triton")["args"]
    else:
        found = re.fullmatch(r"dns:///vultus-(\w+):(\d+)", address)
        assert found
        spec = services[found[1]]["spec"]
        assert spec["clusterIP"] == "None"
        assert int(found[2]) in {port["port"] for port in spec["ports"]}


def selected(selector: dict[str, str], labelled: Manifest) -> bool:
    labels: dict[str, str] = labelled["metadata"]["labels"]
    return selector.items() <= labels.items()


def test_services_and_monitors_select_what_exists(values: str) -> None:
    for service in of_kind(values, "Service").values():
        (pod,) = [pod for pod in pods(values).values() if selected(service["spec"]["selector"], pod)]
        every = (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ()))
        known = {key for one in every for pair in named_ports(one).items() for key in pair}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= known
    for monitor in of_kind(values, "ServiceMonitor").values():
        (service,) = [s for s in of_kind(values, "Service").values() if selected(monitor["spec"]["selector"]["matchLabels"], s)]
        assert {end["port"] for end in monitor["spec"]["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}
        assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] in ("gateway", "triton")


def test_deployments_and_budgets_select_pods_that_exist(values: str) -> None:
    for budget in of_kind(values, "PodDisruptionBudget").values():
        assert [pod for pod in pods(values).values() if selected(budget["spec"]["selector"]["matchLabels"], pod)]
    for name, deployment in of_kind(values, "Deployment").items():
        template = deployment["spec"]["template"]
        assert selected(deployment["spec"]["selector"]["matchLabels"], template), name
        for spread in template["spec"]["topologySpreadConstraints"]:
            assert selected(spread["labelSelector"]["matchLabels"], template), name


def test_nobody_has_more_rights_than_needed(values: str) -> None:
    for pod, one in containers(values):
        uid = int(dict(instructions(image_of(one)))["USER"].split(":")[0])
        assert one["securityContext"] == {
            "runAsUser": uid, "runAsGroup": uid,
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        context = pod["spec"]["securityContext"]
        assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False
        assert {"memory", "ephemeral-storage"} <= one["resources"]["limits"].keys() & one["resources"]["requests"].keys()
    assert of_kind(values, "Secret") == {}, "no secret lies in these files"
    for space in of_kind(values, "Namespace").values():
        assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_volumes_are_there_and_every_written_place_is_one(values: str) -> None:
    for pod, one in containers(values):
        mounts = {mount["mountPath"]: mount["name"] for mount in one["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        assert set(mounts.values()) <= volumes.keys()
        assert "/tmp" in mounts  # noqa: S108
        if one["name"] == "gateway":
            assert "/var/lib/vultus" in mounts
        elif one["image"].endswith("-cpu"):
            shared = volumes[mounts["/dev/shm"]]["emptyDir"]  # noqa: S108
            assert shared["medium"] == "Memory"
            assert amount(shared["sizeLimit"]) < amount(one["resources"]["limits"]["memory"]), "it counts against the memory"


def test_memory_is_enough_for_the_worst_pictures(values: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = container(values, "gateway")
    settings = settings_of(values, monkeypatch)
    processes = int(environment_of(values, one)["WEB_CONCURRENCY"])
    decoders = processes * settings.decode_processes * settings.decode_memory_bytes
    assert amount(one["resources"]["limits"]["memory"]) >= decoders + processes * 2**29


def test_ephemeral_storage_holds_what_the_volumes_may(values: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume that is full evicts the pod, and so does the sum of them: both limits must agree with the settings."""
    for pod, one in containers(values):
        mounted = {mount["name"] for mount in one["volumeMounts"]}
        disk = [v["emptyDir"] for v in pod["spec"]["volumes"] if v["name"] in mounted and "emptyDir" in v and "medium" not in v["emptyDir"]]
        assert sum(amount(volume["sizeLimit"]) for volume in disk) <= amount(one["resources"]["limits"]["ephemeral-storage"])
        for volume in pod["spec"]["volumes"]:
            if volume["name"] == "state" and "emptyDir" in volume:
                assert settings_of(values, monkeypatch).pictures_max_bytes < amount(volume["emptyDir"]["sizeLimit"])


def test_there_is_time_to_finish(values: str) -> None:
    exit_s = int(re.findall(r"--exit-timeout-secs=(\d+)", START)[0])
    for name, pod in pods(values).items():
        pause_s = int(pod["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
        finish_s = gunicorn_config.graceful_timeout if name == "gateway" else exit_s
        assert pod["spec"]["terminationGracePeriodSeconds"] >= pause_s + finish_s + 5


def test_requests_of_each_tier_are_finished_before_it_ends(monkeypatch: pytest.MonkeyPatch, values: str) -> None:
    exit_s = int(re.findall(r"--exit-timeout-secs=(\d+)", START)[0])
    assert min(exit_s, gunicorn_config.graceful_timeout) > settings_of(values, monkeypatch).deadline_s


def test_a_gpu_has_time_to_warm_up(values: str) -> None:
    probe = container(values, "triton")["startupProbe"]
    image = TRITON_GPU if on_gpu(values) else TRITON_CPU
    given = int(re.findall(r"--start-period=(\d+)s", dict(instructions(image))["HEALTHCHECK"])[0])
    assert probe["periodSeconds"] * probe["failureThreshold"] >= given
    limits = container(values, "triton")["resources"]["limits"]
    assert [name for name in limits if name.startswith("nvidia.com/")] == (
        ["nvidia.com/mig-1g.10gb"] if values == "gpu-mig" else ["nvidia.com/gpu"] if on_gpu(values) else []
    )
    (pod,) = [pod for pod, one in containers(values) if one["name"] == "triton"]
    assert bool(pod["spec"].get("tolerations")) == bool(pod["spec"].get("nodeSelector")) == on_gpu(values)


def test_autoscalers(values: str) -> None:
    deployments = of_kind(values, "Deployment")
    kind = SCALER.get(values)
    for other in {"HorizontalPodAutoscaler", "ScaledObject"} - {kind}:
        assert of_kind(values, other) == {}
    scaled = of_kind(values, kind) if kind else {}
    assert {s["spec"]["scaleTargetRef"]["name"] for s in scaled.values()} == ({f"vultus-{d}" for d in deployments} if kind else set())
    assert all(("replicas" in deployment["spec"]) == (kind is None) for deployment in deployments.values())


@pytest.mark.parametrize("values", SCALER)
def test_a_gateway_is_scaled_before_it_is_full(values: str, monkeypatch: pytest.MonkeyPatch) -> None:
    places = int(environment_of(values, container(values, "gateway"))["WEB_CONCURRENCY"]) * settings_of(values, monkeypatch).max_in_flight
    spec = of_kind(values, SCALER[values])["gateway"]["spec"]
    by_hpa = "metrics" in spec
    threshold = spec["metrics"][0]["pods"]["target"]["averageValue"] if by_hpa else spec["triggers"][0]["metadata"]["threshold"]
    assert int(threshold) < places / 2


def test_a_rollout_is_not_given_up_while_a_pod_starts(values: str) -> None:
    for name, deployment in of_kind(values, "Deployment").items():
        if name == "triton":
            probe = container(values, "triton")["startupProbe"]
            assert deployment["spec"]["progressDeadlineSeconds"] >= probe["periodSeconds"] * probe["failureThreshold"] + 120


def test_no_rollout_and_no_drain_takes_the_last_pod(values: str) -> None:
    for name, deployment in of_kind(values, "Deployment").items():
        spec = deployment["spec"]
        if values == "single":
            assert spec["strategy"] == {"type": "Recreate"}
            assert of_kind(values, "PodDisruptionBudget") == {}
            continue
        scaled = of_kind(values, SCALER[values])[name]["spec"] if values in SCALER else {}
        least = spec.get("replicas") or scaled.get("minReplicas") or scaled["minReplicaCount"]
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert of_kind(values, "PodDisruptionBudget")[name]["spec"]["maxUnavailable"] < least


def test_new_tritons_get_work_in_time() -> None:
    """A client looks the name up when a connection ends (gRPC spreads these ends by 10 %); CoreDNS keeps names for 5 s."""
    age_s, grace_s = (int(ms) / 1e3 for ms in re.findall(r"--grpc-max-connection-age(?:-grace)?=(\d+)", START))
    assert 1.1 * age_s + rollout.TTL_S <= rollout.BUSY_WITHIN_S
    assert age_s * 1e3 >= RESOLVES_EVERY_MS, "a client looks a name up no more often"
    assert grace_s > Settings().deadline_s, "calls under way are finished"
