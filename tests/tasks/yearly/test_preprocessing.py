"""Yearly features against an independent NumPy computation, and what happens to scenes that cannot be read.

Made-up scenes lie on the EEA grid itself, so that reading them changes no pixel and results are known to the digit.

Policy: a broken scene is left out and named; more than `max_lost_share` of them, or too few overpasses that remain, fail the
tile with the reason and the remedy.
"""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile

from imperv.grids import block_grid
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.engine import Engine
from imperv.tasks.errors import InputError, SceneError, WorkError
from imperv.tasks.job import Job
from imperv.tasks.nodes import make_node, standing
from imperv.tasks.references.land import Land
from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.scenes.reading import read_band
from imperv.tasks.scenes.scenes import Scene, SceneList, select_scenes
from imperv.tasks.scenes.survey import survey
from imperv.tasks.settings.periods import Period, year_fraction
from imperv.tasks.settings.production import Production
from imperv.tasks.yearly import preprocessing
from imperv.tasks.yearly.features import KEPT_BYTES, yearly_features
from imperv.tasks.yearly.freezing import make_scene_list
from imperv.tasks.yearly.looks import Looks, waiting_bytes
from imperv.tasks.yearly.preprocessing import make_pp, read_scene_list
from imperv.tasks.yearly.strips import plan_blocks
from tests.support.hidden_pixels import HIDDEN, hide

WEIGHTS = np.array([0, 0, 0, 10, 50, 50, 50, 10, 5, 1, 1, 1])
"""ATBD Table 6."""
ORDER = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
FINE = ("B02", "B03", "B04", "B08")

GRID = GeoBox((6, 8), Affine(10, 0, 3_829_000, 0, -10, 3_102_000), "EPSG:3035")
"""A few pixels for scenes that are made for one test."""


def features(scenes, grid=GRID) -> dict[str, np.ndarray]:
    return yearly_features(Looks.of(SceneList(tuple(scenes))), grid, 2)


def write(path: Path, array: np.ndarray, grid: GeoBox) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(geotiff(array.tobytes(), array.shape, array.dtype.str, grid.affine))
    return str(path)


@lru_cache(500)
def geotiff(pixels: bytes, shape: tuple[int, int], kind: str, transform: Affine) -> bytes:
    """A file. Most bands are one number, the same one on all dates, and GDAL takes longer to write it than to copy."""
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=shape[0], width=shape[1], count=1, dtype=kind, crs="EPSG:3035", transform=transform
        ) as target:
            target.write(np.frombuffer(pixels, kind).reshape(shape), 1)
        return memory.read()


@pytest.fixture
def make(tmp_path):
    """Makes a scene on a grid: `scl` at 20 m, one value or array for each band, 700 + 100 k for others."""

    def go(name: str, scl=4, day: int = 1, overpass: str = "", subtract: int = 0, grid=GRID, **values) -> Scene:
        coarse, bands = grid.zoom_out(2), {}
        for k, band in enumerate(ORDER):
            here = grid if band in FINE else coarse
            array = np.broadcast_to(np.asarray(values.get(band, 700 + 100 * k), "uint16"), here.shape)
            bands[band] = write(tmp_path / name / f"{band}.tif", np.ascontiguousarray(array), here)
        classes = np.broadcast_to(np.asarray(scl, "uint8"), coarse.shape)
        bands["SCL"] = write(tmp_path / name / "SCL.tif", np.ascontiguousarray(classes), coarse)
        when = f"2021-{1 + day // 28:02d}-{1 + day % 28:02d}T10:00:00+00:00"
        return Scene(name, when, overpass or name, "32TPT", "05.00", None, subtract, "", bands)

    return go


# against NumPy ----------------------------------------------------------------------------------------------------


