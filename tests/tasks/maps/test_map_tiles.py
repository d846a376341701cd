"""Map tiles of a finished production: exact colours, values, and what happens to layers that go or are made again.

A layer whose record or files have changed since it was listed is `GoneError`, in the middle of a reading too. A file that is no
product, or lies elsewhere, is named with the reason.
"""

from __future__ import annotations

import io
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from imperv.grids.pyramid import EDGE, cut, pixel_size, tile_bounds
from imperv.layers.colouring import coarser, colour_table
from imperv.tasks.errors import InputError
from imperv.tasks.maps.kept import Kept
from imperv.tasks.maps.layers import FolderSource, Holdings, StoreSource, source_of
from imperv.tasks.maps.opening import GoneError
from imperv.tasks.maps.pixels import StoredPixels
from imperv.tasks.maps.tiles import MapTiles
from imperv.tasks.nodes import make_node
from imperv.tasks.store.store import Store
from tests.support.portal import tile_at
from tests.support.report_store import LEFT, TILE, TOP, copied, new_job
from tests.support.s3_server import serving_s3
from tests.support.stored_layers import put

CENTRE = LEFT + 1500, TOP - 1500


def held(source) -> Holdings:
    return list(source.scan())[-1][2]


@pytest.fixture(scope="module")
def store(filled) -> Store:
    return Store(str(filled / "store"))


@pytest.fixture(scope="module")
def layers(store):
    return held(StoreSource(store)).layers


def picture(found: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(found)).convert("RGBA"))


def whole(layers, name: str, z: int, tiles: MapTiles) -> tuple[np.ndarray, int, int]:
    """All map tiles of a layer as one picture, and (x, y) of its first one."""
    left, bottom, right, top = next(iter(layers[name].parts.values())).bounds
    (x0, y0), (x1, y1) = tile_at(z, left, top - 1e-3), tile_at(z, right - 1e-3, bottom)
    out = np.zeros((EDGE * (y1 - y0 + 1), EDGE * (x1 - x0 + 1), 4), np.uint8)
    for x in range(x0, x1 + 1):
        for y in range(y0, y1 + 1):
            if found := tiles.tile(layers[name], z, x, y):
                out[EDGE * (y - y0) : EDGE * (y - y0 + 1), EDGE * (x - x0) : EDGE * (x - x0 + 1)] = picture(found)
    return out, x0, y0


