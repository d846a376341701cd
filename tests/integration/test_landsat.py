"""A production whose `now` Landsat sees, from its scenes to delivered files: killed, run again, changed.

Scenes are those of the simulated site as Landsat would see them, on a scale of its own, so that its features can be held
against those of Sentinel-2 of the same year.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from imperv.flows.cli.commands import main
from imperv.layers.catalogue import downstream
from imperv.layers.features import QUANTILE_BANDS
from imperv.tasks.families import task_of
from imperv.tasks.imperviousness.report.charts import scenes_chart
from imperv.tasks.imperviousness.report.evidence import scene_lists, summarise_scenes
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from tests.conftest import made_once
from tests.integration.conftest import with_store
from tests.support.landsat_site import GAIN, landsat_of
from tests.support.prefect_loopback import COMMAND

TILE = "E44N27"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module")
def landsat(finished, tmp_path_factory) -> Path:
    """Production file of the site with Landsat for `now`, after a run that was killed while it made the features, and another."""

    def make(folder: Path) -> None:
        items = landsat_of(finished.parent, folder / "landsat", 2021)
        config = with_store(finished, folder)
        text = config.read_text() + f'\n[scenes.now]\nsensor = "landsat"\ncatalogue = "{items}"\n'
        config.write_text(text)
        command = [sys.executable, "-c", COMMAND, "run", TILE, "--config", str(config)]
        with subprocess.Popen(command, start_new_session=True) as process:
            waiting_for = folder / "store" / "tiles" / TILE / "2021"
            until = time.monotonic() + 300
            while not any(waiting_for.glob("*PP*")) and process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            assert process.poll() is None
            os.killpg(process.pid, signal.SIGKILL)
        assert not (waiting_for / "PP.json").exists()
        assert main(["run", TILE, "--config", str(config)]) == 0
        (folder / "config").write_text(str(config))

    return Path((made_once(tmp_path_factory, "landsat", make) / "config").read_text())


def job_of(config: Path) -> Job:
    return Job.of(Production.read(config), TILE)


def test_everything_is_delivered_and_says_what_saw_it(landsat, capsys):
    products = landsat_store(landsat) / "products" / TILE
    assert main(["verify", str(products)]) == 0
    assert "18 of 18 files pass" in capsys.readouterr().out
    status = next(products.glob("*_IMD_S2021_*R10m*.json")).read_text()
    change = next(products.glob("*_IMDC_C2018-2021_*.json")).read_text()
    assert "a year of Landsat images" in status and "a year of Sentinel-2 and Landsat images" in change
    assert "Landsat 8, OLI, Collection 2 Level 2 of now" in status


def landsat_store(config: Path) -> Path:
    return Path(job_of(config).store.root)


def test_a_second_run_finds_all_up_to_date(landsat, capsys):
    assert main(["run", TILE, "--config", str(landsat)]) == 0
    assert capsys.readouterr().err.startswith("0 ran")


def test_features_are_those_of_sentinel2(landsat, finished):
    """On its scale, to within what 30 m and lines of another year with eight looks leave; the red edge has no data."""
    ours, theirs = (job_of(config).group("PP_now") for config in (landsat, finished))
    inside = np.s_[..., 10:-10, 10:-10]
    for name in ("B02", "B03", "B04", "B8A", "B11", "B12"):
        k = QUANTILE_BANDS.index(name)
        own, other = (np.asarray(group["quantiles"][k]).astype(float)[inside] for group in (ours, theirs))
        both = (own > 0) & (other > 0)
        assert both.mean() > 0.9
        assert abs(np.median(own[both] - other[both])) < 0.1 * np.median(other[both]), name
        assert np.corrcoef(own[both], other[both])[0, 1] > 0.6, name
    assert not np.asarray(ours["quantiles"][3:6]).any()
    own, other = (np.asarray(group["harmonics"][0])[inside] for group in (ours, theirs))
    assert np.nanmedian(np.abs(own - other)) < 0.1 and abs(np.nanmedian(own - other)) < 0.06


def test_the_lines_are_recorded(landsat):
    record = job_of(landsat).record("PP_now")
    lines = record.statistics["harmonisation"]["lines"]
    assert abs(lines["B11"]["gain"] * GAIN - 1) < 0.06 and record.statistics["sensor"] == "oli"
    assert record.ingredients["harmonised on"] == job_of(landsat).record("S2_then").digest


def test_a_changed_number_of_dates_runs_what_hangs_on_it(landsat, tmp_path, capsys):
    config = tmp_path / "production.toml"
    config.write_text(landsat.read_text() + "\n[parameters.preprocessing]\nlandsat_dates = 0\n")
    text = config.read_text()
    root = landsat.parent
    for key in ("items.json", "reference/"):
        text = text.replace(f'"{key}', f'"{root}/{key}')
    config.write_text(text)
    capsys.readouterr()
    assert main(["plan", TILE, "--config", str(config), "--json"]) == 0
    changed = {step["node"] for step in json.loads(capsys.readouterr().out) if step["state"] != "up to date"}
    assert {node for node in changed if not node.startswith("deliver ")} == {"PP_now", *downstream("PP_now")}


def test_scenes_status_and_the_parts_of_the_report_cope(landsat, capsys):
    assert main(["scenes", TILE, "--config", str(landsat)]) == 0
    shown = capsys.readouterr().out
    assert "Landsat 8, OLI" in shown and "LC08_L2SP" in shown
    assert main(["status", "--config", str(landsat)]) == 0
    assert "delivery 18/18" in capsys.readouterr().out
    lists = scene_lists(job_of(landsat))
    then, now = summarise_scenes(job_of(landsat), lists)
    assert then["baselines"][0][0] != "T1" and now["baselines"] == [("T1", now["scenes"])]
    assert "overpasses in 2021" in scenes_chart(lists, job_of(landsat).production.periods.named).alt


def test_a_year_before_the_references_is_mapped_without_changes(landsat, tmp_path, capsys):
    """`then` and `now` change places: status maps are to be made, changes are not."""
    text = landsat.read_text().replace('then = "2018"', 'then = "2022"')
    config = landsat.with_name(f"back-{landsat.name}")
    config.write_text(text)
    job = Job.of(Production.read(config), TILE)
    assert "changes are not made" in task_of("RMSD").not_needed(job, "RMSD")
    assert not task_of("IMD_now").not_needed(job, "IMD_now")
