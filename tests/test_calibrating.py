"""The calibration of a tile from its store: the same as of whole arrays, and memory that grows with the sealing mask."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from calibration import Calibration, fit_calibration
from layers.catalogue import CATALOGUE
from tasks.calibrating import INPUTS, make_calibration, projected_bytes
from tasks.errors import InputError
from tasks.job import Job
from tasks.nodes import make_node
from tasks.production import Production
from tests.stored_layers import put

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
