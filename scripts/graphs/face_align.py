"""`face_align`: candidates to faces, an upright crop of each and one of its surroundings."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser

from scripts.graphs.geometry import (
    CANDIDATES,
    CROP_SIDE_PX,
    LOOK_LEFT,
    LOOK_SIDE_PX,
    LOOK_SPAN,
    LOOK_TOP,
    MAX_FACES,
    MAX_IOU,
    MAX_NESTED,
    MIN_SCORE,
    WIDE_SIDE_PX,
    WIDE_SPAN,
    crop_template,
    measured_template,
)
from scripts.graphs.sampling import SHARED, crops
from scripts.graphs.similarity import carry, fit, grid
from scripts.graphs.text import floats


def build(points: onnx.ModelProto | None) -> onnx.ModelProto:
    """Non-maximum suppression, coordinates of the picture, another look for the five points, crops.

    Inputs: IMAGE UINT8 [1,H,W,3]; DETECTOR_INPUT UINT8 [1,3,h,w]; SCALE FP32 [1]; CANDIDATES FP32 [1,C,15] (score, box xyxy,
    five points x y; pixels of the detector's frame).
    Outputs, faces by falling score, one row of padding when there is none: NUM_FACES INT32 [1]; BOXES FP32 [N,4];
    SCORES FP32 [N]; KEYPOINTS FP32 [N,5,2]; FACE_CROPS UINT8 [N,160,160,3], turned upright; CROP_TO_IMAGE FP32 [N,2,3], the affine
    map from pixels of that crop to pixels of the picture; WIDE_CROPS UINT8 [N,96,96,3], the square of three times the box's longer
    side around it (never more than the picture's longer side), not turned, black outside the picture.

    `points` (scripts/train/points.py) finds the five points on a coarse crop laid by the detector's points: LOOK_CROPS UINT8 [N,64,64,3]
    -> CROP_POINTS FP32 [N,5,2], px of the 160 px crop. Without it the detector's own points are used.
    """
    second_look = _IDENTITY if points is None else _second_look()
    template = crop_template() if points is None else measured_template()
    graph = onnx.parser.parse_model(f"""
        <ir_version: 9, opset_import: ["" : 18], producer_name: "vultus", doc_string: "Suppression, alignment, crops">
        face_align (uint8[1, H, W, 3] IMAGE, uint8[1, 3, h, w] DETECTOR_INPUT, float[1] SCALE,
                    float[1, {CANDIDATES}, 15] CANDIDATES)
            => (int32[1] NUM_FACES, float[N, 4] BOXES, float[N] SCORES, float[N, 5, 2] KEYPOINTS,
                uint8[N, {CROP_SIDE_PX}, {CROP_SIDE_PX}, 3] FACE_CROPS, float[N, 2, 3] CROP_TO_IMAGE,
                uint8[N, {WIDE_SIDE_PX}, {WIDE_SIDE_PX}, 3] WIDE_CROPS) {{
            {_SUPPRESS}
            {_COORDINATES}
            {SHARED}
            {second_look}
            {fit("upright", "KEYPOINTS", template)}
            {grid("upright", CROP_SIDE_PX)}
            CROP_TO_IMAGE = Identity (upright_map)
            {crops("upright", CROP_SIDE_PX, "FACE_CROPS")}
            {_wide()}
            {crops("wide", WIDE_SIDE_PX, "WIDE_CROPS")}
        }}
    """)
    return graph if points is None else _with_network(graph, points)


_IDENTITY = "KEYPOINTS = Identity (rough_points)"
# How often the points are measured, each time on a crop laid by the points before. Five points, % of the eye corners' distance, in one
# trial with the detector of that day on every fourth YTF test frame: its own 16.5, measured once 7.3, twice 6.4. What is served is
# measured on all frames by python -m scripts.evaluate face_landmarks (five_points).
LOOKS = 2


def _second_look() -> str:
    points, template, text = "rough_points", crop_template(), ""
    for look in range(LOOKS):
        kind, result = f"look{look}", "KEYPOINTS" if look == LOOKS - 1 else f"points_after_{look}"
        text += f"""
            {fit(kind, points, template)}
            {grid(kind, LOOK_SIDE_PX, LOOK_LEFT, LOOK_TOP, LOOK_SPAN)}
            {crops(kind, LOOK_SIDE_PX, f"{kind}_crops")}
            {kind}_points = Identity ({kind}_crops)
            {carry(kind, f"{kind}_points", result)}"""
        points, template = result, measured_template()
    return text


def _with_network(graph: onnx.ModelProto, points: onnx.ModelProto) -> onnx.ModelProto:
    """Put the network in the places that the text keeps for it; its weights are in the file once."""
    weights = {tensor.name: f"points/{tensor.name}" for tensor in points.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.graph.node:
        kind = node.output[0].removesuffix("_points")
        if node.op_type == "Identity" and list(node.input) == [f"{kind}_crops"]:
            nodes += _placed(points.graph, kind, weights)
        else:
            nodes.append(node)
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    for tensor in points.graph.initializer:
        graph.graph.initializer.add().CopyFrom(tensor)
        graph.graph.initializer[-1].name = weights[tensor.name]
    return graph


def _placed(network: onnx.GraphProto, kind: str, weights: dict[str, str]) -> list[onnx.NodeProto]:
    names = weights | {network.input[0].name: f"{kind}_crops", network.output[0].name: f"{kind}_points"}
    placed = []
    for node in network.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = f"{kind}/{node.name}"
        for part in (copy.input, copy.output):
            part[:] = [names.get(name, f"{kind}/{name}") if name else "" for name in part]
        placed.append(copy)
    return placed


_SUPPRESS = f"""
            zero_i = Constant <value = int64[1] {{0}}> ()
            one_i = Constant <value = int64[1] {{1}}> ()
            two_i = Constant <value = int64[1] {{2}}> ()
            most = Constant <value = int64[1] {{{MAX_FACES}}}> ()
            max_iou = Constant <value = float[1] {{{MAX_IOU}}}> ()
            min_score = Constant <value = float[1] {{{MIN_SCORE}}}> ()
            parts = Constant <value = int64[3] {{1, 4, 10}}> ()
            raw_score, raw_box, raw_points = Split <axis = 2> (CANDIDATES, parts)
            class_score = Transpose <perm = [0, 2, 1]> (raw_score)
            chosen = NonMaxSuppression (raw_box, class_score, most, max_iou, min_score)
            row_of = Gather <axis = 1> (chosen, two_i)
            suspect_rows = Squeeze (row_of, one_i)
            table = Squeeze (CANDIDATES, zero_i)
            suspects = Gather <axis = 0> (table, suspect_rows)
            suspect_score, suspect_box, suspect_points = Split <axis = 1> (suspects, parts)
            suspect_low, suspect_high = Split <axis = 1, num_outputs = 2> (suspect_box)
            suspect_extent = Sub (suspect_high, suspect_low)
            suspect_area = ReduceProd <keepdims = 0> (suspect_extent, one_i)
            low_here = Unsqueeze (suspect_low, one_i)
            low_there = Unsqueeze (suspect_low, zero_i)
            high_here = Unsqueeze (suspect_high, one_i)
            high_there = Unsqueeze (suspect_high, zero_i)
            common_low = Max (low_here, low_there)
            common_high = Min (high_here, high_there)
            common_extent = Sub (common_high, common_low)
            no_extent = Constant <value = float[1] {{0.0}}> ()
            common_positive = Max (common_extent, no_extent)
            common_area = ReduceProd <keepdims = 0> (common_positive, two_i)
            area_here = Unsqueeze (suspect_area, one_i)
            area_there = Unsqueeze (suspect_area, zero_i)
            smaller_area = Min (area_here, area_there)
            max_nested = Constant <value = float[1] {{{MAX_NESTED}}}> ()
            most_common = Mul (smaller_area, max_nested)
            is_within = Greater (common_area, most_common)
            suspect_count = Shape (suspect_rows)
            suspect_scalar = Squeeze (suspect_count)
            first = Constant <value = int64 {{0}}> ()
            step = Constant <value = int64 {{1}}> ()
            rank = Range (first, suspect_scalar, step)
            rank_here = Unsqueeze (rank, one_i)
            rank_there = Unsqueeze (rank, zero_i)
            is_better = Less (rank_there, rank_here)
            is_nested = And (is_within, is_better)
            nested_number = Cast <to = 1> (is_nested)
            nested_in = ReduceSum <keepdims = 0> (nested_number, one_i)
            is_free = Equal (nested_in, no_extent)
            rows = Compress <axis = 0> (suspect_rows, is_free)
            count = Shape (rows)
            NUM_FACES = Cast <to = 6> (count)
            padded_rows = Concat <axis = 0> (rows, zero_i)
            faces = Max (count, one_i)
            kept = Slice (padded_rows, zero_i, faces, zero_i)
            found = Gather <axis = 0> (table, kept)
            padding = Constant <value = float[1, 15] {{0, 0, 0, 32, 32, 10, 12, 22, 12, 16, 18, 11, 24, 21, 24}}> ()
            any_face = Greater (count, zero_i)
            face_rows = Where (any_face, found, padding)"""

_COORDINATES = """
            fields = Constant <value = int64[3] {1, 4, 10}> ()
            score_column, box_px, points_px = Split <axis = 1> (face_rows, fields)
            SCORES = Squeeze (score_column, one_i)
            picture_size = Shape <start = 1, end = 3> (IMAGE)
            height_i, width_i = Split <axis = 0, num_outputs = 2> (picture_size)
            width = Cast <to = 1> (width_i)
            height = Cast <to = 1> (height_i)
            limits = Concat <axis = 0> (width, height, width, height)
            zero_f = Constant <value = float[1] {0.0}> ()
            box_unclipped = Div (box_px, SCALE)
            box_low = Max (box_unclipped, zero_f)
            BOXES = Min (box_low, limits)
            points_flat = Div (points_px, SCALE)
            points_shape = Constant <value = int64[3] {-1, 5, 2}> ()
            rough_points = Reshape (points_flat, points_shape)"""


def _wide() -> str:
    """A pixel grid over the surroundings of each box."""
    ramp = (np.arange(WIDE_SIDE_PX, dtype=np.float32) - (WIDE_SIDE_PX - 1) / 2).reshape(1, 1, -1)
    return f"""
            corner_low, corner_high = Split <axis = 1, num_outputs = 2> (box_unclipped)
            box_extent = Sub (corner_high, corner_low)
            extent_axis = Constant <value = int64[1] {{1}}> ()
            box_longer = ReduceMax <keepdims = 0> (box_extent, extent_axis)
            wide_span = Constant <value = float[1] {{{WIDE_SPAN}}}> ()
            wide_wanted = Mul (box_longer, wide_span)
            picture_longer = Max (width, height)
            wide_side = Min (wide_wanted, picture_longer)
            wide_pixels = Constant <value = float[1] {{{WIDE_SIDE_PX}.0}}> ()
            wide_step = Div (wide_side, wide_pixels)
            corner_sum = Add (corner_low, corner_high)
            wide_half = Constant <value = float[1] {{0.5}}> ()
            box_middle = Mul (corner_sum, wide_half)
            wide_column_shape = Constant <value = int64[3] {{-1, 1, 1}}> ()
            step_column = Reshape (wide_step, wide_column_shape)
            wide_ramp = {floats(ramp)}
            wide_offset = Mul (step_column, wide_ramp)
            middle_column_x, middle_column_y = Split <axis = 1, num_outputs = 2> (box_middle)
            wide_x0 = Reshape (middle_column_x, wide_column_shape)
            wide_y0 = Reshape (middle_column_y, wide_column_shape)
            wide_x = Add (wide_offset, wide_x0)
            wide_y_row = Add (wide_offset, wide_y0)
            wide_y = Transpose <perm = [0, 2, 1]> (wide_y_row)
            wide_zero = Mul (wide_offset, zero_f)
            wide_zero_turned = Transpose <perm = [0, 2, 1]> (wide_zero)
            wide_x_full = Add (wide_x, wide_zero_turned)
            wide_y_full = Add (wide_y, wide_zero)
            last = Constant <value = int64[1] {{3}}> ()
            wide_x_last = Unsqueeze (wide_x_full, last)
            wide_y_last = Unsqueeze (wide_y_full, last)
            wide_grid = Concat <axis = 3> (wide_x_last, wide_y_last)"""
