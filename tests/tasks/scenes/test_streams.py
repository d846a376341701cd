"""Files that strips go down, against whole readings by GDAL."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from imperv.grids.mapping import CELL
from imperv.layers.kernels.strips import rows_by_column
from imperv.tasks.errors import SceneError
from imperv.tasks.scenes import streams
from imperv.tasks.scenes.reading import Target, read_window
from imperv.tasks.scenes.streams import Layout, places, require_whole

UTM = "EPSG:32632"
SHAPE = (700, 900)
CORNER = Affine.translation(600_000, 5_400_000)
GRID = GeoBox((500, 500), Affine.translation(602_000, 5_398_500) * Affine.scale(10, -10), UTM)


def write(path, dtype="uint16", *, angle=0.0, **profile):
    """A raster of noise with a hole that lies turned by degrees; its pixels."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(1, np.iinfo(dtype).max, SHAPE, dtype=dtype)
    pixels[200:420, 300:560] = 0
    usual = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate", "predictor": 2, "nodata": 0}
    with rasterio.open(
        path, "w", driver="GTiff", height=SHAPE[0], width=SHAPE[1], count=1, dtype=dtype, crs=UTM,
        transform=CORNER * Affine.rotation(angle) * Affine.scale(10, -10), **{**usual, **profile},
    ) as target:  # fmt: skip
        target.write(pixels, 1)
    return pixels


