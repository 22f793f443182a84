"""The chart itself: what Helm, the schemas of Kubernetes and of its extensions, and the chart's own schema say; who reaches whom."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from flask import Flask

from gateway.settings import Settings
from scripts import helm
from tests.docker.manifests import CHART, SETS, VALUES, Manifest, container, files_of, of_kind, pods, rendered, run_helm, template
from tests.docker.test_images import _version
from tests.served import ROOT

VERSIONS = ("1.30", "1.31", "1.32", "1.33", "1.34", kubernetes_validate.latest_version())
# Of extensions of Kubernetes, which kubernetes_validate does not know.
CRDS = ROOT / "tests" / "docker" / "crds"
EXTENSIONS = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "ExternalSecret", "Gateway", "HTTPRoute"}
DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


@pytest.mark.parametrize("values", SETS)
def test_helm_finds_nothing(values: str) -> None:
    done = run_helm("lint", "--strict", str(CHART), *files_of(values))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(autouse=True, scope="module")
def schemas_read_once() -> Iterator[None]:
    """The package parses megabytes of definitions for every manifest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", functools.cache(kubernetes_validate.utils.schema_contents))
        yield


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_hold(version: str) -> None:
    others = set()
    different = {json.dumps(manifest): manifest for values in SETS for manifest in rendered(values)}
    for manifest in different.values():
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            others.add(manifest["kind"])
    assert others == EXTENSIONS


