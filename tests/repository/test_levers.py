"""The benchmark's variants of the configuration are what their names say."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from gateway.models import Config
from scripts.benchmarking import gpu, levers
from scripts.pipeline import REPOSITORY


@pytest.mark.parametrize(
    ("lever", "pattern"),
    [(lever, "face_*/config.pbtxt") for lever in levers.LEVERS if lever.edit]
    + [(lever, "face_*/configs/gpu.pbtxt") for lever in gpu.LEVERS if lever.edit],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_variant_differs_and_parses(lever: levers.Lever, pattern: str) -> None:
    assert lever.edit
    changed = 0
    for path in REPOSITORY.glob(pattern):
        name = path.relative_to(REPOSITORY).parts[0]
        before = text_format.Parse(path.read_text(), Config())
        before.name = name
        changed += text_format.Parse(levers.edited(path.read_text(), lever.edit, name), Config()) != before
    assert changed


def test_copies() -> None:
    text = levers.edited('name: "face_align"', levers.copies(3, "face_align"), "face_align")
    assert text_format.Parse(text, Config()).instance_group[0].count == 3
