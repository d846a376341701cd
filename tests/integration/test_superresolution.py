"""Super-resolution from scenes to delivered files: plan, run, resume after a kill, changed parameters, refusals."""

from __future__ import annotations

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
import rasterio

from imperv.flows.cli.commands import main
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from tests.support.sharpened import TILE, small_production

COMMAND = "from imperv.flows.cli.commands import main; raise SystemExit(main())"

LAYERS = (
    "SR_S2", "SR_dates", "SR_B10", "SR_B20", "SR_B60", "SR_mask", "SR_model", "SR_shifts", "SR10", "SR10_sd", "SR10_laea",
    "SR5", "SR5_sd", "SR5_laea",
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    file = small_production(tmp_path_factory.mktemp("sharp") / "p")
    assert main(["run", TILE, "--config", str(file)]) == 0
    return file


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    shutil.copytree(finished.parent, tmp_path / "p")
    text = finished.read_text()
    (tmp_path / "p" / finished.name).write_text(text)
    return tmp_path / "p" / finished.name


def states(file: Path, capsys) -> dict[str, str]:
    capsys.readouterr()
    assert main(["plan", TILE, "--config", str(file), "--json"]) == 0
    return {step["node"]: step["state"] for step in json.loads(capsys.readouterr().out)}


def product(file: Path, layer: str, pixel: int) -> Path:
    return file.parent / f"store/products/{TILE}/{layer}_2021-06_{TILE}_R{pixel}m.tif"


def test_everything_is_made_and_up_to_date(finished, capsys):
    found = states(finished, capsys)
    assert set(LAYERS) <= set(found) and set(found.values()) == {"up to date"}
    assert main(["verify", "--config", str(finished)]) == 0


def test_measured_bands_pass_through_untouched(finished):
    """To the bit, from the files of the scene to the delivered ones."""
    item = json.loads(next((finished.parent / "scenes").rglob("*.json")).read_text())
    assets = (item["features"][0] if "features" in item else item)["assets"]
    with rasterio.open(product(finished, "SR10", 10)) as sharp:
        for band in ("B02", "B08"):
            with rasterio.open(assets[band]["href"]) as scene:
                wanted, box = scene.read(1), scene.bounds
            window = sharp.window(*box).round_offsets().round_lengths()
            assert sharp.descriptions.index(band) >= 0
            got = sharp.read(sharp.descriptions.index(band) + 1, window=window, boundless=True, fill_value=0)
            np.testing.assert_array_equal(got[wanted > 0], wanted[wanted > 0] - 1000)
            outside = sharp.read(sharp.descriptions.index(band) + 1)
            assert (outside > 0).sum() == (got > 0).sum()


def test_what_is_inferred_is_told_from_what_is_measured(finished):
    with rasterio.open(product(finished, "SR10_sd", 10)) as deviation:
        bands = dict(zip(deviation.descriptions, deviation.read(), strict=True))
    known = bands["B02"] != 65535
    assert not bands["B02"][known].any() and (bands["B11"][known] > 0).mean() > 0.9
    record = Job.of(Production.read(finished), TILE).record("SR5")
    assert len(record.statistics["consistency"]) == 12 and max(record.statistics["consistency"].values()) < 2


def test_a_changed_parameter(copied, capsys):
    copied.write_text(copied.read_text().replace("to = 5", "to = 10"))
    found = states(copied, capsys)
    assert found["SR10"] == "up to date" and found["SR5"] != "up to date"
    assert main(["run", TILE, "--config", str(copied)]) == 0
    record = Job.of(Production.read(copied), TILE).record("SR5")
    assert not record.made and "parameters.sharpening.to is 10" in record.reason


def test_a_killed_run_goes_on(tmp_path, finished):
    file = small_production(tmp_path / "p")
    process = subprocess.Popen([sys.executable, "-c", COMMAND, "run", TILE, "--config", str(file)], stderr=subprocess.DEVNULL)
    last = file.parent / f"store/tiles/{TILE}/2021-06/SR_model.json"
    until = time.monotonic() + 300
    while not last.exists() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert last.exists() and not product(file, "SR5", 5).exists()
    before = last.stat().st_mtime_ns
    assert main(["run", TILE, "--config", str(file), "--yes"]) == 0
    assert last.stat().st_mtime_ns == before
    jobs = [Job.of(Production.read(f), TILE) for f in (file, finished)]
    assert [jobs[0].record(s).digest for s in LAYERS[1:]] == [jobs[1].record(s).digest for s in LAYERS[1:]]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('span = "2021-06"', 'span = "2020-01-15"', "no scenes in 2020-01-15"),
        ('method = "regression"', 'method = "magic"', "parameters.sharpening.method"),
        ("to = 5", 'to = 5\ndates = 4\n[parameters.input]\nkind = "mosaic"\n[parameters.sharpening2]', "parameters"),
        ("to = 5", "to = 7", "parameters.sharpening.to"),
    ],
)
def test_wrong_requests_are_one_line(finished, tmp_path, capsys, old, new, said):
    text = finished.read_text()
    assert old in text
    file = tmp_path / "wrong.toml"
    file.write_text(text.replace(old, new).replace('store = "store"', f'store = "{tmp_path}/other"'))
    capsys.readouterr()
    assert main(["run", TILE, "--config", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert any(said in line for line in lines) and not any("Traceback" in line for line in lines)


def test_cloud_over_everything(tmp_path, capsys):
    from tests.support.native_granules import Granule, write_granules
    from tests.support.sharpened import SIZE, ground

    file = small_production(tmp_path / "p")
    bands = ground()
    bands["SCL"][:] = 9
    shutil.rmtree(file.parent / "scenes")
    (file.parent / "scenes").mkdir()
    name = "S2A_32TPS_20210612_0_L2A"
    write_granules(
        file.parent / "scenes", Granule(name, "2021-06-12T10:10:30Z", left=677640, top=5151840, size=SIZE, bands=bands)
    )
    assert main(["run", TILE, "--config", str(file)]) == 2
    assert "clouds over the whole area" in capsys.readouterr().err