def numpy_features(looks, weights10, weights20, times):
    """Features from stacks of digital numbers by band and SCL weights, (time, y, x); nothing shared with the package."""
    rows, columns = weights10.shape[1:]

    def quantile(values, weights, q, empty):
        out = np.full(values.shape[1:], empty, values.dtype)
        for y, x in np.ndindex(values.shape[1:]):
            if weights[:, y, x].sum():
                use = weights[:, y, x] > 0
                v, w = values[use, y, x].astype("f8"), weights[use, y, x].astype("f8")
                out[y, x] = np.quantile(v, q, weights=w, method="inverted_cdf")
        return out

    found = []
    for band in ORDER:
        values = looks[band]
        weights = np.where(values > 0, weights10 if band in FINE else weights20, 0)
        reduced = quantile(values, weights, 0.2, 0)
        found.append(reduced if band in FINE else np.kron(reduced, np.ones((2, 2), "uint16")))
    red, nir = looks["B04"].astype("f4"), looks["B08"].astype("f4")
    weights = np.where((red > 0) & (nir > 0), weights10, 0)
    with np.errstate(invalid="ignore"):
        index = (nir - red) / (nir + red)
    q90 = quantile(np.where(weights > 0, index, np.float32(0)), weights, 0.9, np.nan)
    basis = np.stack([np.ones(len(times))] + [f(2 * np.pi * k * times) for k in (1, 2, 3) for f in (np.cos, np.sin)], axis=1)
    harmonics = np.full((7, rows, columns), np.nan)
    for y, x in np.ndindex(rows, columns):
        w = np.sqrt(weights[:, y, x].astype("f8"))
        if w.any():
            use = w > 0
            harmonics[:, y, x] = np.linalg.lstsq(basis[use] * w[use, None], index[use, y, x] * w[use], rcond=None)[0]
    return np.stack(found), q90, harmonics, (weights == 50).sum(axis=0)


def compare(found, expected):
    quantiles, q90, harmonics, observations = expected
    assert [found[k].dtype for k in ("quantiles", "ndvi_q90", "harmonics", "observations")] == ["u2", "f4", "f4", "u2"]
    np.testing.assert_array_equal(found["quantiles"], quantiles)
    np.testing.assert_array_equal(found["ndvi_q90"], q90)
    np.testing.assert_array_equal(found["observations"], observations)
    np.testing.assert_allclose(found["harmonics"], harmonics, atol=2e-5)


@pytest.mark.slow
def test_a_real_window_as_numpy_computes_it(shared_data):
    """Twelve months over Flanders, every third date, cloudy ones included, from the same warped inputs."""
    items = ItemFiles(shared_data / "flanders").search((-180, -90, 180, 90), Period.parse("2017-08-01/2018-07-31"))
    scenes = select_scenes(items).scenes[::3]
    grid = GeoBox((6, 10), Affine(10, 0, 3_830_100, 0, -10, 3_101_760), "EPSG:3035")
    coarse = grid.zoom_out(2)
    looks = {band: np.stack([read_band(s.bands[band], s.id, grid if band in FINE else coarse) for s in scenes]) for band in ORDER}
    scl = [np.stack([read_band(s.bands["SCL"], s.id, g, classes=True) for s in scenes]) for g in (grid, coarse)]
    times = np.array([(s.day - s.day.replace(month=1, day=1)).days / 365 for s in scenes])
    assert len(scenes) > 25 and len(set(np.unique(WEIGHTS[scl[0]]))) == 5
    compare(features(scenes, grid), numpy_features(looks, WEIGHTS[scl[0]], WEIGHTS[scl[1]], times))


def test_noise_with_gaps_as_numpy_computes_it(make):
    """Holes in some bands, every class, an offset: digital numbers known to the digit."""
    rng = np.random.default_rng(5)
    scenes, looks, classes, times = [], {band: [] for band in ORDER}, [], []
    for k in range(14):
        values = {}
        for band in ORDER:
            shape = GRID.shape if band in FINE else GRID.zoom_out(2).shape
            values[band] = rng.integers(1, 9000, shape) * (rng.random(shape) < 0.8)
            shifted = np.maximum(values[band] - (1000 if k % 2 else 0), 1)
            looks[band].append(np.where(values[band] == 0, 0, shifted).astype("uint16"))
        classes.append(rng.integers(0, 12, GRID.zoom_out(2).shape))
        scenes.append(make(f"s{k:02d}", scl=classes[-1], day=23 * k, subtract=1000 if k % 2 else 0, **values))
        times.append(year_fraction(scenes[-1].day))
    looks = {band: np.stack(stack) for band, stack in looks.items()}
    weights = WEIGHTS[np.stack(classes)]
    assert (weights.sum(axis=0) > 0).all()
    found = features(scenes)
    expected = numpy_features(looks, weights.repeat(2, axis=1).repeat(2, axis=2), weights, np.array(times))
    # Where looks are few the degree is lowered, which is the matter of the fit's own tests.
    ndvi_weights = np.where((looks["B04"] > 0) & (looks["B08"] > 0), weights.repeat(2, axis=1).repeat(2, axis=2), 0)
    many = (ndvi_weights > 0).sum(axis=0) >= 8
    assert 0.3 < many.mean() < 1
    found["harmonics"][:, ~many] = expected[2][:, ~many] = 0
    compare(found, expected)


