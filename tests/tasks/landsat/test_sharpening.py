"""Composites at 10 m of a kit whose shifts and truth are known, and blocks of them."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import rasterio

from imperv.grids import Block
from imperv.layers.harmonisation import Harmonisation, Line
from imperv.layers.landsat import BANDS
from imperv.layers.sharpening.composites import plain
from imperv.tasks.landsat.metrics import Metrics
from imperv.tasks.landsat.reading import landsat_geobox
from imperv.tasks.landsat.scenes import select_landsat
from imperv.tasks.landsat.sharpening import Sharpened, fine_geobox, register
from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.settings.periods import Period

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[2021, 2005])
def year(fine_kit, request):
    """Metrics of a year, its truth at 10 m on the pixels of `fine_geobox`, what is known of the sensor, and its dates."""
    facts = json.loads((fine_kit / "truth" / "landsat.json").read_text())[str(request.param)]
    with rasterio.open(fine_kit / "truth" / f"truth_composite_10m_{request.param}.tif") as source:
        truth, bounds = source.read().astype("f4"), source.bounds
    period = Period.parse(request.param)
    scenes = select_landsat(ItemFiles(fine_kit / "landsat").search((-180, -90, 180, 90), period))
    grid = landsat_geobox(bounds, "EPSG:32632")
    metrics = Metrics(scenes.groups, grid, period, (0.5,))
    fine = fine_geobox(grid)
    x, y = (bounds.left - fine.affine.c) / 10, (fine.affine.f - bounds.top) / 10
    assert (x, y) == (1, 1)
    padded = np.pad(truth, [(0, 0), *((1, n - 1 - s) for n, s in zip(fine.shape, truth.shape[1:], strict=True))], mode="edge")
    return metrics, padded, facts, register(metrics)


def lines(facts) -> Harmonisation:
    """What takes the sensor's gain off."""
    table = {b: Line(1 / g, -1e4 * o / g) for b, g, o in zip(BANDS, facts["gain"], facts["offset"], strict=True)}
    return Harmonisation(facts["sensor"], "msi", "truth", table)


def test_shifts_are_measured_to_a_tenth_of_a_pixel(year):
    _, _, facts, dates = year
    known = {entry["item"]: (-entry["dy_m"] / 30, entry["dx_m"] / 30) for entry in facts["items"]}
    error = np.array([np.subtract(date.shift, known[date.scene.id]) for date in dates])
    assert len(dates) >= 6 and np.sqrt(((error - np.median(error, 0)) ** 2).mean()) < 0.1
    assert all(a.clear >= b.clear for a, b in zip(dates, dates[1:], strict=False))


def test_dates_bring_the_truth_nearer(year):
    metrics, truth, facts, dates = year
    whole, inside = Block(0, 0, *metrics.grid.shape), np.s_[:, 6:-6, 6:-6]
    sharpened = Sharpened(metrics, dates, {facts["sensor"]: lines(facts)})
    (image,), (deviation,) = sharpened(whole)
    values, _ = metrics(whole)
    before = plain(lines(facts).apply(values[0].astype("f4"), BANDS), sharpened.sigma, 5)
    rmse = [np.sqrt(((x - truth)[inside] ** 2).mean((1, 2))) for x in (before, image)]
    assert (rmse[1] < rmse[0]).all() and rmse[1].mean() < 0.92 * rmse[0].mean(), rmse
    assert np.isfinite(image[inside]).all() and (deviation[inside] >= 0).all()


@pytest.mark.parametrize("year", [2021], indirect=True)
def test_blocks_fit_together(year):
    metrics, _, _, dates = year
    few = Sharpened(metrics, dates[:3], {})
    (whole,), _ = few(Block(0, 0, *metrics.grid.shape))
    again = pickle.loads(pickle.dumps(few))
    (part,), _ = again(Block(20, 0, 40, 30))
    error = np.abs(part - whole[:, 60:120, :90])
    assert np.nanmax(error) < 20 and np.nanmean(error) < 1
    assert np.array_equal(np.isnan(part), np.isnan(whole[:, 60:120, :90]))
    assert few.bytes(Block(0, 0, 250, 250)) < 4 * few.bytes(Block(0, 0, 125, 125))


@pytest.mark.parametrize("year", [2021], indirect=True)
def test_without_dates_it_is_interpolated(year):
    metrics, *_ = year
    whole, without = Block(0, 0, *metrics.grid.shape), Sharpened(metrics, (), {})
    (image,), (deviation,) = without(whole)
    values, _ = metrics(whole)
    expected = plain(values[0].astype("f4"), without.sigma)
    assert abs(image - expected)[:, 15:-15, 15:-15].max() < 2 and not np.nanmax(deviation)
