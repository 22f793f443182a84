"""Laying faces onto a template, as text of an ONNX graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scripts.graphs.geometry import CROP_SIDE_PX
from scripts.graphs.text import floats


def fit(kind: str, points: str, template: NDArray[np.float32]) -> str:
    """Nodes from `points` FP32 [N,5,2] (px of the picture) to `{kind}_map` FP32 [N,2,3], which leads from crop pixels to picture pixels.

    The map is the inverse of the least-squares similarity (Umeyama, 1991, without reflection) of the points onto `template` [5,2].
    """
    middle = template.mean(0)
    centred = template - middle
    names = """
            $axis_points = Constant <value = int64[1] {1}> ()
            $axis_both = Constant <value = int64[2] {1, 2}> ()
            $mean = ReduceMean <keepdims = 1> (@points, $axis_points)
            $offset = Sub (@points, $mean)
            $template = @template
            $template_turned = @turned
            $square = Mul ($offset, $offset)
            $spread = ReduceSum <keepdims = 1> ($square, $axis_both)
            $tiny = Constant <value = float[1] {0.001}> ()
            $spread_safe = Max ($spread, $tiny)
            $along = Mul ($offset, $template)
            $along_sum = ReduceSum <keepdims = 1> ($along, $axis_both)
            $a = Div ($along_sum, $spread_safe)
            $across = Mul ($offset, $template_turned)
            $across_sum = ReduceSum <keepdims = 1> ($across, $axis_both)
            $b = Div ($across_sum, $spread_safe)
            $aa = Mul ($a, $a)
            $bb = Mul ($b, $b)
            $scale_square = Add ($aa, $bb)
            $least = Constant <value = float[1] {0.00001}> ()
            $scale_square_safe = Max ($scale_square, $least)
            $inverse_a = Div ($a, $scale_square_safe)
            $inverse_b = Div ($b, $scale_square_safe)
            $minus_b = Neg ($inverse_b)
            $row_x = Concat <axis = 2> ($inverse_a, $inverse_b)
            $row_y = Concat <axis = 2> ($minus_b, $inverse_a)
            $turn = Concat <axis = 1> ($row_x, $row_y)
            $middle = @middle
            $middle_turned = MatMul ($turn, $middle)
            $mean_column = Transpose <perm = [0, 2, 1]> ($mean)
            $shift = Sub ($mean_column, $middle_turned)
            $map = Concat <axis = 2> ($turn, $shift)
            $flat = Constant <value = int64[1] {-1}> ()
            $scale_flat = Reshape ($scale_square_safe, $flat)
            $scale = Sqrt ($scale_flat)"""
    values = {
        "@points": points,
        "@template": floats(centred),
        "@turned": floats(np.stack([centred[:, 1], -centred[:, 0]], 1)),
        "@middle": floats(middle.reshape(1, 2, 1)),
    }
    for mark, value in values.items():
        names = names.replace(mark, value)
    return names.replace("$", f"{kind}_")


def grid(kind: str, side: int, left: float = 0.0, top: float = 0.0, span: float = CROP_SIDE_PX) -> str:
    """Nodes from `{kind}_map` to the pixel grid of the square at (left, top) of the crop, seen with `side` pixels.

    They give `{kind}_grid` [N,side,side,2] and `{kind}_step` [N].
    """
    per_pixel = span / side
    ramp = (np.arange(side) + 0.5) * per_pixel - 0.5
    places = np.stack([*np.meshgrid(ramp + left, ramp + top), np.ones((side, side))], 2).reshape(1, -1, 3).astype(np.float32)
    return f"""
            {kind}_places = {floats(places)}
            {kind}_map_turned = Transpose <perm = [0, 2, 1]> ({kind}_map)
            {kind}_placed = MatMul ({kind}_places, {kind}_map_turned)
            {kind}_grid_shape = Constant <value = int64[4] {{-1, {side}, {side}, 2}}> ()
            {kind}_grid = Reshape ({kind}_placed, {kind}_grid_shape)
            {kind}_fine_step = Reciprocal ({kind}_scale)
            {kind}_per_pixel = Constant <value = float[1] {{{per_pixel}}}> ()
            {kind}_step = Mul ({kind}_fine_step, {kind}_per_pixel)"""


def carry(kind: str, points: str, output: str) -> str:
    """Nodes from points in crop pixels [N,K,2] to `output`, the same points in picture pixels, by `{kind}_map`."""
    return f"""
            {kind}_carry_xy = Constant <value = int64[2] {{2, 1}}> ()
            {kind}_carry_turn, {kind}_carry_shift = Split <axis = 2> ({kind}_map, {kind}_carry_xy)
            {kind}_carry_turn_t = Transpose <perm = [0, 2, 1]> ({kind}_carry_turn)
            {kind}_carry_shift_t = Transpose <perm = [0, 2, 1]> ({kind}_carry_shift)
            {kind}_carried = MatMul ({points}, {kind}_carry_turn_t)
            {output} = Add ({kind}_carried, {kind}_carry_shift_t)"""
