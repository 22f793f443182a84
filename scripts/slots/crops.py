"""From the tensors of `face_align` to what a model made elsewhere wants to see, as nodes of ONNX.

Every crop is sampled bilinearly from one of the two that `face_align` gives, so that the built-in models stay as they are and nothing
more is cut when nobody needs it. What that costs is in docs/pages/better-models.md: the aligned crop has 160 pixels for 1.6 times the
ArcFace square, the surroundings 96 for three times the box.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scripts.graphs.geometry import ARCFACE_112, CROP_SIDE_PX, WIDE_SIDE_PX, WIDE_SPAN, crop_template
from scripts.slots.adapter import FROM_FACE_CROP, Input
from scripts.slots.graph import Graph

FACE_CROPS, WIDE_CROPS, BOXES, TO_IMAGE = "FACE_CROPS", "WIDE_CROPS", "BOXES", "CROP_TO_IMAGE"
GREY = np.array([0.299, 0.587, 0.114], np.float32).reshape(1, 3, 1, 1)
# Where YuNet's box lies in an aligned crop: its longer side, its middle, width by height. Means over 24 faces each of LFW and UTKFace eval;
# the longer side varies by 6.5 % (standard deviation). Our own detector's boxes would be a worse guide: they vary by 18 % of YuNet's.
BOX_PX, BOX_MIDDLE, BOX_ASPECT = 92.0, (80.2, 95.2), 0.755


def inputs(seen: Input) -> tuple[str, ...]:
    """Tensors of `face_align` that the crop is made of."""
    if seen.crop == "aligned":
        return (FACE_CROPS,)
    if seen.margin <= FROM_FACE_CROP:
        return (FACE_CROPS, TO_IMAGE)
    return (WIDE_CROPS, BOXES) if seen.shape == "box" else (WIDE_CROPS,)


def build(graph: Graph, seen: Input) -> str:
    """Nodes for the model's input FP32, [N,C,size,size] or [N,size,size,C]. Returns its name."""
    source = inputs(seen)[0]
    times = max(1, round(_step(seen)))  # a finer grid, averaged, where the crop is coarser than its source
    side = seen.size * times
    grid = _aligned(graph, seen, side) if seen.crop == "aligned" else _box(graph, seen, side)
    planes = graph("Transpose", graph("Cast", source, to=1), perm=[0, 3, 1, 2])
    sampled = graph("GridSample", planes, grid, padding_mode="border", align_corners=1)
    if times > 1:
        sampled = graph("AveragePool", sampled, kernel_shape=[times, times], strides=[times, times])
    return _normalised(graph, seen, sampled)


def _step(seen: Input) -> float:
    """Source pixels per pixel of the model, about."""
    if seen.crop == "aligned":
        return float(np.linalg.norm(_to_crop(seen, seen.size)[0, :2]))
    in_source = BOX_PX * seen.margin if inputs(seen)[0] == FACE_CROPS else WIDE_SIDE_PX * seen.margin / WIDE_SPAN
    return in_source / seen.size


def _normalised(graph: Graph, seen: Input, planes: str) -> str:
    if seen.colour == "BGR":
        planes = graph("Gather", planes, graph.integers(2, 1, 0), axis=1)
    elif seen.colour == "GREY":
        planes = graph("ReduceSum", graph("Mul", planes, graph.floats(GREY)), graph.integers(1))
    if any(seen.mean):
        planes = graph("Sub", planes, graph.floats(np.reshape(seen.mean, (1, -1, 1, 1))))
    if any(value != 1 for value in seen.std):
        planes = graph("Div", planes, graph.floats(np.reshape(seen.std, (1, -1, 1, 1))))
    return graph("Transpose", planes, perm=[0, 2, 3, 1]) if seen.layout == "NHWC" else planes


