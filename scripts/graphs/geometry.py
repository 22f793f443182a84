"""The one place that says how large the detector's picture is and how a face lies in its crop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# What the detector looks at: height, width. All cost about as much as the square, and a picture takes the one that it fills best,
# so faces of a 16:9 photograph are 30 % larger than in the square. A picture that nearly fills the square, 640x480 for one, gets
# that: it need not be enlarged, which would cost 7 ms. Multiples of the coarsest stride; the cheaper of two equals first.
DETECTOR_SIZES_PX = (
    (640, 640),
    *((512, 768), (576, 768), (512, 832), (448, 896), (384, 1024), (320, 1280)),
    *((768, 512), (768, 576), (832, 512), (896, 448), (1024, 384), (1280, 320)),
)
CANDIDATES = 1024
NEARLY_FILLED = 1.25  # in the square the picture would be enlarged by less than this, and not reduced
MIN_SCORE = 0.5
MAX_IOU = 0.3
MAX_NESTED = 0.75  # of the smaller of two boxes; what lies deeper in a better face, or around it, is no face of its own
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


def detector_size(height: int, width: int) -> tuple[tuple[int, int], float]:
    """Height and width in which the detector sees a picture, and detector pixels per picture pixel. `face_prepare` does the same."""
    scales = [min(high / height, wide / width) for high, wide in DETECTOR_SIZES_PX]
    best = int(np.argmax(np.array(scales, np.float32))) if not 1 <= scales[0] < NEARLY_FILLED else 0
    return DETECTOR_SIZES_PX[best], scales[best]


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
