from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2

from gateway.attributes import BY_NAME
from gateway.card import read_card
from gateway.models import (
    ATTRIBUTE_MODELS,
    DETECTOR,
    ENSEMBLE,
    QUANTISED,
    Config,
    read_catalogue,
    read_config,
    read_model,
    served_file,
)
from gateway.settings import REPOSITORY, Settings
from scripts.evaluation.attributes import EMOTIONS
from scripts.graphs.__main__ import stale
from scripts.pipeline import DirectPipeline
from scripts.train.fairface import RACES
from scripts.train.mask_crops import CLASSES
from tests.served import ROOT

FOLDERS = sorted(path for path in REPOSITORY.iterdir() if path.is_dir())
GRAPHS = [folder for folder in FOLDERS if folder.name != ENSEMBLE]
TRAINED = [DETECTOR, *ATTRIBUTE_MODELS]
TO_TRITON = {
    onnx.TensorProto.UINT8: model_config_pb2.TYPE_UINT8,
    onnx.TensorProto.INT32: model_config_pb2.TYPE_INT32,
    onnx.TensorProto.FLOAT: model_config_pb2.TYPE_FP32,
}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_config_parses_and_names_its_folder(folder: Path) -> None:
    assert read_config(folder).name == folder.name


@pytest.mark.parametrize("folder", GRAPHS, ids=lambda folder: folder.name)
def test_graph_and_config_agree(folder: Path) -> None:
    config, graph = read_config(folder), onnx.load(folder / "1" / "model.onnx").graph
    for declared, actual in ((config.input, graph.input), (config.output, graph.output)):
        tensors = {tensor.name: tensor for tensor in declared}
        assert list(tensors) == [value.name for value in actual]
        for value in actual:
            tensor, kind = tensors[value.name], value.type.tensor_type
            assert tensor.data_type == TO_TRITON[kind.elem_type]
            dims = [d.dim_value or -1 for d in kind.shape.dim]
            if config.max_batch_size:
                assert dims.pop(0) == -1
            assert len(dims) == len(tensor.dims)
            assert all(a in (b, -1) or b == -1 for a, b in zip(dims, tensor.dims, strict=True))


@pytest.mark.parametrize("folder", GRAPHS, ids=lambda folder: folder.name)
def test_the_gpu_profile_has_the_same_tensors(folder: Path) -> None:
    ours = read_config(folder)
    gpu = text_format.Parse((folder / "configs" / "gpu.pbtxt").read_text(), model_config_pb2.ModelConfig())
    assert (gpu.name, gpu.backend, gpu.max_batch_size) == (ours.name, ours.backend, ours.max_batch_size)
    assert (list(gpu.input), list(gpu.output)) == (list(ours.input), list(ours.output))
    kinds = {model_config_pb2.ModelInstanceGroup.Kind.Name(group.kind) for group in gpu.instance_group}
    assert kinds == {"KIND_GPU" if ours.max_batch_size else "KIND_CPU"}


@pytest.mark.parametrize("folder", GRAPHS, ids=lambda folder: folder.name)
def test_every_queue_is_bounded(folder: Path) -> None:
    """In both profiles, and longer than the gateway's deadline only by little: nobody waits for those answers."""
    gpu = text_format.Parse((folder / "configs" / "gpu.pbtxt").read_text(), model_config_pb2.ModelConfig())
    sizes = []
    for config in (read_config(folder), gpu):
        policy = config.dynamic_batching.default_queue_policy
        assert policy.timeout_action == policy.REJECT
        assert Settings.model_fields["deadline_s"].default * 1e6 <= policy.default_timeout_microseconds <= 2e7
        assert policy.allow_timeout_override
        sizes.append(policy.max_queue_size)
    assert 0 < sizes[0] < sizes[1] <= 4096


