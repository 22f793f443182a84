from __future__ import annotations

import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from tests.docker.conftest import Running
from tests.docker.expressions import MONITORING, Expression, expressions, of_keda, panels, selectors
from tests.docker.manifests import Manifest, of_kind
from tests.docker.test_images import GATEWAY
from tests.served import ROOT

# Metrics of the gateway that the monitoring names and the gateway does not have yet.
AWAITED: set[str] = set()
# Only in NVIDIA's own build and with a GPU. The names are those of its documentation (user guide, metrics, "GPU metrics").
ON_GPU = {"nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes"}
# What Prometheus itself adds when it scrapes pods.
SCRAPED, FROM_SCRAPING = {"up"}, {"namespace", "pod", "job", "instance", "le"}

ALL = list(expressions())
ALERTS = [rule for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]


def base(metric: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", metric) if metric.startswith("vultus_") else metric


def read(prefix: str) -> dict[str, set[str]]:
    """Metrics that some expression reads, with the labels it wants."""
    found: dict[str, set[str]] = {}
    for expression in ALL:
        for selector in selectors(expression.text):
            if selector.metric.startswith(prefix):
                found.setdefault(base(selector.metric), set()).update(selector.labels - FROM_SCRAPING)
    return found


def exposed(text: str) -> dict[str, set[str]]:
    """Metrics of an exposition, with their labels. The parser adds _total to counters that lack it, as Triton's do."""
    written = set(re.findall(r"^# TYPE (\S+)", text, re.M))
    found: dict[str, set[str]] = {name: set() for name in written}
    for family in text_string_to_metric_families(text):
        name = family.name if family.name in written else f"{family.name}_total"
        found[name].update(label for sample in family.samples for label in sample.labels)
    return found


@pytest.mark.parametrize("expression", ALL, ids=lambda expression: expression.place)
def test_it_is_promql_and_reads_something(expression: Expression) -> None:
    metrics = {selector.metric for selector in selectors(expression.text)}
    assert metrics
    assert all(metric.startswith(("vultus_", "nv_")) or metric in SCRAPED for metric in metrics)


def test_keda_asks_what_prometheus_has() -> None:
    known = {selector.metric for expression in ALL for selector in selectors(expression.text)}
    for expression in of_keda():
        found = list(selectors(expression.text))
        assert {selector.metric for selector in found} <= known
        assert all("namespace" in selector.labels for selector in found), "another release's load is not ours"


def test_what_is_no_promql_is_seen() -> None:
    with pytest.raises(ValueError, match="unclosed"):
        list(selectors("sum by (rate(x[5m])"))


def test_the_gateway_has_the_metrics(client: FlaskClient, astronaut: bytes) -> None:
    assert client.post("/v1/analyze", data=astronaut, content_type="image/jpeg").status_code == 200
    client.get("/healthz")
    has = exposed(client.get("/metrics").get_data(as_text=True))
    wanted = read("vultus_")
    assert set(wanted) - set(has) == AWAITED, "take from AWAITED what the gateway has now"
    assert {name: wanted[name] - has[name] for name in wanted if has.get(name) and wanted[name] - has[name]} == {}


@pytest.mark.integration
def test_triton_has_the_metrics(running_triton: Running, triton_ports: dict[str, int]) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{triton_ports['metrics']}/metrics") as answer:
        has = exposed(answer.read().decode())
    wanted = read("nv_")
    assert set(wanted) - ON_GPU - set(has) == set()
    assert {name: wanted[name] - has[name] for name in set(wanted) - ON_GPU if wanted[name] - has[name]} == {}


def test_every_alert_says_what_to_do() -> None:
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "action"}
        assert re.fullmatch(r"\d+m", rule["for"])


def test_jobs_of_the_alerts_are_the_tiers() -> None:
    """By `jobLabel`, whatever the release is called; in one pod by relabelling."""
    jobs = set(re.findall(r'job="(\w+)"', " ".join(rule["expr"] for rule in ALERTS)))
    assert jobs == set(of_kind("gpu", "ServiceMonitor"))
    for name, monitor in of_kind("gpu", "ServiceMonitor").items():
        assert of_kind("gpu", "Service")[name]["metadata"]["labels"][monitor["spec"]["jobLabel"]] == name
    ends = of_kind("single", "ServiceMonitor", ("monitoring.serviceMonitors=true",))["gateway"]["spec"]["endpoints"]
    assert [end.get("relabelings") for end in ends] == [None, [{"targetLabel": "job", "replacement": "triton"}]]


