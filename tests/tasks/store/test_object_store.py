"""The store on S3 through outages and mistakes, against servers on loopback.

Policy: a server that has answered before is waited for as long as `patience` and then fails the work in one line; one that never
has, for seconds; keys, buckets and hosts that are not there are the request's fault, at once.
"""

from __future__ import annotations

import gc
import pickle
import threading
import time

import numpy as np
import pytest
import zarr

from imperv.grids import Tile, window_geobox
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.store import object_store as module
from imperv.tasks.store.object_store import PatientS3
from imperv.tasks.store.store import Place, Store
from tests.support.range_server import Fault, serving
from tests.tasks.store.test_records import RECORD


@pytest.fixture(autouse=True)
def _keys(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    module._answered.clear()
    PatientS3.clear_instance_cache()
    yield
    PatientS3.clear_instance_cache()
    gc.collect()  # what complains of an open connection when it is thrown away does so here, not in another file's test


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "files"
    (folder / "bucket").mkdir(parents=True)
    (folder / "bucket" / "record.json").write_text("words")
    with serving(folder) as running:
        yield running


def store_at(server, **options) -> Store:
    return Store("s3://bucket", {"endpoint_url": server.url, "patience": 1.5, **options})


def test_a_store_on_s3_is_patient_wherever_it_travels(server):
    store = store_at(server)
    again = pickle.loads(pickle.dumps(store.fs))
    assert isinstance(again, PatientS3) and again.patience == 1.5
    assert isinstance(store.zarr_store("bucket/a.zarr").fs, PatientS3)
    assert Store("s3://bucket").fs.patience == module.PATIENCE


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, status, caplog):
    store = store_at(server, patience=30)
    server.faults = [Fault("record", status=status, times=3)]
    assert store.read_text("record.json") == "words"


@pytest.mark.slow
def test_a_server_that_comes_back_is_waited_for(server, caplog):
    store = store_at(server, patience=30)
    assert store.read_text("record.json") == "words"
    server.stop()
    threading.Timer(2, server.start).start()
    assert store.read_text("record.json") == "words"
    said = [r.getMessage() for r in caplog.records if "does not answer" in r.getMessage()]
    assert len(said) == 1 and said[0].startswith(f"store: {server.url} does not answer (") and said[0].endswith("up to 30 s")


@pytest.mark.slow
def test_a_server_that_is_gone_fails_the_work_in_one_line(server):
    store = store_at(server)
    store.read_text("record.json")
    server.stop()
    start = time.monotonic()
    with pytest.raises(WorkError, match=rf"^store: {server.url} has not answered for 1\.5 s \(.*\); run again when") as caught:
        store.read_text("record.json")
    assert "\n" not in str(caught.value) and 1.5 < time.monotonic() - start < 60
    with pytest.raises(WorkError, match="has not answered"):
        store.write_text("other.json", "words")


@pytest.mark.slow
def test_a_server_that_never_answered_is_not_waited_for_long(server, monkeypatch):
    monkeypatch.setattr(module, "FIRST_CONTACT", 0.5)
    store = store_at(server, patience=300)
    server.stop()
    with pytest.raises(WorkError, match=r"has not answered for 0\.5 s"):
        store.read_text("record.json")


@pytest.mark.slow
def test_mistakes_are_told_at_once(server, monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"store: .*nobody.*store_options\.profile"):
        store_at(server, profile="nobody").read_text("record.json")
    server.faults = [Fault("record", status=403)]
    with pytest.raises(InputError, match=r"store: s3://bucket/record\.json cannot be read \(.*\); correct the keys"):
        store_at(server).read_text("record.json")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    PatientS3.clear_instance_cache()
    with pytest.raises(InputError, match=r"store: no keys for s3://bucket; set AWS_ACCESS_KEY_ID .*store_options"):
        store_at(server).read_text("record.json")


def test_what_is_not_there_is_no_mistake(server):
    assert store_at(server).read_text("none.json") is None


# a real S3 server ---------------------------------------------------------------------------------------------------


class Moto:
    """moto's server on a port that stays the same from start to start; what it holds survives."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    def start(self) -> None:
        server = pytest.importorskip("moto.server")
        self.running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.running.start()
        self.port = self.running.get_host_and_port()[1]

    @property
    def options(self) -> dict[str, object]:
        return {"endpoint_url": f"http://127.0.0.1:{self.port}", "patience": 60}


@pytest.fixture
def moto():
    server = Moto()
    yield server
    server.running.stop()


def test_a_bucket_that_is_not_there(moto):
    with pytest.raises(InputError, match=r"store: there is no bucket nowhere at http://.*; make it, or correct store"):
        Store("s3://nowhere", moto.options).write_text("a.json", "{}")


@pytest.mark.slow
def test_arrays_survive_an_outage_while_they_are_written(moto):
    store = Store("s3://arrays", moto.options)
    store.fs.mkdir("arrays")
    group = zarr.create_group(store.zarr_store("arrays/a.zarr"))
    array = group.create_array("a", shape=(8, 8), chunks=(4, 4), dtype="uint8")
    array[:4] = 1
    moto.running.stop()
    threading.Timer(2, moto.start).start()
    array[4:] = 2
    found = zarr.open_group(store.zarr_store("arrays/a.zarr"), mode="r")["a"][:]
    assert np.array_equal(found, np.repeat([1, 2], 4)[:, None].repeat(8, axis=1))


@pytest.mark.slow
def test_what_was_cut_off_does_not_look_done(moto):
    """The record goes before the data are touched and comes back after them."""
    store = Store("s3://records/run", moto.options)
    store.fs.mkdir("records")
    layer, place = CATALOGUE["IMD_now"], Place("tiles/E43N32/2018-2021/IMD_now.zarr", "tiles/E43N32/2018-2021/IMD_now.json")
    grid = window_geobox(Tile("E43N32"), 10, (4_300_000, 3_200_000, 4_301_000, 3_201_000))
    store.write_record(place.record, RECORD)
    assert store.read_record(place.record) == RECORD
    with pytest.raises(ZeroDivisionError), store.writing_arrays(place, grid, 10, layer.variables, {}) as group:
        assert store.read_record(place.record) is None and store.records("E43N32") == {}
        group["IMD_now"][:] = 7
        raise ZeroDivisionError
    assert store.read_record(place.record) is None and store.records("E43N32") == {}