# looks ------------------------------------------------------------------------------------------------------------


def test_two_granules_of_one_overpass_count_once(make):
    """The q20 of five values is the lowest; were the brightest counted twice, it would be the second."""
    scenes = [make(f"s{k}", day=20 * k, B02=100 * (k + 1)) for k in range(4)]
    scenes += [make(f"twin{k}", day=90, overpass="one", B02=500) for k in (0, 1)]
    found = features(scenes)
    assert set(np.unique(found["quantiles"][0])) == {100}
    assert set(np.unique(found["observations"])) == {5}
    apart = [make(f"other{k}", day=90, B02=500) for k in (0, 1)]
    assert set(np.unique(features([*scenes[:4], *apart])["quantiles"][0])) == {200}


@pytest.mark.parametrize("turn", [False, True])
def test_the_better_weighted_granule_wins_pixel_by_pixel(make, turn):
    """West: vegetation against cloud; middle: cirrus against bare soil; east: only one has data."""
    west = np.zeros((3, 4), int)
    west[:, 0], west[:, 1] = 4, 10
    east = np.zeros((3, 4), int)
    east[:, 0], east[:, 1], east[:, 2] = 8, 5, 9
    a = make("a", scl=west, overpass="one", B02=1111, B05=2111, B04=300, B08=700)
    b = make("b", scl=east, overpass="one", B02=2222, B05=2222, B04=500, B08=500)
    found = features([b, a] if turn else [a, b])
    expected = np.array([1111, 1111, 2222, 2222, 2222, 2222, 0, 0])
    np.testing.assert_array_equal(found["quantiles"][0], np.tile(expected, (6, 1)))
    np.testing.assert_array_equal(found["quantiles"][3], np.tile([2111, 2111, 2222, 2222, 2222, 2222, 0, 0], (6, 1)))
    np.testing.assert_array_equal(found["observations"], np.tile([1, 1, 1, 1, 0, 0, 0, 0], (6, 1)))
    ndvi = np.float32([0.4, 0.4, 0, 0, 0, 0, np.nan, np.nan])
    np.testing.assert_allclose(found["ndvi_q90"], np.tile(ndvi, (6, 1)), rtol=1e-6)
    np.testing.assert_allclose(found["harmonics"][0], np.tile(ndvi, (6, 1)), atol=1e-6)
    assert np.isnan(found["harmonics"][:, :, 6:]).all()


def test_a_pixel_without_data_gives_way_to_the_other_granule(make):
    holed = np.full((6, 8), 1111)
    holed[2, 3] = 0
    a = make("a", scl=4, overpass="one", B02=holed)
    b = make("b", scl=9, overpass="one", B02=2222)
    found = features([a, b])["quantiles"][0]
    assert found[2, 3] == 2222
    assert (found == 1111).sum() == 47


def test_the_offset_is_subtracted_and_dark_pixels_stay_valid(make):
    values = np.full((6, 8), 1500)
    values[0, 0], values[1, 1], values[2, 2], values[3, 3] = 0, 900, 1000, 1001
    found = features([make("a", subtract=1000, B02=values, B05=3000)])["quantiles"]
    expected = np.full((6, 8), 500)
    expected[0, 0], expected[1, 1], expected[2, 2], expected[3, 3] = 0, 1, 1, 1
    np.testing.assert_array_equal(found[0], expected)
    assert set(np.unique(found[3])) == {2000}


def test_clouds_still_count_where_there_is_nothing_else(make):
    found = features([make("a", scl=9, B02=6000), make("b", scl=8, day=40, B02=5000)])
    assert set(np.unique(found["quantiles"][0])) == {5000}
    assert not found["observations"].any()
    assert np.isfinite(found["harmonics"]).all()


def test_a_scene_without_weight_is_not_read_further(make):
    """Its bands may even be missing; the block asks for nothing but its classification."""
    good, useless = make("good", B02=1234), make("useless", scl=1, day=30)
    for band in ORDER:
        Path(useless.bands[band]).unlink()
    assert set(np.unique(features([useless, good])["quantiles"][0])) == {1234}


def test_a_scene_of_which_another_part_has_weight_is_read(make):
    scl = np.zeros((3, 4), int)
    scl[2, 3] = 1
    scl[0, 0] = 4
    late = make("late", scl=scl)
    Path(late.bands["B11"]).unlink()
    with pytest.raises(SceneError, match=r"scene late: .*B11\.tif cannot be read"):
        features([late])


