"""Our 105 points out of the 478-point mesh, their mirror image, and head pose out of the mesh.

Layout (groups and counts are AILabTools'; the order inside a group is ours, see gateway/apis/vendors/README.md). In each part: its
image-left end, its image-right end, the upper outline between them, the lower outline; points equally spaced along an outline.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

POINTS = 105
# (end, upper mesh points, lower mesh points, end, how many points on either outline), image-left end first.
_PARTS: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], int], ...] = (
    ((70, 46), (63, 105, 66), (53, 52, 65), (107, 55), 5),
    ((336, 285), (296, 334, 293), (295, 282, 283), (300, 276), 5),
    ((33,), (246, 161, 160, 159, 158, 157, 173), (7, 163, 144, 145, 153, 154, 155), (133,), 7),
    ((362,), (398, 384, 385, 386, 387, 388, 466), (382, 381, 380, 374, 373, 390, 249), (263,), 7),
)
_NOSE = ((6,), (1,), (64,), (294,), (98,), (327,))
_LIPS = (
    ((61,), (185, 40, 39, 37, 0, 267, 269, 270, 409), (146, 91, 181, 84, 17, 314, 405, 321, 375), (291,), 8),
    ((78,), (191, 80, 81, 82, 13, 312, 311, 310, 415), (95, 88, 178, 87, 14, 317, 402, 318, 324), (308,), 7),
)
_CONTOUR = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356)
_CONTOUR_POINTS = 9
# Points of ours that a 68-point annotation (Multi-PIE order, as YTF's) has too: ours -> its index.
MULTI_PIE = {24: 36, 25: 39, 40: 42, 41: 45, 57: 30, 62: 48, 63: 54, 80: 60, 81: 64}
# Our points that lie on outlines which such an annotation draws: both eyes, tip of the nose, lips. The same parts out of the 68.
DRAWN = np.r_[24:56, 57, 62:96]
_DRAWN_EYES = (((36,), (37, 38), (41, 40), (39,), 7), ((42,), (43, 44), (47, 46), (45,), 7))
_DRAWN_LIPS = (((48,), (49, 50, 51, 52, 53), (59, 58, 57, 56, 55), (54,), 8), ((60,), (61, 62, 63), (67, 66, 65), (64,), 7))
_DRAWN_TIP = 30


def points105(mesh: Floats) -> Floats:
    """Mesh points [N,478,2] -> [N,105,2] in the same pixels."""
    parts: list[Floats] = []
    for part in (*_PARTS, None, *_LIPS):
        parts += _nose(mesh) if part is None else _part(mesh, *part)
    contour = np.stack([mesh[:, index] for index in _CONTOUR], 1)
    parts.append(_along(contour, np.linspace(0, 1, _CONTOUR_POINTS)))
    return np.concatenate(parts, 1).astype(np.float32)


def points_drawn(drawn: Floats) -> Floats:
    """Annotated points [N,68,2] -> those of ours that DRAWN names [N,67,2]."""
    parts: list[Floats] = []
    for part in (*_DRAWN_EYES, None, *_DRAWN_LIPS):
        parts += [drawn[:, _DRAWN_TIP][:, None]] if part is None else _part(drawn, *part)
    return np.concatenate(parts, 1).astype(np.float32)


def _nose(mesh: Floats) -> list[Floats]:
    return [_mean(mesh, indices)[:, None] for indices in _NOSE]


def _part(
    mesh: Floats, first: tuple[int, ...], upper: tuple[int, ...], lower: tuple[int, ...], last: tuple[int, ...], count: int
) -> list[Floats]:
    start, end = _mean(mesh, first), _mean(mesh, last)
    inner = np.linspace(0, 1, count + 2)[1:-1]
    outlines = [_along(np.stack([start, *(mesh[:, i] for i in side), end], 1), inner) for side in (upper, lower)]
    return [start[:, None], end[:, None], *outlines]


def _mean(mesh: Floats, indices: tuple[int, ...]) -> Floats:
    return np.asarray(mesh[:, list(indices)].mean(1), np.float32)


def _along(outline: Floats, fractions: NDArray[np.float64]) -> Floats:
    """Points at `fractions` of the length of each outline [N,K,2]."""
    steps = np.linalg.norm(np.diff(outline, axis=1), axis=2)
    reached = np.concatenate([np.zeros((len(outline), 1)), np.cumsum(steps, 1)], 1)
    rows = np.arange(len(outline))
    placed = []
    for fraction in fractions:
        goal = fraction * reached[:, -1]
        segment = (reached[:, 1:-1] <= goal[:, None]).sum(1)
        share = (goal - reached[rows, segment]) / np.maximum(steps[rows, segment], 1e-6)
        placed.append(outline[rows, segment] + share[:, None] * (outline[rows, segment + 1] - outline[rows, segment]))
    return np.stack(placed, 1).astype(np.float32)


def mirror_order() -> NDArray[np.int64]:
    """`points[mirror_order()]` of a mirrored picture are in the layout again."""
    order = np.arange(POINTS)
    for (a, b), (c, d), count in (((0, 1), (12, 13), 5), ((24, 25), (40, 41), 7)):
        order[[a, b, c, d]] = d, c, b, a
        for offset in (2, 2 + count):
            left, right = np.arange(a + offset, a + offset + count), np.arange(c + offset, c + offset + count)
            order[left], order[right] = right[::-1], left[::-1]
    for a, b in ((58, 59), (60, 61), (62, 63), (80, 81)):
        order[[a, b]] = b, a
    for start, stop in ((64, 72), (72, 80), (82, 89), (89, 96), (96, 105)):
        order[start:stop] = np.arange(start, stop)[::-1]
    return order


def canonical(mesh: Floats, frontal: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean shape [478,3] of frontal faces, centred, of unit size: what turning is measured against."""
    shapes = mesh[frontal].astype(np.float64)
    shapes -= shapes.mean(1, keepdims=True)
    shapes /= np.sqrt((shapes**2).sum((1, 2), keepdims=True))
    mean = shapes.mean(0)
    both = (mean + _mirrored(mean)) / 2  # a symmetric head does not look aside
    return np.asarray(both / np.sqrt((both**2).sum()))


def _mirrored(shape: NDArray[np.float64]) -> NDArray[np.float64]:
    flipped = shape * [-1, 1, 1]
    nearest = np.linalg.norm(flipped[:, None] - shape[None], axis=2).argmin(0)
    return np.asarray(flipped[nearest])


def pose_of(mesh: Floats, shape: NDArray[np.float64]) -> Floats:
    """Degrees [N,3]: the rotation (Kabsch, 1976) of `shape` onto each mesh.

    Yaw > 0: to the image's right; pitch > 0: nose down; roll > 0: clockwise.
    """
    angles = []
    for points in mesh.astype(np.float64):
        u, _, vt = np.linalg.svd((points - points.mean(0)).T @ shape)
        rotation = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
        yaw = np.arcsin(rotation[2, 0].clip(-1, 1))
        pitch, roll = np.arctan2(rotation[2, 1], rotation[2, 2]), np.arctan2(rotation[1, 0], rotation[0, 0])
        angles.append(np.rad2deg([yaw, pitch, roll]))
    return np.asarray(angles, np.float32)
