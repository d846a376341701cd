"""Blocks within memory, and the same pixels whether threads of this process or workers of a Dask cluster compute them."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.engine import Engine, measured
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.imperviousness.nodes.recipes import make_by_recipe
from imperv.tasks.job import Job, attributes
from imperv.tasks.settings.production import EngineSettings, Production
from imperv.tasks.store.records import Record

MIB = 2**20


def engine(memory: str = "1 GiB", workers: int = 4, **more) -> Engine:
    return Engine(EngineSettings(memory=memory, workers=workers), **more)


@pytest.mark.parametrize(
    ("memory", "budget"), [("8 GiB", (8192 - 640) * MIB * 0.95), ("2 GiB", (2048 - 640) * MIB * 0.95), ("1 GiB", 512 * MIB)]
)
def test_what_the_process_itself_takes_is_kept(memory, budget):
    assert engine(memory).budget == pytest.approx(budget)


@pytest.mark.parametrize(
    ("block", "count"),
    [(512 * MIB, 1), (257 * MIB, 1), (256 * MIB, 2), (170 * MIB, 3), (128 * MIB, 4), (100 * MIB, 4), (1, 4), (0, 4)],
)
def test_as_many_blocks_at_once_as_fit(block, count):
    assert engine("1 GiB", 4).at_once(block, "PP_now") == count


@given(st.integers(1, 64), st.integers(0, 10 * 2**30), st.integers(256, 64 * 1024))
def test_at_once_stays_within_memory_and_workers(workers, block, memory):
    here = engine(f"{memory} MiB", workers)
    if block > here.budget:
        with pytest.raises(InputError):
            here.at_once(block, "x")
    else:
        count = here.at_once(block, "x")
        assert 1 <= count <= workers
        assert count * block <= here.budget
        assert count == workers or (count + 1) * block > here.budget


def test_a_block_that_does_not_fit_is_an_error_before_anything_starts():
    started = []
    with pytest.raises(InputError) as caught:
        engine("1 GiB").map(started.append, [1, 2, 3], 900 * MIB, "PP_now")
    text = str(caught.value)
    assert "\n" not in text and started == []
    assert text == "engine.memory: PP_now needs 1.55 GiB for one block, 1.00 GiB are allowed; raise engine.memory"


def test_the_memory_asked_for_is_enough():
    block = 900 * MIB
    assert Engine(EngineSettings(memory=int(block / 0.95 + 640 * MIB) + 1, workers=1)).at_once(block, "x") == 1


def test_results_are_in_order_and_progress_is_told():
    told = []

    def slow_first(k: int) -> int:
        time.sleep(0.05 if k == 0 else 0)
        return k * k

    found = engine(progress=lambda done, total: told.append((done, total))).map(slow_first, list(range(20)), 1, "x")
    assert found == [k * k for k in range(20)]
    assert told[0] == (0, 20)
    assert sorted(done for done, _ in told) == list(range(21))


@pytest.mark.parametrize(("block", "expected"), [(200 * MIB, 2), (512 * MIB, 1), (1, 4)])
def test_no_more_run_at_once_than_fit(block, expected):
    lock, running, most = threading.Lock(), 0, 0

    def work(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.1)
        with lock:
            running -= 1

    engine("1 GiB", 4).map(work, list(range(12)), block, "x")
    assert most == expected


def test_no_blocks():
    assert engine().map(lambda block: block, [], 1, "x") == []


def test_a_failure_comes_through_as_it_is():
    def work(k: int) -> int:
        if k == 3:
            raise WorkError("IBU_now: check failed")
        return k

    with pytest.raises(WorkError, match="^IBU_now: check failed$"):
        engine().map(work, list(range(8)), 1, "x")


def test_measuring():
    with measured(interval=0.01) as usage:
        held = np.ones(60 * MIB // 8)
        end = time.process_time() + 0.1
        while time.process_time() < end:
            held += 1
    assert 0.1 / 4 <= usage.seconds < 60
    assert 0.03 < usage.cpu_seconds <= usage.seconds * 4
    assert usage.peak_memory > 60 * MIB


def test_measuring_counts_bytes_of_files(tmp_path):
    with measured() as usage:
        (tmp_path / "a").write_bytes(b"x" * 3 * MIB)
        (tmp_path / "a").read_bytes()
        (tmp_path / "a").read_bytes()
    assert 3 * MIB <= usage.bytes_written < 3.5 * MIB
    assert 6 * MIB <= usage.bytes_read < 6.5 * MIB


def test_measuring_a_failure():
    with pytest.raises(ZeroDivisionError), measured() as usage:
        _ = 1 / 0
    assert usage.seconds >= 0
    assert usage.peak_memory > 0


# a cluster --------------------------------------------------------------------------------------------------------


def job_of(folder, address: str) -> Job:
    """Twenty-one by eleven kilometres: six blocks of work at 20 m."""
    folder.mkdir(exist_ok=True)
    (folder / "production.toml").write_text(
        'tiles = ["E38N31"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        "[area]\nbbox = [3820000, 3110000, 3841000, 3121000]\n"
        f'[engine]\nworkers = 2\nmemory = "1 GiB"\ndask_address = "{address}"\n'
    )
    return Job.of(Production.read(folder), "E38N31")


def put(job: Job, symbol: str, array: np.ndarray) -> None:
    layer, place = CATALOGUE[symbol], job.place(symbol)
    with job.store.writing_arrays(place, job.grid(10), 10, layer.variables, attributes(job, layer)) as out:
        out[layer.variables[0].name][:] = array
    job.store.write_record(place.record, Record(symbol, "E38N31", "key", start="2018-01-01", end="2018-12-31"))


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as found:
        yield found.scheduler_address


@pytest.mark.slow
def test_the_same_pixels_on_threads_and_on_a_cluster(tmp_path, cluster):
    rng = np.random.default_rng(0)
    codes = rng.choice(np.array([*range(101), 255], "uint8"), (1100, 2100))
    made, pixels = {}, {}
    for name, address in (("threads", ""), ("cluster", cluster)):
        job = job_of(tmp_path / name, address)
        assert len(job.blocks(20)) == 6
        put(job, "IMD_then", codes)
        made[name] = make_by_recipe(job, CATALOGUE["IMD_then_mean"])
        pixels[name] = job.array("IMD_then_mean")[:]
    assert made["cluster"] == made["threads"]
    np.testing.assert_array_equal(pixels["cluster"], pixels["threads"])
    assert len(np.unique(pixels["threads"])) > 50


@pytest.mark.slow
def test_blocks_of_a_cluster_keep_order_progress_and_failures(cluster):
    told = []
    settings = EngineSettings(memory="1 GiB", workers=2, dask_address=cluster)
    here = Engine(settings, lambda done, total: told.append((done, total)))
    assert here.map(abs, list(range(-9, 0)), 1, "x") == list(range(9, 0, -1))
    assert told == [(k, 9) for k in range(10)]
    assert here.map(abs, [], 1, "x") == []
    with pytest.raises(TypeError, match="bad operand"):
        here.map(abs, [1, "a", 2], 1, "x")
    assert here.map(abs, [-1], 1, "x") == [1]  # the cluster is as good as before


@pytest.mark.slow
def test_a_failed_check_on_a_cluster_is_one_of_ours(tmp_path, cluster):
    """An `InputError` or `WorkError` keeps its kind and text on its way back, so that it is told in one line."""
    job = job_of(tmp_path / "cluster", cluster)
    put(job, "IBUD_now", np.full((1100, 2100), 50, "uint8"))
    # Density of 20 m where 10 m is promised: the first block's check must fail in the worker.
    with job.store.writing_arrays(job.place("IBUD_now"), job.grid(20), 20, CATALOGUE["IBUD_now"].variables, {}) as out:
        out["IBUD_now"][:] = 50
    job.store.write_record(
        job.place("IBUD_now").record, Record("IBUD_now", "E38N31", "key", start="2018-01-01", end="2018-12-31")
    )
    with pytest.raises(WorkError, match="IBU_now: block of"):
        make_by_recipe(job, CATALOGUE["IBU_now"])


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer():
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "300ms"}),
        pytest.raises((InputError, WorkError), match="127.0.0.1:9"),
    ):
        Engine(EngineSettings(workers=1, dask_address="tcp://127.0.0.1:9")).map(abs, [1], 1, "x")
