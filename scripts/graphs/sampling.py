"""Crops along a pixel grid, as text of an ONNX graph.

A crop is sampled bilinearly from the first of three sources that is at most twice as fine as the crop: the picture, the
detector's frame, its half. So a face that fills a large photograph does not alias, and only the needed part is converted.
"""

from __future__ import annotations

SHARED = """
            finest = Constant <value = float[1] {2.0}> ()
            half = Constant <value = float[1] {0.5}> ()
            origin_px = Constant <value = float[2] {0.0, 0.0}> ()
            unit_px = Constant <value = float[2] {1.0, 1.0}> ()
            picture_limit = Concat <axis = 0> (width, height)
            planes_order = Constant <value = int64[3] {0, 1, 2}> ()
            xy_axes = Constant <value = int64[2] {2, 1}> ()
            frame_size = Shape <start = 2, end = 4> (DETECTOR_INPUT)
            frame_height, frame_width = Split <axis = 0, num_outputs = 2> (frame_size)
            frame_xy = Concat <axis = 0> (frame_width, frame_height)
            frame_extent = Cast <to = 1> (frame_xy)
            halved_extent = Mul (frame_extent, half)"""


def crops(kind: str, side: int, output: str) -> str:
    """Nodes from `{kind}_grid` FP32 [N,side,side,2] (px of the picture) and `{kind}_step` FP32 [N] (px a crop pixel) to `output` UINT8."""
    levels = (("fine", f"{kind}_grid", _picture), ("middle", f"{kind}_on_frame", _frame), ("coarse", f"{kind}_on_halved", _halved))
    sampled = "".join(_sample(f"{kind}_{level}", grid, region(f"{kind}_{level}"), side) for level, grid, region in levels)
    return f"""
            {kind}_frame_step = Mul ({kind}_step, SCALE)
            {kind}_is_fine = LessOrEqual ({kind}_step, finest)
            {kind}_not_fine = Not ({kind}_is_fine)
            {kind}_fits_frame = LessOrEqual ({kind}_frame_step, finest)
            {kind}_beyond_frame = Not ({kind}_fits_frame)
            {kind}_is_middle = And ({kind}_not_fine, {kind}_fits_frame)
            {kind}_is_coarse = And ({kind}_not_fine, {kind}_beyond_frame)
            {kind}_from_corner = Add ({kind}_grid, half)
            {kind}_frame_scaled = Mul ({kind}_from_corner, SCALE)
            {kind}_on_frame = Sub ({kind}_frame_scaled, half)
            {kind}_halved_scaled = Mul ({kind}_frame_scaled, half)
            {kind}_on_halved = Sub ({kind}_halved_scaled, half)
            {sampled}
            {kind}_all = Concat <axis = 0> ({kind}_fine_crops, {kind}_middle_crops, {kind}_coarse_crops)
            {kind}_index = Concat <axis = 0> ({kind}_fine_index, {kind}_middle_index, {kind}_coarse_index)
            {kind}_rows = Unsqueeze ({kind}_index, one_i)
            {kind}_tail = Constant <value = int64[3] {{{side}, {side}, 3}}> ()
            {kind}_shape = Concat <axis = 0> (faces, {kind}_tail)
            {kind}_blank = ConstantOfShape <value = uint8[1] {{0}}> ({kind}_shape)
            {output} = ScatterND ({kind}_blank, {kind}_rows, {kind}_all)"""


def _sample(name: str, grid: str, region: str, side: int) -> str:
    """Crops of the faces in one level. Nothing of the level is touched when it has no face."""
    kind, level = name.rsplit("_", 1)
    return f"""
            {name}_where = NonZero ({kind}_is_{level})
            {name}_index = Squeeze ({name}_where, zero_i)
            {name}_count = Size ({name}_index)
            {name}_zero = Constant <value = int64 {{0}}> ()
            {name}_any = Greater ({name}_count, {name}_zero)
            {name}_crops = If ({name}_any) <
                then_branch = {name}_then () => (uint8[m, {side}, {side}, 3] {name}_cut) {{
                    {name}_grid = Gather <axis = 0> ({grid}, {name}_index)
                    {region}
                    {name}_two = Constant <value = float[2] {{2.0, 2.0}}> ()
                    {name}_size_xy = Max ({name}_extent, {name}_two)
                    {name}_span = Sub ({name}_size_xy, unit_px)
                    {name}_moved = Sub ({name}_grid, {name}_corner)
                    {name}_doubled = Add ({name}_moved, {name}_moved)
                    {name}_ratio = Div ({name}_doubled, {name}_span)
                    {name}_unit = Sub ({name}_ratio, unit_px)
                    {name}_tall = Constant <value = int64[4] {{1, -1, {side}, 2}}> ()
                    {name}_strip = Reshape ({name}_unit, {name}_tall)
                    {name}_sampled = GridSample <mode = "bilinear", padding_mode = "zeros", align_corners = 1> ({name}_planes, {name}_strip)
                    {name}_stack = Constant <value = int64[4] {{3, -1, {side}, {side}}}> ()
                    {name}_faces = Reshape ({name}_sampled, {name}_stack)
                    {name}_last = Transpose <perm = [1, 2, 3, 0]> ({name}_faces)
                    {name}_rounded = Round ({name}_last)
                    {name}_cut = Cast <to = 2> ({name}_rounded)
                }},
                else_branch = {name}_else () => (uint8[m, {side}, {side}, 3] {name}_none) {{
                    {name}_empty = Constant <value = int64[4] {{0, {side}, {side}, 3}}> ()
                    {name}_none = ConstantOfShape <value = uint8[1] {{0}}> ({name}_empty)
                }}
            >"""


def _picture(name: str) -> str:
    """The part of the picture that the crops touch, as float planes, and where its corner lies."""
    return f"""
                    {name}_low = ReduceMin <keepdims = 0> ({name}_grid, planes_order)
                    {name}_high = ReduceMax <keepdims = 0> ({name}_grid, planes_order)
                    {name}_floor = Floor ({name}_low)
                    {name}_last_px = Sub (picture_limit, unit_px)
                    {name}_start_max = Min ({name}_floor, {name}_last_px)
                    {name}_corner = Max ({name}_start_max, origin_px)
                    {name}_ceil = Ceil ({name}_high)
                    {name}_stop_raw = Add ({name}_ceil, unit_px)
                    {name}_stop_min = Min ({name}_stop_raw, picture_limit)
                    {name}_after = Add ({name}_corner, unit_px)
                    {name}_stop = Max ({name}_stop_min, {name}_after)
                    {name}_extent = Sub ({name}_stop, {name}_corner)
                    {name}_from = Cast <to = 7> ({name}_corner)
                    {name}_to = Cast <to = 7> ({name}_stop)
                    {name}_part = Slice (IMAGE, {name}_from, {name}_to, xy_axes)
                    {name}_bytes = Transpose <perm = [0, 3, 1, 2]> ({name}_part)
                    {name}_planes = Cast <to = 1> ({name}_bytes)"""


def _frame(name: str) -> str:
    return f"""
                    {name}_planes = Cast <to = 1> (DETECTOR_INPUT)
                    {name}_corner = Identity (origin_px)
                    {name}_extent = Identity (frame_extent)"""


def _halved(name: str) -> str:
    return f"""
                    {name}_full = Cast <to = 1> (DETECTOR_INPUT)
                    {name}_planes = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> ({name}_full)
                    {name}_corner = Identity (origin_px)
                    {name}_extent = Identity (halved_extent)"""
