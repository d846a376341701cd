"""The whole chain on a small simulated site: everything is delivered, nothing runs twice, a kill at any moment loses nothing."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from imperv.flows.cli.commands import main
from imperv.flows.plan.planning import stored_bytes
from imperv.flows.plan.targets import steps
from imperv.layers.catalogue import CATALOGUE, downstream, layers_of
from imperv.tasks.delivery.delivery import delivered_symbols
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.store.store import Store
from tests.integration.conftest import with_store
from tests.support.prefect_loopback import COMMAND

TILE = "E44N27"


def plan(config, capsys):
    """State of every step."""
    capsys.readouterr()
    assert main(["plan", TILE, "--config", str(config), "--json"]) == 0
    return {step["node"]: step["state"] for step in json.loads(capsys.readouterr().out)}


def files_of(store: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every file of layers, models and products."""
    found = {}
    for part in ("tiles", "models", "products"):
        for path in sorted((store / part).rglob("*")):
            if path.is_file():
                found[str(path.relative_to(store))] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tif"))}


def test_every_final_layer_is_delivered_and_passes_the_check(finished, capsys):
    products = finished.parent / "store" / "products" / TILE
    assert len(list(products.glob("*.tif"))) == len(delivered_symbols()) == 18
    assert (finished.parent / "store" / "runs" / f"{TILE}.report.html").stat().st_size > 200_000  # the run ends with it
    assert main(["verify", str(products)]) == 0
    assert "18 of 18 files pass" in capsys.readouterr().out


def test_every_node_has_a_record_that_is_valid_stac(finished):
    import pystac

    store = Store(finished.parent / "store")
    records = store.records(TILE)
    layers = {r.symbol for path, r in records.items() if not path.startswith("products/")}
    assert layers == {layer.stem for layer in layers_of("imperviousness").values()}
    for path, record in records.items():
        item = pystac.Item.from_dict(json.loads(store.read_text(path)))
        assert item.properties["imperv:windowed"] is True
        unneeded = record.symbol in ("OSM_distance", "CLCP_proxy_model", "CLCP_proxy")
        assert record.made != unneeded and record.peak_memory > 0 and record.software["imperv"]


def test_a_plan_says_about_what_the_layers_take(finished):
    """Within a third, over all arrays; metadata, which a small site has as many of as a tile, apart."""
    job = Job.of(Production.read(finished), TILE)
    chunks = [path for path in (finished.parent / "store/tiles").rglob("c/**/*") if path.is_file()]
    planned = sum(stored_bytes(job, symbol) for symbol in steps(None, product=job.family)[0])
    assert planned == pytest.approx(sum(path.stat().st_size for path in chunks), rel=1 / 3)


def test_a_second_run_writes_nothing(copied, tmp_path, capsys):
    before = files_of(tmp_path / "store")
    assert main(["run", TILE, "--config", str(copied)]) == 0
    assert "0 ran" in capsys.readouterr().err
    assert files_of(tmp_path / "store") == before


def test_a_changed_parameter_runs_exactly_what_hangs_on_it(copied, capsys):
    copied.write_text(copied.read_text() + "\n[parameters.change_mask]\nsieve = 3\n")
    expected = {"CHM", *downstream("CHM")}
    expected |= {f"deliver {s}" for s in expected if CATALOGUE[s].delivery}
    assert {node for node, state in plan(copied, capsys).items() if state != "up to date"} == expected
    assert main(["run", TILE, "--config", str(copied)]) == 0
    assert f"{len(expected)} ran" in capsys.readouterr().err
    assert set(plan(copied, capsys).values()) == {"up to date"}


def test_only_targets_and_what_they_need_run(finished, tmp_path, capsys):
    config = with_store(finished, tmp_path)
    assert main(["run", TILE, "--config", str(config), "--target", "NDVI_p0_then", "-t", "ibu_then"]) == 0
    records = Store(tmp_path / "store").records(TILE)
    assert {r.symbol for r in records.values()} == {"S2", "PP", "NDVI_p0", "IBU_then"}


@pytest.mark.parametrize("victim", ["RMSD.zarr", "IMD_now.zarr", "CHM_raw.zarr/CHM_raw/c/0/0"])
def test_deleted_data_are_noticed_and_only_that_layer_runs_again(copied, tmp_path, capsys, victim):
    path = tmp_path / "store" / "tiles" / TILE / "2018-2021" / victim
    before = digests(tmp_path / "store" / "products" / TILE)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert {n: s for n, s in plan(copied, capsys).items() if s != "up to date"} == {victim.split(".")[0]: "maybe"}
    assert main(["run", TILE, "--config", str(copied)]) == 0
    assert "1 ran" in capsys.readouterr().err
    assert digests(tmp_path / "store" / "products" / TILE) == before


