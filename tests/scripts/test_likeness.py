"""What the comparison of odd forms finds, without a service."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.fuzzing import likeness, variants


def face(x1: float) -> tuple[int, Any]:
    return 200, {"faces": [{"box": {"x1": x1, "y1": 0.0, "x2": x1 + 100, "y2": 100.0}}]}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "variants", lambda _: iter([("odd", b"odd")]))
    monkeypatch.setattr(variants, "broken", lambda _: iter([("cut", b"cut")]))


@pytest.mark.parametrize(
    ("odd", "cut", "count"),
    [
        (face(5), (422, None), 0),
        ((415, None), (415, None), 0),
        (face(50), (422, None), 1),
        ((200, {"faces": []}), (422, None), 1),
        ((500, None), (422, None), 1),
        (face(0), face(0), 1),
    ],
)
def test_another_face_or_none_is_a_finding(odd: tuple[int, Any], cut: tuple[int, Any], count: int) -> None:
    answers = {b"odd": odd, b"cut": cut}
    assert len(list(likeness.findings(lambda data: answers.get(data, face(0)), 0, 1))) == count


def test_a_plain_picture_without_a_face_is_one() -> None:
    assert list(likeness.findings(lambda _: (200, {"faces": []}), 0, 1))


def test_an_eighth_of_the_drawn_files_must_be_refused() -> None:
    assert len(list(likeness.findings(lambda data: (422, None) if data == b"cut" else face(0), 80, 1))) == 10
