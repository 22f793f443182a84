"""`face_align`: candidates to faces, an upright crop of each and one of its surroundings."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser

from scripts.graphs.geometry import (
    CANDIDATES,
    CROP_SIDE_PX,
    DETECTOR_SIDE_PX,
    MAX_FACES,
    MAX_IOU,
    MIN_SCORE,
    WIDE_SIDE_PX,
    WIDE_SPAN,
    crop_template,
)
from scripts.graphs.sampling import SHARED, crops
from scripts.graphs.text import floats


def build() -> onnx.ModelProto:
    """Non-maximum suppression, coordinates of the picture, crops.

    Inputs: IMAGE UINT8 [1,H,W,3]; DETECTOR_INPUT UINT8 [1,3,S,S]; SCALE FP32 [1]; CANDIDATES FP32 [1,C,15] (score, box xyxy,
    five points x y; pixels of the detector's square).
    Outputs, faces by falling score, one row of padding when there is none: NUM_FACES INT32 [1]; BOXES FP32 [N,4];
    SCORES FP32 [N]; KEYPOINTS FP32 [N,5,2]; FACE_CROPS UINT8 [N,160,160,3], turned upright; CROP_TO_IMAGE FP32 [N,2,3], the affine
    map from pixels of that crop to pixels of the picture; WIDE_CROPS UINT8 [N,96,96,3], the square of three times the box's longer
    side around it (never more than the picture's longer side), not turned, black outside the picture.
    """
    return onnx.parser.parse_model(f"""
        <ir_version: 9, opset_import: ["" : 18], producer_name: "vultus", doc_string: "Suppression, alignment, crops">
        face_align (uint8[1, H, W, 3] IMAGE, uint8[1, 3, {DETECTOR_SIDE_PX}, {DETECTOR_SIDE_PX}] DETECTOR_INPUT, float[1] SCALE,
                    float[1, {CANDIDATES}, 15] CANDIDATES)
            => (int32[1] NUM_FACES, float[N, 4] BOXES, float[N] SCORES, float[N, 5, 2] KEYPOINTS,
                uint8[N, {CROP_SIDE_PX}, {CROP_SIDE_PX}, 3] FACE_CROPS, float[N, 2, 3] CROP_TO_IMAGE,
                uint8[N, {WIDE_SIDE_PX}, {WIDE_SIDE_PX}, 3] WIDE_CROPS) {{
            {_SUPPRESS}
            {_COORDINATES}
            {SHARED}
            {_upright()}
            {crops("upright", CROP_SIDE_PX, "FACE_CROPS")}
            {_wide()}
            {crops("wide", WIDE_SIDE_PX, "WIDE_CROPS")}
        }}
    """)


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
            rows = Squeeze (row_of, one_i)
            count = Shape (rows)
            NUM_FACES = Cast <to = 6> (count)
            padded_rows = Concat <axis = 0> (rows, zero_i)
            faces = Max (count, one_i)
            kept = Slice (padded_rows, zero_i, faces, zero_i)
            table = Squeeze (CANDIDATES, zero_i)
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
            KEYPOINTS = Reshape (points_flat, points_shape)"""


def _upright() -> str:
    """Least-squares similarity (Umeyama, 1991, without reflection) of the points onto the template, inverted onto a pixel grid."""
    template = crop_template()
    middle = template.mean(0)
    centred = template - middle
    ramp = np.arange(CROP_SIDE_PX, dtype=np.float32)
    return f"""
            axis_points = Constant <value = int64[1] {{1}}> ()
            axis_both = Constant <value = int64[2] {{1, 2}}> ()
            mean_point = ReduceMean <keepdims = 1> (KEYPOINTS, axis_points)
            offset = Sub (KEYPOINTS, mean_point)
            template = {floats(centred)}
            template_turned = {floats(np.stack([centred[:, 1], -centred[:, 0]], 1))}
            square_offset = Mul (offset, offset)
            spread = ReduceSum <keepdims = 1> (square_offset, axis_both)
            tiny = Constant <value = float[1] {{0.001}}> ()
            spread_safe = Max (spread, tiny)
            along = Mul (offset, template)
            along_sum = ReduceSum <keepdims = 1> (along, axis_both)
            a = Div (along_sum, spread_safe)
            across = Mul (offset, template_turned)
            across_sum = ReduceSum <keepdims = 1> (across, axis_both)
            b = Div (across_sum, spread_safe)
            aa = Mul (a, a)
            bb = Mul (b, b)
            scale_square = Add (aa, bb)
            least = Constant <value = float[1] {{0.00001}}> ()
            scale_square_safe = Max (scale_square, least)
            inverse_a = Div (a, scale_square_safe)
            inverse_b = Div (b, scale_square_safe)
            u = {floats((ramp - middle[0]).reshape(1, 1, -1))}
            v = {floats((ramp - middle[1]).reshape(1, -1, 1))}
            au = Mul (inverse_a, u)
            bv = Mul (inverse_b, v)
            bu = Mul (inverse_b, u)
            av = Mul (inverse_a, v)
            x_centred = Add (au, bv)
            y_centred = Sub (av, bu)
            mean_x, mean_y = Split <axis = 2, num_outputs = 2> (mean_point)
            x_px = Add (x_centred, mean_x)
            y_px = Add (y_centred, mean_y)
            last = Constant <value = int64[1] {{3}}> ()
            x_column = Unsqueeze (x_px, last)
            y_column = Unsqueeze (y_px, last)
            upright_grid = Concat <axis = 3> (x_column, y_column)
            flat = Constant <value = int64[1] {{-1}}> ()
            scale_flat = Reshape (scale_square_safe, flat)
            crop_per_px = Sqrt (scale_flat)
            upright_step = Reciprocal (crop_per_px)
            middle_x = {floats(middle[:1])}
            middle_y = {floats(middle[1:])}
            a_x = Mul (inverse_a, middle_x)
            b_y = Mul (inverse_b, middle_y)
            b_x = Mul (inverse_b, middle_x)
            a_y = Mul (inverse_a, middle_y)
            x_start = Sub (mean_x, a_x)
            x_shift = Sub (x_start, b_y)
            y_start = Add (mean_y, b_x)
            y_shift = Sub (y_start, a_y)
            minus_b = Neg (inverse_b)
            x_map = Concat <axis = 2> (inverse_a, inverse_b, x_shift)
            y_map = Concat <axis = 2> (minus_b, inverse_a, y_shift)
            CROP_TO_IMAGE = Concat <axis = 1> (x_map, y_map)"""


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
            wide_x_last = Unsqueeze (wide_x_full, last)
            wide_y_last = Unsqueeze (wide_y_full, last)
            wide_grid = Concat <axis = 3> (wide_x_last, wide_y_last)"""