def test_autoscalers_ask_for_what_the_adapter_offers() -> None:
    rules = yaml.safe_load((MONITORING / "adapter.yaml").read_text())["rules"]
    metrics = [m for h in of_kind("gpu", "HorizontalPodAutoscaler").values() for m in h["spec"]["metrics"]]
    for ours, kind in (("custom", "pods"), ("external", "external")):
        assert {m[kind]["metric"]["name"] for m in metrics if kind in m} == {rule["name"]["as"] for rule in rules[ours]}


def threshold(metric: Manifest) -> str:
    """What an HPA's metric is held at."""
    target = (metric.get("pods") or metric["external"])["target"]
    return str(target.get("averageValue") or target["value"])


def test_keda_scales_by_the_same_numbers_as_the_hpa() -> None:
    for name, scaler in of_kind("gpu", "HorizontalPodAutoscaler").items():
        triggers = of_kind("gpu-keda", "ScaledObject")[name]["spec"]["triggers"]
        assert [trigger["metadata"]["threshold"] for trigger in triggers] == [threshold(metric) for metric in scaler["spec"]["metrics"]]


def test_every_reason_to_refuse_scales_one_tier() -> None:
    """`breaker`, `caller_gone` and `deadline` say nothing of room."""
    page = (ROOT / "gateway" / "README.md").read_text()
    (said,) = re.findall(r"^Reasons: (.*?)\.$", page, re.M | re.S)
    rules = yaml.safe_load((MONITORING / "adapter.yaml").read_text())["rules"]["external"]
    asked = [reason for rule in rules for reason in re.findall(r'reason=~"([\w|]+)"', rule["metricsQuery"])[0].split("|")]
    assert len(set(asked)) == len(asked)
    assert set(asked) == set(re.findall(r"`(\w+)`", said)) - {"breaker", "caller_gone", "deadline"}


def test_the_objective_counts_refusals_and_late_answers_of_callers() -> None:
    objective = [rule for rule in ALERTS if rule["alert"].startswith("VultusBudget")]
    assert len(objective) == 2
    for rule in objective:
        failed = re.findall(r'\{api!="service",status=~"(.*?)"\}', rule["expr"])
        assert len(failed) == 4
        assert all(re.fullmatch(failed[0], status) for status in ("500", "503", "504"))
        assert set(re.findall(r"> [\d.]+ \* ([\d.]+)", rule["expr"])) == {"0.005"}


def test_alerts_and_dashboard_are_deployed() -> None:
    (rules,) = of_kind("gpu", "PrometheusRule").values()
    assert [rule for group in rules["spec"]["groups"] for rule in group["rules"]] == ALERTS
    (board,) = (m for m in of_kind("gpu", "ConfigMap").values() if "dashboard.json" in m["data"])
    assert board["data"]["dashboard.json"] == (MONITORING / "dashboard.json").read_text()
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_dashboard_is_tidy() -> None:
    everything = panels()
    assert len(everything) >= 15
    assert len({panel["id"] for panel in everything}) == len({panel["title"] for panel in everything}) == len(everything)
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in everything]
    assert len(set(places)) == len(places)
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in everything)
    for panel in everything:
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${source}"}, panel["title"]
        assert all("rate(" not in target["expr"] or "[$__rate_interval]" in target["expr"] for target in panel["targets"])


def promtool(arguments: Iterable[str], folder: Path) -> None:
    """Prometheus' own checker, where it is installed (Debian: package prometheus)."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_alerts_and_they_fire_when_they_should(tmp_path: Path) -> None:
    shutil.copy(MONITORING / "alerts.yaml", tmp_path / "rules.yaml")
    shutil.copy(ROOT / "tests" / "docker" / "alerts_test.yaml", tmp_path)
    promtool(["check", "rules", "rules.yaml"], tmp_path)
    promtool(["test", "rules", "alerts_test.yaml"], tmp_path)


def test_the_gateway_image_collects_from_all_its_processes() -> None:
    assert "PROMETHEUS_MULTIPROC_DIR=/tmp/" in GATEWAY.read_text()
