"""Every small face lies whole in a tile, and there are never too many tiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pictures.tiles import FOUND_FROM_PX, FRAME_PX, tiles

SIDES, MOST = st.integers(64, 9000), 16


@given(SIDES, SIDES, st.integers(1, 200), st.floats(0, 1), st.floats(0, 1))
def test_a_face_that_the_whole_picture_does_not_show_lies_whole_in_a_tile(
    width: int, height: int, face_px: int, across: float, down: float
) -> None:
    cut = tiles(width, height, face_px, MOST)
    assert len(cut) <= MOST
    if not cut:
        return
    assert all(tile.left >= 0 and tile.top >= 0 for tile in cut)
    assert all(tile.left + tile.width <= width and tile.top + tile.height <= height for tile in cut)
    face = min(max(width, height) / FRAME_PX * FOUND_FROM_PX, width, height)
    left, top = across * (width - face), down * (height - face)
    assert any(
        tile.left <= left and tile.top <= top and left + face <= tile.left + tile.width and top + face <= tile.top + tile.height
        for tile in cut
    )


@pytest.mark.parametrize(("width", "height", "face_px"), [(640, 480, 32), (4000, 3000, 200), (300, 300, 20)])
def test_no_tiles_where_the_whole_picture_shows_the_face(width: int, height: int, face_px: int) -> None:
    assert tiles(width, height, face_px, MOST) == ()


def test_an_operator_may_switch_tiles_off() -> None:
    assert tiles(4000, 3000, 20, 0) == ()


def test_tiles_show_a_face_larger() -> None:
    cut = tiles(2000, 1500, 40, MOST)
    assert len(cut) > 1
    assert max(max(tile.width, tile.height) for tile in cut) <= 40 * FRAME_PX / FOUND_FROM_PX * 1.1


def test_a_tile_is_the_part_of_the_picture_that_it_names() -> None:
    pixels = np.arange(90 * 120 * 3, dtype=np.uint32).astype(np.uint8).reshape(90, 120, 3)
    for tile in tiles(120, 90, 3, MOST):
        part = tile.of(pixels)
        assert part.shape == (tile.height, tile.width, 3)
        np.testing.assert_array_equal(part, pixels[tile.top :, tile.left :][: tile.height, : tile.width])
