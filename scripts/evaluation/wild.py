"""The wild gate: what is served, on strangers' pictures that nothing was trained on. Run by scripts/evaluate.py --wild.

An undetected face counts as an error everywhere. Beside the figures stand the errors themselves: sheets of the worst go to --output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.evaluation.detection import BANDS as SIZES
from scripts.evaluation.detection import match
from scripts.evaluation.statistics import auc, calibration_error, mean_of
from scripts.pipeline import DirectPipeline
from scripts.train.face_crops import MALE, Teachers
from scripts.train.fairface import BAND_EDGES, BANDS, RACES, SEVEN, served_race
from scripts.train.mesh_labels import MeshTeachers
from scripts.train.repositories import Sources, decode
from scripts.train.yunet import YuNet

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
OUTPUTS = ("BOXES", "AGE", "AGE_RANGE", "GENDER", "RACE", "EMOTION", "LIVENESS", "GLASSES", "HAT", "MASK", "QUALITY")
HAPPY = 3
ADULT_BANDS = list(BANDS)[3:]
CFD_RACES = {"Asian": "asian", "Black": "black", "Latino": "latino hispanic", "White": "white"}
SHEET, TILE_PX = 40, 112


@dataclass(frozen=True, slots=True)
class Faces:
    """Rows of a manifest, their pictures, and the tensors of the face nearest to the middle, NaN where none was found."""

    rows: list[dict[str, str]]
    pictures: list[Image]
    tensors: dict[str, Floats]
    found: NDArray[np.bool_]

    def column(self, name: str) -> NDArray[np.str_]:
        """A manifest column."""
        return np.array([row[name] for row in self.rows])


def wild(sources: Sources, pipeline: DirectPipeline, output: Path) -> dict[str, dict[str, Any]]:
    """Figures by model, in the order of the tables of docs and cards."""
    london, cfd, fairface = (_faces(sources, pipeline, name) for name in ("wild_london", "wild_cfd", "fairface"))
    figures: dict[str, dict[str, Any]] = {
        "face_detector": {**_crowds(sources, pipeline, output), "fairface_undetected": mean_of((~fairface.found).astype(float))},
        "face_demographics": {**_fairface(fairface, output), **_london(sources, london, output), **_cfd(cfd)},
        "face_expression": _smiles(london),
        "face_accessories": _worn(sources, pipeline, london, cfd, output),
        "face_liveness": {**_living(pipeline, london), **_replay(sources, pipeline)},
        "face_quality": {
            f"{name}_median": round(float(np.nanmedian(faces.tensors["QUALITY"][:, 0])), 1)
            for name, faces in {"london": london, "cfd": cfd, "fairface": fairface}.items()
        },
    }
    figures["face_demographics"]["steadiness"] = _steadiness(pipeline, [*london.pictures[:50], *fairface.pictures[:100]])
    return figures


def pictures(sources: Sources, name: str) -> Iterator[tuple[dict[str, str], Image]]:
    """Rows of a manifest of strangers (or FairFace `eval`) with their pictures, shrunk to `side`, CFD in grey."""
    rows = sources.manifest(name, "eval") if name == "fairface" else sources.manifest(name)
    for row in rows:
        row.setdefault("repo", "sumanvithaeadala/EthnicityDetection")
    for repository in dict.fromkeys(row["repo"] for row in rows):
        mine = [row for row in rows if row["repo"] == repository]
        for row, data in zip(mine, sources.blobs(repository, [row["blob"] for row in mine]), strict=True):
            image = decode(data)
            assert image is not None, row
            yield row, _as_measured(image, int(row.get("side", 0)), name == "wild_cfd")


def _as_measured(image: Image, side: int, grey: bool) -> Image:
    if side and max(image.shape[:2]) > side:
        scale = side / max(image.shape[:2])
        image = cv2.resize(image, (round(image.shape[1] * scale), round(image.shape[0] * scale)), interpolation=cv2.INTER_AREA).astype(
            np.uint8
        )
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, 2).astype(np.uint8) if grey else image


def answer(pipeline: DirectPipeline, image: Image, outputs: tuple[str, ...] = OUTPUTS) -> dict[str, Floats] | None:
    """The tensors of the face nearest to the middle."""
    tensors = pipeline.infer(np.ascontiguousarray(image[..., ::-1]), ("NUM_FACES", "BOXES", *outputs))
    count = int(tensors["NUM_FACES"][0])
    if not count:
        return None
    boxes = tensors["BOXES"][:count]
    face = int(np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - np.array(image.shape[1::-1]) / 2, axis=1).argmin())
    return {name: tensors[name][face] for name in outputs}


def _faces(sources: Sources, pipeline: DirectPipeline, name: str) -> Faces:
    rows, images, answers = [], [], []
    for row, image in tqdm(pictures(sources, name), desc=name, unit="pic", mininterval=15):
        rows.append(row)
        images.append(image)
        answers.append(answer(pipeline, image))
    some = next(given for given in answers if given)
    blank = {key: np.full_like(value, np.nan, dtype=np.float32) for key, value in some.items()}
    tensors = {key: np.stack([(given or blank)[key] for given in answers]).astype(np.float32) for key in OUTPUTS}
    return Faces(rows, images, tensors, np.array([given is not None for given in answers]))


def _crowds(sources: Sources, pipeline: DirectPipeline, output: Path) -> dict[str, Any]:
    """WIDER val pictures as they lie in their repository (416 px, stretched); sizes are heights in those pixels."""
    teacher = YuNet(sources.teachers / "yunet_n.onnx")

    def ours(image: Image) -> Floats:
        tensors = pipeline.infer(np.ascontiguousarray(image[..., ::-1]), ("NUM_FACES", "BOXES"))
        return np.asarray(tensors["BOXES"][: int(tensors["NUM_FACES"][0])])

    figures: dict[str, Any] = {}
    for name, detect in (("crowds", ours), ("crowds, YuNet 640", lambda image: teacher(image, 640, 0.5).boxes)):
        figures[name] = _detection(sources, detect, output / f"{name.split(',')[0]}.png" if detect is ours else None)
    return figures


def _detection(sources: Sources, detect: Callable[[Image], Floats], sheet: Path | None) -> dict[str, Any]:
    sizes, found, right, answered, photo, drawn = [], [], [], [], [], []
    for number, (row, image) in enumerate(tqdm(pictures(sources, "wild_wider"), desc="crowds", unit="pic", mininterval=15)):
        truth = np.array([[float(v) for v in box.split(",")] for box in row["boxes"].split()], np.float32).reshape(-1, 4)
        boxes = detect(image)
        hit, good = match(truth, boxes)
        sizes += (truth[:, 3] - truth[:, 1]).tolist()
        found += hit.tolist()
        right += good.tolist()
        answered += (boxes[:, 3] - boxes[:, 1]).tolist()
        photo += [number] * len(truth)
        drawn.append((int((~hit & (truth[:, 3] - truth[:, 1] >= 32)).sum() + (~good).sum()), image, truth[~hit], boxes, good))
    size, hits, photos = np.array(sizes), np.array(found, float), np.array(photo)
    answer_px, correct = np.array(answered), np.array(right, float)
    figures: dict[str, Any] = {}
    for band, (low, high) in {**SIZES, "32 and over": (32, 1e9)}.items():
        rows, answers = (size >= low) & (size < high), (answer_px >= low) & (answer_px < high)
        figures[band] = {"recall": mean_of(hits, rows, photos), "precision": mean_of(correct, answers) if answers.any() else {}}
    if sheet:
        _draw_crowds(drawn, sheet)
    return figures


def _draw_crowds(drawn: list[tuple[int, Image, Floats, Floats, NDArray[np.bool_]]], sheet: Path) -> None:
    """The twelve photographs with most errors: missed faces red, false ones blue, right ones green."""
    tiles = []
    for _, image, missed, boxes, good in sorted(drawn, key=lambda item: -item[0])[:12]:
        tile = image.copy()
        for box, colour in [
            *((b, (0, 0, 255)) for b in missed),
            *((b, (0, 200, 0) if g else (255, 0, 0)) for b, g in zip(boxes, good, strict=True)),
        ]:
            cv2.rectangle(tile, tuple(int(v) for v in box[:2]), tuple(int(v) for v in box[2:]), colour, 1)
        tiles.append(cv2.resize(tile, (416, 416)))
    cv2.imwrite(str(sheet), np.vstack([np.hstack(tiles[row : row + 4]) for row in range(0, len(tiles), 4)]))


def _fairface(faces: Faces, output: Path) -> dict[str, Any]:
    band = np.array([list(BANDS).index(label) for label in faces.column("age")])
    race = np.array([RACES.index(served_race(label)) for label in faces.column("race")])
    male = faces.column("gender") == "Male"
    right = faces.found & ((faces.tensors["GENDER"][:, 0] > 0.5) == male)
    grown = np.isin(faces.column("age"), ADULT_BANDS)
    age = np.nan_to_num(faces.tensors["AGE"][:, 0], nan=-99)
    said_band = np.where(faces.found, np.digitize(np.round(age), BAND_EDGES), -9)
    said_race = np.where(faces.found, np.nan_to_num(faces.tensors["RACE"], nan=0).argmax(1), -1)
    groups = {
        f"{label} {sex}": (faces.column("race") == label) & (faces.column("gender") == sex) for label in SEVEN for sex in ("Female", "Male")
    }
    by_group = {name: mean_of(right.astype(float), rows & grown) for name, rows in groups.items() if (rows & grown).any()}
    by_race = {label: mean_of(right.astype(float), (faces.column("race") == label) & grown) for label in SEVEN}
    recalls = {name: mean_of((said_race == index).astype(float), race == index) for index, name in enumerate(RACES)}
    off = abs(said_band - band)
    certainty = np.nan_to_num(faces.tensors["GENDER"].max(1))
    _sheet(faces, output / "fairface_gender.png", ~right & grown & faces.found, certainty, faces.tensors["GENDER"][:, 0])
    return {
        "fairface_gender_20_and_over": mean_of(right.astype(float), grown),
        "fairface_gender_by_race": by_race,
        "fairface_gender_by_group": by_group,
        "fairface_gender_worst_race": min(figure["value"] for figure in by_race.values()),
        "fairface_race_mean_recall": round(float(np.mean([figure["value"] for figure in recalls.values()])), 4),
        "fairface_race_recalls": recalls,
        "fairface_age_band": mean_of((off == 0).astype(float)),
        "fairface_age_band_within_one": mean_of((off <= 1).astype(float)),
        "fairface_age_band_by_race": {label: mean_of((off == 0).astype(float), faces.column("race") == label) for label in SEVEN},
        "fairface_gender_calibration_error": calibration_error(faces.tensors["GENDER"].max(1)[faces.found], right[faces.found]),
        "fairface_race_calibration_error": calibration_error(faces.tensors["RACE"].max(1)[faces.found], (said_race == race)[faces.found]),
    }


def _london(sources: Sources, faces: Faces, output: Path) -> dict[str, Any]:
    known = np.array([value not in ("", "NA") for value in faces.column("age")])
    years = np.array([float(value) if ok else np.nan for value, ok in zip(faces.column("age"), known, strict=True)])
    male = faces.column("gender") == "male"
    teachers = Teachers(sources.teachers)
    theirs = np.full((len(years), 2), np.nan)
    for index, image in enumerate(faces.pictures):
        boxes = teachers.detector(image, 640, 0.5)
        if len(boxes):
            given = teachers(image, boxes.boxes[0])
            theirs[index] = given[0], given[MALE]
    figures: dict[str, Any] = {}
    for name, age, p_male in (
        ("london", faces.tensors["AGE"][:, 0], faces.tensors["GENDER"][:, 0]),
        ("london, face-api", theirs[:, 0], theirs[:, 1]),
    ):
        error = np.nan_to_num(np.abs(age - years), nan=50.0)
        right = (p_male > 0.5) == male
        figures[name] = {
            "age_error": mean_of(error, known),
            "age_bias": mean_of(age - years, known & np.isfinite(age)),
            "gender": mean_of((right & np.isfinite(p_male)).astype(float)),
            "gender_women": mean_of(right.astype(float), ~male),
        }
    low, high = faces.tensors["AGE_RANGE"].T
    figures["london"]["age_in_range"] = mean_of(((years >= low - 0.5) & (years <= high + 0.5)).astype(float), known & faces.found)
    figures["london"]["age_error_by_group"] = {
        group: mean_of(np.nan_to_num(np.abs(faces.tensors["AGE"][:, 0] - years), nan=50.0), known & (faces.column("ethnicity") == group))
        for group in np.unique(faces.column("ethnicity"))
    }
    _sheet(
        faces,
        output / "london_age.png",
        known,
        np.abs(faces.tensors["AGE"][:, 0] - np.nan_to_num(years)),
        faces.tensors["AGE"][:, 0] - years,
    )
    return figures


def _cfd(faces: Faces) -> dict[str, Any]:
    right = faces.found & ((faces.tensors["GENDER"][:, 0] > 0.5) == (faces.column("gender") == "M"))
    said = np.nan_to_num(faces.tensors["RACE"]).argmax(1)
    races = {
        name: mean_of((said == RACES.index(served)).astype(float), faces.column("race") == name)
        for name, served in CFD_RACES.items()
        if (faces.column("race") == name).any()
    }
    return {"cfd_gender": mean_of(right.astype(float)), "cfd_race_recalls": races}


def _smiles(faces: Faces) -> dict[str, Any]:
    smiling = faces.column("expression") == "smiling"
    happy = np.nan_to_num(faces.tensors["EMOTION"])[:, HAPPY]
    said = np.nan_to_num(faces.tensors["EMOTION"]).argmax(1)
    return {
        "london_smiles_found": mean_of((said == HAPPY).astype(float), smiling),
        "london_neutral_called_happy": mean_of((said == HAPPY).astype(float), ~smiling),
        "london_smile_auc": round(auc(happy, smiling), 4),
        "london_neutral_called_negative": mean_of(np.isin(said, [0, 1, 2, 4]).astype(float), ~smiling),
    }


def _worn(sources: Sources, pipeline: DirectPipeline, london: Faces, cfd: Faces, output: Path) -> dict[str, Any]:
    """Nobody wears anything in CFD, next to nobody in London. Tight: cut at the face's box, so that the top of the head is not to be seen."""
    teacher = MeshTeachers(sources.teachers)
    figures: dict[str, Any] = {}
    for name, faces in (("london", london), ("cfd", cfd)):
        said = {
            "glasses": faces.tensors["GLASSES"].argmax(1) > 0,
            "glasses, ZhouKai90": np.array([teacher.worn(_crop(pipeline, image))[1:3].sum() > 0.5 for image in faces.pictures]),
            "hat": faces.tensors["HAT"].argmax(1) == 1,
            "mask": faces.tensors["MASK"].argmax(1) > 0,
        }
        for what, alarm in said.items():
            figures[f"{name}_{what}_on_bare"] = mean_of((alarm & faces.found).astype(float))
        groups = np.char.add(np.char.add(faces.column("ethnicity" if name == "london" else "race"), " "), faces.column("gender"))
        alarms = (said["glasses"] & faces.found).astype(float)
        figures[f"{name}_glasses_by_group"] = {group: mean_of(alarms, groups == group) for group in np.unique(groups)}
    tight = [
        answer(pipeline, _tight(image, box), ("HAT",))
        for image, box in zip(cfd.pictures, cfd.tensors["BOXES"], strict=True)
        if np.isfinite(box).all()
    ]
    figures["cfd_hat_on_bare_tight"] = mean_of(np.array([float(given is not None and given["HAT"].argmax() == 1) for given in tight]))
    glasses = 1 - cfd.tensors["GLASSES"][:, 0]
    _sheet(cfd, output / "cfd_glasses.png", cfd.found & (cfd.tensors["GLASSES"].argmax(1) > 0), glasses, glasses)
    return figures


