"""The calibration of a tile from its store: the same as of whole arrays, and memory that grows with the sealing mask."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from imperv.calibration import Calibration, fit_calibration
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.imperviousness.nodes.calibration import INPUTS, make_calibration, projected_bytes
from imperv.tasks.job import Job
from imperv.tasks.nodes import make_node
from imperv.tasks.settings.production import Production
from tests.support.stored_layers import put

FOUR_BLOCKS = "[3830000, 3110000, 3842000, 3122000]"
"""12 x 12 km: blocks of 1000 and 200 pixels each way."""
LEFT, TOP = 3_830_000, 3_122_000


def job_of(folder: Path, memory: str = "4 GiB", bbox: str = FOUR_BLOCKS, step: int = 6) -> Job:
    (folder / "production.toml").write_text(
        'tiles = ["E38N31"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        f'[engine]\nmemory = "{memory}"\nworkers = 2\n[parameters.calibration]\nstep = {step}\n'
        + (f"[area]\nbbox = {bbox}\n" if bbox else "")
    )
    return Job.of(Production.read(folder), "E38N31")


def arrays(shape=(1200, 1200), seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    ndvi = rng.uniform(0, 0.8, shape).astype("f4")
    imd = np.clip(np.rint(110 - 130 * ndvi + 10 * rng.normal(size=shape)), 0, 100).astype("u1")
    mask = (rng.random(shape) < 0.3).astype("u1")
    ndvi[rng.random(shape) < 0.05] = np.nan
    imd[:100] = mask[:100] = 255
    return {"IMD_then": imd, "NDVI_p0_then": ndvi, "IMD_MSK_then": mask, "IBU_then": (imd == 100).astype("u1")}


def counted(mask: np.ndarray) -> dict:
    """Statistics of a mask as its task writes them."""
    codes, counts = np.unique(mask, return_counts=True)
    return {"IMD_MSK_then": {"histogram": {str(code): int(count) for code, count in zip(codes, counts, strict=True)}}}


@pytest.mark.parametrize("step", [6, 7])
def test_blocks_give_the_calibration_of_whole_arrays(tmp_path, step):
    job, whole = job_of(tmp_path, step=step), arrays()
    assert len(job.blocks(10)) == 4
    for symbol, array in whole.items():
        put(job, symbol, array)
    record, _ = make_node(job, "IMD_calibration")
    found = Calibration.from_json(job.store.read_text(job.place("IMD_calibration").data) or "")
    # The lattice is that of the EEA grid, wherever the window begins.
    parameters = job.production.parameters.calibration
    expected = fit_calibration(*(whole[symbol] for symbol in INPUTS), parameters, offset=(-TOP // 10, LEFT // 10))
    for name in ("intercept", "slope", "minimum", "maximum", "r2"):
        # Sums of blocks are added in another order.
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)
    assert (found.samples, found.flags) == (expected.samples, expected.flags)
    assert record.statistics["source"] == "own samples"


def test_memory_grows_with_the_mask_and_not_with_the_tile(tmp_path):
    job, whole = job_of(tmp_path), arrays()
    assert projected_bytes(job) > 1200 * 1200 * 8  # nothing is known: as if all were sealed
    put(job, "IMD_MSK_then", whole["IMD_MSK_then"], **counted(np.zeros((1200, 1200), "u1")))
    without = projected_bytes(job)
    put(job, "IMD_MSK_then", whole["IMD_MSK_then"], **counted(np.ones((1200, 1200), "u1")))
    assert projected_bytes(job) - without == int(1_440_000 * (8 + 42 / 36))


def test_the_mask_that_is_counted_is_the_mask_that_is_made(tmp_path):
    job, whole = job_of(tmp_path), arrays()
    put(job, "IMD_then", whole["IMD_then"])
    put(job, "CLCP_then", np.where(whole["IMD_MSK_then"] == 1, 1, 7).astype("u1"))
    make_node(job, "IMD_MSK_then")
    found = projected_bytes(job)
    put(job, "IMD_MSK_then", job.array("IMD_MSK_then")[:], **counted(job.array("IMD_MSK_then")[:]))
    assert found == projected_bytes(job) < 1200 * 1200 * 8 + 38.5e6


def test_arrays_stay_within_the_projection(tmp_path):
    job, whole = job_of(tmp_path, step=1), arrays()
    whole["IMD_MSK_then"][100:] = 1
    for symbol, array in whole.items():
        put(job, symbol, array, **(counted(array) if symbol == "IMD_MSK_then" else {}))
    make_calibration(job, CATALOGUE["IMD_calibration"])
    tracemalloc.start()
    try:
        make_calibration(job, CATALOGUE["IMD_calibration"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.3 * projected_bytes(job) < peak < projected_bytes(job)


@pytest.mark.slow
def test_samples_that_do_not_fit_are_refused_before_anything_is_read(tmp_path):
    """A full tile, sealed all over, takes 0.9 GB."""
    job = job_of(tmp_path, memory="1 GiB", bbox="")
    for symbol in INPUTS:
        put(job, symbol, np.array(0, CATALOGUE[symbol].dtype))
    with pytest.raises(InputError) as caught:
        make_node(job, "IMD_calibration")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("engine.memory: IMD_calibration needs 1.")
    assert job.record("IMD_calibration") is None and job.store.read_text(job.place("IMD_calibration").data) is None


# what a tile is told that cannot be calibrated -------------------------------------------------------------------


def few(count: int, slope: float = -130) -> dict[str, np.ndarray]:
    """Layers of a tile of which so many pixels of the lattice of 60 m, and no others, are inside the sealing mask."""
    ndvi = np.random.default_rng(0).uniform(0, 0.8, (1200, 1200)).astype("f4")
    rows, columns = (np.arange(-offset % 6, 1200, 6) for offset in (-TOP // 10, LEFT // 10))
    mask = np.zeros((1200, 1200), "u1")
    for k in range(count):
        mask[rows[k // 100], columns[k % 100]] = 1
    imd = np.clip(np.rint(50 + slope * (ndvi - 0.4)), 1, 100).astype("u1")
    return {"IMD_then": imd, "NDVI_p0_then": ndvi, "IMD_MSK_then": mask, "IBU_then": np.zeros_like(mask)}


def failure(job: Job) -> str:
    with pytest.raises(WorkError) as caught:
        make_node(job, "IMD_calibration")
    assert job.record("IMD_calibration") is None and "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"IMD_calibration of tile {job.tile}: ")


def store_all(job: Job, layers: dict[str, np.ndarray]) -> Job:
    for symbol, array in layers.items():
        put(job, symbol, array)
    return job


def test_both_thresholds_are_told(tmp_path):
    assert failure(store_all(job_of(tmp_path), few(19))) == (
        "19 samples inside the sealing mask, 200 needed; no neighbouring tile has samples and no other tile is calibrated by its "
        "own; where nothing can be borrowed: 19 samples inside the sealing mask, 20 needed; use a larger area"
    )


def test_a_denser_lattice_is_advised_where_it_helps(tmp_path):
    layers = few(19)
    layers["IMD_MSK_then"][6, :100] = 1  # no row of the lattice
    job = store_all(job_of(tmp_path), layers)
    assert failure(job).endswith("use a larger area, or lower parameters.calibration.step (6): 119 pixels are inside the mask")
    make_node(store_all(job_of(tmp_path, step=1), layers), "IMD_calibration")


def test_samples_that_say_nothing_are_told_as_such(tmp_path):
    few_of_them = failure(store_all(job_of(tmp_path), few(50, slope=130)))
    assert "50 samples inside the sealing mask, 200 needed" in few_of_them
    assert "where nothing can be borrowed: density does not fall with NDVI in 50 samples: slope 1" in few_of_them
    assert "; check that imd_then, ibu_then and clcplus_then describe" in few_of_them
    many = failure(store_all(job_of(tmp_path), few(400, slope=130)))
    assert many.count("density does not fall with NDVI in 400 samples") == 1 and "needed" not in many


def test_neighbours_that_were_not_enough_are_named(tmp_path):
    job = job_of(tmp_path)
    file = tmp_path / "production.toml"
    file.write_text(file.read_text().replace(f"bbox = {FOUR_BLOCKS}", "each = [30000, 10000, 42000, 22000]"))
    job = Job.of(Production.read(tmp_path), "E38N31")
    assert "run neighbouring tiles first" in failure(store_all(job, few(10)))
    store_all(Job.of(job.production, "E39N31"), few(15))
    said = failure(job)
    assert "10 samples inside the sealing mask, 200 needed; with those of E39N31: " in said
    assert "no other tile is calibrated by its own; where nothing can be borrowed: 10 samples" in said
