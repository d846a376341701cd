"""The simulated input: reproducible, aligned, coded as Sentinel-2 archives are, and consistent with its truth."""

import hashlib
import json
import tomllib
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import rasterio.transform
import rasterio.warp
from shapely.geometry import box, shape

from imperv.tasks.simulator import Simulation, granules, simulate, site_bounds, site_landscape, truth
from imperv.tasks.simulator.covers import BANDS, DORMANT, GREEN, ROOF, SEALED, Cover, vigour
from imperv.tasks.simulator.granules import local_coordinates, mgrs_name, scenery
from imperv.tasks.simulator.references import clcplus_sealed
from imperv.tasks.simulator.shapes import NOW, Shapes, Warp, rectangles

SIZE = 144


def digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(tmp_path_factory.mktemp("site"), size=SIZE, overpasses=6)


@pytest.fixture(scope="module")
def items(site: Simulation) -> list[pystac.Item]:
    catalogue = json.loads(site.items.read_text())
    # pystac upgrades what it reads, so the version is looked at in the file.
    assert {f["stac_version"] for f in catalogue["features"]} == {"1.0.0"}
    return list(pystac.ItemCollection.from_dict(catalogue))


def dark(item: pystac.Item, folder: Path) -> float:
    """Darkest valid pixels of the short-wave infrared, digital numbers."""
    dn = read(folder / item.assets["swir22"].href)
    return float(np.percentile(dn[dn > 0], 1))


@pytest.mark.slow
def test_same_arguments_give_the_same_bytes_and_another_seed_does_not(site: Simulation, tmp_path: Path) -> None:
    again = simulate(tmp_path / "again", size=SIZE, overpasses=6)
    assert digests(again.out) == digests(site.out)
    other = site_landscape(site.bounds, (2018, 2021), 6, seed=2)
    assert not np.array_equal(truth(other).imd[0], read(site.truth["truth_imd_then"]))


@pytest.mark.slow
def test_default_site_straddles_two_zones_within_one_tile(site: Simulation, items: list[pystac.Item]) -> None:
    assert site.crs == ("EPSG:32632", "EPSG:32633")
    assert {i.properties["grid:code"][:7] for i in items} == {"MGRS-32", "MGRS-33"}
    for size in (128, 512, 1000, 10_000):
        left, bottom, right, top = site_bounds("E44N27", size)
        assert 4_400_000 <= left < right <= 4_500_000 and 2_700_000 <= bottom < top <= 2_800_000
        assert left % 1000 == 0 and top % 1000 == 0
        assert {g.epsg for g in granules((left, bottom, right, top))} == {32632, 32633}


def test_site_far_from_a_zone_border_gets_two_tiles_of_one_zone() -> None:
    west, east = granules(site_bounds("E43N30", 256))
    assert west.epsg == east.epsg == 32632
    assert west.mgrs != east.mgrs and west.mgrs[:3] == east.mgrs[:3]
    assert west.top > east.top > west.top - 10 * west.shape[0]


@pytest.mark.parametrize(
    ("place", "name"),
    # Ghent, Munich, Vienna and Bolzano.
    [((3.72, 51.05), "31UES"), ((11.58, 48.14), "32UPU"), ((16.37, 48.21), "33UXP"), ((11.35, 46.49), "32TPS")],
)
def test_mgrs_names_are_those_of_the_military_grid(place: tuple[float, float], name: str) -> None:
    assert mgrs_name(*place) == name


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"size": 100}, "even number of pixels from 128"),
        ({"size": 129}, "even number"),
        ({"tile": "E99N99"}, "E99N99"),
        ({"size": 128, "corner": (4_399_990, 2_750_000)}, "within tile"),
        ({"size": 128, "corner": (4_450_005, 2_750_000)}, "multiples of 10 m"),
        ({"size": 128, "years": (2021, 2018)}, "before"),
    ],
)
def test_bad_requests_are_refused(tmp_path: Path, arguments: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        simulate(tmp_path, **arguments)


def test_items_are_complete_and_their_files_lie_where_they_say(site: Simulation, items: list[pystac.Item]) -> None:
    assert len({i.id for i in items}) == len(items)
    assert all(any(f"_{zone}" in i.id for i in items) for zone in (32, 33))
    with rasterio.open(site.truth["truth_imd_then"]) as source:
        lonlat = rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *source.bounds)
    # pystac turns proj:epsg into proj:code when it reads.
    epsg = {f["id"]: f["properties"]["proj:epsg"] for f in json.loads(site.items.read_text())["features"]}
    for item in items:
        assert set(item.assets) == {
            *("blue", "green", "red", "nir", "rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22", "scl")
        }
        geometry = shape(item.geometry)
        assert geometry.is_valid and geometry.intersects(box(*lonlat))
        np.testing.assert_allclose(geometry.bounds, item.bbox, atol=2e-6)
        for key, asset in item.assets.items():
            with rasterio.open(site.out / asset.href) as source:
                fields = asset.extra_fields
                assert source.crs.to_epsg() == epsg[item.id]
                assert list(source.shape) == fields["proj:shape"]
                assert list(source.transform)[:6] == fields["proj:transform"]
                assert source.transform.c % 60 == source.transform.f % 60 == 0
                assert source.dtypes[0] == fields["raster:bands"][0]["data_type"] == ("uint8" if key == "scl" else "uint16")
                assert source.nodata == 0 and source.profile["tiled"] and source.compression.name == "deflate"
                assert fields["gsd"] == source.res[0] == (10 if key in ("blue", "green", "red", "nir") else 20)


