"""The Kubernetes manifests as Helm renders the chart with each set of values."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import pytest
import yaml

from scripts import helm
from tests.served import ROOT

CHART, VALUES = ROOT / "docker" / "helm" / "vultus", ROOT / "docker" / "helm" / "values"
# Files of values, in the order in which they are given.
SETS = {
    "single": ("single",),
    "cpu": ("cpu",),
    "gpu": ("gpu",),
    "gpu-mig": ("gpu", "gpu-mig"),
    "gpu-keda": ("gpu", "gpu-keda"),
    "cloud": ("cpu", "cloud"),
    "ingress": ("cpu", "ingress"),
}
Manifest: TypeAlias = dict[str, Any]


def run_helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Skips where there is no Helm."""
    program = helm.found()
    if program is None:
        pytest.skip("Helm is not installed: python -m scripts.helm")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def files_of(values: str) -> list[str]:
    """Helm's options for a set."""
    return [word for file in SETS[values] for word in ("--values", str(VALUES / f"{file}.yaml"))]


def template(values: str, more: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """`helm template` of a set, with `more` as --set."""
    return run_helm("template", "vultus", str(CHART), "--namespace=vultus", *files_of(values), *(f"--set={text}" for text in more))


@functools.cache
def rendered(values: str, more: tuple[str, ...] = ()) -> tuple[Manifest, ...]:
    """Every manifest of a set."""
    done = template(values, more)
    assert done.returncode == 0, done.stderr
    return tuple(manifest for manifest in yaml.safe_load_all(done.stdout) if manifest)


def of_kind(values: str, kind: str, more: tuple[str, ...] = ()) -> dict[str, Manifest]:
    """By name, without the release's."""
    found = [manifest for manifest in rendered(values, more) if manifest["kind"] == kind]
    return {manifest["metadata"]["name"].removeprefix("vultus-"): manifest for manifest in found}


def pods(values: str, more: tuple[str, ...] = ()) -> dict[str, Manifest]:
    """Pod templates by the tier of their Deployment."""
    return {name: manifest["spec"]["template"] for name, manifest in of_kind(values, "Deployment", more).items()}


def containers(values: str, more: tuple[str, ...] = ()) -> Iterator[tuple[Manifest, Manifest]]:
    """Every container with its pod template, sidecars included."""
    for pod in pods(values, more).values():
        for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
            yield pod, container


def container(values: str, name: str, more: tuple[str, ...] = ()) -> Manifest:
    """The one container of a tier."""
    (found,) = [one for _, one in containers(values, more) if one["name"] == name]
    return found


def environment_of(values: str, one: Manifest, more: tuple[str, ...] = ()) -> dict[str, str]:
    """What the chart itself sets in a container; of what comes from Secrets a stand-in."""
    maps = of_kind(values, "ConfigMap", more)
    given: dict[str, str] = {}
    for source in one.get("envFrom", ()):
        if "configMapRef" in source:
            given |= maps[source["configMapRef"]["name"].removeprefix("vultus-")]["data"]
    for item in one.get("env", ()):
        given[item["name"]] = item.get("value", "secret")
    return given
