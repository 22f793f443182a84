"""Every trained model shows how it learned."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from gateway.models import ATTRIBUTE_MODELS, DETECTOR
from scripts.pipeline import REPOSITORY
from scripts.train.curves import draw


@pytest.mark.parametrize("name", [DETECTOR, *ATTRIBUTE_MODELS])
def test_curves_can_be_drawn(name: str, tmp_path: Path) -> None:
    picture = cv2.imread(str(draw(REPOSITORY / name / "training.jsonl", tmp_path / "curve.png")))
    assert picture is not None
    assert picture.std() > 5
