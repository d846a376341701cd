"""Features of a Landsat year on a grid of EPSG:3035, against the field that its scenes show, which is linear in the zone.

Interpolation keeps what is linear, so that every pixel must have the value of its place; harmonics are those that the scenes were
made with.
"""

from __future__ import annotations

import datetime as dt
import pickle
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from imperv.grids import Block, block_grid
from imperv.layers.features import QUANTILE_BANDS
from imperv.layers.harmonisation import Harmonisation, Line
from imperv.layers.landsat import BANDS, OFFSET, SCALE, SEEN
from imperv.tasks.landsat.features import NAMES, LandsatYear, planes_of
from imperv.tasks.landsat.metrics import Metrics
from imperv.tasks.landsat.sharpening import Sharpened
from imperv.tasks.settings.periods import Period, year_fraction
from tests.tasks.landsat.test_reading import CLEAR, CORNER, SHAPE, grid_at, scene_of

YEAR = Period.parse(2021)
MEAN, WAVE = 0.4, 0.2


def field(x, y):
    """Reflectance of red x 10 000 at places of the zone."""
    return 800 + 0.3 * (np.asarray(x) - CORNER[0]) + 0.1 * (CORNER[1] - np.asarray(y))


@pytest.fixture(scope="module")
def year(tmp_path_factory) -> LandsatYear:
    """Twelve scenes: red by `field`, near infrared such that NDVI is a wave over the year; column 0 to 9 are outside."""
    folder, groups = tmp_path_factory.mktemp("year"), []
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    red = field(CORNER[0] + 30 * columns, CORNER[1] - 30 * rows)
    for n in range(12):
        day = dt.date(2021, 1, 10) + dt.timedelta(30 * n)
        index = MEAN + WAVE * np.cos(2 * np.pi * year_fraction(day))
        values = dict.fromkeys(BANDS, red) | {"nir08": red * (1 + index) / (1 - index)}
        arrays = {band: np.rint((1e-4 * v - OFFSET) / SCALE).astype("u2") for band, v in values.items()}
        arrays["qa_pixel"] = np.full(SHAPE, CLEAR, "u2")
        for array in arrays.values():
            array[:, :10] = 0
        arrays["qa_pixel"][:, :10] = 1
        scene = scene_of(folder, arrays, name=f"s{n}")
        groups.append((replace(scene, datetime=f"{day}T10:00:00+00:00"),))
    metrics = Metrics(tuple(groups), grid_at(0, 0, SHAPE), YEAR, (0.2,))
    return LandsatYear(Sharpened(metrics, (), {}), 0.9)


@pytest.fixture(scope="module")
def here() -> GeoBox:
    """A part of the EEA grid in the middle of the scenes, 40 x 60 pixels of 10 m."""
    to_eea = Transformer.from_crs(32632, 3035, always_xy=True)
    x, y = to_eea.transform(CORNER[0] + 15 * SHAPE[1], CORNER[1] - 15 * SHAPE[0])
    return GeoBox((40, 60), Affine(10, 0, 10 * round(x / 10) - 300, 0, -10, 10 * round(y / 10) + 200), "EPSG:3035")


def expected(grid: GeoBox) -> np.ndarray:
    y, x = np.mgrid[: grid.shape.y, : grid.shape.x] + 0.5
    return field(*Transformer.from_crs(3035, 32632, always_xy=True).transform(*(grid.affine * (x, y))))


def test_every_pixel_has_the_value_of_its_place(year, here):
    found = year(here)
    truth = expected(here)
    assert np.ptp(truth) > 100
    for band in ("B02", "B03", "B04", "B11", "B12"):
        assert np.abs(found["quantiles"][QUANTILE_BANDS.index(band)] - truth).max() <= 2, band
    assert not found["quantiles"][3:6].any()  # the red edge
    low = MEAN - WAVE * 0.8
    assert (found["quantiles"][6] == found["quantiles"][7]).all() and (
        found["quantiles"][6] < truth * (1 + low) / (1 - low)
    ).all()
    mean, cosine, sine, *rest = found["harmonics"]
    assert np.abs(mean - MEAN).max() < 2e-3 and np.abs(cosine - WAVE).max() < 2e-3 and np.abs(sine).max() < 2e-3
    assert np.abs(rest).max() < 2e-3
    assert np.abs(found["ndvi_q90"] - (MEAN + WAVE)).max() < 0.04
    assert (found["observations"] == 12).all()