def test_a_wrong_manifest_is_seen() -> None:
    wrong = json.loads(json.dumps(of_kind("cpu", "Deployment")["gateway"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.30", strict=True)


def closed(schema: Any) -> Any:
    """The schema, with unknown fields refused as `kubectl apply` (strict) refuses them."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    known = {key: closed(part) for key, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        known.setdefault("additionalProperties", False)
    return known


def check_extension(manifest: Manifest) -> None:
    """Raises ValidationError, and FileNotFoundError for a version of a kind that has no schema here."""
    version = manifest["apiVersion"].partition("/")[2]
    schema = json.loads((CRDS / f"{manifest['kind'].lower()}_{version}.json").read_text())
    jsonschema.Draft7Validator(closed(schema)).validate(manifest)


@pytest.mark.parametrize("values", SETS)
def test_the_schemas_of_extensions_hold(values: str) -> None:
    for manifest in rendered(values):
        if manifest["kind"] in EXTENSIONS:
            check_extension(manifest)


@pytest.mark.parametrize(("values", "kind"), [("gpu", "ServiceMonitor"), ("gpu-keda", "ScaledObject"), ("cloud", "HTTPRoute")])
def test_a_wrong_extension_is_seen(values: str, kind: str) -> None:
    right = next(iter(of_kind(values, kind).values()))
    check_extension(right)
    without_spec = {key: value for key, value in right.items() if key != "spec"}
    for wrong in ({**right, "spec": {**right["spec"], "unknown": 1}}, without_spec):
        with pytest.raises(jsonschema.ValidationError):
            check_extension(wrong)


def test_the_versions_are_the_package_s() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == _version()


def leaves(values: Any, schema: Any, path: str = "") -> Iterator[str]:
    """Values that the schema has no entry for."""
    if isinstance(values, dict) and "properties" in schema:
        assert schema["additionalProperties"] is False, path
        for key, value in values.items():
            yield from leaves(value, schema["properties"][key], f"{path}.{key}") if key in schema["properties"] else [f"{path}.{key}"]


def test_the_schema_has_every_value_and_no_other() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(DEFAULTS)
    assert list(leaves(DEFAULTS, SCHEMA)) == []
    assert set(SCHEMA["properties"]) - {"global"} == set(DEFAULTS)
    for part in ("gateway", "triton"):
        assert set(SCHEMA["properties"][part]["properties"]) == set(DEFAULTS[part])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("layout=both", "layout"),
        ("gateway.replica=3", "replica"),
        ("gateway.image.digest=sha256:12", "digest"),
        ("postgresql.to[0].cidr=10.0.0.0/8", "cidr"),
        ("triton.replicas=1", "outage"),
        ("triton.strategy.maxUnavailable=2", "all of them"),
        ("triton.strategy.maxSurge=0", "no rollout goes on"),
        ("triton.disruption.maxUnavailable=2", "all of them"),
        ("secrets.name=", "VULTUS_KEYS_URL"),
        ("triton.tls.enabled=true", "serverSecret"),
        ("ingress.enabled=true", "in the clear"),
        ("gatewayApi.enabled=true", "parentRefs"),
    ],
)
def test_what_cannot_be_right_is_refused(given: str, said: str) -> None:
    done = template("cpu", [given])
    assert done.returncode != 0
    assert said in done.stderr


def test_one_pod_is_not_scaled() -> None:
    assert "autoscaling.kind must be none" in template("single", ["autoscaling.kind=hpa"]).stderr


@pytest.mark.parametrize("values", SETS)
def test_only_the_gateway_and_named_clients_reach_triton(values: str) -> None:
    policies = of_kind(values, "NetworkPolicy")
    for pod in pods(values).values():
        assert policies["nobody"]["spec"]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert policies["nobody"]["spec"].keys() == {"podSelector", "policyTypes"}
    if values == "single":
        assert "triton" not in policies
        return
    (grpc, metrics) = policies["triton"]["spec"]["ingress"]
    (gateway, clients) = grpc["from"]
    assert gateway["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert clients.keys() == {"podSelector", "namespaceSelector"}, "both: a label that any namespace can give itself is not enough"
    assert [port["port"] for port in grpc["ports"]] == [8001]
    assert [port["port"] for port in metrics["ports"]] == [8002]
    assert policies["triton"]["spec"].get("egress", []) == []
    assert "Egress" in policies["triton"]["spec"]["policyTypes"]


def egress(values: str, *more: str) -> dict[int, list[Manifest]]:
    """Peers by port; none: anybody."""
    rules = of_kind(values, "NetworkPolicy", more)["gateway"]["spec"]["egress"]
    return {port["port"]: rule.get("to", []) for rule in rules for port in rule["ports"]}


def test_the_gateway_reaches_what_it_is_told_to_use_and_nothing_else() -> None:
    assert egress("single").keys() == {53}
    assert egress("cpu").keys() == {53, 8001, 5432, 6379}
    cloud = egress("cloud")
    assert cloud.keys() == {53, 8001, 5432, 6379, 443, 4318}
    assert cloud[5432] == cloud[6379] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "data"}}}]
    assert egress("cpu", "fetchUrls=true").keys() == egress("cpu").keys() | {80, 443}


def test_passwords_stay_in_the_secret() -> None:
    one = container("cloud", "gateway")
    names = [item["name"] for item in one["env"]]
    assert names.index("REDIS_PASSWORD") < names.index("VULTUS_RATE_STORAGE_URL"), "only what stands before is expanded"
    assert one["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "vultus-secrets", "key": "REDIS_PASSWORD"}
    assert ":" not in of_kind("cloud", "ConfigMap")["gateway"]["data"]["VULTUS_KEYS_URL"].partition("://")[2].partition("@")[0]
    (secret,) = of_kind("cloud", "ExternalSecret").values()
    assert {item["secretKey"] for item in secret["spec"]["data"]} == {"PGPASSWORD", "REDIS_PASSWORD"}
    assert {"secretRef": {"name": secret["spec"]["target"]["name"]}} in one["envFrom"]


def paths_of(values: str) -> list[tuple[str, str]]:
    """Kind and path of what is let in."""
    if values == "ingress":
        (rule,) = of_kind(values, "Ingress")["gateway"]["spec"]["rules"]
        return [(path["pathType"].removeprefix("Path"), path["path"]) for path in rule["http"]["paths"]]
    rules = of_kind(values, "HTTPRoute")["gateway"]["spec"]["rules"]
    return [(match["path"]["type"].removeprefix("Path"), match["path"]["value"]) for rule in rules for match in rule["matches"]]


@pytest.mark.parametrize("values", ["ingress", "cloud"])
def test_what_is_let_in_is_the_api_without_metrics_and_probes(values: str, app: Flask) -> None:
    routes = {rule.rule for rule in app.url_map.iter_rules()}
    paths = paths_of(values)
    assert len(paths) <= 16, "an HTTPRoute has at most 16 rules"
    open_to_all = {
        route for route in routes for kind, path in paths if route == path or (kind == "Prefix" and route.startswith(f"{path}/"))
    }
    assert routes - open_to_all == {"/metrics", "/healthz", "/readyz"}
    assert all(any(route == path or route.startswith(f"{path}/") for route in routes) for _, path in paths), "no path for nothing"


def test_the_way_in_carries_the_largest_body_and_waits_long_enough() -> None:
    settings = Settings()
    notes = of_kind("ingress", "Ingress")["gateway"]["metadata"]["annotations"]
    assert int(notes["nginx.ingress.kubernetes.io/proxy-body-size"]) == settings.max_body_bytes
    assert of_kind("ingress", "ConfigMap")["gateway"]["data"]["VULTUS_MAX_BODY_BYTES"] == str(settings.max_body_bytes)
    assert notes["nginx.ingress.kubernetes.io/proxy-request-buffering"] == "on", "slow uploads wait there, not in the gateway"
    longest_s = settings.upload_s + settings.deadline_s
    assert int(notes["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > longest_s
    for rule in of_kind("cloud", "HTTPRoute")["gateway"]["spec"]["rules"]:
        found = re.fullmatch(r"(\d+)s", rule["timeouts"]["request"])
        assert found
        assert int(found[1]) > longest_s


def test_the_way_in_ends_tls() -> None:
    (tls,) = of_kind("ingress", "Ingress")["gateway"]["spec"]["tls"]
    assert tls == {"hosts": ["faces.example.com"], "secretName": "faces-tls"}
    (listener,) = of_kind("cloud", "Gateway")["entry"]["spec"]["listeners"]
    assert (listener["protocol"], listener["tls"]["mode"]) == ("HTTPS", "Terminate")
    (parent,) = of_kind("cloud", "HTTPRoute")["gateway"]["spec"]["parentRefs"]
    assert parent == {"name": "vultus-entry", "sectionName": listener["name"]}
    assert of_kind("cloud", "ConfigMap")["gateway"]["data"]["VULTUS_PUBLIC_URL"] == "https://faces.example.com"


def test_tls_between_the_tiers() -> None:
    """Triton's options are those of SECURITY.md, which tests/docker/test_security.py tries; every file is in the mounted Secret."""
    page = (ROOT / "SECURITY.md").read_text()
    (said,) = [block for block in re.findall(r"^```\n(.*?)^```", page, re.S | re.M) if "--grpc-use-ssl-mutual" in block]
    options = [option for option in container("cloud", "triton")["args"] if "ssl" in option or "cert" in option]
    assert [option.partition("=")[0] for option in options] == [word.partition("=")[0] for word in said.replace("\\", " ").split()]
    settings = {n: v for n, v in of_kind("cloud", "ConfigMap")["gateway"]["data"].items() if n.startswith("VULTUS_TRITON_TLS")}
    assert {name.removeprefix("VULTUS_").lower() for name in settings} <= set(Settings.model_fields)
    named = [option.partition("=")[2] for option in options] + list(settings.values())
    assert {path for path in named if path != "true"} == {f"/certificates/{name}" for name in ("tls.crt", "tls.key", "ca.crt")}
    for tier, secret in (("gateway", "gateway-tls"), ("triton", "triton-tls")):
        (volume,) = [v for v in pods("cloud")[tier]["spec"]["volumes"] if v["name"] == "certificates"]
        assert volume["secret"]["secretName"] == secret
        assert {"name": "certificates", "mountPath": "/certificates", "readOnly": True} in container("cloud", tier)["volumeMounts"]


def test_a_port_of_its_own_for_probes() -> None:
    more = ("gateway.endpoints.port=8081", "networkPolicy.gatewayFrom[0].podSelector.matchLabels.a=b")
    one = container("gpu", "gateway", more)
    assert {"name": "probes", "containerPort": 8081} in one["ports"]
    assert {one[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {"probes"}
    ((end,),) = [m["spec"]["endpoints"] for n, m in of_kind("gpu", "ServiceMonitor", more).items() if n == "gateway"]
    assert end["port"] == "probes"
    ports = {port["name"]: port for port in of_kind("gpu", "Service", more)["gateway"]["spec"]["ports"]}
    assert ports["probes"]["targetPort"] == "probes"
    everybody, prometheus = of_kind("gpu", "NetworkPolicy", more)["gateway"]["spec"]["ingress"]
    assert everybody["from"] == [{"podSelector": {"matchLabels": {"a": "b"}}}]
    assert prometheus["ports"] == [{"port": 8081, "protocol": "TCP"}]


def test_images_by_registry_and_digest() -> None:
    assert container("cloud", "triton")["image"] == f"registry.example.com/vision/vultus-triton:{_version()}-cpu"
    digest = f"sha256:{'0' * 64}"
    assert container("cpu", "gateway", (f"gateway.image.digest={digest}",))["image"] == f"vultus-gateway@{digest}"


def test_new_settings_make_new_pods() -> None:
    before, after = (pods("cpu", more)["gateway"]["metadata"]["annotations"] for more in ((), ("gateway.processes=3",)))
    assert before["checksum/settings"] != after["checksum/settings"]


def test_two_releases_share_nothing() -> None:
    done = run_helm("template", "second", str(CHART), *files_of("cpu"))
    other = {(m["kind"], m["metadata"]["name"]) for m in yaml.safe_load_all(done.stdout) if m}
    assert other.isdisjoint({(m["kind"], m["metadata"]["name"]) for m in rendered("cpu")})


def test_every_file_of_values_is_tried() -> None:
    assert {path.stem for path in VALUES.glob("*.yaml")} == {file for files in SETS.values() for file in files}


def test_without_helm_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm, "found", lambda: None)
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(helm.Unavailable, match="x86-64"):
        helm.obtain()
    with pytest.raises(pytest.skip.Exception, match=r"python -m scripts\.helm"):
        run_helm("version")
