"""What a person names and what is found of it: every kind of source, and one line with the remedy where there is nothing."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.warp import transform_bounds

from imperv.tasks.errors import InputError
from imperv.tasks.native.finding import ALWAYS, EVERYWHERE, find_scenes, native_grid, nearest_days, require_clear
from imperv.tasks.native.looks import Look, bands_of, looks_of, mask_of, rank_looks
from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.scenes.scenes import SceneList, select_scenes
from imperv.tasks.settings.periods import Period
from imperv.tasks.superresolution.mosaics import mosaic_of
from tests.support.native_granules import Granule, write_granule, write_granules
from tests.support.safe_products import write_product, zipped
from tests.support.stac_server import StacServer, serving
from tests.tasks.native.test_looks import BY_SIZE, PRODUCT, plain, safe_pixels

HERE = transform_bounds("EPSG:32632", "EPSG:4326", 677900, 5152600, 678300, 5152900)
JUNE = Period.parse("2021-06")
DATES = ("2021-06-02", "2021-06-12", "2021-08-22")


def dated(day: str, **changes) -> Granule:
    return Granule(f"S2A_32TPS_{day.replace('-', '')}_0_L2A", f"{day}T10:10:30Z", **changes)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Items of three dates."""
    return write_granules(tmp_path_factory.mktemp("three"), *(dated(day, seed=k) for k, day in enumerate(DATES)))


def refused(text: str, *source, **how) -> None:
    with pytest.raises(InputError, match=text) as caught:
        find_scenes(*source, **how)
    assert "\n" not in str(caught.value) and "scenes.catalogue" not in str(caught.value)


# sources ----------------------------------------------------------------------------------------------------------------


def test_one_item_needs_no_date(tmp_path, three):
    item = json.loads(three.read_text())["features"][1]
    path = tmp_path / "item.json"
    path.write_text(json.dumps(item))
    assert [s.id for s in find_scenes(path).scenes] == [item["id"]]
    assert [s.id for s in find_scenes(str(path), HERE, Period.parse("2021-06-12")).scenes] == [item["id"]]


def test_products_in_every_wrapping(tmp_path):
    place = write_product(tmp_path / "a" / "b", PRODUCT, safe_pixels(PRODUCT))
    found = [find_scenes(source).scenes for source in (place, tmp_path / "a", zipped(place, tmp_path))]
    assert [[s.id for s in scenes] for scenes in found] == [[PRODUCT.name]] * 3
    assert all(set(scene.bands) == {*sum(BY_SIZE.values(), ()), "SCL"} for (scene,) in found)


def test_a_span_of_a_collection(three):
    assert [str(s.day) for s in find_scenes(three, HERE, JUNE).scenes] == list(DATES[:2])


def test_what_a_scene_lacks_of_optional_bands_is_no_loss(tmp_path):
    (scene,) = find_scenes(write_granules(tmp_path, dated(DATES[0], without=("B10", "B01", "B09")))).scenes
    assert "SCL" in scene.bands and "B01" not in scene.bands


def test_the_file_of_60_m_is_taken_of_a_band_that_comes_at_20_m_too(tmp_path):
    item = write_granule(tmp_path, dated(DATES[0]))
    item["assets"]["B01_20m"] = {"href": item["assets"]["B05"]["href"], "gsd": 20}
    (tmp_path / "item.json").write_text(json.dumps(item))
    (scene,) = find_scenes(tmp_path / "item.json").scenes
    assert scene.bands["B01"].endswith("B01.tif")


def test_real_series(shared_data):
    for folder, count in (("flanders", 118), ("austria/site_2004", 37)):
        found = find_scenes(shared_data / folder)
        assert len(found.scenes) == count
        assert all("SCL" in s.bands and "B01" not in s.bands for s in found.scenes)


@pytest.mark.slow
def test_the_fine_kit(shared_data, tmp_path):
    """All bands of a look and a mosaic of a month, on real-looking data with swath edges and two processings."""
    program = shared_data.parent / "tools" / "make_fine_kit.py"
    order = [sys.executable, str(program), str(tmp_path), "--size", "256", "--months", "2021-06", "--no-truth"]
    subprocess.run(order, check=True, capture_output=True)
    scenes = find_scenes(tmp_path / "items.json", None, JUNE)
    looks = looks_of(scenes)
    assert len(looks) == 4 and [why[:12] for why in scenes.dropped.values()] == ["duplicate of"]
    grid = native_grid(looks)
    for size, names in BY_SIZE.items():
        grid = native_grid(looks, resolution=size)
        for look in looks:
            for name, values in zip(names, bands_of(look, names, grid), strict=True):
                raw = plain(look.scenes[0].bands[name], grid)
                np.testing.assert_array_equal(values, np.where(raw > 0, np.maximum(raw - look.scenes[0].subtract, 1), 0))
    ranked = rank_looks(scenes, grid)
    mosaic = mosaic_of(looks, ["B05"], native_grid(looks, resolution=20))
    shown = np.any([np.isin(mask_of(look, native_grid(looks, resolution=20)), (1, 5)) for look in looks], axis=0)
    assert require_clear(ranked, "kit") == ranked[0][0]
    assert ((mosaic[0] > 0) <= shown).all() and (mosaic[0] > 0).mean() > 0.9 * shown.mean()


