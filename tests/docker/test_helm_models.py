"""Models from a volume: mounted by both tiers, and checked by a real shell before a pod starts."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import kubernetes_validate
import pytest

from tests.docker.manifests import CHART, Manifest, container, of_kind, pods, template

CHECK = (CHART / "files" / "check-models").read_text()
DIGEST = "0123456789abcdef" * 4
MORE = ("models.existingClaim=weights", "models.subPath=2026-11", f"models.sha256={DIGEST}")


@pytest.mark.parametrize("values", ["single", "cpu", "gpu"])
def test_both_tiers_check_and_mount_the_volume(values: str) -> None:
    for tier, pod in pods(values, MORE).items():
        spec = pod["spec"]
        every: list[Manifest] = [*spec["initContainers"], *spec["containers"]]
        first, others = every[0], every[1:]
        assert first["args"] == [CHECK]
        assert {item["name"]: item["value"] for item in first["env"]} == {"MODELS": "/models", "SHA256": DIGEST}
        assert first["image"] in {one["image"] for one in others}, "no other image is needed"
        assert first["securityContext"] in [one["securityContext"] for one in others]
        assert {"requests", "limits"} == first["resources"].keys()
        for one in every:
            mounts = {mount["mountPath"]: mount for mount in one["volumeMounts"]}
            assert mounts["/models"] == {"name": "models", "mountPath": "/models", "readOnly": True, "subPath": "2026-11"}
        (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "models"]
        assert volume["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}, tier
    for manifest in of_kind(values, "Deployment", MORE).values():
        kubernetes_validate.validate(manifest, "1.30", strict=True)


def test_another_version_of_the_models_makes_new_pods() -> None:
    other = (*MORE[:1], "models.subPath=2026-12", f"models.sha256={DIGEST[::-1]}")
    for tier in ("gateway", "triton"):
        assert pods("cpu", MORE)[tier] != pods("cpu", other)[tier]
        assert container("cpu", tier, MORE)["image"] == container("cpu", tier, other)["image"]


@pytest.mark.parametrize(("given", "said"), [("models.existingClaim=weights", "nobody checks"), ("models.sha256=12", "sha256")])
def test_what_cannot_be_checked_is_refused(given: str, said: str) -> None:
    done = template("cpu", [given])
    assert done.returncode != 0
    assert said in done.stderr


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository with its list, made as docker/operating.md says."""
    folder = tmp_path / "models"
    (folder / "face_x" / "1").mkdir(parents=True)
    (folder / "face_x" / "1" / "model.onnx").write_bytes(b"weights")
    (folder / "face_x" / "config.pbtxt").write_text("name: 'x'\n")
    page = (CHART.parents[1] / "operating.md").read_text()
    (command,) = [line for line in page.splitlines() if line.startswith("find . ") and "SHA256SUMS" in line]
    subprocess.run(["sh", "-ec", command], cwd=folder, check=True)
    return folder


def check(models: Path, digest: str) -> int:
    """Exit status of the init container's command."""
    shell = shutil.which("sh")
    assert shell
    environment = {"PATH": "/usr/bin:/bin", "MODELS": str(models), "SHA256": digest}
    return subprocess.run([shell, "-c", CHECK], env=environment, capture_output=True, check=False).returncode


def digest(models: Path) -> str:
    return hashlib.sha256((models / "SHA256SUMS").read_bytes()).hexdigest()


def test_models_as_listed_pass(models: Path) -> None:
    assert check(models, digest(models)) == 0
    assert check(models, DIGEST) != 0, "another list"


@pytest.mark.parametrize(
    "change",
    [
        lambda m: (m / "face_x" / "1" / "model.onnx").write_bytes(b"weightz"),
        lambda m: (m / "face_x" / "1" / "model.onnx").unlink(),
        lambda m: (m / "face_y").write_text("not listed"),
        lambda m: (m / "face_y").symlink_to("/etc/hostname"),
        lambda m: (m / "SHA256SUMS").unlink(),
    ],
    ids=["changed", "gone", "more", "a link", "no list"],
)
def test_other_models_do_not_start(models: Path, change: Callable[[Path], object]) -> None:
    right = digest(models)
    change(models)
    assert check(models, right) != 0
