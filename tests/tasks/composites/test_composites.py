"""Composites against NumPy, on real scenes, and what a run leaves of them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from imperv.flows.cli.commands import main
from imperv.flows.portal.content import legend_of
from imperv.grids.mapping import CELL
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.catalogue.composites import LOOKS, METRIC_BANDS, NO_LOOK
from imperv.layers.composites import METRICS, clear_table, median_of_looks, metrics_of_looks
from imperv.layers.features import QUANTILE_BANDS
from imperv.layers.palette import FILLED
from imperv.layers.reflectance import REFLECTANCE_10M
from imperv.tasks.composites.report import compose
from imperv.tasks.delivery import cog
from imperv.tasks.job import Job
from imperv.tasks.maps.layers import StoreSource
from imperv.tasks.maps.tiles import MapTiles
from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.scenes.reading import read_band
from imperv.tasks.scenes.scenes import select_scenes
from imperv.tasks.settings.periods import MonthsOfSpan, Period
from imperv.tasks.settings.production import Production

CLEAR = (4, 5, 6)


def half_up(values):
    return np.floor(np.nan_to_num(values) + 0.5).astype("uint16")


def masked(values, seen):
    """Looks as float, NaN where they do not count."""
    return np.where(seen & (values > 0), values.astype("f8"), np.nan)


@pytest.mark.filterwarnings("ignore:All-NaN slice")
@pytest.mark.parametrize("looks", [1, 2, 5, 8, 40])
def test_median_and_metrics_as_numpy_computes_them(looks):
    rng = np.random.default_rng(looks)
    values = rng.integers(0, 12_000, (3, looks, 77), dtype="uint16") * (rng.random((3, looks, 77)) < 0.8).astype("uint16")
    values[0, :, :3] = 65_535
    weights = (rng.random(values.shape) < 0.6).astype("uint8")
    known = masked(values, weights > 0)
    median = half_up(np.nanmedian(known, axis=1))
    assert (median > 0).any() and ((median == 0).any() or looks > 8)
    np.testing.assert_array_equal(median_of_looks(values, weights), median)
    found = metrics_of_looks(values, weights)
    for name, plane in zip(METRICS, found, strict=True):
        expected = median if name == "median" else half_up(np.nanquantile(known, METRICS[name], axis=1, method="inverted_cdf"))
        np.testing.assert_array_equal(plane, expected)


def test_classes_that_count_as_clear():
    assert np.flatnonzero(clear_table(50)).tolist() == [4, 5, 6]
    assert np.flatnonzero(clear_table(10)).tolist() == [3, 4, 5, 6, 7]
    assert np.flatnonzero(clear_table(0)).tolist() == list(range(3, 12))


@pytest.mark.parametrize(
    ("span", "months", "around"),
    [
        ("2017-09-01/2018-08-31", {"A": "2017-09", "F": "2018-02", "L": "2018-08"}, "2017-08-01/2018-09-30"),
        ("2020", {"A": "2020-01", "B": "2020-02", "L": "2020-12"}, "2019-12-01/2021-01-31"),
        ("2021-06", {"A": "2021-06"}, "2021-05-01/2021-07-31"),
        ("2021-01-31/2021-04-10", {"A": "2021-01-31/2021-02-27", "B": "2021-02-28/2021-03-30", "C": "2021-03-31/2021-04-10"},
         "2020-12-31/2021-05-10"),
    ],
)  # fmt: skip
def test_months_of_a_span(span, months, around):
    periods = MonthsOfSpan(span=span)
    assert {name: str(periods.of(name)[0]) for name in months} == months
    assert str(periods.of("around")[0]) == around
    within = [name for name in "ABCDEFGHIJKL" if periods.within(name)]
    assert within[-1] == list(months)[-1] and within == list("ABCDEFGHIJKL")[: len(within)]
    assert periods.monthly and not MonthsOfSpan(span="2019-01-01/2021-12-31").monthly


STEP = 2 * CELL
"""Rows of a strip that begins on a node of the mapping at 10 m and at 20 m."""

AREA = (3_830_000, 3_101_600, 3_830_200, 3_101_800)


@pytest.fixture(scope="module")
def production(shared_data, tmp_path_factory):
    """July and December of Flanders, real scenes, gaps filled, and the metrics of what lies between; finished."""
    folder = tmp_path_factory.mktemp("composites")
    file = folder / "composites.toml"
    file.write_text(
        'product = "composites"\ntiles = ["E38N31"]\nstore = "store"\n[periods]\nspan = "2018-07-01/2018-08-31"\n'
        f'[area]\nbbox = {list(AREA)}\n[scenes]\ncatalogue = "{shared_data}/flanders/items.json"\n'
        "[engine]\nworkers = 2\n[parameters.composites]\nfill = true\n"
    )
    assert main(["run", "--config", str(file)]) == 0
    return file


def expected_of(shared_data, grid, period):
    """Looks of a period from single scenes: bands (time, y, x) by name, NaN where a look does not count."""
    scenes = select_scenes(ItemFiles(shared_data / "flanders").search((-180, -90, 180, 90), Period.parse(period))).scenes
    coarse, found = grid.zoom_out(2), {}
    seen = {
        size: np.isin(np.stack([read_band(s.bands["SCL"], s.id, g, classes=True) for s in scenes]), CLEAR)
        for size, g in ((10, grid), (20, coarse))
    }
    for band in QUANTILE_BANDS:
        size, here = (10, grid) if band in REFLECTANCE_10M else (20, coarse)
        found[band] = masked(np.stack([read_band(s.bands[band], s.id, here) for s in scenes]), seen[size])
    return found, seen[10].sum(axis=0)


def on_10_m(plane, band):
    return plane if band in REFLECTANCE_10M else plane.repeat(2, axis=0).repeat(2, axis=1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_real_months_as_numpy_computes_them(production, shared_data):
    job = Job.of(Production.read(production), "E38N31")
    grid = job.grid(10)
    own, clear = expected_of(shared_data, grid, "2018-07")
    others, around = expected_of(shared_data, grid, "2018-06")
    for later, counts in [expected_of(shared_data, grid, "2018-08")]:
        others = {band: np.concatenate([others[band], later[band]]) for band in others}
        around = around + counts
    bands = np.stack([on_10_m(half_up(np.nanmedian(own[b], axis=0)), b) for b in QUANTILE_BANDS])
    filling = np.stack([on_10_m(half_up(np.nanmedian(others[b], axis=0)), b) for b in QUANTILE_BANDS])
    gaps = (bands == 0).any(axis=0)
    filled = gaps & (filling > 0).all(axis=0)
    bands[:, gaps] = np.where(filled[gaps], filling[:, gaps], 0)
    looks = np.where(gaps, np.where(filled, FILLED, NO_LOOK), clear).astype("u1")
    assert (clear > 1).any() and (~gaps).sum() > 100
    np.testing.assert_array_equal(np.asarray(job.array("CO_A")), bands)
    np.testing.assert_array_equal(np.asarray(job.group("CO_A")[LOOKS]), looks)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_real_metrics_as_numpy_computes_them(production, shared_data):
    job = Job.of(Production.read(production), "E38N31")
    looks, clear = expected_of(shared_data, job.grid(10), "2018-07-01/2018-08-31")
    planes = []
    for name in METRIC_BANDS:
        band, _, metric = name.partition("_")
        how = "linear" if metric == "median" else "inverted_cdf"
        found = np.nanquantile(looks[band], METRICS[metric], axis=0, method=how)
        planes.append(on_10_m(half_up(found), band))
    bands = np.stack(planes)
    bands[:, (bands == 0).any(axis=0)] = 0
    np.testing.assert_array_equal(np.asarray(job.array("CO_metrics")), bands)
    np.testing.assert_array_equal(np.asarray(job.group("CO_metrics")[LOOKS]), np.where(bands[0] > 0, clear, 0))


def test_files_are_those_of_the_store_and_pass(production, capsys):
    job = Job.of(Production.read(production), "E38N31")
    folder = production.parent / "store" / "products" / "E38N31"
    assert {path.name for path in folder.glob("*.tif")} == {
        "CO_A_2018-07_E38N31_R10m.tif", "CO_B_2018-08_E38N31_R10m.tif",
        "CO_looks_2018-07-01_2018-08-31_E38N31_R10m.tif", "CO_metrics_2018-07-01_2018-08-31_E38N31_R10m.tif",
    }  # fmt: skip
    with rasterio.open(folder / "CO_A_2018-07_E38N31_R10m.tif") as file:
        assert file.descriptions == QUANTILE_BANDS and file.nodata == 0 and set(file.scales) == {1e-4}
        np.testing.assert_array_equal(file.read(), np.asarray(job.array("CO_A")))
    with rasterio.open(folder / "CO_looks_2018-07-01_2018-08-31_E38N31_R10m.tif") as file:
        assert file.descriptions == tuple("ABCDEFGHIJKL") and (file.read(3) == NO_LOOK).all()
        np.testing.assert_array_equal(file.read(1), np.asarray(job.group("CO_A")[LOOKS]))
    assert main(["verify", "--config", str(production)]) == 0
    assert "4 of 4 files pass" in capsys.readouterr().out


def test_a_map_tells_looks_from_what_was_filled(production):
    job = Job.of(Production.read(production), "E38N31")
    *_, (_, _, holdings) = StoreSource(job.store).scan()
    layers, tiles = {one.layer.symbol: one for one in holdings.layers.values()}, MapTiles()
    left, _, _, top = layers["CO_looks"].parts["E38N31"].bounds
    stored = np.asarray(job.array("CO_looks"))
    for code in np.unique(stored[0]):
        row, column = np.argwhere(stored[0] == code)[0]
        found = tiles.values(layers["CO_looks"], left + 10 * column + 5, top - 10 * row - 5)["values"]
        told = {0: "no clear look", 1: "1 clear look", FILLED: "filled from the months around", NO_LOOK: ""}
        assert found[0]["label"] == "A" and found[0]["meaning"] == told.get(int(code), f"{code} clear looks")
        assert found[2] == {"label": "C", "stored": None, "value": None, "meaning": ""}
    legend = legend_of(layers["CO_looks"], tiles)
    assert legend["bars"][-1]["high"] == "15 clear looks"
    assert [one["text"] for one in legend["classes"]] == ["no clear look", "filled from the months around"]


def test_a_run_again_makes_nothing(production, capsys):
    assert main(["run", "--config", str(production)]) == 0
    assert "0 ran" in capsys.readouterr().err


@pytest.mark.slow
def test_strips_and_threads_change_nothing(shared_data):
    """The same bits from one strip as from three with one thread."""
    from imperv.tasks.composites.making import MonthOf
    from imperv.tasks.scenes.streams import Streams
    from imperv.tasks.yearly.looks import Looks

    items = ItemFiles(shared_data / "flanders").search((-180, -90, 180, 90), Period.parse("2018-06-20/2018-08-10"))
    scenes = select_scenes(items)
    month = [s for s in scenes.scenes if s.day.month == 7]
    others = [s for s in scenes.scenes if s.day.month != 7]
    own, around = (Looks.of(type(scenes)(tuple(some))) for some in (month, others))
    grid = GeoBox((3 * STEP, 90), Affine(10, 0, 3_829_950, 0, -10, 3_101_900), "EPSG:3035")
    month_of, streams = MonthOf("CO_A", own, around, clear_table(50)), Streams()
    whole = month_of(grid, 2, lambda size: None, Streams())
    parts = [month_of(grid[k : k + STEP, :], 1, lambda size: None, streams) for k in range(0, 3 * STEP, STEP)]
    assert (whole["looks"] == NO_LOOK).any() and (whole["looks"] < FILLED).any()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, np.concatenate([part[name] for part in parts], axis=-2))


def test_a_span_without_clear_looks_is_refused(shared_data, tmp_path, capsys):
    items = ItemFiles(shared_data / "flanders").search((-180, -90, 180, 90), Period.parse("2017-12"))
    grid = GeoBox((20, 20), Affine(10, 0, AREA[0], 0, -10, AREA[3]), "EPSG:3035")
    cloudy = [
        s for s in select_scenes(items).scenes if not np.isin(read_band(s.bands["SCL"], s.id, grid, classes=True), CLEAR).any()
    ]
    day = cloudy[0].day
    file = tmp_path / "composites.toml"
    file.write_text(
        f'product = "composites"\ntiles = ["E38N31"]\nstore = "store"\n[periods]\nspan = "{day}"\n[area]\nbbox = {list(AREA)}\n'
        f'[scenes]\ncatalogue = "{shared_data}/flanders/items.json"\n'
    )
    assert isinstance(day, dt.date)
    assert main(["run", "--config", str(file), "--target", "CO_metrics"]) != 0
    assert "no look of" in (said := capsys.readouterr().err) and "choose another span" in said
    assert not list((tmp_path / "store").rglob("CO_metrics*.tif"))


def test_files_are_the_same_in_strips_of_some_bands(production, tmp_path, monkeypatch):
    job, layer = Job.of(Production.read(production), "E38N31"), CATALOGUE["CO_metrics"]
    whole = cog.write_cog(tmp_path / "whole.tif", job, layer, None, {"a": "b"})
    columns = job.grid(10).shape.x
    monkeypatch.setattr(cog, "STRIP_BYTES", 3 * cog.BLOCK * columns * 2)
    assert cog.bands_at_once(layer, columns) == 3
    parts = cog.write_cog(tmp_path / "parts.tif", job, layer, None, {"a": "b"})
    assert [(band.valid, band.values) for band in whole] == [(band.valid, band.values) for band in parts]
    assert (tmp_path / "whole.tif").read_bytes() == (tmp_path / "parts.tif").read_bytes()


def test_the_report_shows_every_month(production):
    job = Job.of(Production.read(production), "E38N31")
    page = compose(job)
    assert not page["troubles"] and [m.title for m in page["pictures"]] == ["A, 2018-07", "B, 2018-08"] and page["metrics"]
    looks = np.asarray(job.group("CO_A")[LOOKS])
    (july, _), everything = page["months"], looks.size
    assert july["seen"] == pytest.approx((looks < FILLED).sum() / everything)
    assert (july["filled"], july["missing"]) == pytest.approx([(looks == code).sum() / everything for code in (FILLED, NO_LOOK)])
    text = job.store.read_text(job.report_path) or ""
    assert "What was seen" in text and text.count("data:image/png") >= 3
