from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from flask import Flask

from gateway.server import gunicorn_config
from gateway.settings import Settings
from tests.docker.conftest import Running
from tests.docker.image import instructions
from tests.docker.manifests import KUBERNETES, OVERLAYS, Manifest, containers, of_kind, pods, rendered
from tests.docker.test_images import GATEWAY, TRITON_CPU, TRITON_GPU
from tests.served import ROOT

# Definitions that no package index has as a schema. Their names and ports are compared below and in test_monitoring.py; their
# structure was checked once against the generated types of the prometheus operator and of KEDA (docker/kubernetes/README.md).
CUSTOM = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
def test_the_schemas_hold(overlay: str, version: str) -> None:
    custom = set()
    for manifest in rendered(overlay):
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            custom.add(manifest["kind"])
    assert custom <= CUSTOM


def test_a_wrong_manifest_is_seen() -> None:
    wrong = json.loads(json.dumps(of_kind("cpu", "Deployment")["gateway"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.30", strict=True)


def named_ports(container: Manifest) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container["ports"]}


def exposed(path: Path) -> set[int]:
    return {int(port) for port in dict(instructions(path))["EXPOSE"].split()}


def image_of(container: Manifest) -> Path:
    return {"vultus-gateway:0.1.0": GATEWAY, "vultus-triton:0.1.0-cpu": TRITON_CPU, "vultus-triton:0.1.0-gpu": TRITON_GPU}[
        container["image"]
    ]


def test_ports_are_those_of_the_images(overlay: str) -> None:
    for _, container in containers(overlay):
        assert set(named_ports(container).values()) <= exposed(image_of(container))
    assert json.loads(dict(instructions(GATEWAY))["CMD"])[:2] == ["--bind", "0.0.0.0:8080"]


def test_probes_ask_ports_and_paths_that_exist(overlay: str, app: Flask) -> None:
    routes = {rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    for _, container in containers(overlay):
        assert {"startupProbe", "livenessProbe"} <= container.keys()
        asked = {probe: container[probe]["httpGet"] for probe in PROBES if "httpGet" in container.get(probe, {})}
        programs = {tuple(container[probe]["exec"]["command"]) for probe in PROBES if "exec" in container.get(probe, {})}
        assert programs == (set() if container["name"] == "gateway" else {("vultus-triton-alive",)})
        assert {get["port"] for get in asked.values()} <= named_ports(container).keys()
        paths = {get["path"] for get in asked.values()}
        assert paths <= (routes if container["name"] == "gateway" else {"/v2/health/ready"})
    assert all("readinessProbe" in pod["spec"]["containers"][0] for pod in pods(overlay).values())


def test_triton_knows_the_options(overlay: str, triton_help: str) -> None:
    given = {option.partition("=")[0] for _, container in containers(overlay) for option in container.get("args", ())}
    assert bool(given) == (overlay == "single")
    assert all(f"{option} " in triton_help for option in given)


@pytest.mark.integration
def test_triton_answers_its_probes(overlay: str, running_triton: Running, triton_ports: dict[str, int]) -> None:
    probes = [c[probe] for _, c in containers(overlay) if c["name"] == "triton" for probe in PROBES if probe in c]
    asked = {probe["httpGet"]["path"] for probe in probes if "httpGet" in probe}
    assert asked
    for path in asked:
        with urllib.request.urlopen(f"http://127.0.0.1:{triton_ports['http']}{path}") as answer:
            assert answer.status == 200


def environment_of(overlay: str, container: Manifest) -> dict[str, str]:
    maps = of_kind(overlay, "ConfigMap")
    given = {item["name"]: item["value"] for item in container.get("env", ())}
    for source in container.get("envFrom", ()):
        if "configMapRef" in source:
            given |= maps[source["configMapRef"]["name"]]["data"]
    return given


def test_settings_exist_and_their_values_are_allowed(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (gateway,) = [container for _, container in containers(overlay) if container["name"] == "gateway"]
    given = environment_of(overlay, gateway)
    names = {name.removeprefix("VULTUS_").lower() for name in given if name.startswith("VULTUS_")}
    assert names <= set(Settings.model_fields)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert Settings().require_keys is True
    assert given.keys() - {"WEB_CONCURRENCY"} == {f"VULTUS_{name.upper()}" for name in names}


def test_the_gateway_finds_triton_by_its_service(overlay: str) -> None:
    (gateway,) = [container for _, container in containers(overlay) if container["name"] == "gateway"]
    address = environment_of(overlay, gateway)["VULTUS_TRITON"]
    services = of_kind(overlay, "Service")
    if overlay == "single":
        assert address == "127.0.0.1:8001"
        assert "triton" not in services
    else:
        found = re.fullmatch(r"dns:///(\w+):(\d+)", address)
        assert found
        spec = services[found[1]]["spec"]
        assert spec["clusterIP"] == "None"
        assert int(found[2]) in {port["port"] for port in spec["ports"]}


def selected(selector: dict[str, str], pod: Manifest) -> bool:
    labels: dict[str, str] = pod["metadata"]["labels"]
    return selector.items() <= labels.items()


def test_everything_selects_pods_that_exist(overlay: str) -> None:
    for service in of_kind(overlay, "Service").values():
        (pod,) = [pod for pod in pods(overlay).values() if selected(service["spec"]["selector"], pod)]
        ports = {name for container in pod["spec"]["containers"] for name in named_ports(container)}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for budget in of_kind(overlay, "PodDisruptionBudget").values():
        assert [pod for pod in pods(overlay).values() if selected(budget["spec"]["selector"]["matchLabels"], pod)]
    for name, deployment in of_kind(overlay, "Deployment").items():
        template = deployment["spec"]["template"]
        assert selected(deployment["spec"]["selector"]["matchLabels"], template), name
        for spread in template["spec"]["topologySpreadConstraints"]:
            assert selected(spread["labelSelector"]["matchLabels"], template), name
    for monitor in of_kind(overlay, "ServiceMonitor").values():
        wanted = monitor["spec"]["selector"]["matchLabels"]
        (service,) = [s for s in of_kind(overlay, "Service").values() if wanted.items() <= s["metadata"]["labels"].items()]
        assert {end["port"] for end in monitor["spec"]["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}
        assert {end["path"] for end in monitor["spec"]["endpoints"]} == {"/metrics"}


def test_only_the_gateway_and_named_clients_reach_triton(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    assert policies["nobody"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if overlay == "single":
        assert "triton" not in policies
        (sidecar,) = [container for _, container in containers(overlay) if container["name"] == "triton"]
        assert "--grpc-address=127.0.0.1" in sidecar["args"]
        return
    (grpc, metrics) = policies["triton"]["spec"]["ingress"]
    (gateway, clients) = grpc["from"]
    assert gateway == {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "gateway"}}}
    assert clients.keys() == {"podSelector", "namespaceSelector"}, "both: a label that any namespace can give itself is not enough"
    assert [port["port"] for port in grpc["ports"]] == [8001]
    assert [port["port"] for port in metrics["ports"]] == [8002]
    assert policies["triton"]["spec"].get("egress", []) == []
    assert "Egress" in policies["triton"]["spec"]["policyTypes"]


def test_nobody_has_more_rights_than_needed(overlay: str) -> None:
    for pod, container in containers(overlay):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        context = pod["spec"]["securityContext"]
        assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
        assert pod["spec"]["automountServiceAccountToken"] is False
        uid = dict(instructions(image_of(container)))["USER"].split(":")[0]
        assert context["runAsUser"] == int(uid)
        assert "memory" in container["resources"]["limits"]
    (space,) = of_kind(overlay, "Namespace").values()
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert of_kind(overlay, "Secret") == {}, "no secret lies in these files"


def test_volumes_are_there_and_every_written_place_is_one(overlay: str) -> None:
    for pod, container in containers(overlay):
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert set(mounts.values()) <= {volume["name"] for volume in pod["spec"]["volumes"]}
        assert "/tmp" in mounts  # noqa: S108
        if container["name"] == "gateway":
            assert "/var/lib/vultus" in mounts
        elif container["image"].endswith("-cpu"):
            (shared,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == mounts["/dev/shm"]]  # noqa: S108
            assert shared["emptyDir"]["medium"] == "Memory"


def test_there_is_time_to_finish(overlay: str) -> None:
    exit_s = int(re.findall(r"--exit-timeout-secs=(\d+)", (ROOT / "docker" / "triton" / "start").read_text())[0])
    for name, pod in pods(overlay).items():
        pause_s = int(pod["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
        finish_s = gunicorn_config.graceful_timeout if name == "gateway" else exit_s
        assert pod["spec"]["terminationGracePeriodSeconds"] >= pause_s + finish_s + 5


def test_a_gpu_has_time_to_warm_up(overlay: str) -> None:
    for pod, container in containers(overlay):
        if container["name"] == "triton":
            probe = container["startupProbe"]
            on_gpu = overlay.startswith("gpu")
            assert probe["periodSeconds"] * probe["failureThreshold"] >= (600 if on_gpu else 60)
            limits = container["resources"]["limits"]
            assert [name for name in limits if name.startswith("nvidia.com/")] == (
                ["nvidia.com/mig-1g.10gb"] if overlay == "gpu-mig" else ["nvidia.com/gpu"] if on_gpu else []
            )
            assert bool(pod["spec"].get("tolerations")) == bool(pod["spec"].get("nodeSelector")) == on_gpu


def test_autoscalers(overlay: str) -> None:
    deployments = of_kind(overlay, "Deployment")
    kind = {"gpu": "HorizontalPodAutoscaler", "gpu-mig": "HorizontalPodAutoscaler", "gpu-keda": "ScaledObject"}.get(overlay)
    for other in {"HorizontalPodAutoscaler", "ScaledObject"} - {kind}:
        assert of_kind(overlay, other) == {}
    scaled = of_kind(overlay, kind) if kind else {}
    assert {scaler["spec"]["scaleTargetRef"]["name"] for scaler in scaled.values()} == (set(deployments) if kind else set())
    assert all(("replicas" in deployment["spec"]) == (kind is None) for deployment in deployments.values())


def test_a_gateway_is_scaled_before_it_is_full(overlay: str) -> None:
    (gateway,) = [container for _, container in containers(overlay) if container["name"] == "gateway"]
    places = int(environment_of(overlay, gateway)["WEB_CONCURRENCY"]) * gunicorn_config.threads
    thresholds: list[Any] = [h["spec"]["metrics"][0]["pods"]["target"]["averageValue"] for n, h in
                             of_kind(overlay, "HorizontalPodAutoscaler").items() if n == "gateway"]  # fmt: skip
    thresholds += [s["spec"]["triggers"][0]["metadata"]["threshold"] for n, s in of_kind(overlay, "ScaledObject").items() if n == "gateway"]
    assert len(thresholds) == (1 if overlay.startswith("gpu") else 0)
    assert all(int(threshold) < places / 2 for threshold in thresholds)


def test_every_file_belongs_to_an_overlay() -> None:
    """Nothing is left lying about: each file is named by a kustomization."""
    texts = "".join(path.read_text() for path in KUBERNETES.rglob("kustomization.yaml"))
    files = [path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"]
    assert all(path.name in texts for path in files)