# level ------------------------------------------------------------------------------------------------------------------


def test_level_1c_given_as_level_2a(tmp_path):
    product = replace(PRODUCT, level="1C")
    place = write_product(tmp_path, product, safe_pixels(product))
    refused(f"no scene can be used: {product.name} is Level-1C, top of the atmosphere; Level-2A is needed", place, level="L2A")
    for level in ("L1C", "auto"):
        (scene,) = find_scenes(place, level=level).scenes
        assert scene.level == "L1C" and "SCL" not in scene.bands
        assert SceneList.from_json(SceneList((scene,)).to_json()).scenes == (scene,)
    two = write_product(tmp_path / "two", PRODUCT, safe_pixels(PRODUCT))
    refused(f"{PRODUCT.name} is Level-2A, surface reflectance; Level-1C is needed", two, level="L1C")


def test_levels_are_not_mixed(tmp_path):
    for product in (PRODUCT, replace(PRODUCT, level="1C")):
        write_product(tmp_path, product, safe_pixels(product))
    refused("1 scenes are of Level-1C, 1 of Level-2A; choose one level, L1C or L2A", tmp_path)
    assert [find_scenes(tmp_path, level=level).scenes[0].level for level in ("L1C", "L2A")] == ["L1C", "L2A"]


def test_what_is_frozen_of_level_2a_is_as_ever(three):
    assert '"level"' not in find_scenes(three).to_json()


def test_a_published_item_of_level_1c(shared_data):
    items = ItemFiles(shared_data / "stac" / "earthsearch_items.json").search(EVERYWHERE, ALWAYS)
    needed = ("B02", "B05", "SCL")
    (scene,) = select_scenes(items, needed=needed, optional=("B01", "B10"), level="L1C").scenes
    assert scene.id == "S2B_24MUV_20250731_0_L1C" and scene.level == "L1C"
    assert {band: path.rpartition("/")[2] for band, path in scene.bands.items()} == {
        band: f"{band}.jp2" for band in ("B01", "B02", "B05", "B10")
    }
    assert (scene.subtract, scene.reason) == (1000, "raster offset -0.1")


# nothing there ----------------------------------------------------------------------------------------------------------


def test_a_date_without_a_scene_names_the_nearest(three):
    refused(
        "no scene on 2021-06-05; the nearest dates are 2021-06-02, 2021-06-12, 2021-08-22",
        three,
        HERE,
        Period.parse("2021-06-05"),
    )
    refused("no scene in 2021-07; the nearest dates are", three, None, Period.parse("2021-07"))


def test_an_area_without_a_scene(three):
    refused("the area lies outside of its 3 scenes, which lie within 11.3", three, (3.0, 50.0, 3.1, 50.1), JUNE)


def test_nothing_at_all(tmp_path):
    refused("there is no STAC item file or folder of items", tmp_path / "nothing")
    (tmp_path / "items.json").write_text('{"type": "FeatureCollection", "features": []}')
    refused("holds no scene of Sentinel-2", tmp_path / "items.json", None, JUNE)


def test_a_scene_without_20_m_bands(tmp_path):
    path = write_granules(tmp_path, dated(DATES[0], without=("B10", *BY_SIZE[20])))
    refused("S2A_32TPS_20210602_0_L2A has no asset for B05, B06, B07, B8A, B11, B12", path)
    place = write_product(tmp_path / "safe", PRODUCT, safe_pixels(PRODUCT))
    shutil.rmtree(next(place.glob("GRANULE/*/IMG_DATA/R20m")))
    refused("lacks .*_B05_20m.jp2", place)


def test_an_api_is_searched_near_the_date(three):
    items = [{**item, "collection": "sentinel-2-l2a"} for item in json.loads(three.read_text())["features"]]
    with serving(StacServer(items)) as server:
        assert [str(s.day) for s in find_scenes(server.url, HERE, JUNE).scenes] == list(DATES[:2])
        assert server.asked[-1]["collections"] == ["sentinel-2-l2a"]
        # Sixty days around the date, which the one of August is not in.
        nearest = f"{server.url}: no scene on 2021-06-15; the nearest dates are 2021-06-02, 2021-06-12$"
        refused(nearest, server.url, HERE, Period.parse("2021-06-15"))
        refused("no scene in 2020-01, nor within 60 days of it; correct the area", server.url, HERE, Period.parse("2020-01"))
        refused("has no collection sentinel-2-l1c .*; correct the collection", server.url, HERE, JUNE, level="L1C")


def test_an_api_is_asked_for_an_area_and_a_date():
    refused("a STAC API is asked for an area and a date or span; name both", "https://example.org/v1", HERE, None)


