"""Age, gender, race and expression on `eval` rows, end to end: our detector, our alignment, our models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.evaluation.stability import stability
from scripts.evaluation.statistics import calibration_error, interval, mean_of, text
from scripts.pipeline import DirectPipeline
from scripts.train.labels import labels
from scripts.train.repositories import Sources, decode

Rows = list[dict[str, str]]
RACES = ("Asian", "Indian", "Black", "White", "Other")
EMOTIONS = labels("face_expression", "EMOTION")
BANDS = ((0, 9), (10, 19), (20, 39), (40, 59), (60, 200))


@dataclass(frozen=True, slots=True)
class Answers:
    """Manifest rows with a detected face, and the ensemble's tensors for the face nearest to the centre."""

    rows: Rows
    tensors: dict[str, NDArray[Any]]
    undetected: int

    def column(self, name: str) -> NDArray[np.str_]:
        """A manifest column."""
        return np.array([row[name] for row in self.rows])


def analyse(
    pipeline: DirectPipeline, pictures: Iterator[tuple[dict[str, str], NDArray[np.uint8]]], outputs: tuple[str, ...], total: int, name: str
) -> Answers:
    """Run the whole ensemble on pictures that show one person each."""
    rows: Rows = []
    kept: list[list[NDArray[Any]]] = []
    missed = 0
    for row, image in tqdm(pictures, total=total, desc=name, unit="pic", mininterval=10):
        tensors = pipeline.infer(np.ascontiguousarray(image[..., ::-1]), ("NUM_FACES", "BOXES", *outputs))
        count = int(tensors["NUM_FACES"][0])
        if not count:
            missed += 1
            continue
        boxes = tensors["BOXES"][:count]
        middle = np.array(image.shape[1::-1]) / 2
        face = int(np.argmin(np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - middle, axis=1)))
        rows.append(row)
        kept.append([tensors[output][face] for output in outputs])
    columns = [np.stack(column) for column in zip(*kept, strict=True)]
    return Answers(rows, dict(zip(outputs, columns, strict=True)), missed)


def pictures(
    sources: Sources, manifest: str, repository: str, border: float, upscale: int = 1
) -> tuple[Iterator[tuple[dict[str, str], NDArray[np.uint8]]], int]:
    """`eval` pictures with a black border of `border` times their size, enlarged `upscale` times."""
    rows = sources.manifest(manifest, "eval")

    def stream() -> Iterator[tuple[dict[str, str], NDArray[np.uint8]]]:
        for row, data in zip(rows, sources.blobs(repository, [row["blob"] for row in rows]), strict=True):
            image = decode(data)
            if image is not None:
                if upscale > 1:
                    image = cv2.resize(image, None, fx=upscale, fy=upscale, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
                pad = round(border * max(image.shape[:2]))
                yield row, cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_CONSTANT).astype(np.uint8) if pad else image

    return stream(), len(rows)


def demographics(sources: Sources, pipeline: DirectPipeline) -> dict[str, Any]:
    """UTKFace eval (age, gender, race) and LFW eval (gender)."""
    stream, total = pictures(sources, "utkface", "mattans/AgeProgression", 0.4)
    utk = analyse(pipeline, stream, ("AGE", "AGE_RANGE", "GENDER", "RACE"), total, "UTKFace eval")
    stream, lfw_total = pictures(sources, "lfw", "SnorreW/FacialAttributes_Snorre", 0)
    lfw = analyse(pipeline, stream, ("GENDER",), lfw_total, "LFW eval")
    age, ranges = _age(utk), _age_range(utk)
    gender, race = _gender(utk, lfw), _race(utk)
    steady = stability(sources, pipeline, ("AGE", "GENDER"))
    return {
        "AGE": {
            "summary": f"mean absolute error {text(age['all'], 2)} years on UTKFace eval, n = {len(utk.rows)}, {utk.undetected} undetected",
            **age,
            **steady["AGE"],
        },
        "AGE_RANGE": {
            "summary": f"holds {text(ranges['all'])} of the true ages of UTKFace eval, {ranges['years']['value']:.0f} years wide on average",
            **ranges,
        },
        "GENDER": {
            "summary": f"accuracy {text(gender['adults'])} on adults of UTKFace eval, {text(gender['lfw'])} on LFW eval (n = {len(lfw.rows)}); "
            f"{text(gender['under_10'])} on children under ten",
            **gender,
            **steady["GENDER"],
        },
        "RACE": {
            "summary": f"mean recall {text(race['mean_recall'])} over five classes of UTKFace eval (the fifth is divided, see the card)",
            **race,
        },
    }


def _age(utk: Answers) -> dict[str, Any]:
    truth = utk.column("age").astype(float)
    error = np.abs(utk.tensors["AGE"][:, 0] - truth)
    part1 = utk.column("in_part1") == "1"
    slices = {"all": truth >= 0, "adults": truth >= 18, "part1": part1, "part1_adults": part1 & (truth >= 18)}
    slices |= {f"{low}-{high}": (truth >= low) & (truth <= high) for low, high in BANDS}
    slices |= {race: utk.column("race") == race for race in RACES} | {sex: utk.column("gender") == sex for sex in ("F", "M")}
    signed = {f"bias_{low}-{high}": mean_of(utk.tensors["AGE"][:, 0] - truth, (truth >= low) & (truth <= high)) for low, high in BANDS}
    return {name: mean_of(error, rows) for name, rows in slices.items()} | signed


