"""Scenes on a web server and in a bucket, as COGs: the same features as from local files, through faults and outages.

Policy: a scene that is 403, 404, cut short or at odds with itself is left out and named in the record; too many of them fail the
tile with the list. A server that is gone for a while is waited for, one that stays away fails the work with one line and exit
code 1, and a later run makes what is missing only.
"""

from __future__ import annotations

import json
import logging
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import rasterio
from rasterio.shutil import copy as gdal_copy

from imperv.flows.cli.commands import main
from imperv.grids import Tile, window_geobox
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.engine import Engine
from imperv.tasks.errors import WorkError
from imperv.tasks.job import Job, Made
from imperv.tasks.nodes import make_node
from imperv.tasks.scenes import access as access_module
from imperv.tasks.scenes import reading
from imperv.tasks.settings.production import Production
from imperv.tasks.store.store import Store
from imperv.tasks.yearly.freezing import make_scene_list
from imperv.tasks.yearly.preprocessing import make_pp
from tests.support.prefect_loopback import COMMAND
from tests.support.range_server import Fault, RangeServer, serving
from tests.support.s3_server import serving_s3
from tests.support.scenes import make_scenes

PP = CATALOGUE["PP_now"]
TILE = "E38N31"
AREA = (3_829_000, 3_101_000, 3_831_000, 3_103_000)
LARGER_AREA = (4_420_000, 2_687_000, 4_423_000, 2_690_000)
LARGER_DATES = 10
EVERY = 5
"""Of 91 dates of 2018 so many are skipped: 19 remain."""


@pytest.fixture(scope="module")
def cogs(shared_data, tmp_path_factory) -> Path:
    """Flanders as COGs, with an item file whose hrefs are relative."""
    folder = tmp_path_factory.mktemp("cogs")
    table = json.loads((shared_data / "flanders" / "items.json").read_text())
    items = [item for item in table["features"] if item["properties"]["datetime"].startswith("2018")][::EVERY]
    for item in items:
        (folder / item["id"]).mkdir()
        for key, asset in item["assets"].items():
            source = (shared_data / "flanders" / asset["href"]).resolve()
            asset["href"] = f"{item['id']}/{key}.tif"
            gdal_copy(source, folder / asset["href"], driver="COG", blocksize=32, compress="deflate", overviews="none")
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return folder


@pytest.fixture
def job_at(cogs, tmp_path):
    """Makes a job whose scenes lie below an address; its list is frozen."""
    access_module._silent_since.clear()
    access_module._s3.cache_clear()

    def go(prefix: str, access: str = "", more: str = "", then: str = "2017", query: str = "") -> Job:
        table = json.loads((cogs / "items.json").read_text())
        for item in table["features"]:
            for asset in item["assets"].values():
                asset["href"] = f"{prefix}/{asset['href']}{query}"
        (tmp_path / "items.json").write_text(json.dumps(table))
        (tmp_path / "production.toml").write_text(
            f'tiles = ["{TILE}"]\n[periods]\nthen = "{then}"\nnow = "2018"\n[area]\nbbox = {list(AREA)}\n[engine]\nworkers = 2\n'
            f'[scenes]\ncatalogue = "items.json"\n[scenes.access]\ntimeout = 2\nretries = 1\npatience = 30\n{access}\n{more}'
        )
        job = Job.of(Production.read(tmp_path), TILE)
        make_scene_list(job, CATALOGUE["S2_now"])
        return job

    return go


@pytest.fixture(scope="module")
def expected(cogs, tmp_path_factory) -> Made:
    """What local files give."""
    folder = tmp_path_factory.mktemp("local")
    (folder / "production.toml").write_text(
        f'[periods]\nthen = "2017"\nnow = "2018"\n[area]\nbbox = {list(AREA)}\n[scenes]\ncatalogue = "{cogs / "items.json"}"\n'
    )
    job = Job.of(Production.read(folder), TILE)
    make_scene_list(job, CATALOGUE["S2_now"])
    return make_pp(job, PP)


@pytest.fixture
def server(cogs):
    with serving(cogs) as running:
        yield running


