"""Projected memory beside what arrays take: never less than they do, never many times as much.

Only arrays are counted here, which is stable; the resident memory of full tiles, about twice that, is measured by `make bench`.
"""

from __future__ import annotations

import multiprocessing
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.engine import Engine
from imperv.tasks.job import Job, attributes
from imperv.tasks.memory import block_bytes
from imperv.tasks.nodes import make_node
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record

CHUNKS = 10 * 500 * 500


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        ([], [], CHUNKS),
        ([(1000, "uint8")], [], 3500 + CHUNKS),
        ([(1000, "uint8")], [(1000, "uint8")], 7000 + CHUNKS),
        ([(1000, "float32")], [(10, "uint8")], 18_035 + 4 * CHUNKS),
        ([(1000, "uint8"), (1000, np.float32)], [(1000, "float32")], 3500 + 18_000 + 14_000 + 4 * CHUNKS),
    ],
)
def test_by_hand(inputs, outputs, expected):
    assert block_bytes(inputs, outputs) == expected


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Job:
    """One block of 1000 x 1000 pixels with noise in all inputs, which Zstandard can do little about."""
    folder = tmp_path_factory.mktemp("block")
    (folder / "production.toml").write_text(
        'tiles = ["E38N31"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        '[area]\nbbox = [3820000, 3110000, 3830000, 3120000]\n[engine]\nworkers = 1\nmemory = "4 GiB"\n'
    )
    job, rng = Job.of(Production.read(folder), "E38N31"), np.random.default_rng(0)
    for symbol in ("PP_then", "PP_now", "IMD_then", "IBU_then", "IMD_now", "IBU_now", "CHM", "RIMD", "CLCP_now", "IMDC"):
        layer, place = CATALOGUE[symbol], job.place(symbol)
        variables, shape = layer.variables, job.grid(layer.resolution).shape
        with job.store.writing_arrays(
            place, job.grid(layer.resolution), layer.resolution, variables, attributes(job, layer)
        ) as out:
            for variable in variables:
                if variable.name == "harmonics":
                    out[variable.name][:] = rng.random((7, *shape), dtype="f4")
                elif variable.dtype == "float32":
                    out[variable.name][:] = rng.random(shape, dtype="f4") / 2
                elif layer.codes:
                    codes = [code for code in layer.codes if code < 253 or symbol in ("IMD_then", "CLCP_now")]
                    out[variable.name][:] = rng.choice(np.array(codes, "u1"), shape)
        record = Record(
            symbol,
            "E38N31",
            symbol,
            href=place.data,
            bbox=job.bounds,
            statistics={"members": 2},
            start="2018-01-01",
            end="2021-12-31",
        )
        job.store.write_record(place.record, record)
    proxy = Record("CLCP_proxy", "E38N31", "none", made=False, reason="none", start="2018-01-01", end="2021-12-31")
    job.store.write_record(job.place("CLCP_proxy").record, proxy)
    return job


@pytest.fixture(scope="module")
def alone():
    """A process of its own: tracing allocations while threads of other tests end has crashed the interpreter."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


def spent(folder: Path, symbol: str) -> tuple[int, int]:
    """Highest size of all arrays while a layer is made, and the projection of its block."""
    job = Job.of(Production.read(folder), "E38N31")
    projected, original = [], Engine.map

    def spy(self, function, blocks, size, what, **more):
        assert len(blocks) == 1
        projected.append(size)
        return original(self, function, blocks, size, what, **more)

    for name in CATALOGUE[symbol].inputs:
        if job.record(name) is None:
            make_node(job, name)
    make_node(job, symbol, force=True)  # what a first time compiles and imports does not count
    Engine.map = spy
    tracemalloc.start()
    try:
        make_node(job, symbol, force=True)
        return tracemalloc.get_traced_memory()[1], projected[0]
    finally:
        tracemalloc.stop()
        Engine.map = original


@pytest.mark.parametrize(
    "symbol",
    ["RMSD", "CHM_raw", "NDVI_p0_now", "CHM_resampled", "IMD_MSK_now", "IMD_then_mean", "SBU", "IMD_now_resampled", "IMDC",
     "IMDC_resampled", "IMCC", "RIMD_sd", "IMDCL"],
)  # fmt: skip
def test_arrays_of_a_block_stay_within_the_projection(job, symbol, alone):
    peak, projected = alone.apply(spent, (job.production.root, symbol))
    assert 0.2 * projected < peak < projected


@pytest.mark.slow
def test_the_mean_ndvi_is_read_without_the_other_coefficients(job, alone):
    """All seven take 28 MB a block, and as much again while they are decoded."""
    peak, projected = alone.apply(spent, (job.production.root, "NDVI_p0_then"))
    assert peak < 28e6 and projected < 45e6
    np.testing.assert_array_equal(job.array("NDVI_p0_then")[:], job.group("PP_then")["harmonics"][0])