def test_no_look_at_all(make):
    found = features([make("a", scl=0), make("b", scl=2, day=30)])
    assert not found["quantiles"].any() and not found["observations"].any()
    assert np.isnan(found["harmonics"]).all() and np.isnan(found["ndvi_q90"]).all()


@pytest.mark.slow
def test_time_runs_by_the_calendar_not_by_the_list(make):
    """A cosine of a year, sampled at odd dates and given in any order, comes back as the first amplitude."""
    days = [3, 31, 64, 90, 128, 155, 190, 226, 251, 280, 301, 330]
    scenes = []
    for day in days:
        scene = make(f"d{day}", day=day)
        index = 0.5 + 0.3 * np.cos(2 * np.pi * year_fraction(scene.day))
        scenes.append(make(f"d{day}", day=day, B04=round(5000 * (1 - index)), B08=round(5000 * (1 + index))))
    expected = [0.5, 0.3, 0, 0, 0, 0, 0]
    for order in (scenes, scenes[::-1]):
        np.testing.assert_allclose(features(order)["harmonics"][:, 0, 0], expected, atol=5e-4)


# a tile -----------------------------------------------------------------------------------------------------------

AREA = (3_829_000, 3_101_000, 3_830_000, 3_102_000)
AREA_GRID = GeoBox((100, 100), Affine(10, 0, 3_829_000, 0, -10, 3_102_000), "EPSG:3035")


