"""Shares of pixels inside polygons, against the intersection of every pixel with the union."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from imperv.layers.kernels.coverage import coverage, dissolve

GRID = GeoBox((12, 15), Affine(10, 0, 3_829_000, 0, -10, 3_103_000), "EPSG:3035")


def exact(shapes, grid: GeoBox) -> np.ndarray:
    """The other way: every pixel cut with the union."""
    union, (rows, columns) = shapely.union_all(list(shapes)), grid.shape
    left, top = grid.affine.c, grid.affine.f
    cells = [
        [shapely.box(left + 10 * x, top - 10 * y - 10, left + 10 * x + 10, top - 10 * y) for x in range(columns)]
        for y in range(rows)
    ]
    return shapely.area(shapely.intersection(np.array(cells), union)) / 100


def local(*coordinates: tuple[float, float]) -> shapely.Polygon:
    """A polygon in metres to the right of and below the grid's corner."""
    return shapely.Polygon([(GRID.affine.c + x, GRID.affine.f - y) for x, y in coordinates])


def rectangle(x0, y0, x1, y1) -> shapely.Polygon:
    return local((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def test_rectangles():
    share = coverage(np.array([rectangle(3, 2, 17, 14), rectangle(40, 40, 50, 50), rectangle(61, 61, 62, 62)]), GRID)
    expected = np.zeros((12, 15), "float32")
    expected[:2, :2] = [[0.56, 0.56], [0.28, 0.28]]
    expected[4, 4] = 1
    expected[6, 6] = 0.01
    np.testing.assert_allclose(share, expected, atol=1e-7)
    assert share.dtype == np.float32
    assert share[4, 4] == 1 and ((share == 0) == (expected == 0)).all()


def test_a_triangle():
    share = coverage(np.array([local((0, 0), (20, 0), (0, 20))]), GRID)
    np.testing.assert_allclose(share[:2, :3], [[1, 0.5, 0], [0.5, 0, 0]], atol=1e-7)
    assert abs(share.sum() - 2) < 1e-6


def test_overlaps_count_once():
    shapes = [rectangle(0, 0, 8, 10), rectangle(2, 0, 10, 10), rectangle(0, 0, 8, 10)]
    share = coverage(np.array(shapes), GRID)
    assert share[0, 0] == 1
    assert share.sum() == 1
    np.testing.assert_array_equal(coverage(np.array(shapes[:1] * 5), GRID), coverage(np.array(shapes[:1]), GRID))


def test_only_what_overlaps_is_merged():
    """Houses that share a wall stay as they are."""
    row = [rectangle(10 * k, 0, 10 * k + 10, 8) for k in range(4)]
    twin = rectangle(31, 1, 39, 7)
    found = dissolve(np.array([*row, twin]))
    assert len(found) == 4
    assert all(any(shape is kept for kept in found) for shape in row[:3])


def test_courtyards_are_open():
    ring = rectangle(0, 0, 30, 30).difference(rectangle(10, 10, 20, 20))
    for shape in (ring, shapely.reverse(ring), shapely.MultiPolygon([ring, rectangle(50, 0, 60, 10)])):
        share = coverage(np.array([shape]), GRID)
        assert share[1, 1] == 0
        assert share[:3, :3].sum() == 8


def test_parts_outside_of_the_grid_do_not_matter():
    shapes = [rectangle(-50, -50, 5, 5), rectangle(1000, 0, 1010, 10), rectangle(145, -30, 200, 500), rectangle(-9, 60, -1, 70)]
    share = coverage(np.array(shapes), GRID)
    np.testing.assert_array_equal(share, exact(shapes, GRID).astype("float32"))
    assert share[0, 0] == np.float32(0.25)
    assert share[:, 14].tolist() == [0.5] * 12


def test_a_shape_around_everything():
    assert (coverage(np.array([rectangle(-1000, -2000, 3000, 4000)]), GRID) == 1).all()
    hole = rectangle(-1000, -2000, 3000, 4000).difference(rectangle(-500, -500, 2000, 2000))
    assert not coverage(np.array([hole]), GRID).any()


def test_no_shapes():
    share = coverage(np.array([]), GRID)
    assert share.shape == (12, 15) and share.dtype == np.float32 and not share.any()


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.floats(-20, 170), st.floats(-20, 140), st.floats(0.5, 60), st.floats(0.5, 60), st.floats(0, 90)),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_any_buildings_are_covered_exactly(buildings):
    shapes = []
    for x, y, width, height, angle in buildings:
        flat = rectangle(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        shapes.append(shapely.affinity.rotate(flat, angle))
    np.testing.assert_allclose(coverage(np.array(shapes), GRID), exact(shapes, GRID), atol=1e-6)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(-20, 170), st.floats(-20, 140)), min_size=3, max_size=12))
def test_any_outline_is_covered_exactly(corners):
    """Bow ties, spikes and stars, once they are mended."""
    parts = shapely.get_parts(shapely.make_valid(local(*corners)))
    shapes = [p for p in parts if p.geom_type == "Polygon"]
    np.testing.assert_allclose(coverage(np.array(shapes, object), GRID), exact(shapes, GRID), atol=1e-6)


def test_blocks_equal_the_whole():
    rng = np.random.default_rng(0)
    shapes = np.array([shapely.affinity.rotate(rectangle(x, y, x + 20, y + 12), 40 * x) for x, y in rng.uniform(0, 110, (30, 2))])
    whole = coverage(shapes, GRID)
    parts = [np.hstack([coverage(shapes, GRID[r, c]) for c in (slice(0, 7), slice(7, 15))]) for r in (slice(0, 5), slice(5, 12))]
    np.testing.assert_allclose(np.vstack(parts), whole, atol=1e-6)


def test_real_footprints(shared_data):
    """Drawing at 1 m, as it was done before, is near; the intersection is met."""
    shapes = gpd.read_file(shared_data / "flanders" / "reference" / "footprints.geojson").to_crs("EPSG:3035").geometry
    grid = GeoBox((73, 75), Affine(10, 0, 3_829_820, 0, -10, 3_102_040), "EPSG:3035")
    share = coverage(np.asarray(shapes.values), grid)
    np.testing.assert_allclose(share, exact(shapes, grid), atol=1e-6)
    fine = rasterize(((s, 1) for s in shapes), (730, 750), transform=grid.affine * Affine.scale(0.1), dtype="uint8")
    drawn = fine.reshape(73, 10, 75, 10).mean(axis=(1, 3))
    assert 0 < np.abs(share - drawn).max() < 0.1
    assert share.sum() == pytest.approx(drawn.sum(), rel=1e-2)
