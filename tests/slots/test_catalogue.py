"""The catalogue's models with their real files: wrapped, on our crops, they answer as they do bare, on their own crop.

Needs VULTUS_TEACHERS, VULTUS_CLONES and VULTUS_MANIFESTS (scripts/train/README.md); without them only the descriptions are tested. The
tolerances are printed in docs/pages/better-models.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from scripts.pipeline import DirectPipeline
from scripts.slots import known
from scripts.slots.adapter import Adapter, Input, read
from scripts.slots.contract import slot_of
from scripts.slots.foreign import load
from scripts.slots.trial import SOURCES
from scripts.slots.wrap import slots_of, wrap
from scripts.train.repositories import Sources, decode
from scripts.train.yunet import YuNet
from tests.served import ROOT
from tests.slots.conftest import Vultus

PAGE = ROOT / "docs" / "pages" / "better-models.md"
PICTURES = 24
ARCFACE_112 = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
Image = NDArray[np.uint8]
Rows = NDArray[np.float64]
Faces = list[tuple[Image, Rows, Rows, dict[str, Any]]]


def environment() -> Sources:
    folders = [os.environ.get(f"VULTUS_{name}", "") for name in ("CLONES", "MANIFESTS", "TEACHERS")]
    if not all(folder and Path(folder).is_dir() for folder in folders):
        pytest.skip("needs VULTUS_CLONES, VULTUS_MANIFESTS and VULTUS_TEACHERS")
    clones, manifests, teachers = map(Path, folders)
    return Sources(clones, manifests, teachers, cache=Path())


# Own crops, by OpenCV from the picture: nothing of scripts/slots.


def own_crop(seen: Input, image: Image, box: Rows, points: Rows) -> Image:
    if seen.crop == "aligned":
        template = np.array(seen.points or ARCFACE_112) * (seen.size / seen.points_px)
        return cv2.warpAffine(image, _similarity(points, template), (seen.size, seen.size)).astype(np.uint8)
    middle, (width, height) = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    if seen.shape == "box":
        return _inside(seen, image, middle, width, height)
    side = max(width, height) * seen.margin
    pixels = max(2, round(side))
    part = cv2.warpAffine(image, np.array([[1, 0, side / 2 - middle[0]], [0, 1, side / 2 - middle[1]]]), (pixels, pixels))
    return cv2.resize(part, (seen.size, seen.size), interpolation=cv2.INTER_AREA if pixels > seen.size else cv2.INTER_LINEAR).astype(
        np.uint8
    )


def _similarity(points: Rows, template: Rows) -> Rows:
    (x, y), zero, one = points.T, np.zeros(5), np.ones(5)
    system = np.vstack([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, right, down = np.linalg.lstsq(system, template.T.reshape(-1), rcond=None)[0]
    return np.array([[a, -b, right], [b, a, down]])


def _inside(seen: Input, image: Image, middle: Rows, width: float, height: float) -> Image:
    """The box's shape, smaller and moved where the picture ends."""
    high, wide = image.shape[:2]
    scale = min((high - 1) / height, (wide - 1) / width, seen.margin)
    size = np.array([width, height]) * scale
    corner = np.clip(middle - size / 2, 0, np.array([wide - 1, high - 1]) - size)
    (left, top), (right, bottom) = corner.astype(int), (corner + size).astype(int) + 1
    return cv2.resize(image[top:bottom, left:right], (seen.size, seen.size)).astype(np.uint8)


def fed(seen: Input, crop: Image) -> NDArray[np.float32]:
    picture = crop[..., ::-1] if seen.colour == "RGB" else crop
    values = (picture.astype(np.float32) - np.array(seen.mean, np.float32)) / np.array(seen.std, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1) if seen.layout == "NCHW" else values)[None].astype(np.float32)


def softmax(row: Rows) -> Rows:
    grown = np.exp(row - row.max())
    return np.asarray(grown / grown.sum())


