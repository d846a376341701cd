"""A site without CLC+ of now: the proxy takes its place, is recorded, and gives way when CLC+ arrives."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from imperv.flows.cli.commands import main
from imperv.layers.catalogue import downstream, layers_of
from imperv.tasks.job import Job
from imperv.tasks.nodes import standing
from imperv.tasks.settings.production import Production

TILE = "E44N27"
PROXY = ("OSM_distance", "CLCP_proxy_model", "CLCP_proxy")
FAST = "\n[parameters.proxy]\ntrees = 30\nlearning_rate = 0.3\n"


@pytest.fixture
def without(copied, tmp_path) -> Path:
    """The finished site, its CLC+ of now no longer named; outlines of buildings stand in for roads."""
    kept = [line for line in copied.read_text().splitlines() if not line.startswith("clcplus_now")]
    at = kept.index("[references]") + 1
    copied.write_text("\n".join([*kept[:at], 'roads = ["reference/footprints.geojson"]', *kept[at:]]) + FAST)
    return copied


def plan(config: Path, capsys) -> dict[str, str]:
    capsys.readouterr()
    assert main(["plan", TILE, "--config", str(config), "--json"]) == 0
    return {step["node"]: step["state"] for step in json.loads(capsys.readouterr().out)}


def test_the_proxy_takes_the_place_of_clcplus_and_gives_way(without, copied, tmp_path, capsys):
    todo = {n for n, state in plan(without, capsys).items() if state != "up to date" and not n.startswith("deliver")}
    assert todo == {"CLCP_now", *downstream("CLCP_now")}
    assert main(["config", "check", str(without)]) == 0
    assert "references.clcplus_now: is missing: a proxy takes its place" in capsys.readouterr().out
    assert main(["run", TILE, "--config", str(without)]) == 0
    assert set(plan(without, capsys).values()) == {"up to date"}

    job = Job.of(Production.read(without), TILE)
    records = {symbol: job.record(symbol) for symbol in layers_of("imperviousness")}
    assert not records["CLCP_now"].made and "is missing" in records["CLCP_now"].reason
    assert all(records[symbol].made for symbol in PROXY)
    assert records["IMD_MSK_now"].statistics["made_from"] == ["RIMD", "CLCP_proxy"]
    assert records["CLCP_proxy_model"].statistics["held_out"]["f1"] > 0.5
    # Against CLC+ of now, which it has not seen.
    with rasterio.open(without.parent / "reference" / "clcplus_now.tif") as source:
        real = source.read(1, window=source.window(*job.bounds)) == 1
    found, inside = job.array("CLCP_proxy")[:] == 1, job.array("CLCP_proxy")[:] != 255
    shared = np.count_nonzero(found & real & inside)
    assert 2 * shared / (np.count_nonzero(found & inside) + np.count_nonzero(real & inside)) > 0.6

    trees = without.read_text().replace("trees = 30", "trees = 31")
    without.write_text(trees)
    todo = {n for n, state in plan(without, capsys).items() if state != "up to date" and not n.startswith("deliver")}
    assert todo == {"CLCP_proxy_model", *downstream("CLCP_proxy_model")}

    without.write_text(trees.replace("[references]\n", '[references]\nclcplus_now = "reference/clcplus_now.tif"\n'))
    assert main(["run", TILE, "--config", str(without), "--target", "IMD_MSK_now"]) == 0
    job = Job.of(Production.read(without), TILE)
    assert job.record("CLCP_now").made and not any(job.record(symbol).made for symbol in PROXY)
    assert job.record("IMD_MSK_now").statistics["made_from"] == ["RIMD", "CLCP_now"]
    assert not job.store.fs.exists(job.store.full(job.place("CLCP_proxy").data))
    without.write_text(without.read_text().replace("trees = 31", "trees = 32"))
    assert {standing(Job.of(Production.read(without), TILE), symbol).state for symbol in PROXY} == {"up to date"}


def test_clcplus_of_a_part_of_the_tile_is_filled(without, tmp_path, capsys):
    with rasterio.open(without.parent / "reference" / "clcplus_now.tif") as source:
        array, profile = source.read(1), source.profile
    array[:, :100] = 255
    with rasterio.open(tmp_path / "half.tif", "w", **profile) as out:
        out.write(array, 1)
    without.write_text(without.read_text().replace("[references]\n", f'[references]\nclcplus_now = "{tmp_path / "half.tif"}"\n'))
    assert main(["run", TILE, "--config", str(without), "--target", "IMD_MSK_now"]) == 0
    job = Job.of(Production.read(without), TILE)
    assert job.record("IMD_MSK_now").statistics["made_from"] == ["RIMD", "CLCP_now", "CLCP_proxy"]
    given, proxy, mask, raw = (job.array(s)[:] for s in ("CLCP_now", "CLCP_proxy", "IMD_MSK_now", "RIMD"))
    known = (raw <= 100) & (proxy != 255)
    assert (mask != 255)[known].all() and known[given == 255].any()
    low = known & (raw < 90)
    np.testing.assert_array_equal(mask[low], np.where(given == 255, proxy, given == 1)[low])
    assert job.record("CLCP_proxy").statistics["agreement_with_CLCP_now"]["f1"] > 0.6


def test_without_roads_the_tile_is_refused_before_anything_runs(without, capsys):
    without.write_text("\n".join(line for line in without.read_text().splitlines() if not line.startswith("roads")))
    assert main(["run", TILE, "--config", str(without)]) == 2
    said = capsys.readouterr().err
    assert "references.clcplus_now: is missing" in said and "name references.roads" in said and TILE in said
    without.write_text(without.read_text().replace("[references]", '[references]\nroads = ["no.gpkg"]'))
    assert main(["run", TILE, "--config", str(without)]) == 2
    assert "references.roads: " in (said := capsys.readouterr().err) and "no.gpkg does not exist" in said
