"""The change mask through the store: patches that blocks would cut, thresholds of the tile, and memory that is planned.

The reference is `change_mask` on the whole array, itself held against SciPy in its own tests, and values set by hand.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.change_mask import change_mask, sieve_mask, threshold_mask
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.imperviousness.nodes.whole_tile import make_chm, make_chm_raw, sieve_bytes
from imperv.tasks.job import Job, attributes
from imperv.tasks.nodes import make_node
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record

MIB = 2**20
NINE_BLOCKS = "[3820000, 3109000, 3841000, 3130000]"
"""21 x 21 km: blocks of 1000 pixels, three each way."""


def job_of(folder: Path, bbox: str = NINE_BLOCKS, memory: str = "4 GiB", workers: int = 2) -> Job:
    area = f"[area]\nbbox = {bbox}\n" if bbox else ""
    (folder / "production.toml").write_text(
        'tiles = ["E38N31"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        f'[engine]\nmemory = "{memory}"\nworkers = {workers}\n{area}'
    )
    return Job.of(Production.read(folder), "E38N31")


def put(job: Job, symbol: str, array: np.ndarray) -> None:
    layer, place = CATALOGUE[symbol], job.place(symbol)
    with job.store.writing_arrays(place, job.grid(10), 10, layer.variables, attributes(job, layer)) as out:
        out[layer.variables[0].name][:] = array
    record = Record(symbol, "E38N31", "key", href=place.data, bbox=job.bounds, start="2018-01-01", end="2021-12-31")
    job.store.write_record(place.record, record)


def noise(seed: int, shape=(2100, 2100)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.abs(cv2.blur(rng.standard_normal(shape, dtype="f4"), (5, 5))) / 5
    values[: shape[0] // 8, : shape[1] // 8] = np.nan
    values[rng.random(shape) < 0.02] = np.nan
    return values


@pytest.mark.parametrize("seed", [1, 2])
def test_equals_the_mask_of_the_whole_array(tmp_path, seed):
    job, rmsd = job_of(tmp_path), noise(seed)
    assert len(job.blocks(10)) == 9
    put(job, "RMSD", rmsd)
    raw, _ = make_node(job, "CHM_raw")
    low, high = np.percentile(rmsd[~np.isnan(rmsd)], np.array([97.5, 99.0])).astype("f4")
    assert (raw.statistics["lower"], raw.statistics["upper"]) == (float(low), float(high))
    expected = threshold_mask(rmsd, float(low), float(high))
    np.testing.assert_array_equal(job.array("CHM_raw")[:], expected)
    histogram = {str(code): int((expected == code).sum()) for code in (0, 1, 2, 255)}
    counts = {"pixels": rmsd.size, "outside": histogram["255"], "histogram": histogram}
    assert raw.statistics["CHM_raw"] == counts
    make_node(job, "CHM")
    found = job.array("CHM")[:]
    np.testing.assert_array_equal(found, change_mask(rmsd))
    assert (found == 1).any() and (found == 0).any()


def test_patches_that_cross_block_edges_are_kept_whole(tmp_path):
    """Blocks end after 1000 and 2000 pixels; what a block would see of each patch is too small, or has no strong pixel."""
    job = job_of(tmp_path)
    raw, expected = np.zeros((2100, 2100), "u1"), np.zeros((2100, 2100), "u1")
    raw[998:1002, 999:1001] = 1  # two pixels in each of four blocks, eight in all
    raw[998, 999] = 2
    expected[998:1002, 999:1001] = 1
    raw[500, 100:2050] = 1  # through three blocks, strong in the last
    raw[500, 2040] = 2
    expected[500, 100:2050] = 1
    for k in range(8):  # a diagonal over a corner
        raw[1996 + k, 1996 + k] = 1
        expected[1996 + k, 1996 + k] = 1
    raw[2003, 2003] = 2
    raw[1500, 996:1003] = 2  # seven pixels are too few wherever they lie
    raw[700:720, 990:1010] = 1  # large, but never strong
    put(job, "CHM_raw", raw)
    make_node(job, "CHM")
    np.testing.assert_array_equal(job.array("CHM")[:], expected)


def test_a_tile_without_observations_fails(tmp_path):
    job = job_of(tmp_path, "[3829000, 3101000, 3831000, 3103000]")
    put(job, "RMSD", np.full((200, 200), np.nan, "f4"))
    with pytest.raises(WorkError, match="CHM_raw of tile E38N31: no pixel is observed in both periods"):
        make_node(job, "CHM_raw")
    assert job.record("CHM_raw") is None and not Path(job.store.full(job.place("CHM_raw").data)).exists()


def test_a_tile_that_does_not_fit_is_refused_before_anything_is_done(tmp_path):
    job = job_of(tmp_path, bbox="", memory="768 MiB")
    put(job, "CHM_raw", np.uint8(0))
    with pytest.raises(InputError) as caught:
        make_node(job, "CHM")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("engine.memory: CHM needs ") and str(caught.value).endswith("raise engine.memory")
    assert job.record("CHM") is None
    assert not list((tmp_path / "store").rglob("CHM.*"))


@pytest.mark.slow
def test_thresholds_of_a_full_tile_fit_where_the_tile_does_not(tmp_path):
    """RMSD of 400 MB within 256 MiB: only blocks are held."""
    job = job_of(tmp_path, bbox="", memory="256 MiB")
    rmsd = np.full((1000, 1000), 0.01, "f4")
    rmsd[100:200, 100:200] = 0.5
    put(job, "RMSD", np.float32(np.nan))
    with job.store.writing_arrays(job.place("RMSD"), job.grid(10), 10, CATALOGUE["RMSD"].variables, {}) as out:
        out["RMSD"][4000:5000, 7000:8000] = rmsd
    peak, made = traced(lambda: make_chm_raw(job, CATALOGUE["CHM_raw"]))
    assert made.statistics["CHM_raw"]["histogram"] == {"1": 990_000, "2": 10_000, "255": 99_000_000}
    # Ranks 989 999 and 990 000 of a million lie at 0.01 and 0.5; the 99th percentile is a hundredth of the way.
    assert made.statistics["lower"] == np.float32(0.01)
    assert made.statistics["upper"] == pytest.approx(0.01 + 0.01 * 0.49)
    assert peak < 128 * MIB


def traced(work):
    tracemalloc.start()
    try:
        made = work()
        return tracemalloc.get_traced_memory()[1], made
    finally:
        tracemalloc.stop()


def raster(kind: str, shape) -> np.ndarray:
    """Chequers: as many patches as there can be, one strong pixel in every 2 x 2; the others have one patch or none."""
    raw = np.full(shape, {"chequers": 0, "change": 1, "outside": 255}[kind], "u1")
    if kind == "chequers":
        raw[::2, ::2] = 2
    return raw


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["chequers", "change", "outside"])
def test_components_stay_within_what_is_projected_whatever_is_in_the_tile(tmp_path, kind):
    job, raw = job_of(tmp_path), raster(kind, (2100, 2100))
    put(job, "CHM_raw", raw)
    make_chm(job, CATALOGUE["CHM"])  # what is imported and compiled at the first call is not meant
    peak, _ = traced(lambda: make_chm(job, CATALOGUE["CHM"]))
    projected = sieve_bytes(*raw.shape)
    # OpenCV's own table, up to a byte a pixel of a strip, is not seen here.
    assert (0.75 if kind == "chequers" else 0.5) * projected < peak < projected
    np.testing.assert_array_equal(job.array("CHM")[:], sieve_mask(raw))