def hse_age(row: Rows) -> Rows:
    best = np.argsort(-row)[:2]
    return np.array([1 + (row[best] * best).sum() / row[best].sum()])


def hse_gender(row: Rows) -> Rows:
    male = row[0] / 1.2 if row[0] < 0.6 else 1 - (1 - row[0]) / 0.8
    return np.array([male, 1 - male])


# What the outputs mean, in the order of our labels, written down once more by hand: output and reading, by entry and slot.
READ: dict[str, dict[str, tuple[str, Callable[[Rows], Rows]]]] = {
    "faceapi_age_gender": {"age": ("age", lambda row: row), "gender": ("gender", lambda row: row)},
    "hse_age_gender": {"age": ("age_pred/Softmax:0", hse_age), "gender": ("gender_pred/Sigmoid:0", hse_gender)},
    "faceapi_expression": {"emotion": ("emotion", lambda row: row[[3, 5, 4, 1, 2, 6, 0]])},
    "minifasnet_v2": {"liveness": ("output", lambda row: row[1:2])},
    "zhoukai90_attributes": {
        "mask": ("attrs", lambda row: np.append(softmax(row[2:4]), 0)),
        "glasses": ("attrs", lambda row: softmax(row[4:7])),
    },
    "fsanet_1x1": {"pose": ("output", lambda row: row * [-1, -1, 1])},
    "fsanet_var": {"pose": ("output", lambda row: row * [-1, -1, 1])},
    "gear_race": {"race": ("Identity_2:0", lambda row: np.append(row[[2, 3, 1, 0]], [0, 0]) / row[:4].sum())},
}
# Mean difference to the bare model on its own crop (years; probability) and share of faces with the same verdict.
TOLERANCE = {
    ("faceapi_age_gender", "age"): (2.6, 0.9),
    ("faceapi_age_gender", "gender"): (0.03, 0.95),
    ("hse_age_gender", "age"): (2.8, 0.75),
    ("hse_age_gender", "gender"): (0.02, 0.95),
    ("faceapi_expression", "emotion"): (0.035, 0.9),
    ("minifasnet_v2", "liveness"): (0.08, 0.95),
    ("zhoukai90_attributes", "mask"): (0.015, 0.95),
    ("zhoukai90_attributes", "glasses"): (0.04, 0.95),
    ("gear_race", "race"): (0.03, 0.9),
    ("fsanet_1x1", "pose"): (1.5, 0.9),
    ("fsanet_var", "pose"): (1.5, 0.9),
}