def _age_range(utk: Answers) -> dict[str, Any]:
    """Share of the true ages in the range, its width in years."""
    truth = utk.column("age").astype(float)
    low, high = utk.tensors["AGE_RANGE"].T
    inside = ((truth >= low - 0.5) & (truth <= high + 0.5)).astype(float)
    bands = {f"{first}-{last}": mean_of(inside, (truth >= first) & (truth <= last)) for first, last in BANDS}
    found = np.isfinite(low)
    return {"all": mean_of(inside), "years": mean_of(high - low, found), **bands}


def _gender(utk: Answers, lfw: Answers) -> dict[str, Any]:
    right = (utk.tensors["GENDER"][:, 0] > 0.5) == (utk.column("gender") == "M")
    age = utk.column("age").astype(float)
    part1 = utk.column("in_part1") == "1"
    slices = {
        "all": age >= 0,
        "adults": age >= 18,
        "under_10": age < 10,
        "part1_adults": part1 & (age >= 18),
        "part1_under_10": part1 & (age < 10),
    }
    slices |= {race: (utk.column("race") == race) & (age >= 18) for race in RACES}
    known = np.isin(lfw.column("gender"), ["M", "F"])
    lfw_right = (lfw.tensors["GENDER"][:, 0] > 0.5) == (lfw.column("gender") == "M")
    figures: dict[str, Any] = {name: mean_of(right.astype(float), rows) for name, rows in slices.items()}
    for name, rows in {"lfw": known, "lfw_F": lfw.column("gender") == "F", "lfw_M": lfw.column("gender") == "M"}.items():
        figures[name] = mean_of(lfw_right.astype(float), rows, lfw.column("name"))
    figures["calibration_error_lfw"] = calibration_error(lfw.tensors["GENDER"].max(1)[known], lfw_right[known])
    figures["calibration_error_adults"] = calibration_error(utk.tensors["GENDER"].max(1)[age >= 18], right[age >= 18])
    return figures


def _race(utk: Answers) -> dict[str, Any]:
    six = utk.tensors["RACE"]
    said = np.concatenate([six[:, :4], six[:, 4:].sum(1, keepdims=True)], 1).argmax(1)
    truth = np.array([RACES.index(race) for race in utk.column("race")])
    recalls = {race: mean_of((said == i).astype(float), truth == i) for i, race in enumerate(RACES)}

    def mean_recall(rows: NDArray[np.int64]) -> float:
        return float(np.mean([(said[rows] == i)[truth[rows] == i].mean() for i in range(5)]))

    confusion = [[int(((truth == i) & (said == j)).sum()) for j in range(5)] for i in range(5)]
    return {
        "mean_recall": interval(mean_recall, np.arange(len(truth))),
        **recalls,
        "calibration_error": calibration_error(np.concatenate([six[:, :4], six[:, 4:].sum(1, keepdims=True)], 1).max(1), said == truth),
        "confusion": {"labels": RACES, "rows_are_truth": confusion},
    }


def expression(sources: Sources, pipeline: DirectPipeline) -> dict[str, Any]:
    """FER2013 eval, end to end; pictures without a detected face are counted apart."""
    stream, total = pictures(sources, "fer2013", "RecepTahirGunlu/Duygu-Tanima", 0.25, upscale=4)
    fer = analyse(pipeline, stream, ("EMOTION",), total, "FER2013 eval")
    truth = np.array([EMOTIONS.index(label) for label in fer.column("label")])
    said = fer.tensors["EMOTION"].argmax(1)
    figures: dict[str, Any] = {label: mean_of((said == i).astype(float), truth == i) for i, label in enumerate(EMOTIONS)}

    def mean_recall(rows: NDArray[np.int64]) -> float:
        return float(np.mean([(said[rows] == i)[truth[rows] == i].mean() for i in range(7)]))

    accuracy = mean_of((said == truth).astype(float), truth >= 0)
    confusion = [[int(((truth == i) & (said == j)).sum()) for j in range(7)] for i in range(7)]
    summary = f"accuracy {text(accuracy)} on the {len(truth)} pictures of FER2013 eval with a detected face ({fer.undetected} of {total} have none)"
    return {
        "EMOTION": {
            "summary": summary,
            "accuracy": accuracy,
            "mean_recall": interval(mean_recall, np.arange(len(truth))),
            "detected": len(truth),
            "of": total,
            **figures,
            "calibration_error": calibration_error(fer.tensors["EMOTION"].max(1), said == truth),
            **stability(sources, pipeline, ("EMOTION",))["EMOTION"],
            "confusion": {"labels": EMOTIONS, "rows_are_truth": confusion},
        }
    }
