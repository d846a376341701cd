"""Evaluation of a small tile: what is held out stays hidden, scores are those of scikit-learn, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy import ndimage
from sklearn import metrics

from imperv.flows.cli.commands import main
from imperv.grids import Block
from imperv.layers.confidence import confidence
from imperv.layers.network import baselines
from imperv.layers.network.sampling import GUARD, TRAINING, VALIDATION, Region
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.assessment import stored as stored_evaluation
from imperv.tasks.imperviousness.assessment.block_sums import Judged, Pixels
from imperv.tasks.imperviousness.assessment.evaluation import METHODS, REFERENCE, UNET, Trial, held_out, hide, run_trial
from imperv.tasks.imperviousness.assessment.stored import judge_stored
from imperv.tasks.imperviousness.assessment.summary import summarise_stored, summarise_trials
from imperv.tasks.imperviousness.assessment.truth import Truth
from imperv.tasks.job import Job
from imperv.tasks.nodes import make_node
from imperv.tasks.settings.production import Production
from tests.support.stored_layers import put

EDGE = 200
LEFT, TOP = 3_830_000, 3_112_000
CUTS = {"IBU": 10.0, "IMD": 10.0}


@pytest.fixture(scope="module")
def ground() -> dict[str, np.ndarray]:
    """A made-up site: patches that are sealed and built-up, seen with noise; some ground without data."""
    rng = np.random.default_rng(1)
    field = ndimage.gaussian_filter(rng.normal(size=(EDGE, EDGE)), 3)
    imd = np.clip(np.rint(400 * field), 0, 100).astype("u1")
    quantiles = np.stack([1000 + 20 * k + 8 * imd.astype("f4") + rng.normal(0, 80, imd.shape) for k in range(10)]).astype("u2")
    quantiles[:, :7] = 0
    harmonics = rng.normal(0, 0.05, (7, EDGE, EDGE)).astype("f4")
    harmonics[0] += 0.8 - 0.006 * imd
    old = np.clip(imd + rng.normal(0, 10, imd.shape), 0, 100).astype("u1")
    built = np.clip(imd / 100 + rng.normal(0, 0.1, imd.shape), 0, 1).astype("f4")
    ibu = (imd >= 30).astype("u1")
    ibu[-5:] = 255
    return {"imd": imd, "ibu": ibu, "quantiles": quantiles, "harmonics": harmonics, "old": old, "built": built}


@pytest.fixture(scope="module")
def site(tmp_path_factory, ground) -> Path:
    """Production file, truth, and a store with features, references and finished layers of one tile of 2 x 2 km."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "production.toml").write_text(
        'tiles = ["E38N31"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        f"[area]\nbbox = [{LEFT}, {TOP - 10 * EDGE}, {LEFT + 10 * EDGE}, {TOP}]\n[engine]\nworkers = 1\n"
        "[parameters.unet]\nbase_filters = 2\ndepth = 1\ncrop = 16\nepochs = 1\n"
        "steps_per_epoch = 4\nmembers = 1\n"
    )
    job, rng = job_of(folder), np.random.default_rng(2)
    shape = ground["imd"].shape
    for symbol in ("PP_then", "PP_now"):
        put(job, symbol, ground["quantiles"], np.full(shape, 0.9, "f4"), ground["harmonics"], np.full(shape, 9, "u2"))
    make_node(job, "PP_shift")
    put(job, "IMD_then", ground["old"])
    put(job, "CLCP_then", np.where(ground["old"] > 60, 1, 6).astype("u1"))
    put(job, "IBUD_ref", ground["built"])
    spread = rng.uniform(0, 0.4, shape).astype("f4")
    raw = np.clip(ground["imd"] + rng.normal(0, 1, shape) * 60 * spread, 0, 100).astype("u1")
    raw[:7] = 255
    spread[:7] = np.nan
    for symbol in ("RIMD", "RIBUD"):
        put(job, symbol, raw, spread, models=["E38N31"], members=2)
        put(job, f"{symbol}_sd", spread)
    put(job, "IMD_now", raw)
    put(job, "IBU_now", np.where(raw == 255, 255, raw >= 10).astype("u1"))
    for year in ("then", "now"):
        write(folder / "truth" / f"truth_imd_{year}.tif", ground["imd"])
        write(folder / "truth" / f"truth_ibu_{year}.tif", ground["ibu"])
    return folder


