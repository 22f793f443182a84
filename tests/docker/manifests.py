"""The Kubernetes manifests as `kubectl kustomize` renders them."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest
import yaml

from tests.served import ROOT

KUBERNETES = ROOT / "docker" / "kubernetes"
OVERLAYS = tuple(sorted(path.name for path in (KUBERNETES / "overlays").iterdir()))
Manifest: TypeAlias = dict[str, Any]


@functools.cache
def rendered(overlay: str) -> tuple[Manifest, ...]:
    """Skips where neither kubectl nor kustomize is installed: no package index has them."""
    for command in (["kubectl", "kustomize"], ["kustomize", "build"]):
        if shutil.which(command[0]):
            folder = str(KUBERNETES / "overlays" / overlay)
            text = subprocess.run([*command, folder], capture_output=True, text=True, check=True).stdout
            return tuple(yaml.safe_load_all(text))
    pytest.skip("neither kubectl nor kustomize is installed")


def of_kind(overlay: str, kind: str) -> dict[str, Manifest]:
    """By name."""
    return {manifest["metadata"]["name"]: manifest for manifest in rendered(overlay) if manifest["kind"] == kind}


def pods(overlay: str) -> dict[str, Manifest]:
    """Pod templates by the name of their Deployment."""
    return {name: manifest["spec"]["template"] for name, manifest in of_kind(overlay, "Deployment").items()}


def containers(overlay: str) -> Iterator[tuple[Manifest, Manifest]]:
    """Every container with its pod template, sidecars included."""
    for pod in pods(overlay).values():
        for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
            yield pod, container