def _crop(pipeline: DirectPipeline, image: Image) -> Image:
    """The aligned crop of the first face, BGR."""
    return np.ascontiguousarray(pipeline.infer(np.ascontiguousarray(image[..., ::-1]), ("FACE_CROPS",))["FACE_CROPS"][0, ..., ::-1])


def _tight(image: Image, box: Floats) -> Image:
    low, high = box[:2].clip(0).astype(int), box[2:].astype(int)
    return np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])


def _living(pipeline: DirectPipeline, london: Faces) -> dict[str, Any]:
    """Share of living people who are called an attack, in other light."""
    figures = {}
    for gamma in (0.5, 0.6, 1.0, 1.6, 2.0):
        refused = []
        for image in london.pictures[::2]:
            given = answer(pipeline, _gamma(image, gamma), ("LIVENESS",))
            refused.append(float(given is None or given["LIVENESS"][0] < 0.5))
        figures[f"london_called_spoof_gamma_{gamma}"] = mean_of(np.array(refused))
    return figures


def _replay(sources: Sources, pipeline: DirectPipeline) -> dict[str, Any]:
    live, score, source = [], [], []
    for row, image in tqdm(pictures(sources, "wild_replay"), desc="replay", unit="pic", mininterval=15):
        given = answer(pipeline, image, ("LIVENESS",))
        live.append(row["label"] == "live")
        score.append(0.0 if given is None else float(given["LIVENESS"][0]))
        source.append(row["source"])
    truth, said, where = np.array(live), np.array(score), np.array(source)
    by = {
        name: round(auc(said[where == name], truth[where == name]), 4) for name in np.unique(where) if 0 < truth[where == name].mean() < 1
    }
    return {
        "replay_auc": round(auc(said, truth), 4),
        "replay_auc_by_source": by,
        "replay_auc_mean_of_sources": round(float(np.mean(list(by.values()))), 4),
    }


