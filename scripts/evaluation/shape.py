"""Landmarks against people's points (YTF test), pupils and pose against the teachers (LFW `eval`), pose under known turns."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.evaluation.statistics import mean_of, text
from scripts.pipeline import DirectPipeline
from scripts.train.face_crops import SETS
from scripts.train.landmark_layout import MULTI_PIE, pose_of
from scripts.train.landmarks import frame
from scripts.train.mesh_labels import MeshTeachers, load
from scripts.train.repositories import Sources, decode

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

OUTPUTS = ("NUM_FACES", "BOXES", "KEYPOINTS", "LANDMARKS", "PUPILS", "POSE")
# The seven points that the baselines were measured on: eye corners, nose tip, mouth corners; ours -> Multi-PIE, and the mesh's.
SEVEN = {24: 33, 25: 133, 40: 362, 41: 263, 57: 1, 62: 61, 63: 291}
LFW_ONE_IN, TURN_DEGREES = 4, 15.0


def landmarks(sources: Sources, pipeline: DirectPipeline) -> dict[str, Any]:
    """Errors of points in % of the distance of the outer eye corners, of pupils in % of the pupils' distance, of pose in degrees."""
    teacher = MeshTeachers(sources.teachers)
    points = _points(sources, pipeline, teacher)
    pupils, pose = _people(sources, pipeline, teacher)
    return {
        "LANDMARKS": {
            "summary": f"{text(points['seven_points'], 2)} % of the eye corners' distance on YTF test frames, seven points, n = {points['seven_points']['n']} "
            f"({points['undetected']} undetected)",
            **points,
        },
        "PUPILS": {
            "summary": f"{text(pupils['to_iris_teacher'], 2)} % of the pupils' distance from the iris teacher on LFW eval, n = {pupils['to_iris_teacher']['n']}",
            **pupils,
        },
        "POSE": {
            "summary": f"{text(pose['to_consensus'], 2)} degrees mean error to the teachers' consensus on LFW eval; "
            f"pictures turned by {TURN_DEGREES:.0f} degrees move roll by that within {text(pose['roll_under_turn'], 2)} degrees",
            **pose,
        },
    }


def _first(pipeline: DirectPipeline, image: Image) -> dict[str, NDArray[Any]] | None:
    """The answer for the face nearest to the middle."""
    tensors = pipeline.infer(np.ascontiguousarray(image[..., ::-1]), OUTPUTS)
    count = int(tensors["NUM_FACES"][0])
    if not count:
        return None
    middles = (tensors["BOXES"][:count, :2] + tensors["BOXES"][:count, 2:]) / 2
    face = int(np.linalg.norm(middles - np.array(image.shape[1::-1]) / 2, axis=1).argmin())
    return {name: tensors[name][face] for name in OUTPUTS[1:]}


def _points(sources: Sources, pipeline: DirectPipeline, teacher: MeshTeachers) -> dict[str, Any]:
    rows = sources.manifest("ytf_test_frames_keypoints")
    blobs = sources.tree(SETS["ytf"], "data/test")
    stream = sources.blobs(SETS["ytf"], [blobs[f"data/test/{row['']}"] for row in rows])
    seven, all_shared, theirs, five, missed = [], [], [], [], 0
    for row, data in zip(tqdm(rows, desc="YTF test", unit="pic", mininterval=10), stream, strict=True):
        image = decode(data)
        assert image is not None
        face = _first(pipeline, image)
        if face is None:
            missed += 1
            continue
        truth = np.array([float(row[str(i)]) for i in range(136)]).reshape(68, 2)
        unit = np.linalg.norm(truth[45] - truth[36]) / 100
        mesh, _ = teacher.mesh(image, face["BOXES"], face["KEYPOINTS"])
        error = {ours: np.linalg.norm(face["LANDMARKS"][ours] - truth[known]) / unit for ours, known in MULTI_PIE.items()}
        seven.append(np.mean([error[ours] for ours in SEVEN]))
        all_shared.append(np.mean(list(error.values())))
        theirs.append(np.mean([np.linalg.norm(mesh[index, :2] - truth[MULTI_PIE[ours]]) / unit for ours, index in SEVEN.items()]))
        eyes = [(truth[36] + truth[39]) / 2, (truth[42] + truth[45]) / 2]
        five.append(np.linalg.norm(face["KEYPOINTS"] - [*eyes, truth[30], truth[48], truth[54]], axis=1).mean() / unit)
    return {
        "seven_points": mean_of(np.array(seven)),
        "shared_points": mean_of(np.array(all_shared)),
        "five_points": mean_of(np.array(five)),
        "teacher": mean_of(np.array(theirs)),
        "undetected": missed,
    }


def _people(sources: Sources, pipeline: DirectPipeline, teacher: MeshTeachers) -> tuple[dict[str, Any], dict[str, Any]]:
    shape, pitch_offset = frame(load(sources, "lfw"))
    rows = sources.manifest("lfw", "eval")[::LFW_ONE_IN]
    away, radius, errors, rolls = [], [], [], []
    stream = sources.blobs(SETS["lfw"], [row["blob"] for row in rows])
    for data in tqdm(stream, total=len(rows), desc="LFW eval", unit="pic", mininterval=10):
        image = decode(data)
        assert image is not None
        face, turned = _first(pipeline, image), _first(pipeline, _turn(image, TURN_DEGREES))
        if face is None or turned is None:
            continue
        mesh, presence = teacher.mesh(image, face["BOXES"], face["KEYPOINTS"])
        if presence < 0.5:
            continue
        irises = teacher.irises(image, mesh)
        unit = np.linalg.norm(irises[1, :2] - irises[0, :2]) / 100
        away.append(np.linalg.norm(face["PUPILS"][:, :2] - irises[:, :2], axis=1).mean() / unit)
        radius.append(np.abs(face["PUPILS"][:, 2] - irises[:, 2]).mean() / unit)
        yaw, pitch, roll = teacher.pose(image, face["BOXES"])
        other = np.array([-yaw, -pitch - pitch_offset, roll])
        errors.append(np.abs(face["POSE"] - (pose_of(mesh[None], shape)[0] + other) / 2))
        rolls.append(abs(float(turned["POSE"][2] - face["POSE"][2]) - TURN_DEGREES))
    table = np.array(errors)
    pose = {"to_consensus": mean_of(table.mean(1)), "roll_under_turn": mean_of(np.array(rolls))}
    pose |= {name: mean_of(table[:, i]) for i, name in enumerate(("yaw", "pitch", "roll"))}
    return {"to_iris_teacher": mean_of(np.array(away)), "radius": mean_of(np.array(radius))}, pose


def _turn(image: Image, degrees: float) -> Image:
    """Clockwise about the middle."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), -degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)