def test_a_deleted_product_is_delivered_again(copied, tmp_path, capsys):
    product = next((tmp_path / "store" / "products" / TILE).glob("*_IMCC_*.tif"))
    before = product.read_bytes()
    product.unlink()
    assert main(["run", TILE, "--config", str(copied)]) == 0
    assert "1 ran" in capsys.readouterr().err
    assert product.read_bytes() == before


def test_a_changed_reference_runs_again_what_uses_it(copied, tmp_path, capsys):
    import rasterio

    source = copied.parent / "reference" / "ibu_then.tif"
    changed = tmp_path / "ibu.tif"
    shutil.copy(source, changed)
    with rasterio.open(changed, "r+") as raster:
        array = raster.read(1)
        array[40:60, 40:60] = 1
        raster.write(array, 1)
    copied.write_text(copied.read_text().replace("reference/ibu_then.tif", str(changed)))
    todo = {n for n, s in plan(copied, capsys).items() if s != "up to date" and not n.startswith("deliver")}
    assert todo == {"IBU_then", *downstream("IBU_then")}


def test_open_gives_a_lazy_georeferenced_array(finished):
    store = Store(finished.parent / "store")
    imd = store.open("IMD_now", TILE)
    assert imd.dims == ("y", "x") and imd.chunks is not None
    assert imd.rio.crs.to_epsg() == 3035 and imd.rio.nodata == 255 and imd.rio.resolution() == (10, -10)
    assert imd.odc.geobox.shape == imd.shape
    assert set(np.unique(imd.values)) <= set(CATALOGUE["IMD_now"].codes)
    then, now = store.open("PP_then", TILE), store.open("PP_now", TILE)
    assert then["quantiles"].sel(band="B04_q20").dtype == "uint16"
    assert not then["harmonics"].equals(now["harmonics"])
    assert store.open("SBU", TILE).rio.resolution() == (100, -100)


