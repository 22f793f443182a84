"""`vultus models add`: the toy's answers are right, and what is described wrongly is refused in one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from scripts.slots import trial
from scripts.slots.adapter import read
from scripts.slots.contract import slot_of
from scripts.slots.foreign import load
from scripts.slots.wrap import wrap
from tests.slots import toy
from tests.slots.conftest import Vultus


def change(old: str, new: str) -> str:
    assert toy.ADAPTER.count(old) == 1
    return toy.ADAPTER.replace(old, new)


SOURCE = f'\n[source]\nfile = "toy.onnx"\nbytes = 1\nsha256 = "{"0" * 64}"\nhome = "here"\n'
WRONG = {
    "shape": (change("NHWC", "NCHW"), "input.layout: the model's input [any, 40, 40, 3] is NHWC, not NCHW"),
    "size": (change("size = 40", "size = 64"), "input.size: the model's input [any, 40, 40, 3] is not 64 pixels"),
    "channels": (change('"BGR"', '"GREY"'), "input.colour: the model's input [any, 40, 40, 3] has 3 channels, GREY has 1"),
    "order": (change('["sun", "regular", "none"]', '["none", "regular", "sun"]'), "look at the order of labels"),
    "heads": (change('slot = "glasses"', 'slot = "glasses"\noutput = "z"'), "glasses: the model has no output 'z'; it has y"),
    "slot": (change('slot = "glasses"', 'slot = "shoes"'), "heads.0.slot: There is no slot 'shoes'"),
    "count": (change('"sun", ', "") + 'absent = ["sun"]\n', "there are 2 labels for 3 columns"),
    "label": (change('"sun"', '"shades"'), "'shades' is no label of glasses: none, regular, sun"),
    "left out": (change('"sun"', '"-"'), "nothing says what becomes of sun"),
    "columns": (change('slot = "glasses"', 'slot = "glasses"\ncolumns = [1, 4]'), "columns end at 4, the output 'y' has 3"),
    "licence": (toy.ADAPTER.replace('[licence]\nname = "CC0-1.0"\ncommercial_use = "Yes."\n', ""), "licence: is missing"),
    "sum": (toy.ADAPTER + SOURCE, "is not the file that is described: its sha256 is"),
    "probabilities": (change('"softmax"', '"nothing"'), "do they want softmax?"),
    "mean": (change("std = 255", "std = 255\nmean = [1, 2]"), "mean has 2 numbers, BGR wants 1 or 3"),
    "scale": (change("std = 255", "std = 1e12"), "does not depend on the picture"),
    "word": (change("layout", "layuot"), "input.layuot: Extra inputs are not permitted"),
    "no TOML": ("name = ", "is no TOML"),
}


def refusal(vultus: Vultus, *arguments: str) -> str:
    result = vultus("add", *arguments, "--accept-licence")
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_description_is_one_line(fault: str, tmp_path: Path, vultus: Vultus) -> None:
    described, line = WRONG[fault]
    assert line in refusal(vultus, *toy.write(tmp_path, described))
    assert not list((tmp_path / "data").rglob("model.onnx"))


def external(file: Path) -> None:
    big = toy.model()
    onnx.save(big, file, save_as_external_data=True, size_threshold=0, location="weights.bin")


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "pickle": (lambda file: file.write_bytes(b"\x80\x04\x95rest"), "is a pickle, which can run any program"),
    "checkpoint": (lambda file: file.write_bytes(b"PK\x03\x04rest"), "is an archive (a PyTorch checkpoint"),
    "tflite": (lambda file: file.write_bytes(b"\x1c\0\0\0TFL3rest"), "is a TFLite file: export the model to ONNX"),
    "text": (lambda file: file.write_bytes(b"not a model"), "is no ONNX file"),
    "external data": (external, "keeps its weights in another file"),
    "custom operator": (
        lambda file: onnx.save(toy.model(domain="com.acme"), file),
        "uses Mul of com.acme, an operator that is not in ONNX",
    ),
    "four axes": (lambda file: onnx.save(toy.model(shape=[40, 120]), file), "pictures, which have four axes"),
    "none": (lambda file: file.unlink(), "cannot be read"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_wrong_file_is_one_line(kind: str, tmp_path: Path, vultus: Vultus) -> None:
    make, line = FILES[kind]
    arguments = toy.write(tmp_path)
    make(tmp_path / "toy.onnx")
    assert line in refusal(vultus, *arguments)


def test_the_licence_is_shown_and_asked_for(tmp_path: Path, vultus: Vultus) -> None:
    result = vultus("add", *toy.write(tmp_path))
    assert result.exit_code == 1
    assert "CC0-1.0" in result.stdout
    assert "--accept-licence" in result.stderr
    assert not list((tmp_path / "data").rglob("model.onnx"))


def test_the_toy_answers_right(tmp_path: Path) -> None:
    assert len(toy.ADAPTER.splitlines()) < 25
    toy.write(tmp_path)
    wrapped = wrap(read(tmp_path / "toy.toml"), load(tmp_path / "toy.onnx"))
    (answers,) = trial.run(wrapped, [slot_of("glasses")])
    crops = trial._faces()[0]["FACE_CROPS"]
    for row, crop in zip(answers.rows, crops, strict=True):
        assert np.abs(row - toy.expected(crop)).max() < 0.02
    assert not trial.contradiction(answers)


def test_a_contradiction_can_be_overruled(tmp_path: Path, vultus: Vultus) -> None:
    described, _ = WRONG["order"]
    result = vultus("add", *toy.write(tmp_path, described), "--accept-licence", "--accept-answers")
    assert result.exit_code == 0, result.output
    assert re.search(r"glasses +none +0\.0", result.stdout)