@pytest.fixture(scope="module")
def larger(tmp_path_factory) -> Path:
    """Scenes whose files are more than a header: pixels are read from the server when they are needed."""
    folder = tmp_path_factory.mktemp("larger")
    items = make_scenes(folder, window_geobox(Tile("E44N26"), 10, LARGER_AREA), LARGER_DATES, margin=64)
    table = json.loads(items.read_text())
    for item in table["features"]:
        for asset in item["assets"].values():
            asset["href"] = str(Path(asset["href"]).relative_to(folder))
    items.write_text(json.dumps(table))
    return folder


@pytest.fixture
def site(larger, tmp_path):
    """A server of the larger scenes, and a job that reads them there."""
    access_module._silent_since.clear()
    with serving(larger) as server:
        table = json.loads((larger / "items.json").read_text())
        for item in table["features"]:
            for asset in item["assets"].values():
                asset["href"] = f"{server.url}/{asset['href']}"
        (tmp_path / "items.json").write_text(json.dumps(table))
        yield server, larger_job(tmp_path, "items.json")


def larger_job(folder: Path, catalogue: str, more: str = "") -> Job:
    (folder / "production.toml").write_text(
        f'tiles = ["E44N26"]\n[periods]\nthen = "2017"\nnow = "2021"\n[area]\nbbox = {list(LARGER_AREA)}\n[engine]\nworkers = 2\n'
        f'[scenes]\ncatalogue = "{catalogue}"\n[scenes.access]\ntimeout = 2\nretries = 1\npatience = 60\n{more}\n'
    )
    job = Job.of(Production.read(folder), "E44N26")
    make_scene_list(job, CATALOGUE["S2_now"])
    return job


@pytest.fixture(scope="module")
def expected_of_larger(larger, tmp_path_factory) -> Made:
    return make_pp(larger_job(tmp_path_factory.mktemp("local"), str(larger / "items.json")), PP)


def scenes_of(cogs: Path) -> list[str]:
    return [item["id"] for item in json.loads((cogs / "items.json").read_text())["features"]]


# signed addresses -------------------------------------------------------------------------------------------------


def signed(server: RangeServer, signature: str) -> str:
    """A query as shared access signatures have it; from now on the server takes no other."""
    server.signature = f"sig={signature}"
    return f"?se=2026-01-02T00%3A00%3A00Z&sp=rl&sv=2024-05-04&sr=c&sig={signature}%3D"


def files_with(job: Job, words: str) -> list[str]:
    """Files of a store that hold some words."""
    return [path.name for path in Path(job.store.full("")).rglob("*") if path.is_file() and words.encode() in path.read_bytes()]


def test_signing_anew_makes_nothing_again(server, job_at, expected):
    """And no signature stands anywhere but in the frozen list."""
    job = job_at(server.url, query=signed(server, "FIRST"))
    make_node(job, "S2_now")
    made, ran = make_node(job, "PP_now")
    assert ran and made.digest == expected.digest and files_with(job, "FIRST") == ["S2.data.json"]
    job = job_at(server.url, query=signed(server, "SECOND"))
    make_node(job, "S2_now", force=True)
    assert make_node(job, "PP_now") == (made, False)
    assert files_with(job, "FIRST") == [] and files_with(job, "SECOND") == ["S2.data.json"]


def test_signatures_that_have_run_out(server, job_at):
    job = job_at(server.url, query=signed(server, "FIRST"))
    server.signature = "sig=SECOND"
    with pytest.raises(WorkError) as caught:
        make_pp(job, PP)
    text = str(caught.value)
    assert "19 of 19 scenes cannot be read" in text and "(HTTP 403 Forbidden, its signature may have run out)" in text
    assert "signatures may have run out: sign the addresses in scenes.catalogue again and run with --refresh-scenes" in text
    assert "FIRST" not in text and "sig" not in text.replace("signature", "").replace("sign the", "")


def test_one_signature_that_has_run_out_stands_in_no_record(server, job_at):
    job = job_at(server.url, query=signed(server, "GOOD"))
    path = job.store.full(job.place("S2_now").data)
    text = json.loads(Path(path).read_text())
    lost = text["scenes"][3]
    lost["bands"] = {band: href.replace("GOOD", "RUNOUT") for band, href in lost["bands"].items()}
    Path(path).write_text(json.dumps(text))
    make_node(job, "S2_now")
    Path(path).write_text(json.dumps(text))
    made, _ = make_node(job, "PP_now")
    assert list(made.statistics["lost_scenes"]) == [lost["id"]] and "its signature may have run out" in made.warnings[0]
    assert files_with(job, "RUNOUT") == ["S2.data.json"]


