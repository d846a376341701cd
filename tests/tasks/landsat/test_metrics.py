"""Metrics of a year against NumPy's weighted quantile, pixel by pixel, on random scenes and on a kit with known truth."""

from __future__ import annotations

import datetime as dt
import json
import pickle

import numpy as np
import pytest
import rasterio

from imperv.grids import Block
from imperv.layers.landsat import BANDS, COVERED, QaParameters, quality_weights, reflectance, saturated
from imperv.layers.sharpening.degradation import degrade
from imperv.tasks.engine import Engine
from imperv.tasks.errors import InputError
from imperv.tasks.landsat.metrics import Metrics, metric_name, plan_blocks, require_looks, write_metrics
from imperv.tasks.landsat.reading import landsat_geobox
from imperv.tasks.landsat.scenes import select_landsat
from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.settings.periods import Period
from imperv.tasks.settings.production import EngineSettings
from tests.tasks.landsat.test_reading import CLEAR, SHAPE, grid_at, scene_of

YEAR = Period.parse(2021)
QUANTILES = (0.0, 0.2, 0.5, 0.9, 1.0)
QA = QaParameters(1, 1)


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    """Twelve overpasses, two of them of two rows that overlap; gaps, clouds, saturation; columns 0 to 3 are always cloud."""
    rng, folder, scenes, stacks = np.random.default_rng(11), tmp_path_factory.mktemp("year"), [], []
    for n in range(14):
        day = dt.date(2021, 1, 1) + dt.timedelta(int(27 * min(n, 11)))
        arrays = {band: rng.integers(6000, 40000, SHAPE).astype("u2") for band in BANDS}
        qa = np.full(SHAPE, CLEAR, "u2")
        qa[rng.random(SHAPE) < 0.1] |= 1 << 3
        qa[rng.random(SHAPE) < 0.1] |= 1 << 4
        qa[rng.random(SHAPE) < 0.1] ^= 3 << 8
        qa[:, :4] = CLEAR | 1 << 3
        fill = rng.random(SHAPE) < 0.1
        if n >= 10:  # rows 28 and 29 of one path
            fill |= (np.indices(SHAPE)[0] > 60) if n % 2 else (np.indices(SHAPE)[0] < 40)
            day = dt.date(2021, 11, 1) + dt.timedelta(16 * ((n - 10) // 2))
        fill[5, 5] = True
        qa[fill] = 1
        for band in BANDS:
            arrays[band][fill] = 0
        arrays["qa_pixel"], arrays["qa_radsat"] = qa, np.where(rng.random(SHAPE) < 0.05, 1 << 4, 0).astype("u2")
        scene = scene_of(folder, arrays, name=f"s{n}")
        row = "029" if n >= 10 and n % 2 else "028"
        scenes.append(type(scene)(**vars(scene) | {"datetime": f"{day}T10:00:00+00:00", "row": row}))
        stacks.append((day, arrays))
    groups: dict = {}
    for scene in sorted(scenes, key=lambda s: s.datetime):
        groups.setdefault(scene.overpass, []).append(scene)
    return tuple(map(tuple, groups.values())), stacks


def by_numpy(stacks, days_count: bool):
    """The same from the arrays, one pixel after the other."""
    dates = sorted({day for day, _ in stacks})
    weights, values = [], []
    for date in dates:
        own = [arrays for day, arrays in stacks if day == date]
        w = np.stack([quality_weights(a["qa_pixel"], QA) for a in own])
        best = w.argmax(0)
        weights.append(w.max(0))
        v = []
        for band in BANDS:
            layers = []
            for a in own:
                r = reflectance(a[band])
                r[saturated(a["qa_radsat"], band, "oli")] = 0
                layers.append(r)
            v.append(np.take_along_axis(np.stack(layers), best[None], 0)[0])
        values.append(v)
    weights, values = np.stack(weights).astype("f8"), np.stack(values)
    looks = (weights > COVERED).sum(0)
    weights[(weights == COVERED) & (looks > 0)[None]] = 0
    days = np.array([(d - YEAR.start).days for d in dates])
    out = np.zeros((len(QUANTILES), len(BANDS), *SHAPE), "u2")
    for y in range(0, SHAPE[0], 19):
        for x in range(SHAPE[1]):
            w = weights[:, y, x]
            if not w.any():
                continue
            if days_count:
                here = days[w > 0]
                before, after = np.roll(here, 1), np.roll(here, -1)
                before[0] -= 365
                after[-1] += 365
                w = w.copy()
                w[w > 0] *= after - before
            for k in range(len(BANDS)):
                v = values[:, k, y, x]
                use = (v > 0) & (w > 0)
                if use.any():
                    out[:, k, y, x] = np.quantile(v[use].astype("f8"), QUANTILES, weights=w[use], method="inverted_cdf")
    return out, looks


@pytest.mark.parametrize("days_count", [False, True])
def test_metrics_are_those_of_numpy(year, days_count):
    overpasses, stacks = year
    assert len(overpasses) == 12
    metrics = Metrics(overpasses, grid_at(0, 0, SHAPE), YEAR if days_count else None, QUANTILES, QA, threads=2)
    found, looks = metrics(Block(0, 0, *SHAPE))
    expected, expected_looks = by_numpy(stacks, days_count)
    assert np.array_equal(looks, expected_looks)
    assert np.array_equal(found[..., ::19, :], expected[..., ::19, :])
    assert (looks[:, :4] == 0).all() and (found[2, :, :5, :4] > 0).all()
    assert (np.diff(found.astype("i4"), axis=0) >= 0).all()


@pytest.mark.slow
def test_blocks_and_threads_change_nothing(year):
    metrics = Metrics(year[0], grid_at(-3, -2, (100, 90)), YEAR, QUANTILES, QA)
    whole, looks = metrics(Block(0, 0, 100, 90))
    again = pickle.loads(pickle.dumps(metrics))
    for block in (Block(0, 0, 31, 40), Block(31, 40, 100, 90)):
        part, part_looks = again(block)
        assert np.array_equal(part, whole[(..., *block.slices)]) and np.array_equal(part_looks, looks[block.slices])
    assert not whole[..., :3, :].any() and not looks[:3].any()


def test_a_grid_is_written_within_memory(year):
    grid = grid_at(0, 0, SHAPE)
    metrics = Metrics(year[0], grid, YEAR, QUANTILES, QA)
    out, looks = np.full((5, 6, *SHAPE), 7, "u2"), np.full(SHAPE, 7, "u2")
    small = Engine(EngineSettings(memory="1 GiB", workers=2))
    counts = write_metrics(metrics, out, looks, small)
    expected, expected_looks = metrics(Block(0, 0, *SHAPE))
    assert np.array_equal(out, expected) and np.array_equal(looks, expected_looks)
    assert np.array_equal(counts, np.bincount(looks.ravel())) and counts.sum() == looks.size
    far = Metrics(year[0] * 30, grid_at(0, 0, (6000, 6000)), YEAR, QUANTILES, QA)
    blocks, size = plan_blocks(far, small)
    assert blocks[0].shape[0] < 500 and size <= small.budget
    with pytest.raises(InputError, match=r"engine\.memory: Landsat metrics needs"):
        plan_blocks(Metrics(year[0] * 40_000, far.grid), small)


def test_too_few_looks_are_an_error():
    counts = np.array([10, 20, 70])
    require_looks(counts, 1, 0.9, "x")
    with pytest.raises(InputError, match="x: only 70 % of the pixels have 2 clear looks"):
        require_looks(counts, 2, 0.9, "x")


def test_names_of_quantiles():
    assert [metric_name(q) for q in (0, 0.2, 0.25, 0.5, 0.975, 1)] == ["min", "p20", "p25", "median", "p97.5", "max"]


@pytest.mark.slow
@pytest.mark.parametrize(("year_", "limits"), [(2021, (80, 600)), (2005, (160, 600))])
def test_the_median_of_a_kit_is_what_the_truth_would_look_like(fine_kit, year_, limits):
    """Truth at 10 m degraded by the point spread of the sensor, whose gain is taken off: visible bands within a percent."""
    facts = json.loads((fine_kit / "truth" / "landsat.json").read_text())[str(year_)]
    with rasterio.open(fine_kit / "truth" / f"truth_composite_10m_{year_}.tif") as source:
        truth, bounds = source.read().astype("f4"), source.bounds
    period = Period.parse(year_)
    scenes = select_landsat(ItemFiles(fine_kit / "landsat").search((-180, -90, 180, 90), period))
    grid = landsat_geobox(bounds, "EPSG:32632")
    (median,), looks = Metrics(scenes.groups, grid, period, (0.5,))(Block(0, 0, *grid.shape))
    gain, offset = (np.array(facts[k])[:, None, None] for k in ("gain", "offset"))
    found = (median - 1e4 * offset) / gain
    rows, columns = (3 * n - 1 - s for n, s in zip(grid.shape, truth.shape[1:], strict=True))
    padded = np.pad(truth, ((0, 0), (2, rows), (2, columns)), mode="edge")
    shifted = (padded[:, 1:, 1:] + padded[:, :-1, :-1] + padded[:, 1:, :-1] + padded[:, :-1, 1:]) / 4
    error = (found - degrade(shifted, 3, 1.0))[:, 1:-1, 1:-1]
    rmse = np.sqrt((error**2).mean((1, 2)))
    assert (median > 0).all() and looks.mean() > 5
    assert rmse[:3].max() < limits[0] and rmse.max() < limits[1], rmse
