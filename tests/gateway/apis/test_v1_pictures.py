"""Pictures that come back with their faces hidden or marked; the faces are where tests.conftest.FakeTriton says."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from gateway.apis.services import KEY
from gateway.apis.v1_pictures import MOST_LOOKS
from gateway.app import create_app
from gateway.callers.keys import KeyStore
from gateway.errors import UpstreamOverloaded
from gateway.settings import Settings
from tests.conftest import FakeTriton

INSIDE = (slice(50, 130), slice(30, 90))  # of both faces
OUTSIDE = (slice(300, 500), slice(300, 500))


@pytest.fixture
def app(triton: FakeTriton, tmp_path: Path) -> Flask:
    """With the usual limits."""
    keys, pictures = f"sqlite:///{tmp_path / 'keys.sqlite'}", str(tmp_path / "pictures")
    return create_app(Settings(decode_processes=0, keys_url=keys, pictures_url=pictures), triton)  # type: ignore[arg-type]


@pytest.fixture
def once(triton: FakeTriton, monkeypatch: pytest.MonkeyPatch) -> FakeTriton:
    """Two faces at the first look, none afterwards."""
    infer = triton.infer

    def looked(image: NDArray[np.uint8], outputs: Any) -> Any:
        answer = infer(image, outputs)
        triton.faces = 0
        return answer

    monkeypatch.setattr(triton, "infer", looked)
    return triton


def post(client: FlaskClient, path: str, data: bytes) -> Any:
    return client.post(path, data=data, content_type="application/octet-stream")


def pixels(data: bytes) -> NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.int16)


def written(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise() -> Image.Image:
    """512x512, in squares of 4 pixels."""
    small = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    return Image.fromarray(small).resize((512, 512), Image.Resampling.NEAREST)


@pytest.mark.parametrize("method", ["blur", "pixelate", "cover"])
def test_faces_are_hidden_and_the_rest_stays(client: FlaskClient, once: FakeTriton, method: str) -> None:
    before = noise()
    answer = post(client, f"/v1/redact?method={method}", written(before, "PNG"))
    assert (answer.status_code, answer.mimetype, answer.headers["X-Faces"]) == (200, "image/png", "2")
    after = pixels(answer.data)
    assert np.array_equal(after[OUTSIDE], np.asarray(before)[OUTSIDE])
    inside = after[INSIDE]
    assert inside.std() < 30  # of noise, whose is 74
    if method == "cover":
        assert inside.std() == 0
    if method == "pixelate":
        assert len(np.unique(inside.reshape(-1, 3), axis=0)) <= 25


def test_the_edge_is_soft_and_the_margin_makes_more_of_it(client: FlaskClient, once: FakeTriton) -> None:
    white = written(Image.new("RGB", (512, 512), "white"), "PNG")
    covered = []
    for margin in (0, 0.5):
        once.faces = 1
        grey = pixels(post(client, f"/v1/redact?method=cover&margin={margin}", white).data)[..., 0]
        assert len(np.unique(grey)) > 20  # between the two
        covered.append((grey < 255).sum())
    assert covered[1] > 2 * covered[0]


def test_a_jpeg_keeps_its_tables_and_sampling_and_loses_its_metadata(client: FlaskClient, once: FakeTriton, astronaut: bytes) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a secret", 6
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 0.0)
    source = Image.open(io.BytesIO(astronaut)).resize((600, 400))
    sent = written(source, "JPEG", exif=exif, quality=71, subsampling=1, comment=b"a secret")
    answer = post(client, "/v1/redact", sent)
    got, given = (Image.open(io.BytesIO(data)) for data in (answer.data, sent))
    assert isinstance(got, JpegImagePlugin.JpegImageFile)
    assert isinstance(given, JpegImagePlugin.JpegImageFile)
    assert answer.mimetype == "image/jpeg"
    assert got.size == (400, 600)  # upright
    assert got.quantization == given.quantization
    assert JpegImagePlugin.get_sampling(got) == 1
    assert not got.getexif()
    assert b"a secret" not in answer.data
    assert set(got.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    turned = np.rot90(np.asarray(source), -1)
    assert abs(pixels(answer.data)[350:] - turned[350:]).mean() < 3


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("JPEG", {}, "JPEG"),
        ("PNG", {"optimize": True}, "PNG"),
        ("WEBP", {"lossless": True}, "WEBP"),
        ("WEBP", {"quality": 80}, "WEBP"),
        ("BMP", {}, "PNG"),
        ("GIF", {}, "PNG"),
        ("TIFF", {}, "PNG"),
    ],
)
def test_formats(client: FlaskClient, once: FakeTriton, astronaut: bytes, kind: str, options: Any, expected: str) -> None:
    sent = written(Image.open(io.BytesIO(astronaut)), kind, **options)
    got = Image.open(io.BytesIO(post(client, "/v1/redact", sent).data))
    assert got.format == expected
    change = abs(pixels(sent)[OUTSIDE] - np.asarray(got.convert("RGB"))[OUTSIDE]).mean()
    assert change == 0 if options.get("lossless") or expected == "PNG" else change < 4


def test_a_grey_jpeg_stays_grey(client: FlaskClient, once: FakeTriton, astronaut: bytes) -> None:
    answer = post(client, "/v1/redact", written(Image.open(io.BytesIO(astronaut)).convert("L"), "JPEG"))
    assert Image.open(io.BytesIO(answer.data)).mode == "L"


def test_it_looks_again_until_no_face_is_left_and_then_covers(
    client: FlaskClient, triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    infer = triton.infer

    def looked(image: NDArray[np.uint8], outputs: Any) -> Any:
        looks.append(float(image[INSIDE].std()))
        return infer(image, outputs)

    monkeypatch.setattr(triton, "infer", looked)
    answer = post(client, "/v1/redact?method=pixelate", written(noise(), "PNG"))
    assert len(looks) == MOST_LOOKS
    assert looks[0] > looks[1] > 0
    assert pixels(answer.data)[INSIDE].std() == 0


def test_a_picture_without_a_face_comes_back_as_it_is(client: FlaskClient, triton: FakeTriton) -> None:
    triton.faces = 0
    before = noise()
    answer = post(client, "/v1/redact", written(before, "PNG"))
    assert answer.headers["X-Faces"] == "0"
    assert np.array_equal(pixels(answer.data), np.asarray(before))


def test_faces_that_were_not_meant_stay(client: FlaskClient, triton: FakeTriton) -> None:
    sent = written(noise(), "PNG")
    assert post(client, "/v1/redact?min_confidence=0.95", sent).headers["X-Faces"] == "0"
    assert post(client, "/v1/redact?min_face_px=400", sent).headers["X-Faces"] == "0"


def with_most_tiles(app: Flask, most: int) -> None:
    parts = app.extensions[KEY]
    app.extensions[KEY] = replace(parts, settings=parts.settings.model_copy(update={"max_tiles": most}))


def test_large_pictures_come_back_in_full_size(client: FlaskClient, once: FakeTriton, app: Flask) -> None:
    with_most_tiles(app, 0)
    sent = written(Image.new("RGB", (3300, 1700), "white"), "JPEG", quality=50)
    answer = post(client, "/v1/redact?method=cover", sent)
    assert once.shape == (850, 1650, 3)  # what the models saw
    got = pixels(answer.data)
    assert got.shape == (1700, 3300, 3)
    assert got[180, 120].max() < 60  # the middle of the face, at twice the place


@pytest.mark.parametrize(
    ("path", "most", "calls"), [("redact?method=cover", 6, 8), ("draw?min_face_px=40", 6, 7), ("draw", 6, 1), ("redact?method=cover", 0, 2)]
)
def test_small_faces_are_looked_for_in_tiles(
    client: FlaskClient, triton: FakeTriton, app: Flask, monkeypatch: pytest.MonkeyPatch, path: str, most: int, calls: int
) -> None:
    """At the first look at a picture of 3300x1700: the whole and six tiles. In the second tile there is a face."""
    shapes: list[tuple[int, ...]] = []
    infer = triton.infer

    def looked(image: NDArray[np.uint8], outputs: Any) -> Any:
        shapes.append(image.shape)
        triton.faces = 1 if len(shapes) == min(3, calls - 1) else 0
        answer = infer(image, outputs)
        return {**answer, "BOXES": answer["BOXES"] + 100}  # away from the edges, at which faces are cut

    with_most_tiles(app, most)
    monkeypatch.setattr(triton, "infer", looked)
    answer = post(client, f"/v1/{path}", written(Image.new("RGB", (3300, 1700), "white"), "JPEG", quality=50))
    assert (answer.status_code, len(shapes)) == (200, calls)
    changed = pixels(answer.data).min(2) < 128
    assert changed.any() == (calls > 1)
    if most and changed.any():
        assert not changed[:, :800].any()


def test_three_kinds_of_body(client: FlaskClient, once: FakeTriton, astronaut: bytes) -> None:
    text = base64.b64encode(astronaut).decode()
    answers = []
    for body in (
        {"data": {"image": (io.BytesIO(astronaut), "a.jpg"), "method": "cover"}},
        {"json": {"image": text, "method": "cover", "margin": 0.2}},
        {"data": astronaut, "content_type": "image/jpeg", "query_string": "method=cover"},
    ):
        once.faces = 2
        answers.append(client.post("/v1/redact", **body).data)
    assert len(set(answers)) == 1


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/redact?method=smear", "method must be blur, pixelate or cover."),
        ("/v1/redact?margin=2", "margin must be a number from 0 to 1."),
        ("/v1/redact?max_faces=1", "The query takes method, margin, min_confidence and min_face_px only, not max_faces."),
        ("/v1/draw?show=boxes,hats", "show names something unknown: hats; it takes boxes, labels, keypoints, landmarks, pupils."),
        ("/v1/draw?attributes=shoes", "attributes names something unknown: shoes; see /v1/attributes."),
    ],
)
def test_what_is_refused(client: FlaskClient, astronaut: bytes, path: str, said: str) -> None:
    answer = post(client, path, astronaut)
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert (answer.json["code"], answer.json["detail"]) == ("invalid_parameter", said)


@pytest.mark.parametrize("path", ["/v1/redact", "/v1/draw"])
def test_errors_keys_and_quotas_are_those_of_analyze(
    client: FlaskClient, app: Flask, triton: FakeTriton, astronaut: bytes, path: str
) -> None:
    assert post(client, path, b"no picture").json["code"] == "unrecognised_image"
    triton.failure = UpstreamOverloaded(retry_after_s=2)
    busy = post(client, path, astronaut)
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "2")
    triton.failure = None
    issued = KeyStore(app.extensions[KEY].settings.keys_url).create("vultus", "test", 1, None)
    assert post(client, path, astronaut).json["code"] == "key_missing"
    codes = [client.post(path, data=astronaut, headers={"X-API-Key": issued.secret}).status_code for _ in range(2)]
    assert codes == [200, 429]


def test_drawing_marks_what_was_asked_for(client: FlaskClient, triton: FakeTriton) -> None:
    sent = written(Image.new("RGB", (512, 512), (99, 99, 99)), "PNG")
    drawn = {
        show: pixels(post(client, f"/v1/draw?show={show}", sent).data) for show in ("boxes", "labels", "keypoints", "landmarks", "pupils")
    }
    pictures = {picture.tobytes() for picture in drawn.values()}
    assert len(pictures) == 5
    assert all((picture != 99).any() and (picture[440:] == 99).all() for picture in drawn.values())
    assert (drawn["boxes"][60:100, 40:80] == 99).all()  # inside both
    assert set(triton.asked) >= {"PUPILS"}
    plain = post(client, "/v1/draw", sent)
    assert plain.headers["X-Faces"] == "2"
    assert "LANDMARKS" not in triton.asked
    assert post(client, "/v1/draw?max_faces=1", sent).headers["X-Faces"] == "1"


def test_the_document_says_what_can_be_asked_and_what_comes(client: FlaskClient) -> None:
    document: Any = client.get("/openapi.json").json
    operation = document["paths"]["/v1/redact"]["post"]
    by_name = {parameter["name"]: parameter["schema"] for parameter in operation["parameters"] if parameter["in"] == "query"}
    assert list(by_name) == ["method", "margin", "min_confidence", "min_face_px"]
    assert by_name["method"]["enum"] == ["blur", "pixelate", "cover"]
    assert set(operation["responses"]["200"]["content"]) == {"image/jpeg", "image/png", "image/webp"}
    assert "show" in document["components"]["schemas"]["DrawJson"]["properties"]
