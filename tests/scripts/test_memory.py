"""What keeps Triton's memory from growing: runs in slices, pools that need not grow."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2

from gateway.inference.shared_pixels import LARGEST_BYTES
from gateway.models import Config, read_config
from gateway.settings import REPOSITORY
from scripts.embedded_triton import pools
from scripts.embedded_triton.layout import BACKEND

Feeds = dict[str, NDArray[Any]]
SIZES = {model_config_pb2.TYPE_UINT8: 1, model_config_pb2.TYPE_FP32: 4}


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that Triton loads, without Triton."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", types.ModuleType("triton_python_backend_utils"))
    spec = importlib.util.spec_from_file_location("onnx_backend", BACKEND)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Session:
    """Adds up each row; remembers how many bytes each run was given."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def run(self, wanted: list[str], feeds: Feeds) -> list[NDArray[Any]]:
        self.runs.append(sum(feed.nbytes for feed in feeds.values()))
        sums = np.sum([feed.reshape(len(feed), -1).sum(1) for feed in feeds.values()], 0)
        return [sums * (place + 1) for place in range(len(wanted))]


def model(backend: Any, batched: bool, run_bytes: float) -> Any:
    made = backend.TritonPythonModel()
    made._batched, made._run_bytes, made._session = batched, run_bytes, Session()
    return made


@pytest.mark.parametrize("rows", [1, 12, 13, 40, 128])
def test_slices_give_the_same_as_one_run(backend: Any, rows: int) -> None:
    chance = np.random.default_rng(rows)
    feeds = {
        "FACE_CROPS": chance.integers(0, 255, (rows, 160, 160, 3), np.uint8),
        "WIDE_CROPS": chance.integers(0, 255, (rows, 96, 96, 3), np.uint8),
    }
    whole, sliced = model(backend, True, float("inf")), model(backend, True, backend.RUN_BYTES)
    for one, other in zip(whole._values(["A", "B"], [feeds]), sliced._values(["A", "B"], [feeds]), strict=True):
        assert (one == other).all()
    assert len(whole._session.runs) == 1
    assert max(sliced._session.runs) <= backend.RUN_BYTES
    assert len(sliced._session.runs) == -(-rows // 12)


@pytest.mark.parametrize("faces", [(1, 1), (3, 1, 2), (12, 1), (5, 20, 5), (40, 1, 30)])
def test_requests_together_give_the_same_as_each_alone(backend: Any, faces: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(sum(faces))
    feeds = [{"FACE_CROPS": chance.integers(0, 255, (rows, 160, 160, 3), np.uint8)} for rows in faces]
    together, alone = model(backend, True, backend.RUN_BYTES), model(backend, True, float("inf"))
    expected = [alone._values(["A", "B"], [feed]) for feed in feeds]
    copied, join = [], np.concatenate

    def recorded(arrays: list[NDArray[Any]]) -> NDArray[Any]:
        copied.append(sum(array.nbytes for array in arrays))
        return join(arrays)

    monkeypatch.setattr(np, "concatenate", recorded)
    values = together._values(["A", "B"], feeds)
    for place, value in enumerate(values):
        assert value.tolist() == [number for row in expected for number in row[place].tolist()]
    assert max(together._session.runs) <= backend.RUN_BYTES
    assert max(copied) <= backend.RUN_BYTES


def test_a_row_larger_than_a_slice_runs_alone(backend: Any) -> None:
    pictures = {"DETECTOR_INPUT": np.ones((3, 3, 1000, 1000), np.uint8)}
    sliced = model(backend, True, backend.RUN_BYTES)
    assert [values.tolist() for values in sliced._values(["A"], [pictures])] == [[3e6, 3e6, 3e6]]
    assert sliced._session.runs == [3_000_000] * 3


def test_without_batches_nothing_is_sliced(backend: Any) -> None:
    plain = model(backend, False, backend.RUN_BYTES)
    plain._values(["A"], [{"IMAGE": np.ones((2, 2000, 2000, 3), np.uint8)}])
    assert len(plain._session.runs) == 1


@pytest.mark.parametrize(("free_mb", "wanted"), [(63, 0), (1024, 0), (2048, 2)])
def test_pools_are_large_only_where_there_is_room(free_mb: int, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: types.SimpleNamespace(f_bavail=free_mb * 256, f_frsize=4096))
    assert len([option for option in pools.options() if "byte-size" in option]) == wanted
    assert (f"--model-config-name={pools.SMALL_PROFILE}" in pools.options()) == (not wanted)


def test_the_profile_for_small_pools_is_not_taken_over_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: types.SimpleNamespace(f_bavail=0, f_frsize=4096))
    assert [option for option in pools.options(["tritonserver", "--model-config-name=gpu"]) if "config-name" in option] == []


@pytest.mark.parametrize("name", ["face_prepare", "face_align"])
def test_the_pools_of_whole_pictures_are_filled_at_the_start(name: str) -> None:
    """By most of what a pool grows by: a larger picture would make it grow again."""
    config = read_config(REPOSITORY / name)
    (sample,) = (sample for sample in config.model_warmup if sample.name == pools.WARM_UP)
    needed = sum(math.prod(tensor.dims) * SIZES[tensor.data_type] for tensor in sample.inputs.values())
    assert 0.9 * pools.STEP_BYTES < needed < pools.STEP_BYTES
    assert needed > LARGEST_BYTES
    for profile in ("gpu", pools.SMALL_PROFILE):
        other = text_format.Parse((REPOSITORY / name / "configs" / f"{profile}.pbtxt").read_text(), Config())
        assert [sample.name for sample in other.model_warmup] == [s.name for s in config.model_warmup if s.name != pools.WARM_UP]


def test_no_shared_memory_no_pools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pools, "SHARED_MEMORY", tmp_path / "missing")
    assert not [option for option in pools.options() if "byte-size" in option]
    pools.sweep()
