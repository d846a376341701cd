"""How features of two years are aligned: against NumPy's medians, with sea, gaps and change, and what a prediction then sees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from imperv.grids import Block
from imperv.layers.features import FULL18, HARMONIC_NAMES, QUANTILE_BANDS, stack_features
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.nodes import alignment
from imperv.tasks.imperviousness.nodes.features import FeatureRows, open_parts, read_features
from imperv.tasks.job import Job
from imperv.tasks.nodes import make_node
from imperv.tasks.settings.production import Production
from tests.support.stored_layers import put

SIDE, SAMPLES = 700, alignment.SAMPLES


WINDOW = "[area]\nbbox = [3830000, 3115000, 3837000, 3122000]\n"


def job_of(folder: Path, more: str = "", memory: str = "4 GiB", bbox: str = WINDOW) -> Job:
    (folder / "production.toml").write_text(
        'tiles = ["E38N31"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n[engine]\nworkers = 2\n'
        f'memory = "{memory}"\n{bbox}{more}'
    )
    return Job.of(Production.read(folder), "E38N31")


def years() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Two years of a tile that is sea on the left, with land that has changed here and there."""
    rng = np.random.default_rng(5)
    shape = (SIDE, SIDE)
    then = {  # in the order of the layer's variables
        "quantiles": rng.integers(200, 4000, (len(QUANTILE_BANDS), *shape)).astype("u2"),
        "ndvi_q90": rng.uniform(0.3, 0.9, shape).astype("f4"),
        "harmonics": rng.normal(0, 0.1, (len(HARMONIC_NAMES), *shape)).astype("f4"),
        "observations": np.full(shape, 20, "u2"),
    }
    then["harmonics"][0] = rng.uniform(0.1, 0.8, shape)
    now = {name: array.copy() for name, array in then.items()}
    now["quantiles"] += rng.integers(60, 100, now["quantiles"].shape).astype("u2")
    now["harmonics"] += np.arange(1, 8, dtype="f4")[:, np.newaxis, np.newaxis] / 100
    changed = rng.random(shape) < 0.1
    now["harmonics"][0][changed] = 0.05
    for year, gap in ((then, np.s_[:50]), (now, np.s_[-50:])):
        year["harmonics"][0][:, :300] = -0.2  # water
        year["quantiles"][:, gap] = 0
        year["harmonics"][:, gap] = np.nan
    now["quantiles"][:, :, :300] //= 3
    return then, now


def expected(then: dict[str, np.ndarray], now: dict[str, np.ndarray]) -> np.ndarray:
    a, b = (stack_features(y["quantiles"], y["ndvi_q90"], y["harmonics"], FULL18) for y in (then, now))
    land = np.minimum(then["harmonics"][0], now["harmonics"][0]) > 0
    known = land & np.isfinite(a).all(axis=0) & np.isfinite(b).all(axis=0)
    return np.median((b - a)[:, known], axis=1)


@pytest.fixture(autouse=True)
def _every_pixel(monkeypatch):
    monkeypatch.setattr(alignment, "SAMPLES", SIDE * SIDE)


@pytest.fixture
def job(tmp_path) -> Job:
    made = job_of(tmp_path)
    for symbol, year in zip(("PP_then", "PP_now"), years(), strict=True):
        put(made, symbol, *year.values())
    return made


def test_the_shift_is_the_median_over_land_that_both_years_know(job):
    record, _ = make_node(job, "PP_shift")
    found = json.loads(job.store.read_text(job.place("PP_shift").data) or "")
    assert list(found) == list(FULL18)
    np.testing.assert_allclose(list(found.values()), expected(*years()), atol=1e-7)
    assert found["NDVI_a1"] == pytest.approx(0.02, abs=1e-6) and found["B02_q20"] == pytest.approx(0.008, abs=5e-4)
    assert record.statistics["shift"] == found and record.statistics["pixels"] == 600 * 400


