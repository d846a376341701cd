"""Blocks: every pixel in exactly one, the same ground at every resolution, halos cut at the edge."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from imperv.grids import Block, Tile, block_grid, inner_slices, pad_clipped, window_geobox

TILE = Tile("E43N32")


def grid_of(rows: int, columns: int, resolution: int = 10) -> GeoBox:
    return GeoBox((rows, columns), Affine(resolution, 0, 4_300_000, 0, -resolution, 3_300_000), "EPSG:3035")


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 70))
def test_blocks_cover_every_pixel_once(rows, columns, edge):
    seen = np.zeros((rows, columns), int)
    found = list(block_grid(grid_of(rows, columns), edge))
    for block in found:
        assert block.shape == seen[block.slices].shape
        assert 0 < block.shape[0] <= edge and 0 < block.shape[1] <= edge
        assert block.y0 % edge == 0 and block.x0 % edge == 0
        seen[block.slices] += 1
    assert (seen == 1).all()
    assert found == sorted(found, key=lambda b: (b.y0, b.x0))


def test_blocks_are_cut_below_and_at_the_right():
    assert list(block_grid(grid_of(5, 7), 4)) == [
        Block(0, 0, 4, 4), Block(0, 4, 4, 7), Block(4, 0, 5, 4), Block(4, 4, 5, 7),
    ]  # fmt: skip


@pytest.mark.parametrize(("resolution", "edge"), [(10, 1000), (20, 500), (100, 100)])
def test_a_tile_has_a_hundred_blocks_of_ten_kilometres(resolution, edge):
    found = list(block_grid(TILE.geobox(resolution)))
    assert len(found) == 100
    assert {block.shape for block in found} == {(edge, edge)}


@pytest.mark.parametrize("bbox", [None, (4_311_000, 3_204_000, 4_342_000, 3_227_000)])
def test_blocks_agree_at_every_resolution(bbox):
    grids = {resolution: window_geobox(TILE, resolution, bbox) for resolution in (10, 20, 100)}
    finest = list(block_grid(grids[10]))
    for resolution in (20, 100):
        coarse = list(block_grid(grids[resolution]))
        assert [block.scaled(resolution // 10) for block in coarse] == finest
        for block, fine in zip(coarse, finest, strict=True):
            assert block.geobox(grids[resolution]).boundingbox == fine.geobox(grids[10]).boundingbox


def test_geobox_of_a_block():
    here = Block(20, 30, 25, 37).geobox(TILE.geobox(10))
    assert here.affine == Affine(10, 0, 4_300_300, 0, -10, 3_299_800)
    assert tuple(here.shape) == (5, 7)
    assert here.crs.to_epsg() == 3035


def test_geobox_of_a_block_that_reaches_beyond_the_grid():
    here = Block(-2, -3, 4, 10_001).geobox(TILE.geobox(10))
    assert here.affine == Affine(10, 0, 4_299_970, 0, -10, 3_300_020)
    assert tuple(here.shape) == (6, 10_004)


def test_blocks_of_a_block_tile_it():
    """Parts of a block are found by the same function: their grids follow one another without gap."""
    outer = Block(1000, 2000, 2000, 3000)
    here = outer.geobox(TILE.geobox(10))
    parts = [part.geobox(here) for part in block_grid(here, 300)]
    assert len(parts) == 16
    assert sum(p.shape[0] * p.shape[1] for p in parts) == 1_000_000
    assert parts[5].affine == here.affine * Affine.translation(300, 300)
    assert parts[-1].boundingbox.right == here.boundingbox.right
    assert parts[-1].boundingbox.bottom == here.boundingbox.bottom


def test_coarser_pixels_hold_a_block():
    assert Block(10, 20, 30, 50).coarser(10) == Block(1, 2, 3, 5)
    assert Block(9, 25, 31, 50).coarser(10) == Block(0, 2, 4, 5)
    assert Block(-5, -20, 1, 0).coarser(10) == Block(-1, -2, 1, 0)


def test_scaled():
    assert Block(1, 2, 3, 5).scaled(10) == Block(10, 20, 30, 50)
    assert Block(1, 2, 3, 5).scaled(1) == Block(1, 2, 3, 5)


def test_padding_is_cut_at_the_edges():
    assert pad_clipped(Block(10, 20, 30, 40), 5, (100, 100)) == Block(5, 15, 35, 45)
    assert pad_clipped(Block(0, 96, 4, 100), 8, (100, 100)) == Block(0, 88, 12, 100)
    assert pad_clipped(Block(0, 0, 4, 4), 0, (100, 100)) == Block(0, 0, 4, 4)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 20), st.integers(0, 30))
def test_the_inner_part_of_a_padded_block_is_the_block(rows, columns, edge, halo):
    pixels = np.arange(rows * columns).reshape(rows, columns)
    for block in block_grid(grid_of(rows, columns), edge):
        outer = pad_clipped(block, halo, (rows, columns))
        np.testing.assert_array_equal(pixels[outer.slices][inner_slices(block, outer)], pixels[block.slices])
