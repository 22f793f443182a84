"""Where people put the points that a mesh has too: what YTF's annotators drew, in pixels of the crop, and how far that is from the mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.train.face_crops import SETS, manifest_rows, nearest_to_centre, similarity
from scripts.train.landmark_layout import DRAWN, mirror_order, points_drawn
from scripts.train.repositories import Sources, decode
from scripts.train.yunet import YuNet

Floats = NDArray[np.float32]

DRAWN_POINTS = 68
OUTER_CORNERS = (24, 41)


def load(sources: Sources) -> Floats:
    """YTF's training points [N,68,2], px of the 160 px crop, computed once and then read from the cache; NaN where no face was found."""
    file = sources.cache / "ytf_drawn.npy"
    if not file.exists():
        np.save(file, _in_crops(sources))
    return np.asarray(np.load(file))


def _in_crops(sources: Sources) -> Floats:
    detector = YuNet(sources.teachers / "yunet_n.onnx")
    rows = manifest_rows(sources, "ytf")
    drawn = np.full((len(rows), DRAWN_POINTS, 2), np.nan, np.float32)
    stream = sources.blobs(SETS["ytf"], [row["blob"] for row in rows])
    for index, (row, data) in enumerate(
        zip(rows, tqdm(stream, total=len(rows), desc="drawn points", unit="face", mininterval=15), strict=True)
    ):
        image = decode(data)
        faces = None if image is None else detector(image, 320, 0.5)
        if image is None or faces is None or not len(faces):
            continue
        turn, shift = similarity(faces.points[nearest_to_centre(faces, image)])
        drawn[index] = np.array([float(row[str(i)]) for i in range(2 * DRAWN_POINTS)]).reshape(-1, 2) @ turn.T + shift
    return drawn


def offsets(points: Floats, drawn: Floats) -> Floats:
    """How far people put our points from where the mesh has them: [105,2] in distances of the outer eye corners; 0 where they drew none.

    `points` [N,105,2] from the mesh and `drawn` [N,68,2] of the same crops. The median over the faces, and only the part of it that is
    the same on both sides of a face: what moves all points one way is how a tool counts pixels, not where a mouth has its corner.
    """
    known = np.isfinite(drawn[:, 0, 0]) & np.isfinite(points[:, 0, 0])
    unit = np.linalg.norm(points[:, OUTER_CORNERS[1]] - points[:, OUTER_CORNERS[0]], axis=1)[known]
    away = np.zeros(points.shape[1:], np.float32)
    away[DRAWN] = np.median((points_drawn(drawn[known]) - points[known][:, DRAWN]) / unit[:, None, None], axis=0)
    mirrored = away[mirror_order()] * [-1, 1]
    return np.asarray((away + mirrored) / 2, np.float32)