def test_where_access_is_refused_that_is_said(server, job_at):
    job = job_at(server.url)
    server.signature = "sig=ANY"
    with pytest.raises(WorkError, match=r"access is refused: correct the keys or settings of scenes\.access, or sign"):
        make_pp(job, PP)


# the same pixels --------------------------------------------------------------------------------------------------


def test_features_over_http_are_those_of_local_files(server, job_at, expected):
    made = make_pp(job_at(server.url), PP)
    assert made.digest == expected.digest and made.statistics["lost_scenes"] == {}
    heads = Counter(r.path for r in server.requests if r.method == "HEAD")
    headers = Counter(r.path for r in server.requests if r.range.startswith("bytes=0-"))
    assert len(heads) == made.statistics["scenes"] * 11 and set(heads.values()) == {1}
    assert set(headers.values()) == {1}, "each header once a scene and band"
    assert all(path.endswith(".tif") for path in heads), "no listing, no side-car files"


@pytest.fixture(scope="module")
def bucket(cogs):
    """The COGs in a bucket of a real S3 server; its options."""
    with serving_s3("scenes") as url:
        fs = Store("s3://scenes", {"endpoint_url": url}).fs
        for folder in ("whole", "holed"):  # one for each test: GDAL keeps what it has read of a file
            fs.put(f"{cogs}/", f"scenes/{folder}/", recursive=True)
        yield url


def test_features_from_a_bucket_are_those_of_local_files(bucket, job_at, expected):
    made = make_pp(job_at("s3://scenes/whole", f'endpoint_url = "{bucket}"'), PP)
    assert made.digest == expected.digest


def test_a_missing_object_and_a_missing_bucket(bucket, cogs, job_at):
    name = scenes_of(cogs)[3]
    Store("s3://scenes", {"endpoint_url": bucket}).fs.rm_file(f"scenes/holed/{name}/red.tif")
    made = make_pp(job_at("s3://scenes/holed", f'endpoint_url = "{bucket}"'), PP)
    assert list(made.statistics["lost_scenes"]) == [name] and "HTTP 404" in made.statistics["lost_scenes"][name]
    with pytest.raises(WorkError, match=r"19 of 19 scenes cannot be read .*HTTP 404"):
        make_pp(job_at("s3://nowhere", f'endpoint_url = "{bucket}"'), PP)


# faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["403", "404", "cut", "size", "system", "kind"])
def test_a_broken_scene_is_left_out_and_named(server, job_at, cogs, tmp_path, trouble):
    name = scenes_of(cogs)[4]
    path = f"{name}/swir22.tif"
    if trouble in ("403", "404"):
        server.faults = [Fault(path, status=int(trouble))]
    elif trouble == "cut":
        server.faults = [Fault(path, cut=2000)]
    else:
        folder = tmp_path / "served"
        shutil.copytree(cogs, folder, copy_function=lambda a, b: Path(b).symlink_to(a))
        server.folder = folder
        with rasterio.open(cogs / path) as source:
            values, profile = source.read(), source.profile
        values, profile = {
            "size": lambda: (values[:, :20], {**profile, "height": 20}),
            "system": lambda: (values, {**profile, "crs": "EPSG:32632"}),
            "kind": lambda: (values.astype("float32"), {**profile, "dtype": "float32", "predictor": 1}),
        }[trouble]()
        (folder / path).unlink()
        with rasterio.open(folder / path, "w", **profile) as target:
            target.write(values)
    made = make_pp(job_at(server.url), PP)
    assert list(made.statistics["lost_scenes"]) == [name] and made.statistics["scenes"] == 18
    left_out, holes = made.warnings  # the site is larger than what the scenes cover
    assert left_out == f"scene {name} left out: {made.statistics['lost_scenes'][name]}" and "% of the area was observed" in holes
    words = {"403": "HTTP 403", "404": "HTTP 404", "cut": "cannot be read", "size": "covers", "system": "EPSG:32632",
             "kind": "float32"}  # fmt: skip
    assert words[trouble] in left_out


