"""Predictions of tiles through the real store: the same as of whole arrays, seamless, with neighbours, within memory."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.catalogue.node import MEMBER_SD
from imperv.layers.network.ensemble import ensemble
from imperv.layers.network.unet import UNetParameters
from imperv.layers.network.windows import reach
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.imperviousness.nodes import predicting
from imperv.tasks.imperviousness.nodes.features import FeatureRows, Part, open_parts, read_features
from imperv.tasks.imperviousness.nodes.predicting import Ground, Plan, halo_versions, make_prediction, plan_prediction
from imperv.tasks.job import Job
from imperv.tasks.networks.registry import load
from imperv.tasks.settings.production import Production
from tests.support.endless import predict_endless
from tests.support.small_models import TILE, production, put_features, put_model, record_of

EAST = "E45N27"
ACROSS = "[4498000, 2700000, 4502000, 2702000]"
"""2 x 2 km of each of two tiles."""
LONG = "[4488000, 2700000, 4500000, 2701000]"
"""1200 x 100 pixels: two blocks."""
UNET = "base_filters = 2\ndepth = 1\ncrop = 8\nmembers = 2\n"
RIMD = CATALOGUE["RIMD"]


def prepared(folder, area, seeds=(1,), tile=TILE, **more) -> Job:
    """A tile with features, a model of its own, and those of other tiles."""
    found = production(folder, area=area, unet=UNET, **more)
    job = Job.of(found, tile)
    put_features(job)
    for name, seed in zip((tile, "E43N27", "E44N28"), seeds, strict=False):
        put_model(job.store, record_of(found, name, seed=seed), seed)
    return job


def predicted(job: Job) -> tuple[np.ndarray, np.ndarray]:
    make_prediction(job, RIMD)
    group = job.group("RIMD")
    return group["RIMD"][:], group[MEMBER_SD][:]


def endless(job: Job, record, shape: tuple[int, int]) -> np.ndarray:
    """The other implementation, of an area from the first pixel of a tile on: every member, padded, on all features at once."""
    names = job.production.parameters.unet.names
    model, normalisation = load(job.store, record)
    return predict_endless(
        model, normalisation, lambda *box: read_features(job, "now", Block(*box), names), shape, job.global_index()
    )


def expected(job: Job, records) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of every member of the whole tile."""
    return ensemble(np.concatenate([endless(job, record, job.grid(10).shape) for record in records]))


def assert_same(found, wanted):
    np.testing.assert_array_equal(found[0] == 255, wanted[0] == 255)
    np.testing.assert_allclose(found[1], wanted[1], atol=2e-5)
    valid = wanted[0] != 255
    difference = np.abs(found[0].astype(int) - wanted[0])[valid]
    # A mean within rounding of half a percent may fall to either side.
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01
    assert np.ptp(wanted[0][valid]) > 10 and np.nanmax(wanted[1]) > 0.01


@pytest.mark.slow
def test_all_members_of_all_models_in_one_pass_equal_whole_arrays(tmp_path):
    job = prepared(tmp_path, ACROSS, seeds=(1, 2, 3))
    made = make_prediction(job, RIMD)
    group = job.group("RIMD")
    records = [job.store.read_record(f"models/IMD/{t}/model.json") for t in (TILE, "E43N27", "E44N28")]
    assert_same((group["RIMD"][:], group[MEMBER_SD][:]), expected(job, records))
    assert made.statistics["members"] == 6 and made.statistics["models"] == [TILE, "E43N27", "E44N28"]
    assert made.statistics["models_left_out"] == {} and made.statistics["RIMD"]["outside"] > 0


@pytest.mark.slow
def test_the_halo_comes_from_the_neighbour(tmp_path):
    """Both sides of the border of two tiles are what one array of both would give: there is no seam."""
    job = prepared(tmp_path, ACROSS)
    other = job.neighbour(type(job.tile)(EAST))
    alone = predicted(job)
    put_features(other, seed=5)
    put_model(job.store, record_of(job.production, EAST))
    job.store.remove_record(f"models/IMD/{TILE}/model.json")
    put_model(job.store, record_of(job.production, TILE))
    assert set(halo_versions(job)) == {EAST} and set(halo_versions(other)) == {TILE}
    both = [predicted(one) for one in (job, other)]
    one = endless(job, job.record("IMD_model"), (200, 400))
    assert np.isfinite(one[:, :, 200:]).any()
    # Both tiles use the same network twice, so mean and spread are those of one.
    assert_same([np.concatenate([a, b], axis=1) for a, b in zip(*both, strict=True)], ensemble(one))
    changed = np.abs(alone[1] - both[0][1]) > 1e-4
    assert changed[:, -reach(1) :].any() and not changed[:, : 200 - reach(1)].any()


