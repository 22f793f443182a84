"""The one place that says how large the detector's picture is and how a face lies in its crop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DETECTOR_SIDE_PX = 640
CANDIDATES = 1024
MIN_SCORE = 0.5
MAX_IOU = 0.3
MAX_FACES = 128

CROP_SIDE_PX = 160
# The five-point template of ArcFace (Deng et al., 2019) on its 112 px square, image-left eye first.
ARCFACE_112 = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32)
# Our crop shows 1.6 times that square, a little more of it above than below: hair, hats, ears and chin.
CROP_SPAN, CROP_CENTRE = 1.6 * 112, (56.0, 50.0)

# The inner face, coarser: what the five points are measured on before the final crop is cut. Left, top and side are pixels of the crop.
LOOK_SIDE_PX, LOOK_LEFT, LOOK_TOP, LOOK_SPAN = 64, 16.0, 36.0, 128.0
# The surroundings of a face for liveness: a square of three times the longer side of its box.
WIDE_SIDE_PX, WIDE_SPAN = 96, 3.0


def crop_template() -> NDArray[np.float32]:
    """The five points [5,2] in pixels of the crop."""
    corner = np.array(CROP_CENTRE, np.float32) - CROP_SPAN / 2
    return ((ARCFACE_112 - corner) * (CROP_SIDE_PX / CROP_SPAN)).astype(np.float32)


def measured_template() -> NDArray[np.float32]:
    """Where the five points that `scripts/train/points.py` measures lie, on average, in crops laid by `crop_template` [5,2].

    They are defined otherwise than the detector's (middles of the eyes' corners, the tip of the nose), so they lie elsewhere; laid
    onto these places they give the crops that the attribute models learned from. Means over 22,000 training faces, made symmetric.
    """
    return np.array([[64.6, 83.7], [95.3, 83.7], [79.95, 103.7], [66.4, 116.75], [93.5, 116.75]], np.float32)