def test_too_many_broken_scenes_fail_the_tile(server, job_at, cogs):
    names = scenes_of(cogs)[2:5]
    server.faults = [Fault(f"{name}/scl.tif", status=404) for name in names]
    with pytest.raises(WorkError, match=r"3 of 19 scenes cannot be read") as caught:
        make_pp(job_at(server.url), PP)
    assert all(name in str(caught.value) for name in names) and "\n" not in str(caught.value)


def test_a_busy_server_loses_nothing(server, job_at, expected):
    server.faults = [Fault("B", status=503, times=0), Fault("tif", status=503, times=25), Fault("nir", status=429, times=10)]
    made = make_pp(job_at(server.url), PP)
    assert made.digest == expected.digest and made.statistics["lost_scenes"] == {}


def test_a_file_cut_short_is_found_while_it_is_read(site, larger):
    """Its header is whole."""
    server, job = site
    size = (larger / "date_003" / "B12.tif").stat().st_size
    assert size > 40_000
    server.faults = [Fault("date_003/B12.tif", cut=size // 2 + 20_000)]
    made = make_pp(job, PP)
    ((_, why),) = made.statistics["lost_scenes"].items()
    assert "date_003/B12.tif cannot be read" in why and made.statistics["scenes"] == LARGER_DATES - 1


def test_files_that_are_never_given_cost_their_scene_not_the_tile(site):
    server, job = site
    config = job.production.root / "production.toml"
    config.write_text(config.read_text().replace("patience = 60", "patience = 1"))
    server.faults = [Fault("date_003/", status=500)]
    made = make_pp(Job.of(Production.read(config), "E44N26"), PP)
    ((_, why),) = made.statistics["lost_scenes"].items()
    assert "(HTTP 500 " in why and why.endswith("gives other files)") and made.statistics["scenes"] == LARGER_DATES - 1


# outages ----------------------------------------------------------------------------------------------------------


def killed_after(server: RangeServer, count: int, seconds: float | None) -> threading.Thread:
    """Kill the server when it has answered so many requests; let it come back after some seconds, or never."""
    event = server.after[count] = threading.Event()

    def go() -> None:
        if not event.wait(300):
            return
        server.stop()
        server.kills += 1
        if seconds is not None:
            threading.Timer(seconds, server.start).start()

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    return thread


HEADERS = LARGER_DATES * 11 * 2
"""Requests of the survey."""


@pytest.mark.parametrize("count", [HEADERS // 2, HEADERS + 5, HEADERS + 60])
def test_a_server_that_is_killed_and_comes_back_changes_nothing(site, expected_of_larger, count):
    """In the survey, while classifications are read, and among the bands."""
    server, job = site
    thread = killed_after(server, count, 1)
    made = make_pp(job, PP)
    assert server.kills == 1 and len(server.requests) > count
    thread.join()
    assert made.digest == expected_of_larger.digest and made.statistics["lost_scenes"] == {}


SILENT = 8
"""Seconds without a server: longer than GDAL asks again by itself."""


@pytest.mark.slow
def test_seconds_without_the_s3_server(larger, monkeypatch, tmp_path, expected_of_larger):
    """Killed while bands are read: the run waits, goes on, and the result is the same."""
    moto = pytest.importorskip("moto.server")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    access_module._s3.cache_clear()
    access_module._silent_since.clear()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    running = [moto.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)]
    running[0].start()
    fs = Store("s3://larger", {"endpoint_url": url}).fs
    fs.mkdir("larger")
    table = json.loads((larger / "items.json").read_text())
    for item in table["features"]:
        for asset in item["assets"].values():
            fs.put_file(str(larger / asset["href"]), f"larger/{asset['href']}")
            asset["href"] = f"s3://larger/{asset['href']}"
    (tmp_path / "items.json").write_text(json.dumps(table))
    job = larger_job(tmp_path, "items.json", f'endpoint_url = "{url}"')
    times: dict[str, float] = {}

    def come_back() -> None:
        running.append(moto.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False))
        running[1].start()
        times["back"] = time.monotonic()

    class Killer(logging.Handler):
        """Counts the requests that the server tells of."""

        count = 0

        def emit(self, record: logging.LogRecord) -> None:
            Killer.count += 1
            if Killer.count == LARGER_DATES * 11 + 50:
                times["killed"] = time.monotonic()
                threading.Thread(target=running[0].stop).start()
                threading.Timer(SILENT, come_back).start()

    killer, werkzeug = Killer(), logging.getLogger("werkzeug")
    werkzeug.addHandler(killer)
    try:
        made = make_pp(job, PP)
        finished = time.monotonic()
    finally:
        werkzeug.removeHandler(killer)
        running[-1].stop()
    assert times["back"] - times["killed"] > 0.9 * SILENT and finished > times["back"]
    assert made.digest == expected_of_larger.digest and made.statistics["lost_scenes"] == {}


def run_elsewhere(config: Path) -> tuple[int, str]:
    """Exit code and errors of a run in a process of its own, as an operator starts it."""
    command = [sys.executable, "-c", COMMAND]
    command += ["run", "E44N26", "--config", str(config), "-t", "NDVI_p0_now"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=Path(__file__).parents[2])
    return done.returncode, done.stderr


@pytest.mark.slow
def test_a_server_that_is_gone_for_good_fails_with_one_line_and_a_later_run_goes_on(site, expected_of_larger):
    server, job = site
    config = job.production.root / "production.toml"
    config.write_text(config.read_text().replace("patience = 60", "patience = 1"))
    thread = killed_after(server, HEADERS + 50, None)
    code, errors = run_elsewhere(config)
    thread.join()
    assert code == 1
    lines = [line for line in errors.splitlines() if line.startswith("imperv:")]
    assert len(lines) == 1 and "has not answered for 1 s" in lines[0]
    assert job.record("S2_now") is not None and job.record("PP_now") is None
    server.after.clear()
    server.start()
    code, errors = run_elsewhere(config)
    assert code == 0 and "2 ran" in errors
    assert job.record("PP_now").digest == expected_of_larger.digest


def test_settings_travel_with_a_block(server, job_at):
    """A worker elsewhere knows of the production only what its block brings along."""
    import pickle

    from imperv.tasks.yearly.looks import Looks
    from imperv.tasks.yearly.preprocessing import read_scene_list

    job = job_at(server.url, "concurrency = 3")
    looks = pickle.loads(pickle.dumps(Looks.of(read_scene_list(job, "S2_now"), None, job.production.scenes.access)))
    assert looks.access.concurrency == 3 and looks.readers(2) == 3 and looks.readers(5) == 5
    assert reading.read_window.__kwdefaults__["access"] == access_module.LOCAL


@pytest.mark.slow
def test_workers_of_a_cluster_reach_what_the_production_says(server, cogs, job_at, expected, tmp_path):
    """Each block brings along where the object store is."""
    distributed = pytest.importorskip("distributed")
    server.folder = tmp_path / "served"
    server.folder.mkdir()
    (server.folder / "scenes").symlink_to(cogs)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as cluster:
        job = job_at("s3://scenes", f'endpoint_url = "{server.url}"\nunsigned = true')
        settings = job.engine.settings.model_copy(update={"dask_address": cluster.scheduler_address})
        made = make_pp(replace(job, engine=Engine(settings)), PP)
    assert made.digest == expected.digest
    assert {r.path.split("/")[1] for r in server.requests} == {"scenes"}
    headers = Counter(r.path for r in server.requests if r.range.startswith("bytes=0-"))
    assert set(headers.values()) == {2}, "once in the survey, once in the worker"


def test_a_check_of_the_configuration_asks_for_one_file(server, cogs, job_at, capsys):
    """One line says that a file cannot be had, or that it can."""
    config = job_at(server.url, then="2017").production.root / "production.toml"
    config.write_text(config.read_text().replace('then = "2017"', 'then = "2017-01-01/2017-12-31"'))
    server.requests.clear()
    main(["config", "check", str(config)])
    assert "scl.tif can be had" in capsys.readouterr().out and len(server.requests) == 1
    server.faults = [Fault("scl", status=403)]
    assert main(["config", "check", str(config)]) == 2
    assert [line for line in capsys.readouterr().err.splitlines() if "scl.tif cannot be had (HTTP 403" in line]