def write(path: Path, array: np.ndarray, nodata: int | None = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = rasterio.transform.from_origin(LEFT, TOP, 10, 10)
    with rasterio.open(
        path, "w", driver="GTiff", height=array.shape[0], width=array.shape[1], count=1, dtype=array.dtype, crs="EPSG:3035",
        transform=transform, nodata=nodata,
    ) as target:  # fmt: skip
        target.write(array, 1)


def job_of(folder: Path) -> Job:
    return Job.of(Production.read(folder), "E38N31")


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setitem(baselines.FOREST, "n_estimators", 5)
    monkeypatch.setitem(baselines.BOOSTED, "max_iter", 5)


@pytest.fixture(scope="module")
def trial(site) -> Trial:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(baselines.FOREST, "n_estimators", 5)
        patch.setitem(baselines.BOOSTED, "max_iter", 5)
        return run_trial(job_of(site), "IBU", Truth.find(site / "truth"), 0)


# what is held out -------------------------------------------------------------------------------------------------


def test_hidden_references_are_those_of_held_out_blocks_and_their_band(ground):
    region = Region(np.zeros((1, EDGE, EDGE), "f4"), ground["built"], (-TOP // 10, LEFT // 10))
    (hidden,) = hide([region], 1)
    parts = held_out((EDGE, EDGE), region.origin, 1)
    assert {VALIDATION, GUARD, TRAINING} == set(np.unique(parts))
    np.testing.assert_array_equal(np.isnan(hidden.target), parts != TRAINING)
    np.testing.assert_array_equal(hidden.target[parts == TRAINING], ground["built"][parts == TRAINING])
    near = ndimage.maximum_filter((parts == VALIDATION).astype("u1"), 17) > 0
    np.testing.assert_array_equal(near, parts != TRAINING)


def test_trials_hold_out_other_blocks():
    parts = [held_out((640, 640), (0, 0), k) == VALIDATION for k in range(4)]
    assert np.sum(parts, axis=0).max() == 1 and np.mean(np.any(parts, axis=0)) > 0.9
    assert (held_out((640, 640), (0, 0), 4) != held_out((640, 640), (0, 0), 0)).any()


@pytest.mark.slow
def test_no_method_learns_from_hidden_references(site, ground, trial):
    """References of the held-out blocks turned upside down change nothing but the row of the references themselves."""
    job = job_of(site)
    origin = job.global_index()
    parts = held_out((EDGE, EDGE), origin, 0)
    try:
        put(job, "IBUD_ref", np.where(parts == TRAINING, ground["built"], 1 - ground["built"]).astype("f4"))
        again = run_trial(job, "IBU", Truth.find(site / "truth"), 0)
    finally:
        put(job, "IBUD_ref", ground["built"])
    for key, judged in trial.judged.items():
        same = np.array_equal(judged.mask.array(), again.judged[key].mask.array())
        assert same == (key[1] != REFERENCE), key
    assert {m for _, m in trial.judged} == set(METHODS)


# trials -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_references_score_as_scikit_learn_says(site, ground, trial):
    parts = held_out((EDGE, EDGE), job_of(site).global_index(), 0)
    here = (parts == VALIDATION) & (ground["ibu"] != 255)
    here[:7] = False  # no features: nothing is judged there
    said, true = np.floor(100 * ground["built"][here] + 0.5) >= 10, ground["ibu"][here] == 1
    rows = {(r["year"], r["method"]): r for r in summarise_trials([trial], CUTS)["scores"]}
    row = rows["then", REFERENCE]
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(true, said, average="binary")
    found = [row[name]["value"] for name in ("precision", "recall", "f1", "iou")]
    assert found == pytest.approx([precision, recall, f1, metrics.jaccard_score(true, said)], abs=1e-6)
    for judged in trial.judged.values():
        assert judged.mask.array().sum() == here.sum()
        assert not judged.density.keys, "built-up density has no truth here"
    assert rows["now", UNET]["f1"] == rows["then", UNET]["f1"], "both years look the same here"
    everywhere = 2 * true.sum() / (true.sum() + true.size)
    assert rows["then", "random forest"]["f1"]["value"] > everywhere + 0.1


@pytest.mark.slow
def test_differences_and_years_are_paired(trial):
    found = summarise_trials([trial, Trial(**{**vars(trial), "number": 1})], CUTS)
    rows = {(r["year"], r["method"]): r for r in found["scores"]}
    for row in found["differences"]:
        apart = rows[row["year"], UNET]["f1"]["value"] - rows[row["year"], row["minus"]]["f1"]["value"]
        assert row["f1"]["value"] == pytest.approx(apart, abs=2e-6)
        assert row["f1"]["low"] <= row["f1"]["value"] <= row["f1"]["high"]
    assert len(found["differences"]) == 6
    for row in found["years"]:
        assert row["f1"] == {"value": 0, "low": 0, "high": 0}, "the same features in both years"
    assert len(found["training"]) == 2 and all(len(r["trials"]) == 2 for r in found["scores"])


def test_blocks_of_work_do_not_change_the_sums():
    rng = np.random.default_rng(3)
    chosen, percent = rng.random((150, 150)) < 0.7, rng.uniform(0, 100, (150, 150))
    real, origin = rng.integers(0, 101, (150, 150)).astype("u1"), (-1000, 777)
    whole, pieces = Judged(), Judged()
    Pixels.of(chosen, origin).judge(whole, percent[chosen], real[chosen], real[chosen] >= 10)
    for block in (Block(0, 0, 90, 150), Block(90, 0, 150, 40), Block(90, 40, 150, 150)):
        cut = chosen[block.slices]
        p, t = percent[block.slices][cut], real[block.slices][cut]
        Pixels.of(cut, (origin[0] + block.y0, origin[1] + block.x0)).judge(pieces, p, t, t >= 10)
    for a, b in zip(vars(whole).values(), vars(pieces).values(), strict=True):
        assert a.keys == b.keys and len(a.keys) == 9
        np.testing.assert_allclose(a.array(), b.array())
    rows, columns = np.nonzero(chosen)
    assert whole.mask.keys == set(zip(((rows - 1000) // 64).tolist(), ((columns + 777) // 64).tolist(), strict=True))
    Pixels.of(np.zeros((3, 3), bool), origin).judge(whole, *(np.empty(0),) * 2, np.empty(0, bool))


# stored layers ----------------------------------------------------------------------------------------------------


def test_stored_layers_score_as_numpy_says(site, ground):
    job, truth = job_of(site), Truth.find(site / "truth")
    stored = judge_stored(job, "IMD", truth)
    (row,) = summarise_stored([stored], CUTS)
    raw, spread = job.array("RIMD")[:], job.array("RIMD_sd")[:]
    known = raw != 255
    error = raw[known].astype("f8") - ground["imd"][known]
    layers = {layer["layer"]: layer for layer in row["layers"]}
    assert layers["RIMD"]["rmse"]["value"] == pytest.approx(np.sqrt((error**2).mean()), abs=1e-6)
    assert layers["IMD_now"]["r2"]["value"] == pytest.approx(metrics.r2_score(ground["imd"][known], raw[known]), abs=1e-6)
    level = confidence(spread, known)[known]
    for entry, (low, high) in zip(row["confidence"]["classes"], ((50, 59), (60, 69), (70, 79), (80, 89), (90, 100)), strict=True):
        inside = (level >= low) & (level <= high)
        assert entry["pixels"] == inside.sum()
        if inside.any():
            assert entry["mae"]["value"] == pytest.approx(np.abs(error[inside]).mean(), abs=1e-6)
    assert row["confidence"]["ratios"]["mae"]["value"] > 2 and row["confidence"]["spearman"] > 0.2
    assert row["ensemble"] is None and row["members"]["E38N31"]["models"] == ["E38N31"]


def test_stored_masks_and_their_confidence(site, ground):
    (row,) = summarise_stored([judge_stored(job_of(site), "IBU", Truth.find(site / "truth"))], CUTS)
    raw = job_of(site).array("RIBUD")[:]
    known = (raw != 255) & (ground["ibu"] != 255)
    f1 = metrics.f1_score(ground["ibu"][known], raw[known] >= 10)
    assert [layer["f1"]["value"] for layer in row["layers"]] == pytest.approx([f1, f1], abs=1e-6)
    assert all("mae" not in layer for layer in row["layers"])
    assert all(e["mae"]["value"] is None for e in row["confidence"]["classes"])  # no true density: unknown, not 0
    wrong = sum(e["pixels"] * e["wrong"]["value"] for e in row["confidence"]["classes"] if e["pixels"])
    assert wrong == pytest.approx((ground["ibu"][known] != (raw[known] >= 10)).sum(), abs=0.1)


def test_a_tile_of_several_blocks_is_judged_as_one(site, monkeypatch):
    whole = judge_stored(job_of(site), "IMD", Truth.find(site / "truth"))
    monkeypatch.setattr(stored_evaluation, "block_grid", lambda grid: [Block(0, 0, 90, EDGE), Block(90, 0, EDGE, EDGE)])
    pieces = judge_stored(job_of(site), "IMD", Truth.find(site / "truth"))
    for symbol in whole.judged:
        np.testing.assert_allclose(whole.judged[symbol].density.array(), pieces.judged[symbol].density.array())
    np.testing.assert_allclose(whole.trust.sums.array(), pieces.trust.sums.array())
    np.testing.assert_array_equal(whole.trust.joint, pieces.trust.joint)


# truth ------------------------------------------------------------------------------------------------------------


def test_truth_of_other_files_and_grids(site, ground, tmp_path):
    grid = job_of(site).grid(10)
    write(tmp_path / "share.tif", ground["imd"], nodata=0)  # a tag on a value that means something
    truth = Truth.find(None, [f"ibud_now={tmp_path / 'share.tif'}"])
    np.testing.assert_array_equal(truth.read("ibud_now", grid), ground["imd"])
    np.testing.assert_array_equal(truth.read("ibu_now", grid), ground["imd"] >= 10)
    assert truth.read("imd_now", grid) is None
    beyond = Block(-5, 0, 10, EDGE).geobox(grid)
    assert (truth.read("ibud_now", beyond)[:5] == 255).all()


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (["imd=x.tif"], "write KEY=FILE"),
        (["imd_now=missing.tif"], "cannot be read as a raster"),
        ([], "holds no truth"),
    ],
)
def test_truth_that_is_none_is_refused(tmp_path, others, said):
    with pytest.raises(InputError, match=said):
        Truth.find(tmp_path, others)


def test_truth_of_wrong_values_is_refused(site, tmp_path):
    grid = job_of(site).grid(10)
    write(tmp_path / "a.tif", np.full((EDGE, EDGE), 7, "u1"))
    with pytest.raises(InputError, match="holds 7; ibu_now must be 0 to 1"):
        Truth.find(None, [f"ibu_now={tmp_path / 'a.tif'}"]).read("ibu_now", grid)
    write(tmp_path / "b.tif", np.zeros((EDGE, EDGE), "f4"), nodata=None)
    with pytest.raises(InputError, match="float32"):
        Truth.find(None, [f"imd_now={tmp_path / 'b.tif'}"]).read("imd_now", grid)


# the command ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_with_pictures_and_json(site, capsys, tmp_path):
    common = ["evaluate", "--config", str(site / "production.toml"), "--truth", str(site / "truth")]
    page = tmp_path / "pages" / "evaluation.html"
    assert main([*common, "--seeds", "1", "--only", "IMD", "--json", "--plot", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["product"] for row in found["scores"]} == {"IMD"} and len(found["scores"]) == 2 * len(METHODS)
    assert all(row["mae"]["value"] > 0 and row["ece"]["value"] >= 0 for row in found["scores"])
    text = page.read_text()
    assert text.count("<table") == len(text.split("<h2>")) - 1 >= 6 and "data:image/png;base64," in text

    assert main([*common, "--seeds", "0", "--plot", str(tmp_path / "stored.png")]) == 0
    shown = capsys.readouterr().out
    assert "RIBUD" in shown and "IMD_now" in shown and "lowest over highest" in shown and "…" not in shown
    assert (tmp_path / "stored.png").read_bytes()[:4] == b"\x89PNG"


def test_the_command_refuses_in_one_line(site, capsys, tmp_path):
    config = ["evaluate", "--config", str(site / "production.toml")]
    assert main([*config, "--truth", str(tmp_path / "nowhere")]) == 2
    assert "is no folder" in capsys.readouterr().err
    assert main([*config, "--truth", str(site / "truth"), "--plot", "x.pdf"]) == 2
    assert ".png or .html" in capsys.readouterr().err
    one = f"ibu_now={site / 'truth' / 'truth_ibu_now.tif'}"
    assert main([*config, "--truth-raster", one, "--only", "IMD"]) == 2
    assert "the truth has no raster of it" in capsys.readouterr().err
    empty = tmp_path / "production.toml"
    empty.write_text((site / "production.toml").read_text())
    assert main(["evaluate", "--config", str(empty), "--truth", str(site / "truth"), "--only", "IBU"]) == 2
    err = capsys.readouterr().err
    assert "PP_then, PP_now, PP_shift, IBUD_ref not done" in err and err.count("\n") == 1
