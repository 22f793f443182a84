"""Living faces against attacks on CelebA-Spoof scenes (`eval`), ours beside the teacher, end to end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gateway.faces import LIVE_FROM
from scripts.evaluation.statistics import auc, calibration_error, equal_error_rate, interval, mean_of, text
from scripts.pipeline import DirectPipeline
from scripts.train.liveness_crops import SPOOF_SCENES, MiniFasNet
from scripts.train.repositories import Sources, decode


def liveness(sources: Sources, pipeline: DirectPipeline) -> dict[str, Any]:
    """AUC, EER, and both errors at 0.5. A picture without a face is refused (score 0); the most confident face counts."""
    teacher = MiniFasNet(sources)
    rows = sources.manifest("celeba_spoof600", "eval")
    ours, theirs = np.zeros(len(rows)), np.zeros(len(rows))
    found = np.zeros(len(rows), bool)
    stream = sources.blobs(SPOOF_SCENES, [row["blob"] for row in rows])
    for index, data in enumerate(tqdm(stream, total=len(rows), desc="CelebA-Spoof eval", unit="pic", mininterval=10)):
        image = decode(data)
        assert image is not None
        tensors = pipeline.infer(np.ascontiguousarray(image[..., ::-1]), ("NUM_FACES", "BOXES", "LIVENESS"))
        found[index] = int(tensors["NUM_FACES"][0]) > 0
        if found[index]:
            ours[index], theirs[index] = float(tensors["LIVENESS"][0, 0]), teacher(image, tensors["BOXES"][0])
    live = np.array([row["label"] == "Live" for row in rows])
    figures = _figures(ours, live)
    summary = (
        f"AUC {text(figures['auc'])}, EER {text(figures['eer'])} on {len(rows)} CelebA-Spoof eval pictures; at 0.5 "
        f"{text(figures['attacks_accepted'])} of the attacks pass and {text(figures['living_refused'])} of the living are refused"
    )
    counts = {"live": int(live.sum()), "attacks": int((~live).sum()), "without_a_face": int((~found).sum())}
    curve = [
        {"threshold": t, "apcer": round(float((ours[~live] >= t).mean()), 4), "bpcer": round(float((ours[live] < t).mean()), 4)}
        for t in np.linspace(0.05, 0.95, 19).round(2).tolist()
    ]
    return {"LIVENESS": {"summary": summary, **counts, **figures, "det": curve, "teacher": _figures(theirs, live)}}


def _figures(score: NDArray[np.float64], live: NDArray[np.bool_]) -> dict[str, Any]:
    rows = np.arange(len(live))
    return {
        "auc": interval(lambda index: auc(score[index], live[index]), rows),
        "eer": interval(lambda index: equal_error_rate(score[index], live[index]), rows),
        "attacks_accepted": mean_of(score >= LIVE_FROM, ~live),
        "living_refused": mean_of(score < LIVE_FROM, live),
        "calibration_error": calibration_error(np.where(score >= 0.5, score, 1 - score), (score >= 0.5) == live),
    }