def test_baseline_5_carries_the_offset_and_older_ones_do_not(site: Simulation, items: list[pystac.Item]) -> None:
    levels: dict[bool, list[float]] = {True: [], False: []}
    for item in items:
        late = item.properties["s2:processing_baseline"] >= "04.00"
        bands = [b for k, a in item.assets.items() if k != "scl" for b in a.extra_fields["raster:bands"]]
        assert {b["offset"] for b in bands} == {-0.1 if late else 0}
        assert item.properties["earthsearch:boa_offset_applied"] is False
        levels[late].append(dark(item, site.out))
    assert min(levels[True]) >= 1000
    assert min(levels[False]) < 300
    first = {i.datetime.year: i for i in items if i.id.endswith("_0_L2A") and not i.properties["eo:cloud_cover"] > 99}
    assert first[2018].properties["s2:processing_baseline"].startswith("02.")


def test_one_overpass_a_year_is_there_twice_with_another_baseline(site: Simulation, items: list[pystac.Item]) -> None:
    for year in (2018, 2021):
        second = [i for i in items if i.id.endswith("_1_L2A") and i.datetime.year == year]
        assert second and len({i.datetime for i in second}) == 1
        for item in second:
            (first,) = (i for i in items if i.id == item.id.replace("_1_L2A", "_0_L2A"))
            old, new = first.properties, item.properties
            assert old["s2:processing_baseline"] < new["s2:processing_baseline"] and old["updated"] < new["updated"]
            assert old["s2:datatake_id"].rsplit("_", 1)[0] == new["s2:datatake_id"].rsplit("_", 1)[0]
            dn = [read(site.out / i.assets["red"].href).astype(int) for i in (first, item)]
            seen = dn[0] > 1
            assert (dn[1][seen] - dn[0][seen] == 1000).all()


def test_no_data_is_0_in_all_bands_at_once(site: Simulation, items: list[pystac.Item]) -> None:
    cut = 0
    for item in items:
        scl = read(site.out / item.assets["scl"].href)
        assert scl.max() <= 11
        empty = scl == 0
        cut += empty.mean() > 0.15
        for key, asset in item.assets.items():
            dn = read(site.out / asset.href)
            at = empty if dn.shape == scl.shape else np.kron(empty, np.ones((2, 2), bool))
            assert ((dn == 0) == at).all(), (item.id, key)
        share = item.properties["s2:nodata_pixel_percentage"]
        assert share == pytest.approx(100 * empty.mean(), abs=1e-3)
    assert cut, "no overpass is cut by a swath edge"
    assert max(i.properties["eo:cloud_cover"] for i in items) > 95


def test_granules_of_one_overpass_show_the_same_ground(site: Simulation, items: list[pystac.Item]) -> None:
    clear = min(items, key=lambda i: i.properties["eo:cloud_cover"] + i.properties["s2:nodata_pixel_percentage"])
    pair = [i for i in items if i.datetime == clear.datetime and i.id[-6:] == clear.id[-6:]]
    assert len(pair) == 2
    laea = []
    for item in pair:
        with rasterio.open(site.out / item.assets["nir"].href) as source:
            out = np.zeros((SIZE, SIZE), np.uint16)
            rasterio.warp.reproject(
                rasterio.band(source, 1), out, dst_crs="EPSG:3035", resampling=rasterio.warp.Resampling.bilinear,
                dst_transform=rasterio.transform.from_bounds(*site.bounds, SIZE, SIZE),
            )  # fmt: skip
            laea.append(out.astype(float))
    both = (laea[0] > 0) & (laea[1] > 0)
    assert 0.1 < both.mean() < 0.95
    assert ((laea[0] > 0) | (laea[1] > 0)).mean() > 0.99
    assert np.corrcoef(laea[0][both], laea[1][both])[0, 1] > 0.97


