"""Reading from servers: what GDAL is told, who is waited for, and when a scene counts as broken; against servers on loopback.

Policy on faults: a file that is refused (403, 404) or damaged is the trouble of its scene, at once or after three tries; a
server that is busy (429, 5xx), hangs or is not there is waited for as long as `patience`, and then the work fails: no scene is
left out because of it.
"""

from __future__ import annotations

import pickle
import threading
import time

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.env import getenv

from imperv.tasks.errors import InputError, SceneError, WorkError
from imperv.tasks.scenes import access as module
from imperv.tasks.scenes.access import ask, environment, gdal_options, gdal_path, is_remote, patiently
from imperv.tasks.settings.scenes import SceneAccess
from imperv.tasks.store.store import Store
from tests.support.range_server import Fault, RangeServer, serving

HASTY = SceneAccess(connect_timeout=2, timeout=1, retries=1, patience=1.5)


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    module._s3.cache_clear()
    module._silent_since.clear()
    module._given.clear()


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    with serving(folder) as running:
        yield running


def put(server: RangeServer, name: str = "bucket/a.tif", edge: int = 256) -> str:
    """A COG of noise, 32 blocks of 2 kilobytes and more; its URL."""
    path = server.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(1).integers(1, 9000, (edge, edge)).astype("uint16")
    with rasterio.open(
        path, "w", driver="COG", height=edge, width=edge, count=1, dtype="uint16", crs="EPSG:32632",
        transform=Affine(10, 0, 600_000, 0, -10, 5_200_000), blocksize=128, compress="deflate", overviews="none",
    ) as target:  # fmt: skip
        target.write(noise, 1)
    return f"{server.url}/{name}"


def read(path: str, access: SceneAccess = HASTY) -> int:
    def go() -> int:
        with environment(access), rasterio.open(gdal_path(path)) as source:
            return int(source.read(1).sum())

    return patiently(path, "s1", access, go)


# settings ---------------------------------------------------------------------------------------------------------


def test_paths_as_gdal_knows_them():
    assert gdal_path("s3://bucket/a/b.tif") == "/vsis3/bucket/a/b.tif"
    assert gdal_path("https://host/a.tif?sig=x") == "/vsicurl/https://host/a.tif?sig=x"
    assert [gdal_path(p) for p in ("/data/a.tif", "/vsis3/b/k", "gs://b/k")] == ["/data/a.tif", "/vsis3/b/k", "gs://b/k"]
    remote = ("s3://b/k", "http://h/a", "/vsicurl/https://h/a", "/vsis3/b/k", "/vsizip//vsis3/b/k.zip/x.jp2")
    assert all(is_remote(p) for p in remote)
    assert not any(is_remote(p) for p in ("/data/a.tif", "a.tif", "/vsizip//data/k.zip/x.jp2"))


def test_settings_become_gdals():
    given = SceneAccess(
        profile="cdse", endpoint_url="https://eodata.dataspace.copernicus.eu/", region="default", requester_pays=True, timeout=7
    )
    options = gdal_options(given)
    expected = {
        "AWS_PROFILE": "cdse", "AWS_S3_ENDPOINT": "eodata.dataspace.copernicus.eu", "AWS_HTTPS": "YES",
        "AWS_VIRTUAL_HOSTING": "FALSE", "AWS_REGION": "default", "AWS_REQUEST_PAYER": "requester",
        "GDAL_HTTP_LOW_SPEED_TIME": 7, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    }  # fmt: skip
    assert expected.items() <= options.items()
    assert "AWS_S3_ENDPOINT" not in gdal_options(SceneAccess())
    assert gdal_options(SceneAccess(unsigned=True))["AWS_NO_SIGN_REQUEST"] == "YES"
    with environment(given):
        assert getenv()["AWS_S3_ENDPOINT"] == "eodata.dataspace.copernicus.eu"
    assert pickle.loads(pickle.dumps(given)) == given