@pytest.mark.slow
def test_a_sample_says_about_the_same(job, monkeypatch):
    make_node(job, "PP_shift")
    whole = job.store.read_text(job.place("PP_shift").data) or ""
    monkeypatch.setattr(alignment, "PIECES", 2)
    monkeypatch.setattr(alignment, "SAMPLES", 30_000)
    monkeypatch.setattr(alignment, "ENOUGH", 3_000)
    record, _ = make_node(job, "PP_shift", force=True)
    assert 3_000 < record.statistics["pixels"] <= 30_000
    a, b = (np.array(list(json.loads(text).values())) for text in (whole, job.store.read_text(job.place("PP_shift").data) or ""))
    np.testing.assert_allclose(a, b, atol=5e-4)
    assert (a != b).any()


@pytest.mark.slow
@pytest.mark.parametrize("corner", [np.s_[500:, 500:], np.s_[:500, :500], np.s_[500:, :500]])
def test_land_is_found_wherever_it_lies(tmp_path, monkeypatch, corner):
    """One piece of four has land; one is read at first."""
    monkeypatch.setattr(alignment, "PIECES", 1)
    job, both = job_of(tmp_path), years()
    island = np.zeros((SIDE, SIDE), bool)
    island[corner] = True
    for symbol, year in zip(("PP_then", "PP_now"), both, strict=True):
        year["harmonics"][0][~island] = -0.2
        put(job, symbol, *year.values())
    record, _ = make_node(job, "PP_shift")
    land = np.minimum(both[0]["harmonics"][0], both[1]["harmonics"][0]) > 0
    assert record.statistics["pixels"] == land.sum() > 1_000 and not record.warnings
    np.testing.assert_allclose(list(record.statistics["shift"].values()), expected(*both), atol=1e-7)


def test_features_of_now_come_aligned_and_those_of_then_as_they_are(job, tmp_path):
    make_node(job, "PP_shift")
    names, block = FULL18[:12], Block(40, 200, 360, 620)
    then, now = years()
    plain = [stack_features(y["quantiles"], None, y["harmonics"], names)[(slice(None), *block.slices)] for y in (then, now)]
    np.testing.assert_array_equal(read_features(job, "then", block, names), plain[0])
    shift = expected(then, now)[:12, np.newaxis, np.newaxis].astype("f4")
    aligned = read_features(job, "now", block, names)
    np.testing.assert_allclose(aligned, plain[1] - shift, atol=1e-6)
    rows = FeatureRows(open_parts(job, "now"), names, (200, 620), 400, 2)(40, 360)
    np.testing.assert_array_equal(np.moveaxis(rows, -1, 0), aligned)
    unaligned = job_of(tmp_path, "[parameters.unet]\nalign_years = false\n")
    np.testing.assert_array_equal(read_features(unaligned, "now", block, names), plain[1])


@pytest.mark.slow
@pytest.mark.parametrize("pixels", [0, 5, 999])
def test_little_land_tells_nothing_of_the_years(tmp_path, pixels):
    job = job_of(tmp_path)
    island = np.zeros(SIDE * SIDE, bool)
    island[100_000 : 100_000 + pixels] = True
    for symbol, year in zip(("PP_then", "PP_now"), years(), strict=True):
        year["harmonics"][0] = np.where(island.reshape(SIDE, SIDE), 0.3, -0.1)
        put(job, symbol, *year.values())
    record, _ = make_node(job, "PP_shift")
    assert set(record.statistics["shift"].values()) == {0.0} and record.statistics["pixels"] == pixels
    (warning,) = record.warnings
    assert warning.startswith(f"tile E38N31 has {pixels} pixels of land with features of both years: too few to align")


def test_features_without_their_shift_are_refused(job):
    with pytest.raises(InputError, match="PP_shift of tile E38N31 is not in .*; first imperv run E38N31 --target PP_shift"):
        read_features(job, "now", Block(0, 0, 10, 10), FULL18)


@pytest.mark.slow
def test_one_piece_fits_into_the_least_memory(tmp_path, monkeypatch):
    job = job_of(tmp_path, memory="256 MiB", bbox="")
    monkeypatch.setattr(alignment, "SAMPLES", SAMPLES)
    assert job.grid(10).shape == (10_000, 10_000)
    for symbol in ("PP_then", "PP_now"):
        put(job, symbol)
    record, _ = make_node(job, "PP_shift")
    assert record.statistics["pixels"] == 0