def test_lines_change_bands_and_ndvi(year, here):
    table = {name: Line(1.1, 50.0) for name in SEEN} | {"NDVI_c0": Line(0.9, 300.0), "NDVI_q90": Line(1.0, -200.0)}
    assert tuple(table) == NAMES
    plain, found = year(here), replace(year, lines=Harmonisation("oli", "msi", "test", table))(here)
    for band in SEEN:
        k = QUANTILE_BANDS.index(band)
        assert np.abs(found["quantiles"][k] - (1.1 * plain["quantiles"][k].astype(float) + 50)).max() <= 1.2
    # What little detail there is in NDVI differs with the lines of the bands.
    assert np.abs(found["harmonics"][0] - (0.9 * plain["harmonics"][0] + 0.03)).max() < 5e-3
    np.testing.assert_allclose(found["harmonics"][1:], 0.9 * plain["harmonics"][1:], atol=1e-5)
    assert np.abs(found["ndvi_q90"] - (plain["ndvi_q90"] - 0.02)).max() < 5e-3


@pytest.mark.slow
def test_a_pixel_does_not_depend_on_its_part(year, here):
    whole, again = year(here), pickle.loads(pickle.dumps(year))
    for part in block_grid(here, 25):
        found = again(part.geobox(here))
        for name, values in found.items():
            cut = whole[name][(..., *part.slices)]
            if values.dtype.kind == "f":
                np.testing.assert_allclose(values, cut, atol=1e-3)
            else:
                assert np.abs(values.astype(int) - cut).max() <= 1, name


def test_where_no_scene_lies_there_is_no_data(year, here):
    away = GeoBox(here.shape, Affine(10, 0, here.affine.c + 50_000, 0, -10, here.affine.f), here.crs)
    found = year(away)
    assert not found["quantiles"].any() and np.isnan(found["harmonics"]).all() and np.isnan(found["ndvi_q90"]).all()
    west = GeoBox((40, 200), Affine(10, 0, here.affine.c - 1100, 0, -10, here.affine.f), here.crs)
    found = year(west)
    empty = np.isnan(found["harmonics"][0])
    assert 0.05 < empty.mean() < 0.9 and np.array_equal(empty, found["quantiles"][2] == 0)
    assert np.abs(found["quantiles"][2] - expected(west))[~empty].max() <= 6  # no data has no part in its neighbours


def test_the_area_of_a_part_lies_on_landsats_pixels(year, here):
    area, grid = year.area(here), year.sharpened.metrics.grid
    box = area.geobox(grid)
    assert box.crs == grid.crs and box.boundingbox.left % 30 == 15
    reach = here.extent.to_crs(grid.crs).boundingbox
    assert box.boundingbox.left < reach.left - 90 and box.boundingbox.top > reach.top + 90
    assert year.bytes(Block(0, 0, 40, 60).geobox(here)) > year.bytes(Block(0, 0, 20, 20).geobox(here))


def test_what_lines_are_fitted_to_has_nan_without_data():
    composite = np.arange(6, dtype="u2").reshape(6, 1, 1) * 100
    planes = planes_of(composite, np.full((7, 1, 1), 0.25, "f4"), np.full((1, 1), np.nan, "f4"))
    assert planes.shape == (9, 1, 1) and np.isnan(planes[0, 0, 0]) and np.isnan(planes[-1, 0, 0])
    assert planes[1:8, 0, 0].tolist() == [100, 200, 300, 300, 400, 500, 2500]
