"""Stores under names with signs of patterns, addresses and chained file systems: in folders, in memory, on a real S3 server.

Policy: a name is a name. What lies in a folder called ``[old]`` is found, replaced and removed like anything elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imperv.grids import Tile, window_geobox
from imperv.layers.catalogue import Variable
from imperv.tasks.delivery.delivery import deliver
from imperv.tasks.imperviousness.eea import EEA
from imperv.tasks.imperviousness.nodes.calibration import OWN, _calibrated_tiles
from imperv.tasks.job import Job
from imperv.tasks.networks.registry import read_records
from imperv.tasks.store.file_systems import discard, file_system, read_together, tiles_with
from imperv.tasks.store.store import Place, Store
from tests.support.delivered import CORNER, production, put
from tests.support.s3_server import serving_s3
from tests.tasks.store.test_records import RECORD

ODD = "[old] a*b? #1 100%25 ü::x;y!'z"
NAMES = ("plain", "[old]", "a*b", "what?", "#1", "100%25 x", "üß", "a::b", "x;y!", ODD)
SERIES = "CLMS_HRLNVLCC_2018-2021_V01_R00.stac.json"


@pytest.fixture(scope="module")
def s3():
    with serving_s3("bucket") as url:
        yield {"endpoint_url": url}


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request, tmp_path):
    """A store of an odd name, empty."""
    if request.param == "folder":
        return Store(tmp_path / ODD)
    if request.param == "memory":
        return Store(f"memory://{tmp_path.name}/[old] a*b? x")
    return Store(f"s3://bucket/{tmp_path.name}/[old] a*b? x", request.getfixturevalue("s3"))


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_the_folder_of_that_name(tmp_path, name):
    store = Store(tmp_path / name)
    store.write_text("runs/a.data.json", "{}")
    assert (tmp_path / name / "runs" / "a.data.json").read_text() == "{}"
    assert store.read_text("runs/a.data.json") == "{}" and store.find("runs") == {"runs/a.data.json": 2}
    fs, root = file_system(str(tmp_path / name), {})
    assert store.is_local and root == str(tmp_path / name) and fs.exists(root)


def test_arrays_replace_those_before(store):
    """On object stores pieces of no data are not written: those of an older layer must be gone, not shine through."""
    place, grid = Place("tiles/E43N32/2018/X.zarr", "tiles/E43N32/2018/X.json"), window_geobox(Tile("E43N32"), 10, CORNER)
    for value in (7, 0):
        with store.writing_arrays(place, grid, 10, (Variable("X", "uint8", 0),), {}) as out:
            out["X"][:] = np.full(grid.shape, value, "uint8")
        found = store.group(place.data)["X"][:]
        assert found.shape == grid.shape and (found == value).all()
    store.write_record(place.record, RECORD)
    store.remove(place)
    assert store.find("tiles") == {}


def test_other_tiles_are_found(store):
    for tile in ("E43N32", "E44N32", "E45N32"):
        store.write_text(f"tiles/{tile}/2018/IMD_then.json", "{}")
    for tile in ("E43N32", "E45N32"):
        store.write_text(f"tiles/{tile}/2018/IMD_calibration.json", tile)
    assert tiles_with(store, "tiles", "2018/IMD_calibration.json") == ["E43N32", "E45N32"]
    assert tiles_with(store, "products", "2018/IMD_calibration.json") == []
    paths = [f"tiles/{tile}/2018/IMD_calibration.json" for tile in ("E43N32", "E44N32", "E45N32")]
    assert read_together(store, paths) == {paths[0]: "E43N32", paths[2]: "E45N32"}
    for tile in ("E43N32", "E45N32"):
        store.write_record(f"models/IMD/{tile}/model.json", RECORD)
    assert set(read_records(store, "IMD", [Tile(t) for t in store.tiles()])) == {Tile("E43N32"), Tile("E45N32")}


def test_calibrations_of_other_tiles_are_found(store):
    job = Job.of(production(store.url, options=store.options), "E43N32")
    other = Job(job.production, store, Tile("E44N32"), job.engine)
    store.write_record(other.place("IMD_calibration").record, replace(RECORD, statistics={"source": OWN}))
    assert _calibrated_tiles(job) == [Tile("E44N32")]


def test_nothing_beside_is_removed(tmp_path):
    """As a pattern, the name of the first is that of the second."""
    fs, root = file_system("memory://pattern", {})
    for name in ("a[1]", "a1"):
        fs.pipe_file(f"{root}/{name}/x", b"1")
    discard(fs, f"{root}/a[1]")
    discard(fs, f"{root}/a[2]")
    assert fs.find(root) == [f"{root}/a1/x"]


@pytest.mark.slow
def test_products_get_their_catalogues(store):
    job = Job.of(production(store.url, options=store.options), "E43N32")
    put(job, "SBU")
    deliver(job, "SBU")
    EEA.finish(job)
    links = json.loads(store.read_text(f"products/{SERIES}"))["links"]
    assert [link["href"] for link in links if link["rel"] == "child"] == [f"./E43N32/{SERIES}"]
    put(job, "SBU", np.zeros((1, 1)), made=False, reason="not asked for")
    deliver(job, "SBU")
    EEA.finish(job)
    assert store.read_text(f"products/{SERIES}") is None
    assert not [path for path in store.find("products") if ".tif" in path]


def test_what_a_killed_run_left_is_swept(tmp_path):
    store = Store(tmp_path / ODD)
    left = Path(store.full("tiles/E43N32/2018/X.zarr.part-1234"))
    left.mkdir(parents=True)
    assert store.sweep(Tile("E43N32")) == 1 and not left.exists()


def test_what_a_file_browser_leaves_in_a_layer_does_not_count(tmp_path):
    """A look at the store from a desktop is no reason to make a layer again."""
    store = Store(tmp_path / "store")
    store.write_text("tiles/E43N32/2018/X.zarr/c/0", "123")
    before = store.measure("tiles/E43N32/2018/X.zarr")
    for name in ("tiles/.DS_Store", "tiles/E43N32/2018/X.zarr/.DS_Store", "tiles/E43N32/2018/X.zarr/c/._0", "tiles/Thumbs.db"):
        (tmp_path / "store" / name).write_bytes(b"x")
    assert store.measure("tiles/E43N32/2018/X.zarr") == before == (1, 3)
    assert store.tiles() == ["E43N32"]