@pytest.mark.parametrize("file", sorted(REPOSITORY.glob("*/**/*.pbtxt")), ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_every_warm_up_runs(file: Path) -> None:
    """Triton leaves out samples without a batch size, also of models that do not batch, and says so only in its most verbose log."""
    config = text_format.Parse(file.read_text(), model_config_pb2.ModelConfig())
    assert all(sample.batch_size >= 1 for sample in config.model_warmup)


def test_generated_files_are_current() -> None:
    assert stale() == []


@pytest.mark.parametrize("name", TRAINED)
def test_weights_are_those_that_the_card_describes(name: str) -> None:
    weights = (REPOSITORY / name / "1" / "model.onnx").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == read_model(REPOSITORY / name).sha256
    assert len(weights) < 20 * 2**20


@pytest.mark.parametrize("name", [name for name in TRAINED if (REPOSITORY / name / "1" / QUANTISED).exists()])
def test_int8_weights_are_served_on_cpus_only(name: str) -> None:
    folder = REPOSITORY / name
    assert hashlib.sha256((folder / "1" / QUANTISED).read_bytes()).hexdigest() == read_card(folder).file.int8_sha256
    assert served_file(read_config(folder)) == QUANTISED
    assert served_file(text_format.Parse((folder / "configs" / "gpu.pbtxt").read_text(), Config())) == "model.onnx"


def test_int8_weights_answer_as_fp32_ones_do(astronaut_pixels: NDArray[np.uint8]) -> None:
    """They were made from the weights that are here, not from older ones."""
    outputs = [output.tensor for output in read_catalogue(REPOSITORY).outputs]
    served, exact = (DirectPipeline(exact=exact).infer(astronaut_pixels, outputs) for exact in (False, True))
    for name in outputs:
        apart = np.abs(served[name].astype(float) - exact[name]).max()
        assert apart <= {"AGE": 2, "BEAUTY": 4}.get(name, 0.1), name


def test_the_learned_part_of_face_align_is_the_one_its_card_describes() -> None:
    card = read_card(REPOSITORY / "face_align")
    assert card.file.path
    assert hashlib.sha256((ROOT / card.file.path).read_bytes()).hexdigest() == card.file.sha256
    assert card.training.data


@pytest.mark.parametrize("name", TRAINED)
def test_cards_say_what_the_weights_learned_from(name: str) -> None:
    card = read_card(REPOSITORY / name)
    assert card.training.data
    assert card.training.recipe
    assert card.licence.summary
    assert card.limits.known


def test_a_card_with_a_misspelt_key_is_refused(tmp_path: Path) -> None:
    text = (REPOSITORY / "face_beauty" / "model.toml").read_text()
    (tmp_path / "model.toml").write_text(text.replace("only_on_request", "on_request_only"))
    with pytest.raises(ValueError, match="on_request_only"):
        read_card(tmp_path)


def test_training_has_the_order_of_labels_that_is_served() -> None:
    labels = {output.tensor: output.labels for output in read_catalogue(REPOSITORY).outputs}
    assert EMOTIONS == labels["EMOTION"] == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert RACES == labels["RACE"] == ("asian", "indian", "black", "white", "middle eastern", "latino hispanic")
    assert CLASSES == labels["MASK"] == ("none", "worn", "worn wrongly")


@pytest.mark.parametrize("name", TRAINED)
def test_accuracy_was_measured(name: str) -> None:
    assert (REPOSITORY / name / "results.json").exists()


def test_labels_fit_their_tensors() -> None:
    for output in read_catalogue(REPOSITORY).outputs:
        (dims,) = [tensor.dims for tensor in read_config(REPOSITORY / output.model).output if tensor.name == output.tensor]
        assert output.attribute in BY_NAME
        assert not output.labels or list(dims) == [len(output.labels)]
        assert output.measured


def test_no_model_is_left_out() -> None:
    assert {folder.name for folder in FOLDERS} == {"face_prepare", "face_align", ENSEMBLE, *TRAINED}


def test_all_weights_together_are_small() -> None:
    assert np.sum([path.stat().st_size for path in REPOSITORY.glob("*/1/*.onnx")]) < 60 * 2**20
