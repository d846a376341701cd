"""Predictions of tiles through the real store: the same as of whole arrays, seamless, with neighbours, within memory."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.catalogue.node import MEMBER_SD
from imperv.layers.network.ensemble import ensemble
from imperv.layers.network.rows import Lattice, predict_rows
from imperv.layers.network.unet import UNetParameters, build_unet
from imperv.layers.network.windows import halo
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.imperviousness.nodes import predicting
from imperv.tasks.imperviousness.nodes.features import FeatureRows, Part, open_parts, read_features
from imperv.tasks.imperviousness.nodes.predicting import Plan, halo_versions, make_prediction, plan_prediction
from imperv.tasks.job import Job
from imperv.tasks.networks.registry import load
from imperv.tasks.settings.production import Production
from tests.support.blending import predict_blended
from tests.support.small_models import TILE, production, put_features, put_model, record_of

EAST = "E45N27"
ACROSS = "[4498000, 2700000, 4502000, 2702000]"
"""2 x 2 km of each of two tiles."""
LONG = "[4488000, 2700000, 4500000, 2701000]"
"""1200 x 100 pixels: two blocks."""
UNET = "base_filters = 2\ndepth = 1\npatch = 32\noverlap = 8\ncrop = 8\nmembers = 2\n"
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


def expected(job: Job, records) -> tuple[np.ndarray, np.ndarray]:
    """The other implementation: all features of the area in memory, every member of the whole, then mean and spread."""
    unet, (rows, columns), (row, column) = job.production.parameters.unet, job.grid(10).shape, job.global_index()
    h = halo(unet.patch, unet.overlap)
    features = read_features(job, "now", Block(-h, -h, rows + h, columns + h), unet.names)
    members = []
    for record in records:
        model, normalisation = load(job.store, record)

        def run(windows, model=model, normalisation=normalisation):
            values = model(normalisation.apply(np.moveaxis(windows, 1, -1)), training=False)
            return np.moveaxis(np.asarray(values), -1, 1)

        inner = np.s_[h : h + rows, h : h + columns]
        members.append(predict_blended(features, run, (row - h, column - h), unet.patch, unet.overlap, inner, 64))
    return ensemble(np.concatenate(members))


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
    unet, h = job.production.parameters.unet, halo(32, 8)
    row, column = job.global_index()
    features = read_features(job, "now", Block(-h, -h, 200 + h, 400 + h), unet.names)
    assert np.isfinite(features[:, h : h + 200, h + 200 : h + 400]).any()
    model, normalisation = load(job.store, job.record("IMD_model"))

    def run(windows):
        return np.moveaxis(np.asarray(model(normalisation.apply(np.moveaxis(windows, 1, -1)))), -1, 1)

    one = predict_blended(features, run, (row - h, column - h), 32, 8, np.s_[h : h + 200, h : h + 400], 64)
    # Both tiles use the same network twice, so mean and spread are those of one.
    assert_same([np.concatenate([a, b], axis=1) for a, b in zip(*both, strict=True)], ensemble(one))
    changed = np.abs(alone[1] - both[0][1]) > 1e-4
    assert changed[:, -32:].any() and not changed[:, : 200 - 64].any()


@pytest.mark.slow
def test_strips_and_batches_leave_no_trace(tmp_path, monkeypatch):
    job = prepared(tmp_path, LONG)
    whole = make_prediction(job, RIMD)
    first = [job.group("RIMD")[name][:] for name in ("RIMD", MEMBER_SD)]
    monkeypatch.setattr(predicting, "plan_prediction", lambda *_: Plan(1000, 3, 0))
    cut = make_prediction(job, RIMD)
    for before, name in zip(first, ("RIMD", MEMBER_SD), strict=True):
        np.testing.assert_allclose(job.group("RIMD")[name][:], before, atol=1e-6 if name == MEMBER_SD else 1)
    assert cut.statistics["RIMD"]["pixels"] == whole.statistics["RIMD"]["pixels"] == 120_000


def seams(overlap: int) -> tuple[float, float]:
    """Steps where windows meet over those elsewhere, and the largest change when the lattice is moved by half of its stride."""
    size, patch, stride, h = 240, 64, 64 - overlap, halo(64, overlap)
    network = build_unet(UNetParameters(base_filters=4, depth=1, patch=patch, overlap=overlap, crop=8), 3)
    smooth = np.kron(np.random.default_rng(2).standard_normal((12, 60, 60)), np.ones((1, 8, 8)))
    for axis in (1, 2):
        smooth = sum(np.roll(smooth, k, axis) for k in range(-6, 7)) / 13
    features = np.ascontiguousarray(np.moveaxis(smooth, 0, -1)).astype("f4")

    def at(origin: int) -> np.ndarray:
        lattice = Lattice((size, size), (origin, origin), patch, overlap)
        first, end = lattice.columns
        # Of a member and of zeros the deviation is half of the member: the prediction, not rounded to percent.
        models = [lambda w: np.asarray(network(w, training=False)), lambda w: np.zeros((*w.shape[:3], 1), "f4")]
        pieces = predict_rows(lambda a, b: features[h + a : h + b, h + first : h + end], models, lattice, 16)
        return np.concatenate([2 * deviation for _, _, deviation in pieces])

    here, moved = at(0), at(stride // 2)
    step = np.abs(np.diff(here, axis=1)).mean(axis=0)
    starts = np.arange(stride, size - overlap - 1, stride)
    edges = np.unique(np.concatenate([starts, starts + overlap]))
    return float(step[edges - 1].mean() / np.median(step)), float(np.abs(here - moved).max())


def test_the_window_grid_does_not_show():
    """With the blend, what lies where windows meet is like elsewhere, and moving their lattice changes little."""
    step, shift = seams(16)
    step_without, shift_without = seams(0)
    assert abs(step - 1) < 0.1 and abs(step_without - 1) > 0.3
    assert shift < 0.05 and shift < 0.2 * shift_without


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


def test_a_full_tile_fits_into_memory_with_twenty_members(tmp_path):
    def plan(memory: str, window: int) -> tuple[Plan, int]:
        production(tmp_path, unet="")
        config = tmp_path / "production.toml"
        config.write_text(config.read_text().replace("2 GiB", memory))
        job = Job.of(Production.read(tmp_path), TILE)
        return plan_prediction(job, "RIMD", 20, window), job.engine.budget

    widths = {}
    for memory in ("1 GiB", "2 GiB", "4 GiB", "8 GiB"):
        found, budget = plan(memory, 57 * 2**20)
        assert found.bytes <= budget and found.width % 1000 == 0 and found.windows >= 1
        widths[memory] = found.width
    assert widths["1 GiB"] < widths["4 GiB"] == widths["8 GiB"] == 10_000
    with pytest.raises(InputError, match="engine.memory: RIMD needs"):
        plan("256 MiB", 400 * 2**20)
