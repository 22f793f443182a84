"""Pages for operators: what they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.settings import Settings
from tests.docker.image import instructions
from tests.docker.manifests import SETS, VALUES
from tests.served import ROOT

PAGES = [ROOT / path for path in ("SECURITY.md", "docker/README.md", "docker/helm/README.md", "docker/operating.md", "docker/release.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"\b((?:scripts|tests|gateway|docker)/[\w./-]*\w)", text):
        assert (ROOT / path.removesuffix("/NAME")).exists(), path
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("http") or (page.parent / link).exists(), link
    assert {name.lower() for name in re.findall(r"VULTUS_([A-Z_]+[A-Z])", text)} <= set(Settings.model_fields)
    for module in re.findall(r"python -m (scripts\.\w+)", text):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module


def test_every_set_of_values_is_explained() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \| ([^|]+) \|", PAGES[2].read_text(), re.M))
    assert {name: tuple(re.findall(r"`([\w-]+)\.yaml`", files)) for name, files in rows.items()} == SETS
    assert all((VALUES / f"{file}.yaml").exists() for files in SETS.values() for file in files)


def test_every_image_is_explained() -> None:
    text = PAGES[1].read_text()
    for dockerfile in (ROOT / "docker").rglob("*Dockerfile"):
        assert f"`{dockerfile.relative_to(ROOT)}`" in text
        for name, value in instructions(dockerfile):
            if name == "ARG":
                assert value.partition("=")[0] in text