@pytest.mark.slow
def test_strips_and_batches_leave_no_trace(tmp_path, monkeypatch):
    job = prepared(tmp_path, LONG)
    whole = make_prediction(job, RIMD)
    first = [job.group("RIMD")[name][:] for name in ("RIMD", MEMBER_SD)]
    monkeypatch.setattr(predicting, "plan_prediction", lambda *_: Plan.of(Ground.of(job, 1), 1, 2, 1000, 64))
    cut = make_prediction(job, RIMD)
    for before, name in zip(first, ("RIMD", MEMBER_SD), strict=True):
        np.testing.assert_array_equal(job.group("RIMD")[name][:], before)
    assert cut.digest == whole.digest and cut.statistics["RIMD"]["pixels"] == 120_000


@pytest.mark.slow
def test_a_tile_without_a_model_of_its_own_uses_its_neighbours(tmp_path):
    job = prepared(tmp_path, ACROSS, seeds=(1, 2))
    put_model(job.store, record_of(job.production, TILE, made=False, reason="no footprints"))
    made = make_prediction(job, RIMD)
    assert made.statistics["models"] == ["E43N27"] and made.statistics["members"] == 2
    assert made.statistics["models_left_out"] == {TILE: "not trained: no footprints"}
    record = job.store.read_record("models/IMD/E43N27/model.json")
    group = job.group("RIMD")
    assert_same((group["RIMD"][:], group[MEMBER_SD][:]), expected(job, [record]))


def test_without_any_model_there_is_one_line(tmp_path):
    job = prepared(tmp_path, ACROSS, seeds=())
    put_model(job.store, record_of(job.production, TILE, made=False, reason="no footprints"))
    put_model(job.store, record_of(job.production, "E43N27", **{"unet.features": "full18"}))
    with pytest.raises(WorkError) as caught:
        make_prediction(job, RIMD)
    assert str(caught.value) == (
        "RIMD of tile E44N27: no IMD_model can be used within 300 km (E44N27: not trained: no footprints; E43N27: other "
        "features: full18, expected atbd12); run neighbouring tiles first, or import a model with `imperv model import`"
    )
    assert job.record("RIMD") is None


@pytest.mark.slow
@pytest.mark.parametrize("features", ["atbd12", "full18"])
def test_rows_of_features_are_those_of_blocks_and_are_read_once(tmp_path, monkeypatch, features):
    job = prepared(tmp_path, ACROSS, seeds=())
    put_features(job.neighbour(type(job.tile)(EAST)), seed=5)
    names = UNetParameters(features=features).names
    seen, reads = [], Part.read

    def counting(part, block, wanted):
        seen.append((part.column, block))
        return reads(part, block, wanted)

    monkeypatch.setattr(Part, "read", counting)
    rows = FeatureRows(open_parts(job, "now"), names, (-20, 330), 40, 2)
    read = [(first, rows(first, first + 40).copy()) for first in range(-31, 240, 24)]
    pieces = list(seen)
    for first, found in read:
        wanted = read_features(job, "now", Block(first, -20, first + 40, 330), names)
        np.testing.assert_array_equal(np.moveaxis(found, -1, 0), wanted)
    # Both windows of 200 x 200 and 200 x 130 pixels, no pixel twice.
    assert sum(b.shape[0] * b.shape[1] for _, b in pieces) == 200 * 200 + 200 * 130


def test_a_full_tile_fits_into_memory(tmp_path):
    def plan(memory: str, filters: int = 16) -> tuple[Plan, int]:
        production(tmp_path, unet="")
        config = tmp_path / "production.toml"
        config.write_text(config.read_text().replace("2 GiB", memory))
        job = Job.of(Production.read(tmp_path), TILE)
        return plan_prediction(job, "RIMD", 3, filters), job.engine.budget

    work = {}
    for memory in ("1 GiB", "2 GiB", "4 GiB", "8 GiB"):
        found, budget = plan(memory)
        assert found.bytes <= budget and all(left % 1000 == 0 for left in found.strips)
        assert sum(windows.shape[1] for windows in found.strips.values()) == 10_000
        work[memory] = found.work / 10_000**2
    assert 1.5 > work["1 GiB"] > work["2 GiB"] > work["8 GiB"] and len(found.strips) == 1
    assert work["8 GiB"] < 1.08
    with pytest.raises(InputError, match="engine.memory: RIMD needs"):
        plan("256 MiB", 256)