def test_references_and_truth_lie_on_the_eea_grid(site: Simulation) -> None:
    rasters = [p for p in (*site.references.values(), *site.truth.values()) if p.suffix == ".tif"]
    assert len(rasters) == 9
    for path in rasters:
        with rasterio.open(path) as source:
            assert source.crs.to_epsg() == 3035 and source.nodata == 255 and source.dtypes == ("uint8",)
            assert tuple(source.bounds) == site.bounds and source.res == (10, 10)
            assert not any(v % 10 for v in site.bounds)
    assert set(np.unique(read(site.references["clcplus_now"]))) <= {1, 2, 3, 6, 7, 9, 10}
    assert set(np.unique(read(site.references["ibu_then"]))) == {0, 1}
    assert read(site.references["imd_then"]).max() <= 100


def test_references_resemble_the_truth_but_are_not_it(site: Simulation) -> None:
    real, old = (read(p).astype(float) for p in (site.truth["truth_imd_then"], site.references["imd_then"]))
    assert 2 < np.sqrt(np.mean((real - old) ** 2)) < 15
    assert np.corrcoef(real.ravel(), old.ravel())[0, 1] > 0.85
    clc = read(site.references["clcplus_then"]) == 1
    assert real[clc].mean() > 50 and real[~clc].mean() < 10
    features = json.loads(site.references["footprints"].read_text())["features"]
    assert len(features) > 20 and all(shape(f["geometry"]).is_valid for f in features)


@pytest.mark.slow
def test_clcplus_takes_in_smaller_roads_that_other_ground_of_their_density_is_not() -> None:
    """ATBD 4.3.2: CLC+ is there for the smaller roads; 30 % of sealing would miss most lanes of 4 m."""
    land = site_landscape((0, 0, 4000, 4000), (2018, 2021), 1, 1)
    real = truth(land)
    assert (real.road[0] <= real.imd[0]).all() and (real.road[0][real.imd[0] == 0] == 0).all()
    sealed = clcplus_sealed(real, 0, np.random.default_rng(1), np.zeros(real.change.shape, np.float32))
    thin = (real.imd[0] >= 15) & (real.imd[0] < 30)
    road, garden = thin & (real.road[0] == real.imd[0]), thin & (real.road[0] == 0)
    assert min(road.sum(), garden.sum()) > 300
    assert sealed[road].mean() > 0.8 > 0.5 > sealed[garden].mean()
    assert sealed[real.imd[0] == 0].mean() < 0.02


def test_the_old_map_of_buildings_marks_ground_that_is_nearly_full(site: Simulation) -> None:
    """ATBD 4.3.2: known areas of 100 % density, from which the calibration takes its maximum."""
    real, built = read(site.truth["truth_imd_then"]), read(site.references["ibu_then"])
    assert 100 < built.sum() < (read(site.truth["truth_ibu_then"]) == 1).sum()
    assert real[built == 1].mean() > 80


def test_truth_agrees_with_itself(site: Simulation) -> None:
    layer = {name: read(path) for name, path in site.truth.items() if path.suffix == ".tif"}
    then, now, change = layer["truth_imd_then"].astype(int), layer["truth_imd_now"].astype(int), layer["truth_change"]
    assert then.max() == now.max() == 100 and len(np.unique(then)) > 15
    assert (change[then != now] == 1).all()
    assert (then == now)[change == 2].all()
    assert set(np.unique(change)) == {0, 1, 2}
    assert 0.001 < (change > 0).mean() < 0.2
    # Built-up pixels hold at least 10 % of buildings, so they are sealed to at least that share.
    for year in ("then", "now"):
        ibu, imd = layer[f"truth_ibu_{year}"], layer[f"truth_imd_{year}"]
        assert set(np.unique(ibu)) == {0, 1} and (imd[ibu == 1] >= 10).all()
    land = truth(site_landscape(site.bounds, (2018, 2021), 6, 1))
    np.testing.assert_array_equal(land.ibu[0], (land.built[0] >= 10).astype(np.uint8))
    np.testing.assert_array_equal(layer["truth_ibu_then"], land.ibu[0])
    log = json.loads(site.truth["changes"].read_text())
    assert {c["kind"] for c in log} >= {"industrial", "residential", "demolished", "rotated"}
    assert all(c["mean_imd_change"] < 0 for c in log if c["kind"] == "demolished")
    assert all(c["mean_imd_change"] > 20 for c in log if c["kind"] in ("industrial", "residential"))
    left, bottom, right, top = site.bounds
    assert all(left < c["x"] < right and bottom < c["y"] < top for c in log)


