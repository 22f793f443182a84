"""Glasses and hats of CelebA `eval`, masks of MaskON street `eval`, ours beside the teacher."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.evaluation.attributes import analyse, pictures
from scripts.evaluation.detection import street_photographs
from scripts.evaluation.statistics import auc, balanced, interval, mean_of, text
from scripts.pipeline import DirectPipeline
from scripts.train.detector_pictures import intersection_over_union
from scripts.train.mask_crops import CLASSES, annotated_masks
from scripts.train.mesh_labels import MeshTeachers
from scripts.train.repositories import Sources


def accessories(sources: Sources, pipeline: DirectPipeline) -> dict[str, Any]:
    """Balanced accuracy at 0.5 and AUC; the teacher (ZhouKai90) answers for the same crops."""
    teacher = MeshTeachers(sources.teachers)
    stream, total = pictures(sources, "celeba10k", "karthikSingireddy/cs389-hw4", 0, upscale=2)
    people = analyse(pipeline, stream, ("GLASSES", "HAT", "FACE_CROPS"), total, "CelebA eval")
    glasses, hat = people.tensors["GLASSES"], people.tensors["HAT"]
    theirs = np.stack([teacher.worn(np.ascontiguousarray(crop[..., ::-1])) for crop in people.tensors["FACE_CROPS"]])
    has, hatted = people.column("Eyeglasses") == "1", people.column("Wearing_Hat") == "1"
    faces = {"detected": len(has), "of": total}
    seen = {
        **_two_way(1 - glasses[:, 0], has, glasses.argmax(1) > 0),
        "teacher": _two_way(1 - theirs[:, 0], has, theirs[:, :3].argmax(1) > 0),
    }
    worn_hat = _two_way(hat[:, 1], hatted, hat[:, 1] > 0.5)
    mask = masks(sources, pipeline, teacher)
    return {
        "GLASSES": {"summary": f"with or without glasses on CelebA eval: {_said(seen)}", **faces, **seen},
        "MASK": mask,
        "HAT": {"summary": f"CelebA eval: {_said(worn_hat)}", **faces, **worn_hat},
    }


def _said(figures: dict[str, Any]) -> str:
    return f"balanced accuracy {text(figures['balanced_accuracy'])}, AUC {text(figures['auc'])}"


def _two_way(score: NDArray[Any], truth: NDArray[np.bool_], said: NDArray[np.bool_]) -> dict[str, Any]:
    rows = np.arange(len(truth))
    return {
        "balanced_accuracy": interval(lambda index: balanced(said[index], truth[index]), rows),
        "auc": interval(lambda index: auc(score[index], truth[index]), rows),
        "found": mean_of(said, truth),
        "false": mean_of(said, ~truth),
    }


def masks(sources: Sources, pipeline: DirectPipeline, teacher: MeshTeachers) -> dict[str, Any]:
    """Street photographs, faces that our detector finds (IoU of at least 0.4 with the annotation)."""
    truth, ours, theirs, photos, faces = [], [], [], [], 0
    for photo, (image, note) in enumerate(tqdm(street_photographs(sources), desc="MaskON street masks", unit="pic", mininterval=10)):
        tensors = pipeline.infer(np.ascontiguousarray(image[..., ::-1]), ("NUM_FACES", "BOXES", "MASK", "FACE_CROPS"))
        count = int(tensors["NUM_FACES"][0])
        for box, kind in annotated_masks(note):
            faces += 1
            overlap = intersection_over_union(box[None], tensors["BOXES"][:count])[0]
            if count and overlap.max() >= 0.4:
                face = int(overlap.argmax())
                truth.append(kind)
                ours.append(tensors["MASK"][face])
                theirs.append(teacher.worn(np.ascontiguousarray(tensors["FACE_CROPS"][face][..., ::-1]))[4])
                photos.append(photo)
    figures = _mask_figures(np.array(truth), np.stack(ours), np.array(photos))
    known = np.array(truth) < 2
    with_mask, teacher_score, groups = np.array(truth)[known] == 1, np.array(theirs)[known], np.array(photos)[known]
    figures["teacher"] = {
        "balanced_accuracy": interval(lambda rows: balanced(teacher_score[rows] > 0.5, with_mask[rows]), groups),
        "auc": interval(lambda rows: auc(teacher_score[rows], with_mask[rows]), groups),
    }
    summary = (
        f"with or without a mask on MaskON street eval, {len(truth)} of {faces} faces detected: {_said(figures)}; "
        f"worn wrongly found: {text(figures['recall']['worn wrongly'])} (n = {figures['recall']['worn wrongly']['n']})"
    )
    return {"summary": summary, "detected": len(truth), "of": faces, **figures}


def _mask_figures(truth: NDArray[np.int64], said: NDArray[np.float32], photos: NDArray[np.int64]) -> dict[str, Any]:
    """With against without (the two probabilities compared), and recall of the three classes."""
    known = truth < 2
    with_mask, groups = truth[known] == 1, photos[known]
    worn = 1 - said[known, 0]
    return {
        "balanced_accuracy": interval(lambda rows: balanced(worn[rows] > 0.5, with_mask[rows]), groups),
        "auc": interval(lambda rows: auc(worn[rows], with_mask[rows]), groups),
        "recall": {name: mean_of(said.argmax(1) == kind, truth == kind, photos) for kind, name in enumerate(CLASSES)},
    }
