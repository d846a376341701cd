"""The same files, bit for bit, whether threads or a Dask cluster compute the blocks.

Two kinds of cluster: one that Python starts, of two processes, and a scheduler and workers started by hand and given by address.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imperv.flows.cli.commands import main
from imperv.tasks.store.store import Store
from tests.integration.conftest import with_store

TILE = "E44N27"

pytestmark = pytest.mark.slow


def digests(store: Path) -> dict[str, str]:
    """Digest of the content of every layer, by its place in the store."""
    return {place: record.digest for place, record in Store(store).records(TILE).items()}


def products(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((store / "products").rglob("*.tif"))}


@pytest.fixture
def by_hand() -> Iterator[str]:
    """Address of a scheduler with two workers, each a process of its own on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    port = address.rsplit(":", 1)[1]
    start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]
    work = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": Path(__file__).parents[2]}
    processes = [subprocess.Popen(start, **quiet)]
    try:
        for _ in range(3000):
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", int(port))) == 0:
                    break
            time.sleep(0.1)
        else:
            raise AssertionError("the scheduler does not listen")
        processes += [subprocess.Popen(work, **quiet) for _ in range(2)]
        yield address
    finally:
        for process in reversed(processes):
            process.kill()  # nothing of theirs is kept, and a worker may take its time to leave
        for process in processes:
            process.wait(20)


def test_a_scheduler_given_by_address_delivers_the_same_files(finished, tmp_path, by_hand, monkeypatch):
    """From the models on: a training takes as long as all layers, and no cluster."""
    shutil.copytree(finished.parent / "store" / "models", tmp_path / "store" / "models")
    monkeypatch.setenv("IMPERV_ENGINE__DASK_ADDRESS", by_hand)
    assert main(["run", TILE, "--config", str(with_store(finished, tmp_path))]) == 0
    expected = products(finished.parent / "store")
    assert len(expected) == 18 and products(tmp_path / "store") == expected
    assert digests(tmp_path / "store") == digests(finished.parent / "store")


def test_a_local_cluster_of_two_processes_makes_the_same_features(finished, tmp_path, monkeypatch):
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        monkeypatch.setenv("IMPERV_ENGINE__DASK_ADDRESS", cluster.scheduler_address)
        assert main(["run", TILE, "--config", str(with_store(finished, tmp_path)), "--target", "CHM_resampled"]) == 0
    found, expected = digests(tmp_path / "store"), digests(finished.parent / "store")
    assert {Path(name).stem for name in found} >= {"PP", "RMSD", "CHM", "CHM_resampled"}, found
    assert found == {name: expected[name] for name in found}
