"""Looks on the native grid, against plain reads by rasterio: every pixel is that of a file, or none.

Policy: what could not be told from measured pixels (another pixel size, another grid, floats) is refused in one line.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy.ndimage import map_coordinates

from imperv.grids import snap_utm
from imperv.tasks.errors import InputError, SceneError
from imperv.tasks.native.finding import find_scenes
from imperv.tasks.native.looks import (
    CODES,
    SATURATED,
    Look,
    bands_of,
    check_bands,
    looks_of,
    mask_of,
    rank_looks,
    saturated,
)  # fmt: skip
from imperv.tasks.scenes.bands import PIXEL
from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.scenes.scenes import BANDS, SceneList, select_scenes
from imperv.tasks.settings.periods import Period
from tests.support.hidden_pixels import HIDDEN, hide
from tests.support.native_granules import Granule, write_granules
from tests.support.safe_products import Product, write_product, zipped

EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)
BY_SIZE = {10: ("B02", "B03", "B04", "B08"), 20: ("B05", "B06", "B07", "B8A", "B11", "B12"), 60: ("B01", "B09")}
LEFT, TOP = Granule().left, Granule().top


def grid_of(left: float, bottom: float, right: float, top: float, resolution: float, epsg: int = 32632) -> GeoBox:
    return GeoBox.from_bbox((left, bottom, right, top), crs=f"EPSG:{epsg}", resolution=resolution, tight=True)


def around(granule: Granule, resolution: float, margin: int = 60) -> GeoBox:
    """The ground of a granule and some metres beside it."""
    right, bottom = granule.left + 60 * granule.size[1], granule.top - 60 * granule.size[0]
    edges = (granule.left - margin, bottom - margin, right + margin, granule.top + margin)
    return grid_of(*edges, resolution, granule.epsg)


def look_of(folder: Path, *granules: Granule) -> Look:
    (look,) = looks_of(find_scenes(write_granules(folder, *granules)))
    return look


def plain(path: str, grid: GeoBox) -> np.ndarray:
    """Pixels of a file around a grid, one by one from the coordinates of their centres; 0 outside."""
    out = np.zeros(grid.shape, "int64")
    with rasterio.open(path) as source:
        pixels = source.read(1)
        for row in range(grid.shape.y):
            for column in range(grid.shape.x):
                x, y = grid.affine * (column + 0.5, row + 0.5)
                at = source.index(x, y)
                if 0 <= at[0] < source.height and 0 <= at[1] < source.width:
                    out[row, column] = pixels[at]
    return out


def shifted(raw: np.ndarray, subtract: int) -> np.ndarray:
    return np.where(raw > 0, np.maximum(raw.astype("int64") - subtract, 1), 0)


# real scenes ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flanders_scenes(shared_data) -> SceneList:
    return select_scenes(ItemFiles(shared_data / "flanders").search(EVERYWHERE, Period.parse("2018-05")), needed=BANDS)


@pytest.mark.parametrize(("resolution", "names"), [(10, ("B02", "B08")), (20, ("B05", "B12"))])
def test_real_bands_are_those_of_the_files(flanders_scenes, resolution, names):
    grid = grid_of(501360 - 40, 5629660 - 300, 501360 + 300, 5629660 + 60, resolution, 32631)
    for look in looks_of(flanders_scenes)[:2]:
        found = bands_of(look, names, grid)
        assert found.dtype == np.uint16
        for k, name in enumerate(names):
            raw = plain(look.scenes[0].bands[name], grid)
            assert raw.any()
            np.testing.assert_array_equal(found[k], shifted(raw, look.scenes[0].subtract))


def test_looks_are_ranked_by_what_is_clear(flanders_scenes):
    grid = grid_of(501360, 5629660 - 620, 501360 + 640, 5629660, 10, 32631)
    ranked = rank_looks(flanders_scenes, grid)
    assert len(ranked) == len(looks_of(flanders_scenes)) > 5
    assert [clear for _, _, clear in ranked] == sorted((clear for _, _, clear in ranked), reverse=True)
    for look, data, clear in ranked:
        with rasterio.open(look.scenes[0].bands["SCL"]) as source:
            classes = source.read(1)
        assert data == (classes > 0).mean()
        assert clear == np.isin(classes, (1, 2, 4, 5, 6, 7)).mean()
        np.testing.assert_array_equal(mask_of(look, grid.zoom_to(resolution=20)), CODES[classes])
    ties = [(look.day, clear) for look, data, clear in ranked]
    assert all(a[0] > b[0] for a, b in zip(ties, ties[1:], strict=False) if a[1] == b[1])


@pytest.mark.parametrize("patch", ["S2A_MSIL2A_20170613T101031_87_48", "S2B_MSIL2A_20170924T93020_69_24"])
def test_patches_of_bigearthnet(shared_data, tmp_path, patch):
    """Real bands at all three pixel sizes, without a scene classification: all is clear, with a warning."""
    import json

    folder = shared_data / "superres" / "bigearthnet" / patch
    said = json.loads((folder / f"{patch}_labels_metadata.json").read_text())
    files = {band: folder / f"{patch}_{band}.tif" for size in BY_SIZE for band in BY_SIZE[size]}
    with rasterio.open(files["B02"]) as source:
        west, south, east, north = rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *source.bounds)
        box, epsg = source.bounds, source.crs.to_epsg()
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": patch, "links": [],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"datetime": said["acquisition_date"], "s2:product_uri": said["tile_source"].replace("L1C", "L2A")},
        "assets": {band: {"href": str(path)} for band, path in files.items()},
    }  # fmt: skip
    (tmp_path / "item.json").write_text(json.dumps(item))
    (look,) = looks_of(find_scenes(tmp_path / "item.json"))
    check_bands(look, look.bands)
    for size, names in BY_SIZE.items():
        grid = snap_utm(box, epsg, size)
        assert grid.boundingbox.bbox == tuple(box)
        found = bands_of(look, names, grid)
        for name, values in zip(names, found, strict=True):
            with rasterio.open(files[name]) as source:
                np.testing.assert_array_equal(values, source.read(1))
    assert (mask_of(look, snap_utm(box, epsg, 20)) == 1).all() and not look.masked
    assert look.warnings == (f"scene {patch} has no mask of clouds: all of its pixels with data count as clear",)


# products of the provider -----------------------------------------------------------------------------------------------

PRODUCT = Product(left=501360, top=5629680, shape=(60, 72))


def safe_pixels(product: Product, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {}
    for size, names in BY_SIZE.items():
        shape = tuple(n * 10 // size for n in product.shape)
        found |= {name: rng.integers(1, 9000, shape).astype("uint16") for name in names}
    scl = rng.integers(0, 12, tuple(n // 2 for n in product.shape)).astype("uint8")
    return found | ({"SCL": scl} if product.level == "2A" else {"B10": found["B01"] + 1})


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("product", "subtract"),
    [
        (PRODUCT, 1000),
        (replace(PRODUCT, baseline="02.06", offset=None), 0),
        (replace(PRODUCT, level="1C"), 1000),
        (replace(PRODUCT, level="1C", baseline="02.05", offset=None), 0),
    ],
)
def test_all_bands_of_a_product_are_copied(tmp_path, product, subtract, packed):
    pixels = safe_pixels(product)
    place = write_product(tmp_path / "safe", product, pixels)
    source = zipped(place, tmp_path) if packed else place
    (look,) = looks_of(find_scenes(source, optional=("B01", "B09", "B10", "SCL")))
    assert look.level == f"L{product.level}" and str(look.day) == "2018-05-06"
    assert look.name == "S2A 2018-05-06 31UDS"
    assert set(look.bands) == set(pixels) - {"SCL"}
    for size, names in BY_SIZE.items():
        # Another corner and edge than the granule's.
        grid = grid_of(501360 + 120, 5629680 - 900, 501360 + 900, 5629680 + 120, size, 32631)
        margin, first = 120 // size, 120 // size
        rows, columns = 600 // size, 600 // size
        for name, found in zip(names, bands_of(look, names, grid), strict=True):
            expected = np.zeros(grid.shape, "int64")
            expected[margin : margin + rows, :columns] = shifted(pixels[name], subtract)[:rows, first : first + columns]
            np.testing.assert_array_equal(found, expected, name)


def test_clouds_of_level_1c(tmp_path):
    product = replace(PRODUCT, level="1C")
    rng = np.random.default_rng(3)
    pixels = safe_pixels(product) | {"MASK": (rng.random((3, 10, 12)) < 0.3).astype("uint8")}
    pixels["B05"][:, :4] = 0
    (look,) = looks_of(find_scenes(write_product(tmp_path, product, pixels)))
    assert look.masked and not look.warnings
    opaque, cirrus, snow = pixels["MASK"].repeat(3, axis=1).repeat(3, axis=2).astype(bool)
    expected = np.where(opaque | cirrus, 2, np.where(snow, 4, 1))
    expected[:, :4] = 0
    whole = snap_utm((501360, 5629680 - 600, 501360 + 720, 5629680), 32631, 20)
    np.testing.assert_array_equal(mask_of(look, whole), expected)
    # Pixels of 20 m that do not begin on one of 60 m.
    np.testing.assert_array_equal(mask_of(look, whole[4:23, 7:30]), expected[4:23, 7:30])
    # From another zone.
    away = Transformer.from_crs(32631, 32632, always_xy=True).transform_bounds(501500, 5629200, 501900, 5629500)
    other = snap_utm(away, 32632, 20)
    seen = mask_of(look, other)
    assert set(np.unique(seen)) <= {0, 2, 4, 5} and (seen == 5).any() and (seen == 2).any()
    rows, columns = np.mgrid[: other.shape.y, : other.shape.x] + 0.5
    x, y = Transformer.from_crs(32632, 32631, always_xy=True).transform(*(other.affine * (columns, rows)))
    at = np.floor((5629680 - y) / 20).astype(int), np.floor((x - 501360) / 20).astype(int)
    inside = (at[0] >= 0) & (at[0] < 30) & (at[1] >= 0) & (at[1] < 36)
    there = np.where(inside, expected[at[0].clip(0, 29), at[1].clip(0, 35)], 0)
    assert (np.where(there == 1, 5, there) == seen).mean() > 0.97  # but where a pixel's centre lies on an edge


def test_level_1c_without_a_mask_of_pixels_counts_as_clear(tmp_path):
    product = replace(PRODUCT, level="1C", baseline="02.05", offset=None)
    (look,) = looks_of(find_scenes(write_product(tmp_path, product, safe_pixels(product))))
    assert not look.masked and "has no mask of clouds" in look.warnings[0]
    assert (mask_of(look, snap_utm((501360, 5629680 - 600, 501360 + 720, 5629680), 32631, 20)) == 1).all()


# several granules -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_granules_of_one_zone_fill_each_other_the_newest_first(tmp_path):
    """The older covers the left, the newer the right; where both have data the newer is taken, whatever its id."""
    older = Granule("S2A_32TPS_20210612_0_L2A", baseline="02.14", seed=1)
    newer = Granule("S2A_32TPT_20210612_0_L2A", mgrs="32TPT", left=LEFT + 240, top=TOP + 120, seed=2)
    hole = {name: newer.pixels(name).copy() for name in PIXEL if name != "B10"}
    for name, values in hole.items():
        factor = 60 // PIXEL[name]
        values[3 * factor : 5 * factor, 2 * factor : 4 * factor] = 0
    newer = replace(newer, bands=hole)
    look = look_of(tmp_path, older, newer)
    assert [scene.mgrs for scene in look.scenes] == ["32TPT", "32TPS"] and look.name == "S2A 2021-06-12 32TPS 32TPT"
    for size, names in BY_SIZE.items():
        grid = grid_of(LEFT - 60, TOP - 660, LEFT + 1080, TOP + 180, size)
        for name, found in zip(names, bands_of(look, names, grid), strict=True):
            first, second = (plain(scene.bands[name], grid) for scene in look.scenes)
            assert ((first > 0) & (second > 0)).any() and ((first == 0) & (second > 0)).any()
            np.testing.assert_array_equal(found, np.where(first > 0, shifted(first, 1000), shifted(second, 0)))
    grid = grid_of(LEFT - 60, TOP - 660, LEFT + 1080, TOP + 180, 20)
    np.testing.assert_array_equal(mask_of(look, grid) > 0, bands_of(look, ["B05"], grid)[0] > 0)


def test_another_zone_fills_only_what_is_missing(tmp_path):
    """The other zone's granule covers all, and is newer; the grid's own zone is copied all the same."""
    x, y = Transformer.from_crs(32632, 32633, always_xy=True).transform(LEFT, TOP)
    own = Granule(size=(10, 6), baseline="02.14")
    corner = {"left": x // 60 * 60 - 600, "top": y // 60 * 60 + 600}
    wide = Granule("S2A_33TUM_20210612_0_L2A", mgrs="33TUM", epsg=32633, size=(34, 34), **corner)
    waves = {}
    for name in PIXEL:
        factor = 60 // PIXEL[name]
        rows, columns = (np.mgrid[: 34 * factor, : 34 * factor] + 0.5) / factor
        waves[name] = np.rint(4000 + 1500 * np.sin(rows / 3) * np.cos(columns / 4)).astype("uint16")
    waves["SCL"] = np.where(np.arange(102) < 60, 4, 9).astype("uint8")[None].repeat(102, 0)
    look = look_of(tmp_path, own, replace(wide, bands=waves))
    grid = grid_of(LEFT, TOP - 600, LEFT + 900, TOP, 20)
    found = bands_of(look, ["B05"], grid)[0]
    np.testing.assert_array_equal(found[:, :18], shifted(own.pixels("B05"), 0))
    rows, columns = np.mgrid[: grid.shape.y, : grid.shape.x] + 0.5
    u, v = Transformer.from_crs(32632, 32633, always_xy=True).transform(*(grid.affine * (columns, rows)))
    at = np.array([(wide.top - v) / 20 - 0.5, (u - wide.left) / 20 - 0.5])
    expected = map_coordinates(waves["B05"].astype(float), at, order=3) - 1000
    assert np.abs(found - expected)[:, 18:].max() < 25 and expected[:, 18:].std() > 300
    mask = mask_of(look, grid)
    assert (mask[:, :18] == 1).all() and set(np.unique(mask[:, 18:])) == {2, 5}
    np.testing.assert_array_equal(mask[:, 18:] == 2, waves["SCL"][tuple(np.floor(at + 0.5).astype(int))][:, 18:] == 9)


# no data, saturation, kinds of files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", HIDDEN)
def test_hidden_pixels_are_no_data(tmp_path, how):
    look = look_of(tmp_path, Granule(profile={"nodata": None}))
    gone = np.random.default_rng(4).random((60, 72)) < 0.2
    kept = plain(look.scenes[0].bands["B03"], around(Granule(), 10, 0))
    hide(look.scenes[0].bands["B03"], gone, how)
    (found,) = bands_of(look, ["B03"], around(Granule(), 10, 0))
    np.testing.assert_array_equal(found, np.where(gone, 0, shifted(kept, 1000)))


def test_no_data_that_only_the_item_states(tmp_path):
    values = Granule().pixels("B04")
    values[5:9, 5:9] = 65535
    look = look_of(tmp_path, Granule(bands={"B04": values}, profile={"nodata": None}, stated=65535))
    assert look.scenes[0].nodata["B04"] == 65535
    (found,) = bands_of(look, ["B04"], around(Granule(), 10, 0))
    np.testing.assert_array_equal(found, shifted(np.where(values == 65535, 0, values), 1000))


def test_saturated_pixels_stay_and_are_counted(tmp_path):
    values = Granule().pixels("B04")
    values[2, 3:6] = 65535
    look = look_of(tmp_path, Granule(bands={"B04": values}))
    found = bands_of(look, ["B03", "B04"], around(Granule(), 10))
    assert (found[1, 8, 9:12] == SATURATED).all() and saturated(("B03", "B04"), found) == {"B04": 3}


def test_in_the_south(tmp_path):
    """Corners of granules there are no multiples of 60 m, but lie 40 m from one."""
    granule = Granule("S2A_24MUV_20210612_0_L2A", mgrs="24MUV", epsg=32724, left=300000, top=9500020)
    look = look_of(tmp_path, granule)
    for size, names in BY_SIZE.items():
        grid = snap_utm((300050, 9499700, 300300, 9500000), 32724, size)
        found = bands_of(look, names, grid)
        for name, values in zip(names, found, strict=True):
            np.testing.assert_array_equal(values, shifted(plain(look.scenes[0].bands[name], grid), 1000))


@pytest.mark.parametrize(
    ("band", "change", "text"),
    [
        ("B05", {"dtype": "float32"}, "B05 holds float32, not uint16"),
        ("B05", {"size": 10}, "B05 has pixels of 10 m, but is measured at 20 m"),
        ("B02", {"size": 20}, "B02 has pixels of 20 m, but is measured at 10 m"),
        ("B01", {"size": 20}, "B01 has pixels of 20 m, but is measured at 60 m"),
        ("B02", {"move": 3}, "the pixels of B02 lie 3 m and 0 m beside the grid of Sentinel-2"),
        ("B01", {"move": 20}, "the pixels of B01 lie 20 m and 0 m beside the grid"),
        ("B02", {"crs": "EPSG:3035"}, "B02 is in no UTM zone of WGS 84"),
        ("B02", {"crs": None}, "B02 is in no UTM zone of WGS 84"),
        ("B02", {"count": 3}, "B02 is in a file of 3 bands"),
        ("SCL", {"dtype": "uint16"}, "SCL holds uint16, not uint8"),
    ],
)
def test_what_is_not_as_delivered_is_refused(tmp_path, band, change, text):
    look = look_of(tmp_path, Granule())
    size, move = change.get("size", PIXEL[band]), change.get("move", 0)
    with rasterio.open(look.scenes[0].bands[band]) as source:
        values, profile = source.read(1), source.profile
    values = values.astype(change.get("dtype", values.dtype))
    if values.dtype.kind == "f":
        values[0, 0] = np.nan
    profile |= {"dtype": values.dtype, "nodata": None, **{k: v for k, v in change.items() if k in ("crs", "count")}}
    profile["transform"] = rasterio.transform.from_origin(LEFT + move, TOP, size, size)
    with rasterio.open(look.scenes[0].bands[band], "w", **profile) as target:
        for k in range(profile["count"]):
            target.write(values, k + 1)
    with pytest.raises(InputError, match=text) as caught:
        check_bands(look, look.bands)
    assert "\n" not in str(caught.value) and look.scenes[0].id in str(caught.value)
    with pytest.raises(InputError, match=text):
        if band == "SCL":
            mask_of(look, around(Granule(), 20))
        else:
            bands_of(look, [band], around(Granule(), PIXEL[band]))


def test_a_grid_of_other_pixels_is_an_error(tmp_path):
    look = look_of(tmp_path, Granule(without=("B10", "B09")))
    with pytest.raises(ValueError, match="B05: not measured at the 10 m of the grid"):
        bands_of(look, ["B02", "B05"], around(Granule(), 10))
    with pytest.raises(ValueError, match="do not lie on those of the grid"):
        bands_of(look, ["B02"], grid_of(LEFT + 5, TOP - 105, LEFT + 105, TOP - 5, 10))
    with pytest.raises(InputError, match="has no B09; name a scene that has it"):
        bands_of(look, ["B09"], around(Granule(), 60))


def test_a_damaged_look_is_left_out_of_the_ranking_and_named(tmp_path):
    granules = [Granule(), Granule("S2A_32TPS_20210622_0_L2A", "2021-06-22T10:10:30Z")]
    scenes = find_scenes(write_granules(tmp_path, *granules))
    Path(scenes.scenes[0].bands["SCL"]).write_bytes(b"II*\0")
    lost: dict[str, str] = {}
    ((look, data, clear),) = rank_looks(scenes, around(Granule(), 10, 0), lost=lost)
    assert look.scenes[0].id == granules[1].name and data == clear == 1
    assert list(lost) == [granules[0].name] and "SCL.tif cannot be read" in lost[granules[0].name]
    Path(scenes.scenes[1].bands["SCL"]).unlink()
    with pytest.raises(SceneError, match="cannot be read"):
        rank_looks(scenes, around(Granule(), 10, 0))


def test_a_look_travels_to_other_processes(tmp_path):
    look = look_of(tmp_path, Granule())
    again = pickle.loads(pickle.dumps(look))
    assert again == look
    np.testing.assert_array_equal(*(bands_of(one, ["B02"], around(Granule(), 10)) for one in (look, again)))