@pytest.mark.parametrize(
    ("name", "z"),
    [("IMD_now", 12), ("IMD_now", 13), ("IMD_now", 14), ("IMDC", 11), ("IMDC", 12), ("IMCC", 11), ("SBU", 12), ("SBU", 9),
     ("CLCP_then", 12), ("IBUCL", 12), ("CHM_raw", 12)],
)  # fmt: skip
def test_500_pixels_have_the_colour_of_their_code(layers, store, name, z):
    """Places are drawn at random; the code comes from the array, the colour from the palette, the pixel from its coordinates."""
    entry = next(layer for layer in layers.values() if layer.layer.symbol == name)
    array = store.open(name, TILE)
    drawn, x0, y0 = whole(layers, entry.id, z, MapTiles())
    palette, rng = colour_table(entry.view.palette, entry.view.variable.nodata), np.random.default_rng(7)
    left, _, _, top = tile_bounds(z, x0, y0)
    size = pixel_size(z)
    codes = array.values
    seen = 0
    for _ in range(500):
        row, column = (int(rng.integers(n)) for n in drawn.shape[:2])
        easting, northing = left + (column + 0.5) * size, top - (row + 0.5) * size
        part = entry.parts[TILE].bounds
        inside = part[0] <= easting < part[2] and part[1] < northing <= part[3]
        if not inside:
            assert drawn[row, column, 3] == 0
            continue
        code = codes[int((part[3] - northing) // entry.layer.resolution), int((easting - part[0]) // entry.layer.resolution)]
        wanted = palette[code]
        assert drawn[row, column, 3] == wanted[3] and (wanted[3] == 0 or drawn[row, column].tolist() == wanted.tolist())
        seen += 1
    assert seen > 10


@pytest.mark.parametrize(
    "name", ["IMD_now.2018-2021.0", "IMDC.2018-2021.0", "IMCC.2018-2021.0", "RMSD.2018-2021.0", "IBU_then.2018.0"]
)
@pytest.mark.parametrize("z", [11, 10, 9, 8, 7])
def test_coarse_levels_are_the_layers_own_aggregation(layers, name, z):
    """Of the whole layer laid on the lattice of the level, whether a tile is read directly or from kept overviews."""
    entry = layers[name]
    tiles, part = MapTiles(), entry.parts[TILE]
    left, bottom, right, top = part.bounds
    x, y = tile_at(z, *CENTRE)
    below = cut(z, x, y, part.bounds, entry.layer.resolution)
    assert below is not None
    full = tiles.stored(part, entry.view).read(slice(None), slice(None))
    row, column = below.first
    before = ((0, 0), (row % below.factor, 0), (column % below.factor, 0))
    padded = np.pad(full, before, constant_values=entry.view.variable.nodata)
    cells = coarser(entry.view, padded, below.factor)
    rows, columns = below.rows.cells - row // below.factor, below.columns.cells - column // below.factor
    found = tiles._below(entry, part, below)
    np.testing.assert_array_equal(found, cells[:, rows[:, None], columns])


def test_a_map_tile_outside_is_empty_and_one_that_is_not_there_is_refused(layers):
    tiles = MapTiles()
    entry = layers["IMD_now.2018-2021.0"]
    assert tiles.tile(entry, 12, 0, 0) == b"" and tiles.tile(entry, 3, 3, 2) == b""
    with pytest.raises(ValueError, match="level 3 has no tile"):
        tiles.tile(entry, 3, 8, 0)


def test_composites_and_quantities_have_limits_of_their_pixels(layers, store):
    tiles = MapTiles()
    quantiles = layers["PP.2021.0"]
    pixels = store.open("PP", TILE, "2021").quantiles.values
    for (low, high), band in zip(tiles.limits_of(quantiles), quantiles.view.bands, strict=True):
        valid = pixels[band][pixels[band] != 0]
        assert (low, high) == tuple(np.percentile(valid, (2, 98)))
    drawn, x0, y0 = whole(layers, "PP.2021.0", 12, tiles)
    assert len(np.unique(drawn[..., 0])) > 50
    outside = (pixels == 0).any(0)
    assert outside.any() and outside.sum() == outside.size - (drawn[..., 3] == 255).sum()


def test_values_at_a_point(layers, store):
    tiles = MapTiles()
    density = int(store.open("IMD_now", TILE).values[150, 150])
    place = LEFT + 1505, TOP - 1505
    found = tiles.values(layers["IMD_now.2018-2021.0"], *place)
    meaning = "All non-impervious areas" if density == 0 else f"{density} % imperviousness"
    assert found["values"] == [{"label": "", "stored": density, "value": density, "meaning": meaning}]
    bands = tiles.values(layers["PP.2021.0"], *place)
    stored = store.open("PP", TILE, "2021").quantiles.values[:, 150, 150].tolist()
    assert [v["stored"] for v in bands["values"]] == stored and bands["values"][0]["label"] == "B02_q20"
    assert bands["values"][2]["value"] == pytest.approx(stored[2] * 1e-4)
    assert tiles.values(layers["IMD_now.2018-2021.0"], LEFT - 1, TOP - 5) is None


def test_map_tiles_across_chunks_are_exact_and_neighbours_share_decoded_chunks(tmp_path):
    job = new_job(tmp_path, kilometres=7)
    codes = np.random.default_rng(3).integers(0, 101, (700, 700)).astype("u1")
    put(job, "IMD_now", codes)
    [entry] = held(StoreSource(job.store)).layers.values()
    table = colour_table(entry.view.palette, entry.view.variable.nodata)
    for z in (11, 12, 13):
        tiles = MapTiles()
        drawn, x0, y0 = whole({"it": entry}, "it", z, tiles)
        left, _, _, top = tile_bounds(z, x0, y0)
        shown = coarser(entry.view, codes[None], 2)[0] if z == 11 else codes.repeat(2 ** (z - 12), 0).repeat(2 ** (z - 12), 1)
        row, column = int((top - TOP) / pixel_size(z)), int((LEFT - left) / pixel_size(z))
        np.testing.assert_array_equal(drawn[row : row + len(shown), column : column + len(shown)], table[shown])
        assert tiles.chunks.bytes == codes.size and len(tiles.chunks.entries) == 4
    # What was kept is of a layer that is not there any more.
    job.store.remove_record(job.place("IMD_now").record)
    with pytest.raises(GoneError):
        tiles._draw(entry, 12, *tile_at(12, *CENTRE))


def test_a_chunk_that_was_read_while_its_layer_was_made_again_is_not_kept(tmp_path, monkeypatch):
    job = new_job(tmp_path)
    put(job, "IMD_now", np.full((300, 300), 50, "u1"))
    [entry] = held(StoreSource(job.store)).layers.values()
    path = job.place("IMD_now").record
    text, read, tiles = job.store.read_text(path), StoredPixels.read, MapTiles()

    def reading(self, *window):
        job.store.remove_record(path)
        return read(self, *window)

    with monkeypatch.context() as patched:
        patched.setattr(StoredPixels, "read", reading)
        with pytest.raises(GoneError):
            tiles.tile(entry, 12, *tile_at(12, *CENTRE))
    job.store.write_text(path, text)
    assert not tiles.chunks.entries and tiles.tile(entry, 12, *tile_at(12, *CENTRE))


def test_many_threads_draw_the_same(layers, store):
    tiles = MapTiles()
    entry = layers["IMD_now.2018-2021.0"]
    x, y = tile_at(12, *CENTRE)
    first = MapTiles().tile(entry, 12, x, y)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: tiles._draw(entry, 12, x, y), range(40))) == {first}