def whole(path, grid, cells=None):
    """Bilinear values of a grid, from one reading."""
    target = Target(grid)
    out = np.zeros((grid.shape.y, 1, grid.shape.x), "uint16")
    window = read_window(str(path), "s", target, cells)
    window.bilinear(target, np.ones((-(-grid.shape.y // CELL), -(-grid.shape.x // CELL)), bool), 0, out, 0)
    return out[:, 0]


def in_strips(path, grid, rows, found=None):
    """The same strip by strip; also the bytes of blocks that were begun."""
    out, begun, kept = np.zeros(grid.shape.yx, "uint16"), 0, {}
    for first in range(0, grid.shape.y, rows):
        part = grid[first : first + rows]
        target = Target(part)
        here = np.zeros((part.shape.y, 1, part.shape.x), "uint16")
        window = read_window(str(path), "s", target, streams=kept)
        if window is not None:
            cells = np.ones((-(-part.shape.y // CELL), -(-part.shape.x // CELL)), bool)
            window.bilinear(target, cells, 0, here, 0)
            begun += window.stored
        out[first : first + rows] = here[:, 0]
        if found is not None:
            found.append(sum(block.rows.nbytes for block in kept[str(path)]._blocks.values()))
    return out, begun


@pytest.fixture
def by_gdal(monkeypatch):
    """Makes every reading GDAL's."""

    def read(*args):
        with monkeypatch.context() as patch:
            patch.setattr(streams.Layout, "of", classmethod(lambda cls, *_: None))
            return whole(*args)

    return read


@pytest.mark.parametrize("angle", [0, 4, -9, 25])
@pytest.mark.parametrize(
    "profile",
    [{}, {"predictor": 1}, {"tiled": False, "blockysize": 64}, {"blockxsize": 512, "blockysize": 256},
     {"sparse_ok": True}, {"nodata": 7}],
)  # fmt: skip
def test_strips_give_what_gdal_reads(tmp_path, by_gdal, profile, angle):
    path = tmp_path / "B04.tif"
    write(path, angle=angle, **profile)
    grid = GRID
    expected = by_gdal(path, grid)
    assert expected.any() and (expected == 0).any()
    np.testing.assert_array_equal(whole(path, grid), expected)
    for rows in (25, 100, 500):
        np.testing.assert_array_equal(in_strips(path, grid, rows)[0], expected)


def test_each_block_is_decoded_once(tmp_path, monkeypatch):
    path = tmp_path / "B04.tif"
    write(path, angle=4)
    decoded = []
    inflated = streams._Block._inflated

    def counted(self, file, size):
        decoded.append(size)
        return inflated(self, file, size)

    monkeypatch.setattr(streams._Block, "_inflated", counted)
    waiting: list[int] = []
    grid = GRID
    _, begun = in_strips(path, grid, 25, waiting)
    in_one = sum(decoded)
    target = Target(grid)
    window = read_window(str(path), "s", target)
    assert begun == window.stored
    decoded.clear()
    whole(path, grid)
    assert in_one == sum(decoded) <= 2 * 128 * 128 * 48
    # Of the rows that a strip has read no more waits than those that lie askew to the next.
    assert max(waiting) <= 2 * 128 * (128 * np.sin(np.radians(4)) + 10) * 7


@pytest.mark.parametrize("piece", [1, 100, 5000])
def test_files_may_come_in_small_pieces(tmp_path, by_gdal, monkeypatch, piece):
    """A decompressor may give nothing and ask for more, wherever a piece of a file ends."""
    path = tmp_path / "B04.tif"
    write(path, angle=4, blockxsize=256, blockysize=256)
    monkeypatch.setattr(streams, "PIECE", piece)
    np.testing.assert_array_equal(in_strips(path, GRID, 100)[0], by_gdal(path, GRID))


def test_cells_without_weight_are_not_decoded(tmp_path):
    path = tmp_path / "B04.tif"
    pixels = write(path)
    target = Target(GRID)
    cells = np.zeros((20, 20), bool)
    cells[3, 4] = True
    window = read_window(str(path), "s", target, cells)
    with rasterio.open(path) as source:
        sizes = places(source)[..., 1]
    row, column = 150 + 3 * CELL, 200 + 4 * CELL
    assert window.stored == sizes[(row - 2) // 128 : (row + 26) // 128 + 1, (column - 2) // 128 : (column + 26) // 128 + 1].sum()
    (top, left), shape = window.first, window.pixels.shape
    np.testing.assert_array_equal(window.pixels, pixels[top : top + shape[0], left : left + shape[1]])
    assert read_window(str(path), "s", target, np.zeros((20, 20), bool)) is None


def test_strips_in_any_order_and_over_again_are_right(tmp_path, by_gdal):
    path = tmp_path / "B04.tif"
    write(path, angle=4)
    grid, kept = GRID, {}
    expected = by_gdal(path, grid)
    for first in (300, 100, 100, 400, 0):
        part = grid[first : first + 100]
        target, here = Target(part), np.zeros((100, 1, 500), "uint16")
        window = read_window(str(path), "s", target, streams=kept)
        window.bilinear(target, np.ones((4, 20), bool), 0, here, 0)
        np.testing.assert_array_equal(here[:, 0], expected[first : first + 100])


def test_classes_in_strips(tmp_path):
    path = tmp_path / "SCL.tif"
    pixels = write(path, "uint8", predictor=1)
    target = Target(GRID)
    window = read_window(str(path), "s", target, classes=True)
    (top, left), shape = window.first, window.pixels.shape
    np.testing.assert_array_equal(window.pixels, pixels[top : top + shape[0], left : left + shape[1]])


def layout(path):
    with rasterio.open(path) as source:
        return Layout.of(source, str(path), None)


def test_files_of_other_kinds_are_left_to_gdal(tmp_path, by_gdal):
    path = tmp_path / "B04.tif"
    for profile in (
        {"compress": "lzw"}, {"compress": "zstd"}, {"compress": None, "predictor": 1}, {"endianness": "big"},
        {"nbits": 12, "predictor": 1},
    ):  # fmt: skip
        write(path, **profile)
        assert layout(path) is None
        np.testing.assert_array_equal(whole(path, GRID), by_gdal(path, GRID))
    write(path)
    assert layout(path) is not None
    with rasterio.open(path, "r+") as source:
        source.write_mask(np.tile(np.arange(SHAPE[1]) % 7 > 0, (SHAPE[0], 1)))
    kept = {}
    assert read_window(str(path), "s", Target(GRID), streams=kept) is not None and not kept
    np.testing.assert_array_equal(whole(path, GRID), by_gdal(path, GRID))
    for name in ("s3://a/B04.tif", "/vsizip/a.zip/B04.tif", "https://a/B04.tif", "B04.jp2"):
        assert not streams.streamable(name)


def test_damaged_blocks_are_the_trouble_of_their_scene(tmp_path):
    path = tmp_path / "B04.tif"
    write(path)
    target, kept = Target(GRID), {}
    with rasterio.open(path) as source:
        offset, size = places(source)[2, 3]
    sound = path.read_bytes()
    for damage in (b"\xff" * int(size), b"\0" * int(size)):
        path.write_bytes(sound[:offset] + damage + sound[offset + size :])
        with pytest.raises(SceneError, match="B04.tif cannot be read .*block"):
            read_window(str(path), "s", target)
    # The last bytes of a block are the sum of its pixels.
    path.write_bytes(sound[: offset + size - 1] + bytes([sound[offset + size - 1] ^ 1]) + sound[offset + size :])
    with pytest.raises(SceneError, match="B04.tif cannot be read .*block"):
        read_window(str(path), "s", target)
    path.write_bytes(sound)
    upper = Target(GRID[:50])
    assert read_window(str(path), "s", upper, streams=kept) is not None
    path.write_bytes(sound[: offset + size // 2])
    with pytest.raises(SceneError, match="ends too early"):
        read_window(str(path), "s", target, streams=kept)
    path.unlink()
    with pytest.raises(SceneError, match="No such file"):
        read_window(str(path), "s", target, streams=kept)


def test_a_file_that_is_cut_short_is_known_by_its_end(tmp_path):
    path = tmp_path / "B04.tif"
    write(path)
    with rasterio.open(path) as source:
        require_whole(source, str(path))
        offset, size = places(source)[-1, -1]
        with path.open("r+b") as file:
            file.truncate(int(offset + size - 1))
        with pytest.raises(OSError, match="ends before its last block"):
            require_whole(source, str(path))


def test_rows_by_column_hold_all_that_the_cells_need():
    rng = np.random.default_rng(3)
    for _ in range(20):
        rows, columns = rng.integers(1, 12, 2)
        angle, scale = rng.uniform(-0.5, 0.5), rng.uniform(10, 40)
        i, j = np.mgrid[: rows + 1, : columns + 1] * scale
        x = np.cos(angle) * j - np.sin(angle) * i + rng.uniform(-200, 400)
        y = np.sin(angle) * j + np.cos(angle) * i + rng.uniform(-200, 400)
        cells = rng.random((rows, columns)) < 0.5
        first, last, below, left, right = rows_by_column(x, y, cells, 2, 64, 8, (500, 512))
        expected = np.zeros((500, 512), bool)
        for a, b in np.argwhere(cells):
            corners = np.s_[a : a + 2, b : b + 2]
            top, bottom = int(np.floor(y[corners].min())) - 2, int(np.ceil(y[corners].max())) + 2
            west, east = int(np.floor(x[corners].min())) - 2, int(np.ceil(x[corners].max())) + 2
            expected[max(top, 0) : max(bottom, 0), max(west, 0) : max(east, 0)] = True
        for k in range(8):
            needed = np.flatnonzero(expected[:, 64 * k : 64 * k + 64].any(axis=1))
            assert (first[k], last[k]) == ((needed[0], needed[-1] + 1) if needed.size else (500, 0)) or first[k] <= needed[0]
        across = np.flatnonzero(expected.any(axis=0))
        if across.size:
            assert (left, right) == (across[0], across[-1] + 1)
        assert (below >= 0).all()
