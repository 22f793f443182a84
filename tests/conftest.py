from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from numpy.typing import NDArray

from gateway.app import create_app
from gateway.errors import GatewayError
from gateway.models import read_catalogue, read_config
from gateway.settings import REPOSITORY, Settings

pytest_plugins = ["tests.served"]

PICTURES = Path(__file__).parent / "pictures"


class FakeTriton:
    """Answers `faces` faces whose every number is different, so that swapped fields are seen. Records what was asked."""

    def __init__(self, faces: int = 2) -> None:
        self.faces, self.asked, self.shape = faces, (), ()
        self.failure: GatewayError | None = None
        self.ready = True

    asked: tuple[str, ...]
    shape: tuple[int, ...]

    def infer(self, image: NDArray[np.uint8], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        self.asked, self.shape = tuple(outputs), image.shape
        if self.failure:
            raise self.failure
        rows = max(1, self.faces)
        grow = np.arange(rows, dtype=np.float32)[:, None]
        tensors: dict[str, NDArray[Any]] = {
            "NUM_FACES": np.array([self.faces], np.int32),
            "BOXES": np.array([[10.25, 20.5, 110.75, 160.0]], np.float32) + grow,
            "SCORES": 0.9 - 0.125 * grow[:, 0],
            "KEYPOINTS": np.arange(10, dtype=np.float32).reshape(1, 5, 2) * 3 + 40 + grow[:, :, None],
            "AGE": 31.5 + grow,
            "GENDER": np.array([[0.25, 0.75]], np.float32).repeat(rows, 0),
            "RACE": np.array([[0.05, 0.1, 0.4, 0.2, 0.15, 0.1]], np.float32).repeat(rows, 0),
            "EMOTION": np.array([[0.01, 0.02, 0.03, 0.6, 0.14, 0.09, 0.11]], np.float32).repeat(rows, 0),
            "LIVENESS": np.array([[0.625]], np.float32) - 0.25 * grow,
            "GLASSES": np.array([[0.2, 0.7, 0.1]], np.float32).repeat(rows, 0),
            "MASK": np.array([[0.15, 0.25, 0.6]], np.float32).repeat(rows, 0),
            "HAT": np.array([[0.35, 0.65]], np.float32).repeat(rows, 0),
            "BEAUTY": 55.5 + grow,
            "QUALITY": np.arange(81, 89, dtype=np.float32)[None] + grow,
            "POSE": np.array([[-12.5, 7.25, 3.5]], np.float32) + grow,
            "LANDMARKS": np.arange(210, dtype=np.float32).reshape(1, 105, 2) + 0.5 + grow[:, :, None],
            "PUPILS": np.array([[[41, 44, 3.5], [47, 50, 4.5]]], np.float32) + grow[:, :, None],
        }
        return {name: tensors[name] if name in tensors else made_up(name, rows) for name in outputs}

    def is_ready(self) -> bool:
        return self.ready

    def served_config(self, model: str) -> Any:
        return deepcopy(_config(model))  # a test may change what it gets


@cache
def _config(model: str) -> Any:
    return read_config(REPOSITORY / model)


def made_up(tensor: str, rows: int) -> NDArray[np.float32]:
    """Numbers from 0.5 upwards for a tensor that has no row in FakeTriton: of an attribute that was just added."""
    (output,) = [output for output in read_catalogue(REPOSITORY).outputs if output.tensor == tensor]
    (dims,) = [list(told.dims) for told in read_config(REPOSITORY / output.model).output if told.name == tensor]
    return (0.5 + np.arange(rows * np.prod(dims, dtype=int)) / 64).reshape(rows, *dims).astype(np.float32)


@pytest.fixture
def triton() -> FakeTriton:
    return FakeTriton()


@pytest.fixture
def app(triton: FakeTriton, tmp_path: Path) -> Flask:
    keys, pictures = f"sqlite:///{tmp_path / 'keys.sqlite'}", str(tmp_path / "pictures")
    settings = Settings(max_body_bytes=2**18, decode_processes=0, keys_url=keys, pictures_url=pictures, model_repository=REPOSITORY)
    return create_app(settings, triton)  # type: ignore[arg-type]


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="session")
def astronaut() -> bytes:
    return (PICTURES / "astronaut.jpg").read_bytes()


@pytest.fixture(scope="session")
def astronaut_pixels() -> NDArray[np.uint8]:
    image = cv2.imread(str(PICTURES / "astronaut.jpg"))
    assert image is not None
    return np.ascontiguousarray(image[..., ::-1]).astype(np.uint8)


@pytest.fixture(scope="session")
def offered() -> tuple[str, ...]:
    return tuple(output.attribute for output in read_catalogue(REPOSITORY).outputs)


def encode(rgb: NDArray[np.uint8], suffix: str = ".jpg", *parameters: int) -> bytes:
    done, data = cv2.imencode(suffix, rgb[..., ::-1] if rgb.ndim == 3 else rgb, parameters)
    assert done
    return data.tobytes()


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return common / (sum(areas) - common)