def run_in_background(config: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", COMMAND]
    return subprocess.Popen([*command, "run", TILE, "--config", str(config)], stderr=subprocess.PIPE, env=os.environ)


@pytest.mark.slow
def test_killed_at_any_moment_the_next_run_ends_with_the_same_files(finished, tmp_path):
    config = with_store(finished, tmp_path)
    tile, kills = tmp_path / "store" / "tiles" / TILE, 0
    # Killed while features are computed, while models are trained, and while layers and products are written.
    for moment in ("2018/PP.zarr.part-*", "2021/IMD_model*", "2018-2021/IMD_now.zarr"):
        process = run_in_background(config)
        until = time.monotonic() + 120
        while process.poll() is None and not any(tile.glob(moment)) and time.monotonic() < until:
            time.sleep(0.01)
            if moment.startswith("2021") and (tile / "2018-2021" / "CHM_resampled.json").exists():
                time.sleep(4)  # the models come next
                break
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.stderr.read()  # ends at once: no child outlives the run
        process.wait()
        for record in Store(tmp_path / "store").records(TILE).values():
            assert Store(tmp_path / "store").data_in_place(record)
    assert kills >= 2
    assert main(["run", TILE, "--config", str(config)]) == 0
    assert digests(tmp_path / "store" / "products" / TILE) == digests(finished.parent / "store" / "products" / TILE)
    assert not [p for p in (tmp_path / "store").rglob("*") if ".part-" in p.name or ".gone" in p.name]


def test_two_runs_of_one_tile_do_not_meet(finished, tmp_path, capsys):
    config = with_store(finished, tmp_path)
    store = Store(tmp_path / "store")
    from imperv.grids import Tile

    with store.tile_lock(Tile(TILE)):
        assert main(["run", TILE, "--config", str(config), "--target", "IBU_then"]) == 1
        assert "another flow of this process is working on it" in capsys.readouterr().err
        assert main(["status", "--config", str(config), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["state"] == "running"
    assert main(["run", TILE, "--config", str(config), "--target", "IBU_then"]) == 0


@pytest.fixture
def moved(finished, tmp_path) -> Path:
    """Production file of a copy of the whole project in another folder."""
    shutil.copytree(finished.parent, tmp_path / "elsewhere")
    return tmp_path / "elsewhere" / "production.toml"


def test_frozen_scenes_are_used_until_a_refresh_is_asked_for(moved, capsys):
    assert main(["run", TILE, "--config", str(moved), "-t", "NDVI_p0_then", "-t", "NDVI_p0_now"]) == 0
    catalogue = moved.parent / "items.json"
    table = json.loads(catalogue.read_text())
    first = next(i for i, item in enumerate(table["features"]) if item["properties"]["datetime"].startswith("2021"))
    gone = table["features"].pop(first)["id"]
    catalogue.write_text(json.dumps(table))
    assert set(plan(moved, capsys).values()) == {"up to date"}
    assert main(["run", TILE, "--config", str(moved), "--target", "NDVI_p0_now", "--refresh-scenes"]) == 0
    said = capsys.readouterr().err
    assert f"1 scenes gone: {gone}" in said and "3 ran" in said  # the list, PP and NDVI_p0 of now; nothing of then
    assert plan(moved, capsys)["PP_then"] == "up to date"


def test_a_moved_project_finds_its_scenes_and_computes_nothing_again(moved, capsys):
    todo = {n for n, s in plan(moved, capsys).items() if s != "up to date"}
    assert todo >= {"S2_then", "S2_now"}
    assert main(["run", TILE, "--config", str(moved)]) == 0
    assert "2 ran" in capsys.readouterr().err  # the lists, which hold paths
    assert str(moved.parent) in (moved.parent / "store" / "tiles" / TILE / "2018" / "S2.data.json").read_text()


def test_limits_that_only_decide_between_use_and_failure_do_not_compute_again(copied, capsys):
    copied.write_text(copied.read_text() + "\n[parameters.preprocessing]\nmin_observations = 8\nmin_clear = 2\n")
    assert set(plan(copied, capsys).values()) == {"up to date"}
    copied.write_text(copied.read_text().replace("min_observations = 8", "min_observations = 9"))
    assert plan(copied, capsys)["PP_now"] == "run"


def test_a_scene_that_is_mended_is_used(finished, tmp_path, capsys):
    shutil.copytree(finished.parent, tmp_path / "site", ignore=shutil.ignore_patterns("store"))
    config = tmp_path / "site" / "production.toml"
    frozen = json.loads((finished.parent / "store" / "tiles" / TILE / "2021" / "S2.data.json").read_text())
    scene = tmp_path / "site" / "scenes" / frozen["scenes"][0]["id"] / "nir.tif"
    whole = scene.read_bytes()
    scene.write_bytes(whole[: len(whole) // 2])
    assert main(["run", TILE, "--config", str(config), "--target", "PP_now"]) == 0
    assert "cannot be read" in capsys.readouterr().err
    assert plan(config, capsys)["PP_now"] == "up to date"
    scene.write_bytes(whole)
    assert plan(config, capsys)["PP_now"] == "run"


def test_layers_of_a_neighbour_made_for_another_area_are_not_used(finished):
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production

    job = Job.of(Production.read(finished), TILE)
    assert job.usable("PP_now")
    other = Production.read(finished).model_copy(update={"area": None})
    assert Job.of(other, TILE).usable("PP_now") is None


def test_status_says_done_after_a_failure_is_mended(copied, tmp_path, capsys):
    good = copied.read_text()
    copied.write_text(good.replace("reference/ibu_then.tif", "reference/nothing.tif"))
    assert main(["run", TILE, "--config", str(copied)]) == 2
    capsys.readouterr()
    assert main(["status", "--config", str(copied), "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)[0]
    assert entry["state"] == "failed" and "nothing.tif" in entry["why"]
    copied.write_text(good)
    assert main(["status", "--config", str(copied), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "done"


def test_the_last_lines_of_a_demo_compare_it_with_what_there_is_without_it(finished, capsys):
    from rich.console import Console

    from imperv.flows.cli.imperviousness.demo import show_end
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production

    show_end(Job.of(Production.read(finished), TILE), finished, Console(soft_wrap=True, highlight=False))
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert lines[0].startswith("open ") and Path(lines[0][5:]).read_text().startswith("<!doctype html>")
    head = next(k for k, line in enumerate(lines) if line.startswith("against the truth"))
    assert lines[head].split("  ")[-1] == "CLC+ Backbone" and "this run" in lines[head] and "map of 2018" in lines[head]
    names = [line.split("  ")[0].split(",")[0] for line in lines[head + 1 :]]
    assert {"density error", "sealed share", "built-up: F1", "gain found", "change where there is none"} <= set(names)
    assert head > len(delivered_symbols())  # the layers come before