def test_no_secret_is_kept(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    assert "very-secret" not in str(gdal_options(SceneAccess()))


def signed_by(server: RangeServer) -> set[str]:
    """Key and region that requests were signed with; empty text for none."""
    found = set()
    for request in server.requests:
        text = request.headers.get("Authorization", "")
        found.add("/".join(text.split("Credential=")[1].split("/")[::2][:2]) if text else "")
    return found


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "FROMENV/us-east-1"),
        ({"profile": "mine", "region": "eu-central-1"}, "FROMPROFILE/eu-central-1"),
        ({"unsigned": True}, ""),
        ({"requester_pays": True}, "FROMENV/us-east-1"),
    ],
)
def test_gdal_and_questions_are_signed_alike(server, monkeypatch, tmp_path, settings, expected):
    """Keys of the environment are used as they are; a profile that is named beats them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROMENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    (tmp_path / "credentials").write_text("[mine]\naws_access_key_id = FROMPROFILE\naws_secret_access_key = y\n")
    put(server)
    access = SceneAccess(endpoint_url=server.url, region=settings.pop("region", "us-east-1"), **settings)
    assert read("s3://bucket/a.tif", access) > 0
    count = len(server.requests)
    assert ask("s3://bucket/a.tif", access).state == "there"
    assert len(server.requests) == count + 1
    assert signed_by(server) == {expected}
    assert {r.path for r in server.requests} == {"/bucket/a.tif"}
    paid = {r.headers.get("x-amz-request-payer") for r in server.requests}
    assert paid == ({"requester"} if "requester_pays" in settings else {None})


def test_settings_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="exclude each other"):
        SceneAccess(unsigned=True, profile="x")
    with pytest.raises(ValueError, match="is not an address like"):
        SceneAccess(endpoint_url="eodata.dataspace.copernicus.eu")
    with pytest.raises(InputError, match=r"scenes\.access\.profile: 'nobody' is not in the AWS configuration"):
        ask("s3://bucket/a.tif", SceneAccess(profile="nobody"))
    with pytest.raises(InputError, match=r"scenes\.access: no keys for s3://bucket; .* unsigned = true"):
        ask("s3://bucket/a.tif", SceneAccess(region="us-east-1", endpoint_url="http://127.0.0.1:9"))


# requests ---------------------------------------------------------------------------------------------------------


def test_a_header_takes_one_request_and_nothing_is_listed(server):
    url = put(server)
    for _ in range(3):
        with environment(), rasterio.open(gdal_path(url)):
            pass
    assert [(r.method, r.path, r.range) for r in server.requests] == [
        ("HEAD", "/bucket/a.tif", ""), ("GET", "/bucket/a.tif", "bytes=0-32767"),
    ]  # fmt: skip


# faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "state"), [(404, "refused"), (403, "refused"), (429, "silent"), (503, "silent"), (0, "there")]
)
def test_what_a_server_says(server, status, state):
    url = put(server)
    server.faults = [Fault("a.tif", status=status)]
    assert ask(url, HASTY).state == state
    assert ask("s3://bucket/a.tif", SceneAccess(unsigned=True, endpoint_url=server.url, timeout=1)).state == state


def test_a_server_that_hangs_or_is_gone_is_silent(server):
    url = put(server)
    server.faults = [Fault("a.tif", hang=60)]
    start = time.monotonic()
    assert ask(url, HASTY).state == "silent"
    server.stop()
    assert ask(url, HASTY).state == "silent"
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("status", [403, 404])
def test_a_refused_file_loses_its_scene_at_once(server, status):
    url = put(server)
    server.faults = [Fault("a.tif", status=status)]
    with pytest.raises(SceneError, match=rf"scene s1: .*a\.tif cannot be read \(HTTP {status}") as caught:
        read(url)
    assert "\n" not in str(caught.value) and len(server.requests) <= 4
    pickle.loads(pickle.dumps(caught.value))


@pytest.mark.parametrize(("status", "times"), [(503, 2), (429, 3), (500, 5)])
def test_a_busy_server_is_asked_again(server, status, times):
    url = put(server)
    expected = read(url.replace("a.tif", "a.tif?fresh"))
    server.faults = [Fault("a.tif", status=status, times=times)]
    assert read(url, HASTY.model_copy(update={"patience": 20.0})) == expected


def test_a_hanging_server_is_tried_again(server):
    url = put(server)
    server.faults = [Fault("a.tif", hang=2.5, times=1)]
    assert read(url, HASTY.model_copy(update={"patience": 20.0})) > 0


def test_a_truncated_file_loses_its_scene(server):
    url = put(server)
    server.faults = [Fault("a.tif", cut=60_000)]
    with pytest.raises(SceneError, match=r"a\.tif cannot be read"):
        read(url)


@pytest.mark.slow
def test_a_server_that_is_gone_fails_the_work_not_the_scene(server, caplog):
    url, access = put(server), HASTY.model_copy(update={"patience": 5.0})
    server.stop()
    start = time.monotonic()
    with pytest.raises(WorkError, match=r"127\.0\.0\.1:\d+ has not answered for 5 s .*a\.tif; run again") as caught:
        read(url, access)
    assert not isinstance(caught.value, SceneError) and "\n" not in str(caught.value)
    assert 3 < time.monotonic() - start < 60
    assert [r.getMessage().endswith("waiting up to 5 s") for r in caplog.records if "does not answer" in r.getMessage()] == [True]
    # The next one need not wait as long: the server is known to be gone.
    start = time.monotonic()
    with pytest.raises(WorkError):
        read(url, access)
    assert time.monotonic() - start < 4


@pytest.mark.slow
def test_a_server_that_comes_back_is_waited_for(server):
    url = put(server)
    expected = read(put(server, "bucket/same.tif"))
    server.stop()
    threading.Timer(1.5, server.start).start()
    assert read(url, HASTY.model_copy(update={"patience": 30.0})) == expected
    assert not module._silent_since


@pytest.mark.slow
def test_a_file_that_fails_for_ever_on_a_server_that_answers_ends_too(server):
    """It is waited for as long as for a server, then its scene is left out: nobody could do anything else about it."""
    bad, good, over = put(server), put(server, "bucket/good.tif"), threading.Event()
    server.faults = [Fault("a.tif", status=500)]

    def others() -> None:
        while not over.is_set():
            read(good)
            time.sleep(0.05)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        start = time.monotonic()
        with pytest.raises(
            SceneError, match=r"a\.tif cannot be read \(HTTP 500 .* for 1\.5 s, while http://127\.0\.0\.1:\d+ gives"
        ):
            read(bad)
        assert time.monotonic() - start > HASTY.patience
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_of_a_server_that_fails_for_all_files_no_scene_is_lost(server):
    """Also where it gave files before, and where the first that fails is asked for long after the last that was had."""
    bad, good = put(server), put(server, "bucket/good.tif")
    read(good)
    server.faults = [Fault("tif", status=500)]
    with pytest.raises(WorkError, match="has not answered for") as caught:
        read(bad)
    assert not isinstance(caught.value, SceneError)


def test_every_file_has_its_own_patience(server):
    """A file that has just begun to fail is not given up because another has failed for long."""
    put(server, "bucket/good.tif")
    bad = put(server)
    read(f"{server.url}/bucket/good.tif")
    module._silent_since[server.url] = time.monotonic() - 100
    server.faults = [Fault("a.tif", status=500, times=4)]
    assert read(bad) > 0


# the store --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, "FROMENV/us-east-1"), ({"profile": "mine"}, "FROMPROFILE/us-east-1"), ({"anon": True}, "")],
)
def test_the_store_is_signed_as_its_options_say(server, monkeypatch, tmp_path, options, expected):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROMENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    (tmp_path / "credentials").write_text("[mine]\naws_access_key_id = FROMPROFILE\naws_secret_access_key = y\n")
    (tmp_path / "config").write_text("[profile mine]\nregion = us-east-1\n")
    (server.folder / "bucket").mkdir()
    (server.folder / "bucket" / "record.json").write_text("words")
    store = Store("s3://bucket", {"endpoint_url": server.url, **options})
    assert store.read_text("record.json") == "words"
    assert signed_by(server) == {expected}
