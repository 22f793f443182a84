"""Every vendor on a fake analysis whose values are all different, with real keys in a real database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.apis.services import KEY
from gateway.app import create_app
from gateway.callers.keys import KeyStore
from gateway.errors import DownloadFailed, GatewayError
from gateway.faces import Analysis, Box, Distribution, Face, Pose, Timings
from gateway.pictures.fetch import Fetcher
from gateway.pictures.picture import Picture
from gateway.settings import Settings
from tests.conftest import FakeTriton
from tests.vendors.routes import PUBLISHED

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
RACES = ("asian", "indian", "black", "white", "middle eastern", "latino hispanic")

FIRST = Face(
    box=Box(85.2, 61.6, 289.7, 310.4),
    confidence=0.99871,
    keypoints=((130.4, 150.5), (220.6, 152.2), (178.1, 200.0), (140.9, 250.3), (215.5, 252.8)),
    age=31.2,
    gender=Distribution(("male", "female"), (0.96, 0.04)),
    emotion=Distribution(EMOTIONS, (0.05, 0.06, 0.07, 0.11, 0.12, 0.09, 0.5)),
    race=Distribution(RACES, (0.01, 0.02, 0.03, 0.8, 0.04, 0.1)),
    liveness=0.93,
    glasses=Distribution(("none", "regular", "sun"), (0.1, 0.2, 0.7)),
    mask=Distribution(("none", "worn", "worn wrongly"), (0.15, 0.8, 0.05)),
    hat=Distribution(("none", "hat"), (0.3, 0.7)),
    beauty=71.25,
    quality=(91.2, 96.0, 99.9, 98.7, 95.1, 99.0, 94.4, 91.3),
    pose=Pose(-1.8, 95.0, 0.5),
    landmarks=tuple((float(i), i + 0.25) for i in range(105)),
    pupils=((170.5, 170.2, 8.01), (260.5, 171.0, 8.02)),
    age_range=(24.6, 38.1),
)
SECOND = replace(
    FIRST,
    box=Box(280.0, 45.0, 430.0, 250.0),
    confidence=0.75,
    age=27.6,
    gender=Distribution(("male", "female"), (0.06, 0.94)),
    emotion=Distribution(EMOTIONS, (0.01, 0.02, 0.3, 0.6, 0.03, 0.02, 0.02)),
    liveness=0.2,
    beauty=55.5,
)
SMALL = replace(FIRST, box=Box(10, 10, 60, 70), confidence=0.7)


class FakeAnalyzer:
    """Answers `faces`, or raises `failure`."""

    by_default: tuple[str, ...] = ("age",)

    def __init__(self) -> None:
        self.faces: tuple[Face, ...] = (FIRST,)
        self.failure: GatewayError | None = None
        self.wanted: tuple[str, ...] = ()

    def analyze(self, picture: Picture, wanted: Sequence[str], *, all_needed: bool = False) -> Analysis:
        self.wanted = tuple(wanted)
        if self.failure:
            raise self.failure
        return Analysis(picture.width_px, picture.height_px, self.faces, {}, Timings(1.0, 2.0))


class FakeFetcher(Fetcher):
    """The web as routes.PUBLISHED."""

    def fetch(self, url: str) -> bytes:
        if url not in PUBLISHED:
            raise DownloadFailed
        return PUBLISHED[url]


@pytest.fixture
def analyzer() -> FakeAnalyzer:
    return FakeAnalyzer()


@pytest.fixture
def keys_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'keys.sqlite'}"


@pytest.fixture
def store(keys_url: str) -> KeyStore:
    return KeyStore(keys_url)


@pytest.fixture
def app(analyzer: FakeAnalyzer, keys_url: str, tmp_path: Path) -> Flask:
    pictures = str(tmp_path / "pictures")
    settings = Settings(keys_url=keys_url, max_image_bytes=2**17, max_body_bytes=2**18, decode_processes=0, pictures_url=pictures)
    app = create_app(settings, FakeTriton())  # type: ignore[arg-type]
    app.extensions[KEY] = replace(app.extensions[KEY], analyzer=analyzer, fetcher=FakeFetcher(app.extensions[KEY].settings))
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