@pytest.fixture
def tile(tmp_path, make):
    """Makes a tile's job with a year of scenes whose list is frozen already."""

    def go(count: int = 12, more: str = "", scl=4, noise: int = 0) -> Job:
        items, rng = [], np.random.default_rng(noise)
        for k in range(count):
            values = {}
            for band in ORDER if noise else ():
                shape = AREA_GRID.shape if band in FINE else AREA_GRID.zoom_out(2).shape
                values[band] = rng.integers(1, 9000, shape)
            classes = rng.integers(0, 12, (50, 50)) if noise else scl
            scene = make(
                f"s{k:02d}", scl=classes, day=324 // count * k, grid=AREA_GRID, B02=values.pop("B02", 1000 + k), **values
            )
            items.append({
                "type": "Feature", "id": scene.id, "properties": {"datetime": scene.datetime, "platform": "sentinel-2a"},
                "geometry": {"type": "Polygon", "coordinates": [[[2, 50], [4, 50], [4, 52], [2, 52], [2, 50]]]},
                "assets": {band: {"href": href} for band, href in scene.bands.items()},
            })  # fmt: skip
        (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
        (tmp_path / "production.toml").write_text(
            f'tiles = ["E38N31"]\n[periods]\nthen = "2018"\nnow = "2021"\n[area]\nbbox = {list(AREA)}\n'
            f'[scenes]\ncatalogue = "items.json"\n[engine]\nworkers = 2\n{more}'
        )
        job = Job.of(Production.read(tmp_path), "E38N31")
        make_scene_list(job, CATALOGUE["S2_now"])
        return job

    return go


PP = CATALOGUE["PP_now"]


def stored(job: Job) -> dict[str, np.ndarray]:
    group = job.group("PP_now")
    return {name: group[name][:] for name in ("quantiles", "ndvi_q90", "harmonics", "observations")}


def test_a_tile_is_computed_and_counted(tile):
    job = tile()
    made = make_pp(job, PP)
    assert (made.statistics["overpasses"], made.statistics["scenes"]) == (12, 12)
    assert (made.statistics["observed_pixels"], made.statistics["well_observed_pixels"]) == (10_000, 10_000)
    assert made.statistics["lost_scenes"] == {} and made.warnings == ()
    scenes = read_scene_list(job, "S2_now").scenes
    files = sum(Path(path).stat().st_size for scene in scenes for path in scene.bands.values())
    assert 0.2 * files < made.statistics["bytes_read"] <= files  # the rest of such small files is their headers
    found = stored(job)
    assert set(np.unique(found["quantiles"][0])) == {1002}  # the third of 1000 ... 1011
    assert set(np.unique(found["observations"])) == {12}


@pytest.mark.slow
def test_the_edge_of_computation_does_not_change_the_result(tile, monkeypatch):
    job = tile(noise=3)
    whole = make_pp(job, PP)
    expected = stored(job)
    monkeypatch.setattr(
        preprocessing, "plan_blocks", lambda job, looks, kept: replace(plan_blocks(job, looks, kept), part=(34, 34))
    )  # nine parts, cut at the edges, which no strip goes down in order
    parts = make_pp(job, PP)
    assert parts.digest == whole.digest
    for name, array in stored(job).items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.slow
def test_a_block_may_travel_to_another_process(tile, monkeypatch):
    job = tile(noise=3)
    here = make_pp(job, PP)
    monkeypatch.setattr(Engine, "map", lambda self, f, blocks, *_, **__: [pickle.loads(pickle.dumps(f))(b) for b in blocks])
    there = replace(job, engine=Engine(job.engine.settings.model_copy(update={"dask_address": "tcp://elsewhere:8786"})))
    assert make_pp(there, PP).digest == here.digest


@pytest.mark.slow
def test_the_edge_of_computation_does_not_change_a_real_result(shared_data):
    """Every third date, in four blocks by one worker or by three."""
    items = ItemFiles(shared_data / "flanders").search((-180, -90, 180, 90), Period.parse("2018"))
    looks = Looks.of(SceneList(select_scenes(items).scenes[::3]))
    grid = GeoBox((100, 100), Affine(10, 0, 3_830_000, 0, -10, 3_102_000), "EPSG:3035")
    whole = yearly_features(looks, grid, 2)
    for block, workers in zip(block_grid(grid, 50), (1, 3, 3, 1), strict=True):
        for name, part in yearly_features(looks, block.geobox(grid), workers).items():
            np.testing.assert_array_equal(part, whole[name][(..., *block.slices)])


@pytest.fixture(scope="module")
def digests() -> dict[str, str]:
    """Of features with holes, by how files say where they are; the same in every folder."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("how", HIDDEN)
def test_features_are_the_same_however_no_data_is_said(tile, digests, how):
    """Reflectance and classes alike: what a value, a mask or an alpha band says is as if it were 0."""
    job = tile(8, noise=5, more="[parameters.preprocessing]\nmin_valid_share = 0.0\n")
    for said in (said for said in ("zero", how) if said not in digests):
        for path in job.production.root.glob("s0*/*.tif"):
            with rasterio.open(path) as source:
                gone = np.zeros(source.shape, bool)
            gone[: 3 * len(gone) // 5] = True
            gone |= np.random.default_rng(len(path.stem)).random(gone.shape) < 0.1
            hide(str(path), gone, said)
        made = make_pp(job, PP)
        digests[said] = made.digest
        assert made.statistics["lost_scenes"] == {} and 3_000 < made.statistics["observed_pixels"] <= 4_000
    assert digests[how] == digests["zero"]


@pytest.mark.slow
def test_scenes_whose_files_contradict_each_other_are_left_out(tile):
    job = tile()
    hide(str(job.production.root / "s05" / "B12.tif"), np.zeros((50, 50), bool), "value")
    made = make_pp(job, PP)
    assert made.statistics["lost_scenes"] == {"s05": "B02 has 0 for no data, B12 65535"}
    assert set(np.unique(stored(job)["observations"])) == {11}


def test_a_broken_scene_is_left_out_and_named(tile):
    job = tile(more="[parameters.preprocessing]\nmax_lost_share = 0.1\n")
    broken = job.production.root / "s00" / "B08.tif"
    broken.write_bytes(broken.read_bytes()[:1000])
    made = make_pp(job, PP)
    assert list(made.statistics["lost_scenes"]) == ["s00"]
    assert "B08.tif cannot be read" in made.statistics["lost_scenes"]["s00"]
    (warning,) = made.warnings
    assert warning.startswith("scene s00 left out: ") and "B08.tif" in warning
    assert (made.statistics["scenes"], made.statistics["overpasses"]) == (11, 11)
    found = stored(job)
    assert set(np.unique(found["quantiles"][0])) == {1003}  # the third of 1001 ... 1011
    assert set(np.unique(found["observations"])) == {11}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["missing", "kind", "system"])
def test_other_troubles_lose_a_scene_too(tile, trouble):
    job = tile()
    path = job.production.root / "s05" / "B12.tif"
    if trouble == "missing":
        path.unlink()
    elif trouble == "kind":
        write(path, np.ones((50, 50), "int16"), AREA_GRID.zoom_out(2))
    else:
        with rasterio.open(path, "w", driver="GTiff", height=50, width=50, count=1, dtype="uint16") as target:
            target.write(np.ones((1, 50, 50), "uint16"))
    made = make_pp(job, PP)
    assert list(made.statistics["lost_scenes"]) == ["s05"]
    assert set(np.unique(stored(job)["observations"])) == {11}


@pytest.mark.slow
def test_the_result_with_a_broken_scene_is_that_without_it(tile):
    job = tile(noise=4)
    path = job.store.full(job.place("S2_now").data)
    (job.production.root / "s05" / "B12.tif").unlink()
    lost = make_pp(job, PP)
    scenes = SceneList.from_json(Path(path).read_text())
    without = SceneList(tuple(s for s in scenes.scenes if s.id != "s05"))
    Path(path).write_text(without.to_json())
    assert make_pp(job, PP).digest == lost.digest


def test_too_many_broken_scenes_fail_the_tile(tile):
    job = tile()
    for name in ("s01", "s07"):
        (job.production.root / name / "SCL.tif").unlink()
    with pytest.raises(WorkError) as caught:
        make_pp(job, PP)
    text = str(caught.value)
    assert "\n" not in text
    for words in (
        "PP_now of tile E38N31: 2 of 12 scenes cannot be read",
        "s01: ",
        "s07: ",
        "SCL.tif",
        "max_lost_share",
    ):
        assert words in text
    assert job.record("PP_now") is None
    assert not Path(job.store.full(job.place("PP_now").data)).exists()


@pytest.mark.slow
def test_items_that_could_not_be_used_count_as_lost(tile):
    job = tile(20)
    text = json.loads(job.store.read_text(job.place("S2_now").data))
    text |= {"dropped": {"x1": "has no asset for SCL", "x2": "duplicate of s01"}, "lost": ["x1"]}
    job.store.write_text(job.place("S2_now").data, json.dumps(text))
    made = make_pp(job, PP)
    assert made.statistics["lost_items"] == {"x1": "has no asset for SCL"} and made.statistics["lost_scenes"] == {}
    assert made.warnings == ("scene x1 left out: has no asset for SCL",)
    for name in ("s03", "s07"):
        (job.production.root / name / "SCL.tif").unlink()
    with pytest.raises(WorkError, match=r"3 of 21 scenes cannot be read \(s03: .*; s07: .*; x1: has no asset for SCL\)"):
        make_pp(job, PP)


@pytest.mark.slow
def test_too_few_overpasses_that_remain_fail_the_tile(tile):
    job = tile(8, "[parameters.preprocessing]\nmin_observations = 8\nmax_lost_share = 1.0\n")
    make_pp(job, PP)
    (job.production.root / "s03" / "B03.tif").unlink()
    with pytest.raises(InputError, match=r"PP_now of tile E38N31: 7 overpasses in 2021, 8 are needed; add scenes"):
        make_pp(job, PP)


@pytest.mark.slow
def test_an_area_that_no_scene_shows(tile):
    job = tile(scl=0)
    with pytest.raises(InputError, match=r"PP_now of tile E38N31: the scenes hold no data inside the area; check"):
        make_pp(job, PP)


@pytest.mark.slow
def test_too_many_clouds(tile):
    job = tile(8, scl=9)
    with pytest.raises(InputError, match=r"too few valid observations, only 0 % of the observed pixels have 3 clear looks"):
        make_pp(job, PP)
    cloudy = np.full((50, 50), 9)
    cloudy[:, :30] = 5  # 60 % are clear
    made = make_pp(tile(8, scl=cloudy), PP)
    assert (made.statistics["observed_pixels"], made.statistics["well_observed_pixels"]) == (10_000, 6_000)
    with pytest.raises(InputError, match="only 60 %"):
        make_pp(tile(8, scl=cloudy, more="[parameters.preprocessing]\nmin_valid_share = 0.61\n"), PP)


# what was observed of the land -------------------------------------------------------------------------------------


def half_seen(seen: int = 30) -> np.ndarray:
    """Classes at 20 m: clear in the first columns, no data in the others."""
    scl = np.zeros((50, 50), int)
    scl[:, :seen] = 4
    return scl


def with_sea(job: Job) -> Job:
    """The same job with a CLCplus whose east, which scenes do not show, is sea; a corner of it is land."""
    codes = np.full(AREA_GRID.shape, 3, "uint8")
    codes[:, 60:] = 253
    codes[:10, 90:] = 5
    write(job.production.root / "clcplus.tif", codes, AREA_GRID)
    path = job.production.root / "production.toml"
    path.write_text(path.read_text() + '[references]\nclcplus_then = "clcplus.tif"\n')
    return Job.of(Production.read(path), "E38N31")


@pytest.mark.slow
def test_holes_are_told(tile):
    made = make_pp(tile(8, "[parameters.preprocessing]\nmin_clear = 2\n", half_seen()), PP)
    assert made.warnings == ("only 60 % of the area was observed, 0.4 km² were not",)
    statistics = made.statistics
    assert (statistics["observed_share"], statistics["land_pixels"], statistics["land_known_by"]) == (0.6, 10_000, [])
    assert statistics["well_observed_pixels"] == statistics["observed_pixels"] == 6_000


@pytest.mark.slow
def test_the_sea_need_not_be_observed(tile):
    made = make_pp(with_sea(tile(8, scl=half_seen())), PP)
    assert made.statistics["observed_share"] == 6_000 / 6_100 and made.statistics["land_known_by"] == ["CLCP_then"]
    assert made.warnings == ("only 98.4 % of the land was observed, 0.01 km² were not",)
    assert make_pp(with_sea(tile(8)), PP).warnings == ()


@pytest.mark.slow
def test_a_window_is_held_to_a_limit_that_is_set(tile):
    """And the limit is no part of a key: features that were made are only asked whether they keep it."""
    job = tile(8, scl=half_seen())
    make_node(job, "S2_now")
    made, _ = make_node(job, "PP_now")
    path = job.production.root / "production.toml"
    text = path.read_text()
    for limit, state in ((0.6, "up to date"), (0.61, "run")):
        path.write_text(f"{text}[parameters.preprocessing]\nmin_observed_share = {limit}\n")
        job = Job.of(Production.read(path), "E38N31")
        assert standing(job, "PP_now").state == state and standing(job, "PP_now").record == made
    assert standing(job, "PP_now").reason == "has observed less of the land than parameters.preprocessing.min_observed_share"
    with pytest.raises(InputError) as caught:
        make_node(job, "PP_now")
    assert str(caught.value) == (
        "PP_now of tile E38N31: only 60 % of the area was observed, 61 % are needed; add scenes to scenes.catalogue, "
        "name references.clcplus_then, so that the sea does not count, or lower parameters.preprocessing.min_observed_share"
    )
    path.write_text(f"{text}[parameters.preprocessing]\nmin_observed_share = 0.99\n")
    with pytest.raises(InputError, match=r"only 98\.4 % of the land was observed, 99 % are needed; add scenes to .* or lower"):
        make_node(with_sea(job), "PP_now")


@pytest.mark.slow
def test_scenes_of_a_corner_fail_a_whole_tile_before_they_are_read(tile, monkeypatch):
    """One of 10 000 square kilometres: found by their extents."""
    job = tile(8)
    path = job.production.root / "production.toml"
    path.write_text(re.sub(r"\[area\]\nbbox = .*\n", "", path.read_text()))
    job = Job.of(Production.read(path), "E38N31")
    make_scene_list(job, CATALOGUE["S2_now"])
    monkeypatch.setattr(preprocessing, "check_offsets", None)
    with pytest.raises(InputError) as caught:
        make_pp(job, PP)
    assert str(caught.value) == (
        "PP_now of tile E38N31: at most 0.0144 % of the area lies inside of any scene, 90 % are needed; add scenes to "
        "scenes.catalogue, name references.clcplus_then, so that the sea does not count, or lower "
        "parameters.preprocessing.min_observed_share"
    )
    # The only land that CLCplus knows is where the scenes are.
    coast = with_sea(job)
    land = Land.of(coast)
    assert land.pixels == 6_100 and land.inside(coast, survey(read_scene_list(job, "S2_now").scenes, 1).bounds.values()) == 6_100


def planned(tmp_path, memory: str, workers: int, bounds=None, more: str = "", path: str = "B04.jp2"):
    """Plan of a whole tile for 100 overpasses, of files that are read block by block."""
    (tmp_path / "production.toml").write_text(
        '[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        f'[engine]\nmemory = "{memory}"\nworkers = {workers}\n{more}'
    )
    scenes = [Scene(str(k), "2021-01-01T10:00:00+00:00", str(k), "", "", None, 0, "", {"B04": path}) for k in range(100)]
    job = Job.of(Production.read(tmp_path), "E38N31")
    return job, plan_blocks(job, Looks.of(SceneList(tuple(scenes)), bounds), KEPT_BYTES)


@pytest.mark.parametrize(
    ("memory", "workers", "largest", "count"),
    [
        ("24 GiB", 2, (5000, 5000), 4),
        ("8 GiB", 4, (2000, 5000), 10),
        ("5 GiB", 2, (2000, 3000), 20),
        ("2 GiB", 2, (1000, 2000), 50),
    ],
)
def test_blocks_are_planned_within_memory(tmp_path, memory, workers, largest, count):
    """100 dates of 5.75 bytes a pixel, 54 of features, 2.4 a thread."""
    job, plan = planned(tmp_path, memory, workers)
    assert (len(plan.blocks), plan.part, plan.at_once, plan.threads) == (count, None, 1, workers)
    assert max(sorted(b.shape) for b in plan.blocks) == sorted(largest)
    assert plan.bytes == pytest.approx(np.prod(largest) * (100 * 5.75 + 54 + 2.4 * workers))
    assert plan.bytes <= job.engine.budget
    covered = np.zeros((10_000, 10_000), bool)
    for block in plan.blocks:
        assert not covered[block.slices].any() and block.y0 % 1000 == block.x0 % 1000 == 0
        covered[block.slices] = True
    assert covered.all()


@pytest.mark.parametrize(("memory", "workers", "edge"), [("1 GiB", 4, 500), ("256 MiB", 2, 250)])
def test_shards_are_computed_in_parts_where_memory_is_short(tmp_path, memory, workers, edge):
    _, plan = planned(tmp_path, memory, workers)
    assert (len(plan.blocks), plan.part, plan.parts) == (100, (edge, edge), 100 * (1000 // edge) ** 2)
    assert plan.bytes == pytest.approx(edge**2 * (100 * 5.75 + 54 + 2.4 * workers) + 54 * 1000**2)


@pytest.mark.parametrize(
    ("memory", "columns", "strip", "parts"),
    [("24 GiB", 1, 1000, 10), ("8 GiB", 1, 500, 20), ("4 GiB", 2, 250, 80), ("2 GiB", 5, 100, 500)],
)
def test_strips_of_files_on_disks_are_planned_within_memory(tmp_path, memory, columns, strip, parts):
    """100 dates: a strip, a row of shards of features, and what waits of every file."""
    job, plan = planned(tmp_path, memory, 2, path="B04.tif")
    width = 10_000 // columns
    assert [b.shape for b in plan.blocks] == [(10_000, width)] * columns
    assert (plan.rows, plan.part, plan.parts) == (1000, (strip, width), parts)
    waiting = waiting_bytes(width, 100, 100)
    held = 54 * 1000 * width if strip < 1000 else 0
    assert plan.bytes == pytest.approx(strip * width * (100 * 5.75 + 54 + 4.8) + held + waiting)
    assert 0.4 * job.engine.budget < plan.bytes <= job.engine.budget


def test_files_on_disks_are_read_in_parts_of_shards_where_strips_do_not_fit(tmp_path):
    _, plan = planned(tmp_path, "256 MiB", 2, path="B04.tif")
    assert (len(plan.blocks), plan.part) == (100, (250, 250))


@pytest.mark.parametrize("path", ["B04.tif", "B04.jp2"])
def test_every_worker_of_a_cluster_has_a_block(tmp_path, path):
    job, plan = planned(tmp_path, "8 GiB", 4, more='dask_address = "tcp://elsewhere:8786"\n', path=path)
    assert len(plan.blocks) >= 4
    assert (plan.at_once, plan.threads) == (4, 1)
    assert job.engine.budget / 8 < plan.bytes <= job.engine.budget / 4


def test_blocks_of_an_area_leave_no_thin_rest(tmp_path):
    (tmp_path / "production.toml").write_text(
        '[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "x"\n[engine]\nmemory = "4 GiB"\nworkers = 2\n'
        "[area]\nbbox = [3800000, 3100000, 3841000, 3141000]\n"
    )
    scenes = [Scene(str(k), "2021-01-01T10:00:00+00:00", str(k), "", "", None, 0, "", {}) for k in range(60)]
    plan = plan_blocks(Job.of(Production.read(tmp_path), "E38N31"), Looks.of(SceneList(tuple(scenes))), KEPT_BYTES)
    assert min(min(b.shape) for b in plan.blocks) >= 1000
    assert max(max(b.shape) for b in plan.blocks) > 2000


def test_looks_that_lie_elsewhere_take_no_memory(tmp_path):
    job, plan = planned(tmp_path, "16 GiB", 1)
    assert len(plan.blocks) > 4
    left, bottom, right, top = job.bounds
    middle = (left + right) / 2
    halves = {str(k): (left, bottom, middle, top) if k < 50 else (middle, bottom, right, top) for k in range(100)}
    _, plan = planned(tmp_path, "16 GiB", 1, halves)
    assert len(plan.blocks) == 4 and plan.bytes == pytest.approx(5000**2 * (50 * 5.75 + 54 + 2.4))