def _to_crop(seen: Input, side: int) -> NDArray[np.float64]:
    """[2,3] from pixels of the model's picture of `side` px to pixels of FACE_CROPS: the similarity that lays points on points."""
    template = np.array(seen.points or ARCFACE_112, np.float64) * (side / seen.points_px)
    (x, y), zero, one = template.T, np.zeros(5), np.ones(5)
    system = np.vstack([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, right, down = np.linalg.lstsq(system, crop_template().astype(np.float64).T.reshape(-1), rcond=None)[0]
    return np.array([[a, -b, right], [b, a, down]])


def _aligned(graph: Graph, seen: Input, side: int) -> str:
    """A fixed grid, the same for every face."""
    ramp = np.arange(side, dtype=np.float64)
    places = np.stack([*np.meshgrid(ramp, ramp), np.ones((side, side))], 2)
    return _for_each_face(graph, places @ _to_crop(seen, side).T, FACE_CROPS, CROP_SIDE_PX)


def _box(graph: Graph, seen: Input, side: int) -> str:
    ramp = (2 * np.arange(side) + 1 - side) / side  # -1 to 1 over the box
    base = np.stack(np.meshgrid(ramp, ramp), 2)
    if inputs(seen)[0] == FACE_CROPS:
        return _in_face_crop(graph, seen, base)
    half, middle = WIDE_SIDE_PX * seen.margin / WIDE_SPAN / 2, (WIDE_SIDE_PX - 1) / 2
    if seen.shape == "square":
        return _for_each_face(graph, base * half + middle, WIDE_CROPS, WIDE_SIDE_PX)
    extent, longer = _extents(graph)
    reach = graph("Unsqueeze", graph("Mul", graph("Div", extent, longer), graph.floats([half])), graph.integers(1))
    return _normal(
        graph, graph("Add", graph("Mul", graph.floats(base.reshape(1, -1, 2)), reach), graph.floats([middle])), WIDE_SIDE_PX, side
    )


def _in_face_crop(graph: Graph, seen: Input, base: NDArray[np.float64]) -> str:
    """The usual box of a face in the crop that was turned upright by the face, turned back to be upright in the picture."""
    half = base * (BOX_PX * seen.margin / 2) * ((BOX_ASPECT, 1.0) if seen.shape == "box" else (1.0, 1.0))
    a, b, _, c, d, _ = graph.many("Split", 6, graph("Reshape", TO_IMAGE, graph.integers(0, 6)), graph.integers(*[1] * 6), axis=1)
    scale = graph("Sqrt", graph("Sub", graph("Mul", a, d), graph("Mul", b, c)))  # picture px per crop px
    turn = graph("Reshape", graph("Div", graph("Concat", a, b, c, d, axis=1), scale), graph.integers(0, 2, 2))
    grid = graph("Add", graph("MatMul", graph.floats(half.reshape(1, -1, 2)), turn), graph.floats(BOX_MIDDLE))
    return _normal(graph, grid, CROP_SIDE_PX, len(base))


def _extents(graph: Graph) -> tuple[str, str]:
    """Width and height [N,2] and the longer of both [N,1] of every box, pixels of the picture."""
    low, high = graph.many("Split", 2, BOXES, graph.integers(2, 2), axis=1)
    extent = graph("Max", graph("Sub", high, low), graph.floats([1.0]))
    width, height = graph.many("Split", 2, extent, graph.integers(1, 1), axis=1)
    return extent, graph("Max", width, height)


def _for_each_face(graph: Graph, grid: NDArray[np.float64], source: str, source_side: int) -> str:
    """A constant grid [S,S,2] in pixels, repeated for as many rows as `source` has."""
    normal = graph.floats((grid * (2 / (source_side - 1)) - 1)[None])
    faces = graph("Gather", graph("Shape", source), graph.integers(0), axis=0)
    return graph("Expand", normal, graph("Concat", faces, graph.integers(*grid.shape), axis=0))


def _normal(graph: Graph, grid: str, source_side: int, side: int) -> str:
    """From pixels [N,S*S,2] to GridSample's -1..1 [N,S,S,2]."""
    scaled = graph("Sub", graph("Mul", grid, graph.floats([2 / (source_side - 1)])), graph.floats([1.0]))
    return graph("Reshape", scaled, graph.integers(0, side, side, 2))