def test_delivered_files_look_like_the_layers_of_the_store(layers, filled):
    found = held(source_of(Store(str(filled / "store" / "products"))))
    assert not found.unread and len(found.layers) == 18
    drawn = whole(found.layers, "IMDC.2018-2021.0", 11, MapTiles())[0]
    assert (drawn == whole(layers, "IMDC.2018-2021.0", 11, MapTiles())[0]).all()


def test_files_are_known_by_their_names_where_records_are_gone(filled, tmp_path):
    for path in (filled / "store" / "products").rglob("*.tif"):
        shutil.copy(path, tmp_path)
    assert len(held(FolderSource(tmp_path)).layers) == 18


def test_files_that_are_no_products_are_named_with_the_reason(filled, tmp_path):
    good = next((filled / "store" / "products").rglob("*IMD_S2021_R10m*.tif"))
    shutil.copy(good, tmp_path / "holiday.tif")
    (tmp_path / good.name.replace("V01", "V02")).write_text("<VRTDataset rasterXSize='1' rasterYSize='1'/>")
    with (
        rasterio.open(good) as source,
        rasterio.open(tmp_path / good.name.replace("V01", "V03"), "w", **{**source.profile, "crs": "EPSG:32632"}) as out,
    ):
        out.write(source.read())
    with (
        rasterio.open(good) as source,
        rasterio.open(
            tmp_path / good.name.replace("V01", "V04"),
            "w",
            **{**source.profile, "transform": source.transform @ source.transform.translation(0.4, 0)},
        ) as out,
    ):
        out.write(source.read())
    found = held(FolderSource(tmp_path))
    assert not found.layers and len(found.unread) == 4
    reasons = " ".join(found.unread)
    assert (
        "that of no product" in reasons and "EPSG:32632" in reasons and "not recognized" in reasons and "no multiple" in reasons
    )


