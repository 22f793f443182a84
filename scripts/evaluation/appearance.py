"""Quality scores under defects of known strength (LFW `eval`), and beauty ratings (MEBeauty `eval`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.evaluation.attributes import analyse, pictures
from scripts.evaluation.statistics import interval, mean_of, pearson, spearman, text
from scripts.pipeline import DirectPipeline
from scripts.train.defects import blur, cover, light, noise
from scripts.train.quality import LOWER, SCORES, UPPER, sharp
from scripts.train.repositories import Sources

Image = NDArray[np.uint8]
Defect = Callable[[Image, float, np.random.Generator], Image]

STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8)
DEFECTS: dict[str, Defect] = {
    "blur": blur,
    "noise": noise,
    "illumination": light,
    "upper_occlusion": lambda image, strength, rng: cover(image, UPPER, strength, rng) if strength else image,
    "lower_occlusion": lambda image, strength, rng: cover(image, LOWER, strength, rng) if strength else image,
}
PEOPLE = 150


def quality(sources: Sources, pipeline: DirectPipeline) -> dict[str, Any]:
    """Rank correlation of each score with the strength of each defect, on the sharper half of frontal faces."""
    stream, total = pictures(sources, "lfw", "SnorreW/FacialAttributes_Snorre", 0)
    people = analyse(pipeline, stream, ("FACE_CROPS", "QUALITY", "POSE"), total, "LFW eval")
    crops = np.ascontiguousarray(people.tensors["FACE_CROPS"][..., ::-1])
    frontal = np.abs(people.tensors["POSE"][:, :2]).max(1) < 10
    chosen = sharp(crops, np.nonzero(frontal)[0], 0.5)[:PEOPLE]
    figures: dict[str, Any] = {
        "clean_median": {name: round(float(np.median(people.tensors["QUALITY"][chosen, i])), 1) for i, name in enumerate(SCORES)},
        "correlation": {name: _correlations(pipeline, crops[chosen], defect) for name, defect in DEFECTS.items()},
    }
    turned = np.hypot(people.tensors["POSE"][:, 0], people.tensors["POSE"][:, 1])
    figures["pose_with_angle"] = round(spearman(-people.tensors["QUALITY"][:, SCORES.index("pose")], turned), 3)
    own = {name: row[name] for name, row in figures["correlation"].items()}
    others = [abs(value) for name, row in figures["correlation"].items() for score, value in row.items() if score not in (name, "overall")]
    figures["own_least"], figures["other_most"] = min(own.values()), max(others)
    summary = (
        f"rank correlation of each score with its own simulated defect at least {min(own.values()):.2f}, with other defects at most "
        f"{max(others):.2f}; sharp frontal LFW faces score {min(figures['clean_median'].values()):.0f} or more (medians)"
    )
    return {"QUALITY": {"summary": summary, "faces": len(chosen), **figures}}


def _correlations(pipeline: DirectPipeline, crops: Image, defect: Defect) -> dict[str, float]:
    rng = np.random.default_rng(7)
    strengths: list[float] = []
    answers = []
    for crop in crops:
        batch = np.stack([defect(crop, strength, rng) for strength in STRENGTHS])
        answers.append(pipeline.attributes("face_quality", {"FACE_CROPS": np.ascontiguousarray(batch[..., ::-1])})["QUALITY"])
        strengths += STRENGTHS
    said = np.concatenate(answers)
    return {name: round(-spearman(said[:, i], np.array(strengths)), 3) for i, name in enumerate(SCORES)}


def beauty(sources: Sources, pipeline: DirectPipeline) -> dict[str, Any]:
    """Correlation with the mean rating, and error by the groups that the set's folders name."""
    stream, total = pictures(sources, "mebeauty", "fbplab/MEBeauty-database", 0)
    people = analyse(pipeline, stream, ("BEAUTY",), total, "MEBeauty eval")
    said = people.tensors["BEAUTY"][:, 0]
    ratings = np.array([float(rating or "nan") for rating in people.column("beauty_1to10")])
    rated, group = np.isfinite(ratings), people.column("race")
    said, truth, group = said[rated], (ratings[rated] - 1) / 9 * 100, group[rated]
    fit = interval(lambda rows: pearson(said[rows], truth[rows]), np.arange(len(truth)))
    groups = {f"error_{name}": mean_of(np.abs(said - truth), group == name) for name in np.unique(group)}
    summary = f"correlation {text(fit)} with the mean rating on MEBeauty eval, n = {len(truth)}"
    return {"BEAUTY": {"summary": summary, "pearson": fit, "error": mean_of(np.abs(said - truth)), **groups}}