def test_no_data_in_the_area_and_clouds_over_all_of_it(tmp_path):
    gone = dated(DATES[0])
    bands = {"SCL": np.zeros((30, 36), "uint8"), "B05": np.zeros((30, 36), "uint16")}
    cloudy = dated(DATES[1], bands={"SCL": np.full((30, 36), 9, "uint8")})
    scenes = find_scenes(write_granules(tmp_path / "a", replace(gone, bands=bands)))
    grid = native_grid(looks_of(scenes))
    with pytest.raises(InputError, match="area: no scene of 2021-06-02 has a pixel in the area: it lies beside the swath"):
        require_clear(rank_looks(scenes, grid), "area")
    scenes = find_scenes(write_granules(tmp_path / "b", cloudy, replace(gone, bands=bands)))
    ranked = rank_looks(scenes, grid)
    assert [(str(look.day), data, clear) for look, data, clear in ranked] == [("2021-06-12", 1.0, 0.0), ("2021-06-02", 0.0, 0.0)]
    with pytest.raises(InputError, match="under cloud, shadow or snow on 2021-06-02, 2021-06-12; choose another date"):
        require_clear(ranked, "area")


DAYS = st.dates(dt.date(2021, 1, 1), dt.date(2021, 12, 31))


@given(st.lists(DAYS, max_size=9), DAYS, st.integers(0, 30))
def test_no_date_is_nearer_than_the_nearest(days, first, length):
    period = Period(first, first + dt.timedelta(days=length))
    named = nearest_days(days, period)
    assert named == sorted(set(named)) and len(named) == min(4, len(set(days)))
    away = {d: min(abs((d - e).days) for e in (period.start, period.end)) * (not period.start <= d <= period.end) for d in days}
    assert all(away[d] >= max(map(away.get, named)) for d in set(days) - set(named))


# grids ------------------------------------------------------------------------------------------------------------------


def test_the_grid_of_a_look_is_that_of_its_granule(three):
    looks = looks_of(find_scenes(three))
    grid = native_grid(looks)
    with rasterio.open(looks[0].scenes[0].bands["B02"]) as source:
        assert grid.boundingbox.bbox == tuple(source.bounds) and grid.shape == source.shape and grid.crs.epsg == 32632
    inner = native_grid(looks, HERE, 20)
    box = inner.boundingbox
    assert all(edge % 60 == 0 for edge in box.bbox) and inner.resolution.x == 20
    assert box.left <= 677900 and box.right >= 678300 and box.bottom <= 5152600 and box.top >= 5152900
    with pytest.raises(InputError, match="lies outside of S2A_32TPS_20210602_0_L2A, S2A_32TPS_20210612_0_L2A"):
        native_grid(looks, (3.0, 50.0, 3.1, 50.1))


def test_the_zone_is_that_of_the_granules(tmp_path):
    """An area in zone 32 of which there is a granule of zone 33 only, and one of which both show all."""
    x, y = transform_bounds("EPSG:32632", "EPSG:32633", 677760, 5152400, 678400, 5153040)[::3]
    wide = {"left": x // 60 * 60 - 1200, "top": y // 60 * 60 + 1200, "size": (50, 50)}
    other = replace(dated(DATES[0]), name="S2A_33TUM_20210602_0_L2A", mgrs="33TUM", epsg=32633, **wide)
    alone = looks_of(find_scenes(write_granules(tmp_path / "a", other)))
    assert native_grid(alone, HERE).crs.epsg == 32633
    assert (mask_of(alone[0], native_grid(alone, HERE, 20)) == 1).all()
    (both,) = looks_of(find_scenes(write_granules(tmp_path / "b", other, dated(DATES[0]))))
    assert native_grid([both], HERE).crs.epsg == 32632
    assert (mask_of(both, native_grid([both], HERE, 20)) == 1).all()
    partly = transform_bounds("EPSG:32632", "EPSG:4326", 677000, 5152000, 678000, 5152900)
    assert native_grid([both], partly).crs.epsg == 32633


def test_across_the_antimeridian(tmp_path):
    x, _ = Transformer.from_crs("EPSG:4326", "EPSG:32601", always_xy=True).transform(-180, 60.4)
    granule = Granule("S2A_01VCG_20210602_0_L2A", mgrs="01VCG", epsg=32601, left=x // 60 * 60 - 360, top=6700020)
    to_degrees = Transformer.from_crs("EPSG:32601", "EPSG:4326", always_xy=True)
    (west, east), (south, north) = to_degrees.transform([x - 200, x + 200], [6699600, 6699900])
    assert west > 179.99 and east < -179.99
    looks = [Look(find_scenes(write_granules(tmp_path, granule), (west, south, east, north)).scenes)]
    box = native_grid(looks, (west, south, east, north)).boundingbox
    assert x - 300 < box.left <= x - 190 and x + 190 <= box.right < x + 300 and 300 <= box.top - box.bottom < 500