@pytest.mark.slow
def test_forest_is_felled_before_the_first_year_too() -> None:
    """Or else models would see felled forest in the second year only, and take it for something else."""
    landscape = site_landscape((0, 0, 5120, 5120), (2018, 2021), 1, 1)
    then, now = landscape.drawing.cover == Cover.CLEARCUT
    assert then.sum() >= 2 and now[then].all(), "what is open in then is so in now"
    assert not landscape.drawing.change[then].any(), "and has not changed"
    assert (now & ~then).sum() == [c.kind for c in landscape.changes].count("felled") > 0


def test_production_file_names_what_was_written(site: Simulation) -> None:
    table = tomllib.loads(site.production.read_text())
    assert table["tiles"] == ["E44N27"] and table["periods"] == {"then": "2018", "now": "2021"}
    assert tuple(table["area"]["bbox"]) == site.bounds
    paths = [table["scenes"]["catalogue"]]
    for value in table["references"].values():
        paths += value if isinstance(value, list) else [value]
    assert all((site.out / p).is_file() for p in paths)


def test_ndvi_of_covers_goes_through_the_year_as_in_reality() -> None:
    red, nir = BANDS.index("B04"), BANDS.index("B08")
    kinds = np.arange(len(Cover))

    def ndvi(time: float) -> np.ndarray:
        v = vigour(kinds, time, np.zeros(len(kinds)), np.full(len(kinds), 0.3))[:, None]
        r = DORMANT + v * (GREEN - DORMANT)
        return (r[:, nir] - r[:, red]) / (r[:, nir] + r[:, red])

    may, august, january = ndvi(0.38), ndvi(0.60), ndvi(0.04)
    assert may[Cover.WINTER_CROP] > 0.8 > 0.4 > august[Cover.WINTER_CROP]
    assert august[Cover.SUMMER_CROP] > 0.8 > 0.35 > may[Cover.SUMMER_CROP]
    assert august[Cover.DECIDUOUS] > 0.8 and january[Cover.DECIDUOUS] < 0.5
    assert january[Cover.CONIFER] > 0.65
    for time in (may, august, january):
        assert (time[SEALED] < 0.2).all() and time[Cover.WATER] < 0


def test_scenery_shares_sum_to_one_and_find_half_planes() -> None:
    rng = np.random.default_rng(0)
    shapes = Shapes(Warp(rng))
    shapes._warp = lambda points: points.astype(np.float32)  # type: ignore[assignment]
    shapes.add(rectangles(500, 500, 3000, 3000), Cover.MEADOW, 0)
    shapes.add(rectangles(250, 500, 500, 3000), Cover.ASPHALT, 1, years=NOW)
    drawing = shapes.freeze({})
    y, x = np.mgrid[0:20, 0:20] * 10.0 + 405.0
    for year, expected in ((0, 0.0), (1, 0.5)):
        seen, numbers = scenery(drawing, year, x, y, 10.0, 1000.0, 100.0)
        cover = drawing.cover[year][numbers]
        share = seen.mix(np.stack([np.ones(len(cover)), SEALED[cover], ROOF[cover]], 1).astype(np.float32))
        np.testing.assert_allclose(share[..., 0], 1, atol=1e-5)
        # The edge lies at 500 m, between pixel centres 495 and 505.
        np.testing.assert_allclose(share[..., 9:11, 1].mean(), expected, atol=0.02)
        assert share[..., 2].max() == 0
        assert share[:, 0, 1].min() == (1.0 if year else 0.0)
    outside, _ = scenery(drawing, 0, x + 900, y, 10.0, 1000.0, 100.0)
    assert not outside.seen.any()


def test_local_coordinates_are_those_of_the_projection() -> None:
    from pyproj import Transformer

    bounds = site_bounds("E44N27", 512)
    for granule in granules(bounds):
        x, y = local_coordinates(granule, slice(40, 300), 10.0, (bounds[0], bounds[3]))
        exact = Transformer.from_crs(granule.epsg, 3035, always_xy=True)
        for row, column in ((0, 0), (17, 45), (259, 301)):
            e, n = exact.transform(granule.left + 10 * column + 5, granule.top - 10 * (row + 40) - 5)
            assert x[row, column] == pytest.approx(e - bounds[0], abs=0.1)
            assert y[row, column] == pytest.approx(bounds[3] - n, abs=0.1)
