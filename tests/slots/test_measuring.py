"""`vultus models evaluate`: figures on labelled pictures, and tables that do not work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.inference.analyzer import Analyzer
from gateway.models import read_catalogue
from gateway.pictures.decoding import decode, rules_of
from gateway.settings import REPOSITORY, Settings
from scripts.pipeline import DirectPipeline
from scripts.slots.contract import PHOTO
from tests.conftest import PICTURES
from tests.slots.conftest import Vultus


def table(folder: Path, text: str) -> str:
    shutil.copy(PICTURES / "astronaut.jpg", folder)
    (folder / "labels.csv").write_text(text)
    return str(folder / "labels.csv")


def test_figures_are_those_of_the_answers(tmp_path: Path, vultus: Vultus) -> None:
    settings = Settings()
    picture = decode(PHOTO.read_bytes(), rules_of(settings), settings.working_side_px)
    (face,) = Analyzer(DirectPipeline(), read_catalogue(REPOSITORY)).analyze(picture, ["age"]).faces
    assert face.age is not None
    rows = "picture,age,gender,liveness\nastronaut.jpg,20,female,spoof\nastronaut.jpg,30,male,live\nastronaut.jpg,,female,\n"
    result = vultus("evaluate", table(tmp_path, rows))
    assert result.exit_code == 0, result.output
    error = (abs(face.age - 20) + abs(face.age - 30)) / 2
    age, gender, liveness, undetected = result.stdout.splitlines()
    assert age.startswith(f"age: mean absolute error {error:.2f} [")
    assert age.endswith("n = 2; by face_demographics " + read_catalogue(REPOSITORY).versions["face_demographics"])
    assert gender.startswith("gender: accuracy 0.667 [")
    assert liveness.startswith("liveness: accuracy 0.500 [")
    assert undetected == "no face found: 0"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("picture,shoes\nastronaut.jpg,red\n", "wants a head line, a column 'picture', one or more of age"),
        ("file,age\nastronaut.jpg,20\n", "wants a head line, a column 'picture'"),
        ("picture,age\nnone.jpg,20\n", "none.jpg cannot be read"),
        ("picture,age\nlabels.csv,20\n", "labels.csv: "),
        ("picture,age\nastronaut.jpg,old\n", "age: 'old' is no number"),
        ("picture,gender\nastronaut.jpg,woman\n", "gender: 'woman' is none of male, female"),
    ],
)
def test_a_wrong_table_is_one_line(text: str, line: str, tmp_path: Path, vultus: Vultus) -> None:
    result = vultus("evaluate", table(tmp_path, text))
    assert result.exit_code == 1
    assert line in result.stderr
    assert result.stderr.count("\n") == 1
