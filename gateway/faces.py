"""The neutral result that every API renders from. Nothing here knows Triton, Flask or a vendor."""

from __future__ import annotations

from dataclasses import dataclass

# A face whose liveness is at least this is taken for a living one.
LIVE_FROM = 0.5
# The share of true ages that `age_range` is set to hold, by held-out faces (IN_RANGE of scripts/train/demographics.py).
AGE_IN_RANGE = 0.8


@dataclass(frozen=True, slots=True)
class Distribution:
    """Probabilities 0..1 over named labels, in the model's order."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]

    @property
    def dominant(self) -> str:
        """The most probable label."""
        return self.labels[max(range(len(self.labels)), key=self.probabilities.__getitem__)]

    def __getitem__(self, label: str) -> float:
        return self.probabilities[self.labels.index(label)]

    def as_dict(self) -> dict[str, float]:
        """Probability by label."""
        return dict(zip(self.labels, self.probabilities, strict=True))


@dataclass(frozen=True, slots=True)
class Box:
    """Corners in pixels of the upright image, x1 <= x2, y1 <= y2."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.x2 - self.x1) * (self.y2 - self.y1)


@dataclass(frozen=True, slots=True)
class Pose:
    """Degrees. yaw > 0: turned to the image's right; pitch > 0: nose down; roll > 0: clockwise as seen in the picture."""

    yaw: float
    pitch: float
    roll: float


Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Face:
    """One face. Lengths are pixels of the upright image. An attribute is None when nobody asked or no model offers it."""

    box: Box
    confidence: float
    keypoints: tuple[Point, ...]
    age: float | None = None
    gender: Distribution | None = None
    emotion: Distribution | None = None
    race: Distribution | None = None
    liveness: float | None = None
    glasses: Distribution | None = None
    mask: Distribution | None = None
    hat: Distribution | None = None
    beauty: float | None = None
    quality: tuple[float, ...] | None = None
    pose: Pose | None = None
    landmarks: tuple[Point, ...] | None = None
    pupils: tuple[tuple[float, float, float], ...] | None = None
    age_range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds spent on this request."""

    decode_ms: float
    inference_ms: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything about one image. Faces by falling confidence."""

    width_px: int
    height_px: int
    faces: tuple[Face, ...]
    model_versions: dict[str, str]
    timings: Timings
