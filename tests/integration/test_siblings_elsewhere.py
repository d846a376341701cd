"""Change and composites where production has them: scenes on a web server, the store in a bucket, blocks on a Dask cluster.

All at once, and killed half way, so that one run of each tells: the same layers and files as from a folder by threads.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imperv.flows.cli.commands import main
from imperv.tasks.store.store import Store
from tests.support.prefect_loopback import COMMAND
from tests.support.quiet_dates import FIRST, SECOND, write_dates
from tests.support.range_server import Fault, RangeServer, serving
from tests.support.s3_server import serving_s3

pytestmark = pytest.mark.slow

TILE = "E44N25"
FILE = """product = "{product}"
tiles = ["{tile}"]
store = "{store}"
[periods]
{periods}
[area]
bbox = [4422000, 2598000, 4424000, 2600000]
[scenes]
catalogue = "{items}"
[engine]
memory = "1 GiB"
workers = 2
{more}
"""

PRODUCTS = {
    "change": (f'first = "{FIRST}"\nsecond = "{SECOND}"', "[parameters.threshold]\nconfidence = 99.9"),
    "composites": ('span = "2021-05-01/2021-07-31"', ""),
}
"""Periods and parameters of each."""

UNTIL_THEN = {"change": {"CH_first"}, "composites": {"CO_A"}}
"""What is finished when the second date is read."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """Folder with items whose files are named from it."""
    items = write_dates(tmp_path_factory.mktemp("scenes"))
    table = json.loads(items.read_text())
    for asset in (asset for item in table["features"] for asset in item["assets"].values()):
        asset["href"] = str(Path(asset["href"]).relative_to(items.parent))
    items.write_text(json.dumps(table))
    return items.parent


@pytest.fixture(scope="module")
def web(scenes) -> Iterator[RangeServer]:
    with serving(scenes) as server:
        table = json.loads((scenes / "items.json").read_text())
        for asset in (asset for item in table["features"] for asset in item["assets"].values()):
            asset["href"] = f"{server.url}/{asset['href']}"
        (scenes / "web.json").write_text(json.dumps(table))
        yield server


def write(folder: Path, product: str, items: Path, store: str = "store") -> Path:
    periods, parameters = PRODUCTS[product]
    file = folder / f"{product}.toml"
    file.write_text(FILE.format(product=product, tile=TILE, store=store, periods=periods, items=items, more=parameters))
    return file


def killed_at(web: RangeServer, part: str, file: Path) -> None:
    """A run that is killed with -9 while it waits for files whose path contains `part`."""
    web.faults, answered = [Fault(part, status=503)], len(web.requests)
    process = subprocess.Popen([sys.executable, "-c", COMMAND, "run", TILE, "-c", str(file)], stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and not any(part in request.path for request in web.requests[answered:]):
            time.sleep(0.01)
    finally:
        process.kill()
    assert process.wait() == -9
    web.faults = []


@pytest.mark.parametrize("product", list(PRODUCTS))
def test_the_same_after_a_kill_from_the_web_by_a_cluster_in_a_bucket(product, scenes, web, tmp_path, monkeypatch, capsys):
    from distributed import LocalCluster

    local = Store(tmp_path / "store")
    assert main(["run", TILE, "-c", str(write(tmp_path, product, scenes / "items.json"))]) == 0
    (tmp_path / "away").mkdir()
    with serving_s3("imperv") as url, LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        monkeypatch.setenv("IMPERV_ENGINE__DASK_ADDRESS", cluster.scheduler_address)
        monkeypatch.setenv("IMPERV_STORE_OPTIONS", json.dumps({"endpoint_url": url}))
        file = write(tmp_path / "away", product, scenes / "web.json", f"s3://imperv/{product}")
        killed_at(web, f"{SECOND.replace('-', '')}_0_L2A/B08", file)
        store = Store(f"s3://imperv/{product}", {"endpoint_url": url})
        kept = store.records(TILE)
        assert {Path(place).stem for place in kept} >= UNTIL_THEN[product] and all(map(store.data_in_place, kept.values()))
        assert main(["run", TILE, "-c", str(file)]) == 0
        after = store.records(TILE)
        assert {place: after[place] for place in kept} == kept  # not made again
        theirs, ours = ({p: r.digest for p, r in one.records(TILE).items()} for one in (local, store))
        # Lists of scenes name the files.
        lists = {place for place in theirs if "_S2" in place}
        assert lists and {p: d for p, d in ours.items() if p not in lists} == {p: d for p, d in theirs.items() if p not in lists}
        names = [str(p.relative_to(local.root)) for p in Path(local.root).rglob("products/**/*.tif")]
        assert names and all(store.fs.cat_file(f"imperv/{product}/{n}") == (Path(local.root) / n).read_bytes() for n in names)
        capsys.readouterr()
        assert main(["run", TILE, "-c", str(file)]) == 0
        assert "0 ran" in capsys.readouterr().err