def test_a_layer_that_is_made_again_is_gone_until_it_is_listed_anew(filled, tmp_path):
    job = copied(filled, tmp_path)
    source = StoreSource(job.store)
    before = held(source).layers
    tiles, (x, y) = MapTiles(), tile_at(12, *CENTRE)
    name = "IMD_now.2018-2021.0"
    assert tiles.tile(before[name], 12, x, y)
    job.store.remove_record(job.place("IMD_now").record)  # as the writer does before it touches the data
    with pytest.raises(GoneError, match="IMD_now of tile E44N26 has gone or is made again"):
        tiles._draw(before[name], 12, x, y)
    assert name not in held(source).layers
    make_node(job, "IMD_now")
    after = held(source).layers
    assert after[name].key != before[name].key and tiles.tile(after[name], 12, x, y)


def test_files_that_vanish_are_no_empty_map(filled, tmp_path):
    job = copied(filled, tmp_path)
    entry = held(StoreSource(job.store)).layers["IMD_now.2018-2021.0"]
    shutil.rmtree(Path(job.store.full(job.place("IMD_now").data)) / "IMD_now" / "c")
    with pytest.raises(GoneError, match="files have gone"):
        MapTiles().tile(entry, 12, *tile_at(12, *CENTRE))
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(GoneError):
        MapTiles().values(entry, *CENTRE)
    assert held(StoreSource(job.store)).layers == {}


def test_a_delivered_file_that_changes_is_gone(filled, tmp_path):
    good = next((filled / "store" / "products").rglob("*IMD_S2021_R10m*.tif"))
    shutil.copy(good, tmp_path)
    source = FolderSource(tmp_path)
    entry = held(source).layers["IMD_now.2021.0"]
    tiles, place = MapTiles(), tile_at(12, *CENTRE)
    assert tiles.tile(entry, 12, *place)
    (tmp_path / good.name).write_bytes(good.read_bytes()[:5000])
    with pytest.raises(GoneError, match="has gone or is made again"):
        tiles._draw(entry, 12, *place)
    cut_short = held(source).layers["IMD_now.2021.0"]
    assert cut_short.key != entry.key
    with pytest.raises(GoneError, match="cannot be read; run the tile again, or deliver it again"):
        tiles._draw(cut_short, 12, *place)


def test_layers_of_a_scratch_store_lie_over_its_base(filled, tmp_path):
    from imperv.tasks.store.overlay import Overlay

    base = Store(str(filled / "store"))
    over = Overlay(str(tmp_path / "scratch"), base)
    assert held(StoreSource(over)).layers.keys() == held(StoreSource(base)).layers.keys()


def test_a_place_without_layers_is_refused(tmp_path):
    with pytest.raises(InputError, match="neither layers"):
        source_of(Store(str(tmp_path)))


def test_keys_change_with_pixels_only(layers):
    entry = layers["IMD_now.2018-2021.0"]
    same = replace(entry)
    assert same.key == entry.key
    part = replace(entry.parts[TILE], version="0")
    assert replace(entry, parts={TILE: part}).key != entry.key


def test_what_is_kept_stays_within_its_bytes():
    kept = Kept(100, len)
    for k in range(20):
        kept.put(k, b"x" * 30)
        kept.get(0)
    assert kept.bytes <= 100 and kept.get(0) is not None and kept.get(19) is not None and kept.get(5) is None


@pytest.mark.slow
def test_an_object_store_looks_the_same_and_a_removed_record_is_noticed(layers, store):
    """There is no moving there: the record goes before the data do."""
    name = "IMD_now.2018-2021.0"
    with serving_s3("maps") as url:
        remote = Store("s3://maps/store", {"endpoint_url": url})
        remote.fs.put(store.full(f"tiles/{TILE}"), remote.full("tiles/"), recursive=True)
        source = StoreSource(remote)
        there = held(source).layers
        assert there.keys() == layers.keys()
        tiles, place = MapTiles(), tile_at(12, *CENTRE)
        assert tiles.tile(there[name], 12, *place) == MapTiles().tile(layers[name], 12, *place)
        remote.remove_record(there[name].parts[TILE].path)
        with pytest.raises(GoneError):
            tiles._draw(there[name], 12, *place)
        assert name not in held(source).layers
