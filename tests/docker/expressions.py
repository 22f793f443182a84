"""Every PromQL expression under docker/, and the metrics that it reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser
import yaml

from tests.docker.manifests import of_kind
from tests.served import ROOT

MONITORING = ROOT / "docker" / "monitoring"


@dataclass(frozen=True, slots=True)
class Expression:
    """Where it stands, and its text with what Grafana and the adapter fill in."""

    place: str
    text: str


def expressions() -> Iterator[Expression]:
    """Of alerts, dashboard and adapter."""
    for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]:
        yield from (Expression(rule["alert"], rule["expr"]) for rule in group["rules"])
    for panel in panels():
        yield from (Expression(panel["title"], target["expr"].replace("$__rate_interval", "1m")) for target in panel["targets"])
    adapter = yaml.safe_load((MONITORING / "adapter.yaml").read_text())["rules"]
    for rule in (*adapter["custom"], *adapter["external"]):
        series = rule["seriesQuery"].partition("{")[0]
        text = rule["metricsQuery"].replace("<<.Series>>", series).replace("<<.LabelMatchers>>", 'namespace="vultus"')
        yield Expression(rule["name"]["as"], text.replace("<<.GroupBy>>", "pod"))
        yield Expression(rule["name"]["as"], rule["seriesQuery"])


def of_keda() -> Iterator[Expression]:
    """Those that KEDA asks Prometheus."""
    for scaled in of_kind("gpu-keda", "ScaledObject").values():
        yield from (Expression("KEDA", trigger["metadata"]["query"]) for trigger in scaled["spec"]["triggers"])


def panels() -> list[dict[str, Any]]:
    """The dashboard's, without its rows."""
    board = json.loads((MONITORING / "dashboard.json").read_text())
    return [panel for panel in board["panels"] if panel["type"] != "row"]


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric that an expression reads, and the labels that it asks for or groups by."""

    metric: str
    labels: frozenset[str]


def selectors(text: str) -> Iterator[Selector]:
    """Raises ValueError for what is no PromQL."""
    yield from _selectors(promql_parser.parse(text), frozenset())


def _selectors(node: Any, grouped: frozenset[str]) -> Iterator[Selector]:
    kind = type(node).__name__
    if kind == "VectorSelector":
        yield Selector(node.name, grouped | {matcher.name for matcher in node.matchers.matchers})
    elif kind == "MatrixSelector":
        yield from _selectors(node.vector_selector, grouped)
    elif kind == "AggregateExpr":
        by = frozenset(node.modifier.labels) if node.modifier else frozenset()
        yield from _selectors(node.expr, grouped | by)
    elif kind == "Call":
        for argument in node.args:
            yield from _selectors(argument, grouped)
    elif kind == "BinaryExpr":
        yield from _selectors(node.lhs, grouped)
        yield from _selectors(node.rhs, grouped)
    elif kind in ("ParenExpr", "UnaryExpr", "SubqueryExpr"):
        yield from _selectors(node.expr, grouped)
    elif kind not in ("NumberLiteral", "StringLiteral"):
        raise ValueError(f"unknown expression {kind}")