def _gamma(image: Image, gamma: float) -> Image:
    table = ((np.arange(256) / 255) ** gamma * 255).round().astype(np.uint8)
    return cv2.LUT(image, table).astype(np.uint8)


def _changes() -> dict[str, Callable[[Image], Image]]:
    def shifted(image: Image) -> Image:
        return cv2.warpAffine(image, np.array([[1.0, 0, 4], [0, 1, 4]]), image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE).astype(
            np.uint8
        )

    def scaled(image: Image, factor: float) -> Image:
        return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR).astype(
            np.uint8
        )

    def jpeg(image: Image) -> Image:
        return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR).astype(np.uint8)

    return {
        "mirror": lambda image: np.ascontiguousarray(image[:, ::-1]),
        "shift 4 px": shifted,
        "scale 0.9": lambda image: scaled(image, 0.9),
        "scale 1.25": lambda image: scaled(image, 1.25),
        **{f"gamma {value}": partial(_gamma, gamma=value) for value in (0.5, 0.6, 1.6, 2.0)},
        "warm": lambda image: (image * np.array([0.8, 1.0, 1.15])).clip(0, 255).astype(np.uint8),
        "grey": lambda image: np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, 2).astype(np.uint8),
        "JPEG 30": jpeg,
        "64 px": lambda image: cv2.resize(image, (64 * image.shape[1] // image.shape[0], 64), interpolation=cv2.INTER_AREA).astype(np.uint8),
        "blur 1.5 px": lambda image: cv2.GaussianBlur(image, (0, 0), 1.5 * image.shape[0] / 224).astype(np.uint8),
    }  # fmt: skip


def _steadiness(pipeline: DirectPipeline, images: list[Image]) -> dict[str, Any]:
    """How far ages move, and how often another class wins, when the picture changes and the face does not."""
    outputs = ("AGE", "GENDER", "RACE", "EMOTION", "GLASSES", "HAT", "LIVENESS")
    before = [answer(pipeline, image, outputs) for image in images]
    figures = {}
    for name, change in tqdm(_changes().items(), desc="steadiness", mininterval=15):
        pairs = [(old, answer(pipeline, change(image), outputs)) for old, image in zip(before, images, strict=True) if old]
        kept = [(old, new) for old, new in pairs if new]
        row: dict[str, Any] = {
            "undetected": round(1 - len(kept) / len(pairs), 4),
            "years": round(float(np.mean([abs(new["AGE"][0] - old["AGE"][0]) for old, new in kept])), 3),
        }
        for output in outputs[1:-1]:
            row[f"{output.lower()}_flips"] = round(float(np.mean([old[output].argmax() != new[output].argmax() for old, new in kept])), 4)
        row["liveness_flips"] = round(float(np.mean([(old["LIVENESS"][0] > 0.5) != (new["LIVENESS"][0] > 0.5) for old, new in kept])), 4)
        figures[name] = row
    return figures


def _sheet(faces: Faces, path: Path, rows: NDArray[np.bool_], order: Floats, caption: Floats) -> None:
    """The worst rows, drawn with a number each."""
    worst = [int(i) for i in np.argsort(-np.nan_to_num(order, nan=-1)) if rows[i]][:SHEET]
    if not worst:
        return
    tiles = []
    for index in worst:
        tile = cv2.resize(faces.pictures[index], (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)
        cv2.putText(tile, f"{caption[index]:.2f}", (2, TILE_PX - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 255, 255), 1)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 10)
    cv2.imwrite(str(path), np.vstack([np.hstack(tiles[row : row + 10]) for row in range(0, len(tiles), 10)]))
