"""`face_align`: candidates to faces, and one upright crop for each."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray

from scripts.graphs.geometry import (
    CANDIDATES,
    CROP_SIDE_PX,
    DETECTOR_SIDE_PX,
    MAX_FACES,
    MAX_IOU,
    MIN_SCORE,
    crop_template,
)


def build() -> onnx.ModelProto:
    """Non-maximum suppression, coordinates of the picture, crops turned upright.

    Inputs: IMAGE UINT8 [1,H,W,3]; DETECTOR_INPUT UINT8 [1,3,S,S]; SCALE FP32 [1]; CANDIDATES FP32 [1,C,15] (score, box xyxy,
    five points x y; pixels of the detector's square).
    Outputs, faces by falling score, one row of padding when there is none: NUM_FACES INT32 [1]; BOXES FP32 [N,4];
    SCORES FP32 [N]; KEYPOINTS FP32 [N,5,2]; FACE_CROPS UINT8 [N,160,160,3].

    A crop is sampled bilinearly from the first of three sources that is at most twice as fine as the crop: the picture, the
    detector's square, its half. So a face that fills a large photograph does not alias, and only the needed part is converted.
    """
    return onnx.parser.parse_model(f"""
        <ir_version: 9, opset_import: ["" : 18], producer_name: "vultus", doc_string: "Suppression, alignment, crops">
        face_align (uint8[1, H, W, 3] IMAGE, uint8[1, 3, {DETECTOR_SIDE_PX}, {DETECTOR_SIDE_PX}] DETECTOR_INPUT, float[1] SCALE,
                    float[1, {CANDIDATES}, 15] CANDIDATES)
            => (int32[1] NUM_FACES, float[N, 4] BOXES, float[N] SCORES, float[N, 5, 2] KEYPOINTS,
                uint8[N, {CROP_SIDE_PX}, {CROP_SIDE_PX}, 3] FACE_CROPS) {{
            {_SUPPRESS}
            {_COORDINATES}
            {_transform()}
            {_LEVELS}
            {_sample("picture", "fine", _PICTURE_REGION)}
            {_sample("square", "middle", _SQUARE_REGION)}
            {_sample("halved", "coarse", _HALVED_REGION)}
            {_GATHER}
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


def _transform() -> str:
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
            template = {_floats(centred)}
            template_turned = {_floats(np.stack([centred[:, 1], -centred[:, 0]], 1))}
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
            u = {_floats((ramp - middle[0]).reshape(1, 1, -1))}
            v = {_floats((ramp - middle[1]).reshape(1, -1, 1))}
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
            grid_px = Concat <axis = 3> (x_column, y_column)"""


_LEVELS = """
            flat = Constant <value = int64[1] {-1}> ()
            scale_flat = Reshape (scale_square_safe, flat)
            crop_per_px = Sqrt (scale_flat)
            px_per_crop = Reciprocal (crop_per_px)
            square_per_crop = Mul (px_per_crop, SCALE)
            finest = Constant <value = float[1] {2.0}> ()
            is_fine = LessOrEqual (px_per_crop, finest)
            not_fine = Not (is_fine)
            fits_square = LessOrEqual (square_per_crop, finest)
            beyond_square = Not (fits_square)
            is_middle = And (not_fine, fits_square)
            is_coarse = And (not_fine, beyond_square)
            half = Constant <value = float[1] {0.5}> ()
            from_centre = Add (grid_px, half)
            square_scaled = Mul (from_centre, SCALE)
            grid_square = Sub (square_scaled, half)
            halved_scaled = Mul (square_scaled, half)
            grid_halved = Sub (halved_scaled, half)"""


def _sample(source: str, mask: str, region: str) -> str:
    """Crops of the faces in one level. Nothing of the level is touched when it has no face."""
    side = CROP_SIDE_PX
    grid = {"picture": "grid_px", "square": "grid_square", "halved": "grid_halved"}[source]
    return f"""
            {source}_where = NonZero (is_{mask})
            {source}_index = Squeeze ({source}_where, zero_i)
            {source}_count = Size ({source}_index)
            {source}_zero = Constant <value = int64 {{0}}> ()
            {source}_any = Greater ({source}_count, {source}_zero)
            {source}_crops = If ({source}_any) <
                then_branch = {source}_then () => (uint8[m, {side}, {side}, 3] {source}_cut) {{
                    {source}_grid = Gather <axis = 0> ({grid}, {source}_index)
                    {region}
                    {source}_two = Constant <value = float[2] {{2.0, 2.0}}> ()
                    {source}_size_xy = Max ({source}_extent, {source}_two)
                    {source}_one = Constant <value = float[2] {{1.0, 1.0}}> ()
                    {source}_span = Sub ({source}_size_xy, {source}_one)
                    {source}_moved = Sub ({source}_grid, {source}_corner)
                    {source}_doubled = Add ({source}_moved, {source}_moved)
                    {source}_ratio = Div ({source}_doubled, {source}_span)
                    {source}_unit = Sub ({source}_ratio, {source}_one)
                    {source}_tall = Constant <value = int64[4] {{1, -1, {side}, 2}}> ()
                    {source}_strip = Reshape ({source}_unit, {source}_tall)
                    {source}_sampled = GridSample <mode = "bilinear", padding_mode = "zeros", align_corners = 1> ({source}_planes, {source}_strip)
                    {source}_stack = Constant <value = int64[4] {{3, -1, {side}, {side}}}> ()
                    {source}_faces = Reshape ({source}_sampled, {source}_stack)
                    {source}_last = Transpose <perm = [1, 2, 3, 0]> ({source}_faces)
                    {source}_rounded = Round ({source}_last)
                    {source}_cut = Cast <to = 2> ({source}_rounded)
                }},
                else_branch = {source}_else () => (uint8[m, {side}, {side}, 3] {source}_none) {{
                    {source}_empty = Constant <value = int64[4] {{0, {side}, {side}, 3}}> ()
                    {source}_none = ConstantOfShape <value = uint8[1] {{0}}> ({source}_empty)
                }}
            >"""


# The part of the picture that the crops touch, as float planes, and where its corner lies.
_PICTURE_REGION = """
                    picture_axes = Constant <value = int64[3] {0, 1, 2}> ()
                    picture_low = ReduceMin <keepdims = 0> (picture_grid, picture_axes)
                    picture_high = ReduceMax <keepdims = 0> (picture_grid, picture_axes)
                    picture_limit = Concat <axis = 0> (width, height)
                    picture_unit_px = Constant <value = float[2] {1.0, 1.0}> ()
                    picture_origin = Constant <value = float[2] {0.0, 0.0}> ()
                    picture_floor = Floor (picture_low)
                    picture_last_px = Sub (picture_limit, picture_unit_px)
                    picture_start_max = Min (picture_floor, picture_last_px)
                    picture_corner = Max (picture_start_max, picture_origin)
                    picture_ceil = Ceil (picture_high)
                    picture_stop_raw = Add (picture_ceil, picture_unit_px)
                    picture_stop_min = Min (picture_stop_raw, picture_limit)
                    picture_after = Add (picture_corner, picture_unit_px)
                    picture_stop = Max (picture_stop_min, picture_after)
                    picture_extent = Sub (picture_stop, picture_corner)
                    picture_from = Cast <to = 7> (picture_corner)
                    picture_to = Cast <to = 7> (picture_stop)
                    picture_xy_axes = Constant <value = int64[2] {2, 1}> ()
                    picture_part = Slice (IMAGE, picture_from, picture_to, picture_xy_axes)
                    picture_bytes = Transpose <perm = [0, 3, 1, 2]> (picture_part)
                    picture_planes = Cast <to = 1> (picture_bytes)"""

_SQUARE_REGION = f"""
                    square_planes = Cast <to = 1> (DETECTOR_INPUT)
                    square_corner = Constant <value = float[2] {{0.0, 0.0}}> ()
                    square_extent = Constant <value = float[2] {{{DETECTOR_SIDE_PX}.0, {DETECTOR_SIDE_PX}.0}}> ()"""

_HALVED_REGION = f"""
                    halved_full = Cast <to = 1> (DETECTOR_INPUT)
                    halved_planes = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (halved_full)
                    halved_corner = Constant <value = float[2] {{0.0, 0.0}}> ()
                    halved_extent = Constant <value = float[2] {{{DETECTOR_SIDE_PX // 2}.0, {DETECTOR_SIDE_PX // 2}.0}}> ()"""

_GATHER = f"""
            all_crops = Concat <axis = 0> (picture_crops, square_crops, halved_crops)
            all_index = Concat <axis = 0> (picture_index, square_index, halved_index)
            all_rows = Unsqueeze (all_index, one_i)
            crop_shape_tail = Constant <value = int64[3] {{{CROP_SIDE_PX}, {CROP_SIDE_PX}, 3}}> ()
            crop_shape = Concat <axis = 0> (faces, crop_shape_tail)
            blank = ConstantOfShape <value = uint8[1] {{0}}> (crop_shape)
            FACE_CROPS = ScatterND (blank, all_rows, all_crops)"""


def _floats(values: NDArray[np.float32]) -> str:
    shape = ", ".join(str(n) for n in values.shape)
    return f"Constant <value = float[{shape}] {{{', '.join(f'{v:.6f}' for v in values.reshape(-1).tolist())}}}> ()"
