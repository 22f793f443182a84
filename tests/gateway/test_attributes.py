"""Every row of gateway/attributes.py appears wherever attributes appear. tests/docs/test_extending.py runs this with one row more."""

from __future__ import annotations

import csv
import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from gateway import attributes
from gateway.apis.wording import words
from gateway.attributes import ATTRIBUTES, BY_NAME, Attribute
from gateway.commands.analysis.forms import FORMS
from gateway.faces import Face
from gateway.models import read_catalogue
from gateway.settings import REPOSITORY
from gateway.v1_schema import AnalysisOut, FaceOut
from vultus.table import PICTURE

EVERY = pytest.mark.parametrize("row", ATTRIBUTES, ids=lambda row: row.name)
OF_EVERY_FACE = {"box", "confidence", "keypoints"}


@pytest.fixture
def answer(client: FlaskClient, astronaut: bytes) -> AnalysisOut:
    return AnalysisOut.model_validate_json(client.post("/v1/analyze?attributes=all", data=astronaut, content_type="image/jpeg").data)


def written(form: str, answer: AnalysisOut) -> str:
    text = io.StringIO()
    writer = FORMS[form](text.write)  # type: ignore[arg-type]
    writer.add("photo.jpg", answer)
    writer.end()
    return text.getvalue()


def only(answer: AnalysisOut, name: str) -> AnalysisOut:
    """The answer with one attribute of its first face."""
    face = answer.faces[0]
    rest = {field: getattr(face, field) for field in (*OF_EVERY_FACE, name)}
    return answer.model_copy(update={"faces": [FaceOut(**rest)]})


def test_rows_fields_and_tensors_agree() -> None:
    names = [row.name for row in ATTRIBUTES]
    assert set(names) == {field.name for field in dataclasses.fields(Face)} - OF_EVERY_FACE
    assert set(names) == set(FaceOut.model_fields) - OF_EVERY_FACE
    assert sorted(names) == sorted(output.attribute for output in read_catalogue(REPOSITORY).outputs)


@EVERY
def test_v1_answers_with_it_and_documents_it(row: Attribute, client: FlaskClient, answer: AnalysisOut) -> None:
    assert getattr(answer.faces[0], row.name) is not None
    document: Any = client.get("/openapi.json").json
    assert row.name in document["components"]["schemas"]["FaceOut"]["properties"]
    offered: Any = client.get("/v1/attributes").json
    assert [told["kind"] for told in offered["attributes"] if told["name"] == row.name] == [row.kind.name]


@EVERY
def test_its_cells_are_filled(row: Attribute, answer: AnalysisOut) -> None:
    (cells,) = csv.DictReader(io.StringIO(written("csv", only(answer, row.name))))
    assert {name for name, cell in cells.items() if cell} - set(PICTURE) == {name.format(row.name) for name in row.kind.columns}


@EVERY
def test_the_table_and_drawn_pictures_name_it(row: Attribute, answer: AnalysisOut) -> None:
    face = only(answer, row.name)
    told, drawn = row.kind.told(getattr(face.faces[0], row.name)), row.kind.drawn(getattr(face.faces[0], row.name))
    if row.column:
        assert row.column in written("table", face).splitlines()[1]
        assert told
        assert told in written("table", face)
    if row.drawn_at and drawn:
        assert words(face.faces[0]) == [drawn]
    if not row.drawn_at:
        assert words(face.faces[0]) == [f"{face.faces[0].confidence:.2f}"]


def test_the_words_of_a_whole_face(answer: AnalysisOut) -> None:
    """The lines of the built-in attributes; the second face is not a living one."""
    assert words(answer.faces[0])[:2] == ["female, 32", "happy, regular glasses, mask worn wrongly, hat"]
    assert "not a living face" not in words(answer.faces[0])
    assert words(answer.faces[1])[2] == "not a living face"


def test_what_is_not_worn_is_not_said() -> None:
    hat, mask = BY_NAME["hat"].kind, BY_NAME["mask"].kind
    none = hat.render(hat.read(np.array([0.9, 0.1]), ("none", "hat"), np.ones(2)))
    assert (hat.told(none), hat.cells(none)) == ("", ("none", 0.9))
    bare = mask.render(mask.read(np.array([0.8, 0.1, 0.1]), ("none", "worn", "worn wrongly"), np.ones(2)))
    assert mask.drawn(bare) == ""


def test_lengths_become_pixels_of_the_image() -> None:
    scale = np.array([2.0, 4.0])
    assert attributes.POINTS.read(np.array([[1.0, 1.0]]), (), scale) == ((2.0, 4.0),)
    assert attributes.CIRCLES.read(np.array([[1.0, 1.0, 1.0]]), (), scale) == ((2.0, 4.0, 3.0),)


def test_probabilities_stay_in_bounds() -> None:
    assert [attributes.probability(value) for value in (-0.1, 0.123456, 1.00001)] == [0, 0.1235, 1]