@pytest.fixture(scope="module")
def faces() -> Faces:
    """Picture (BGR), YuNet's box and points, what `face_align` gives for the same face."""
    sources, pipeline = environment(), DirectPipeline(attributes=())
    detect = YuNet(sources.teachers / "yunet_n.onnx")
    rows = sources.manifest("lfw", "eval")
    rows = rows[:: len(rows) // PICTURES][:PICTURES]
    found = []
    for data in sources.blobs("SnorreW/FacialAttributes_Snorre", [row["blob"] for row in rows]):
        image = decode(data)
        assert image is not None
        theirs, tensors = detect(image, 320, 0.5), pipeline.infer(np.ascontiguousarray(image[..., ::-1]), SOURCES)
        middle = np.array(image.shape[1::-1]) / 2
        first = int(np.argmin(np.abs((theirs.boxes[:, :2] + theirs.boxes[:, 2:]) / 2 - middle).sum(1)))
        ours = tensors["BOXES"]
        face = int(np.argmin(np.abs((ours[:, :2] + ours[:, 2:]) / 2 - middle).sum(1)))
        box, points = theirs.boxes[first].astype(float), theirs.points[first].astype(float)
        found.append((image, box, points, {name: tensors[name][face : face + 1] for name in SOURCES}))
    return found


@pytest.mark.parametrize("name", sorted(known.entries()))
def test_wrapped_answers_as_bare(name: str, faces: Faces, record_property: Callable[[str, object], None]) -> None:
    adapter, _ = known.entry(name)
    assert adapter.source is not None
    file = environment().teachers / adapter.source.file
    bare = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    wrapped = ort.InferenceSession(wrap(adapter, load(file)).SerializeToString(), providers=["CPUExecutionProvider"])
    theirs = {slot: np.array(rows) for slot, rows in bare_answers(adapter, bare, faces).items()}
    wanted = {value.name for value in wrapped.get_inputs()}
    feed = {key: np.concatenate([tensors[key] for *_, tensors in faces]) for key in wanted}
    ours = dict(zip([slot.attribute for slot in slots_of(adapter)], wrapped.run([s.tensor for s in slots_of(adapter)], feed), strict=True))
    for slot, rows in theirs.items():
        apart, same = np.abs(ours[slot] - rows).mean(), same_verdict(slot, ours[slot], rows)
        record_property(slot, f"mean difference {apart:.3f}, same verdict {same:.3f}")
        most, least = TOLERANCE[name, slot]
        assert apart <= most
        assert same >= least


def bare_answers(adapter: Adapter, bare: ort.InferenceSession, faces: Any) -> dict[str, list[Rows]]:
    answers: dict[str, list[Rows]] = {slot: [] for slot in READ[adapter.name]}
    for image, box, points, _ in faces:
        crop = own_crop(adapter.input, image, box, points)
        values = bare.run(None, {bare.get_inputs()[0].name: fed(adapter.input, crop)})
        outputs = dict(zip([output.name for output in bare.get_outputs()], values, strict=True))
        for slot, (output, meaning) in READ[adapter.name].items():
            answers[slot].append(meaning(outputs[output][0].astype(float)))
    return answers


def same_verdict(slot: str, ours: Rows, theirs: Rows) -> float:
    """Share of faces: the same first label, the same side of a half, ages within five years, angles within five degrees."""
    if slot == "age":
        return float((np.abs(ours - theirs) <= 5).mean())
    if slot == "pose":
        return float((np.abs(ours - theirs).max(1) <= 5).mean())
    if slot_of(slot).is_decision:
        return float(((ours >= 0.5) == (theirs >= 0.5)).mean())
    return float((ours.argmax(1) == theirs.argmax(1)).mean())


@pytest.mark.parametrize("name", sorted(known.entries()))
def test_entries_state_what_is_needed(name: str) -> None:
    adapter, _ = known.entry(name)
    assert adapter.name == name
    assert adapter.source is not None
    assert all(head.measured for head in adapter.heads)


@pytest.mark.parametrize("pack", sorted(known.packs()))
def test_packs_name_models_of_the_catalogue_that_fill_their_slots(pack: str) -> None:
    for slot, weights in known.packs()[pack].items():
        for model in weights:
            assert slot in {head.slot for head in known.entry(model)[0].heads}


def test_the_page_prints_the_tolerances() -> None:
    text = PAGE.read_text()
    for (name, slot), (most, least) in TOLERANCE.items():
        assert f"| `{name}` | {slot} | " in text
        assert f" | at most {most:g} | {least:g} or more |" in text.split(f"| `{name}` | {slot} | ")[1].splitlines()[0]


def test_the_example_of_the_page_is_an_adapter(tmp_path: Path) -> None:
    (described,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    (tmp_path / "acme_mood.toml").write_text(described)
    assert read(tmp_path / "acme_mood.toml").name == "acme_mood"
    assert len(described.splitlines()) < 25


def test_a_file_that_is_published_nowhere_is_asked_for(vultus: Vultus) -> None:
    result = vultus("install", "gear_race", "--accept-licence")
    assert result.exit_code == 1
    assert "is described, but its file is not published in this form" in result.stderr
    assert "gear_race.onnx with --from" in result.stderr
