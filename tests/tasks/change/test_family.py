"""A tile of change from scenes to delivered files: killed, run again, changed, verified; the maps from their inputs alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio

from imperv.flows.cli.commands import main
from imperv.layers.cva.classes import Centre, assign
from imperv.layers.cva.noise import Noise
from imperv.layers.cva.vectors import change_vectors
from imperv.tasks.change import nodes
from imperv.tasks.job import Job
from imperv.tasks.maps.layers import source_of
from imperv.tasks.maps.tiles import MapTiles
from imperv.tasks.nodes import make_node
from imperv.tasks.settings.production import Production
from imperv.tasks.store.store import Store
from tests.support.native_granules import write_granules
from tests.support.portal import tile_at
from tests.support.quiet_dates import FIRST, SECOND, date

TILE = "E44N25"
FILE = """product = "change"
tiles = ["{tile}"]
[periods]
first = "{first}"
second = "{second}"
[area]
bbox = [4422000, 2598000, 4424000, 2600000]
[scenes]
catalogue = "{items}"
[engine]
memory = "1 GiB"
workers = 1
[parameters.threshold]
confidence = 99.9
{more}
"""


def write(folder: Path, items: Path, more: str = "", first: str = FIRST, second: str = SECOND) -> Path:
    path = folder / "change.toml"
    path.write_text(FILE.format(tile=TILE, first=first, second=second, items=items, more=more))
    return path


@pytest.fixture(scope="module")
def finished(items, tmp_path_factory) -> Path:
    """Production file of a finished tile."""
    file = write(tmp_path_factory.mktemp("finished"), items)
    assert main(["run", TILE, "-c", str(file)]) == 0
    return file


def job_of(file: Path) -> Job:
    return Job.of(Production.read(file), TILE)


def product(file: Path, symbol: str) -> Path:
    (found,) = (file.parent / "store" / "products" / TILE).glob(f"{symbol}_*.tif")
    return found


@pytest.mark.slow
def test_a_portal_shows_the_maps_of_the_pair(finished):
    """In the store and as delivered: their period is a pair of dates."""
    job = job_of(finished)
    for place in (job.store, Store(f"{finished.parent}/store/products")):
        layers = list(source_of(place).scan())[-1][2].layers
        assert {f"CH_CVA.{FIRST}__{SECOND}.0", f"CH_CVA.{FIRST}__{SECOND}.1", f"CH_classes.{FIRST}__{SECOND}.0"} <= set(layers)
    x, y = tile_at(10, 4_423_000, 2_599_000)
    assert MapTiles().tile(layers[f"CH_classes.{FIRST}__{SECOND}.0"], 10, x, y)


def test_the_maps_follow_from_the_dates_alone(finished):
    job = job_of(finished)
    first, second = (np.asarray(job.array(symbol)[:]) for symbol in nodes.DATES)
    noise = Noise.from_json(job.record("CH_noise").statistics)
    valid = (first[0] > 0) & (second[0] > 0)
    assert 5000 < valid.sum() < 11_520
    pad = ((0, 0), (1, 1), (1, 1))
    amplitude, angle = change_vectors(np.pad(first, pad), np.pad(second, pad), np.pad(valid, 1), noise, (1, 0, 0, 0))
    with rasterio.open(product(finished, "CH_CVA")) as source:
        delivered = source.read()
    assert np.allclose(delivered, np.stack([amplitude, angle])[:, 1:-1, 1:-1], rtol=1e-5, atol=1e-3, equal_nan=True)
    classes = job.record("CH_classes").statistics
    centres = tuple(Centre(**centre) for centre in classes["classes"])
    with rasterio.open(product(finished, "CH_classes")) as source:
        codes = source.read(1)
    assert (codes == assign(*delivered, classes["threshold"], centres)).all()
    assert 100 < ((codes > 0) & (codes < 255)).sum() < 400  # 150 pixels were planted


def test_rates_stand_in_record_item_and_report(finished):
    job = job_of(finished)
    found = job.record("CH_threshold").statistics
    assert found["method"] == "quiet" and len(found["pairs"]) == 4 and found["nominal"] == 1e-3
    item = json.loads(product(finished, "CH_classes").with_suffix(".stac.json").read_text())["properties"]
    assert item["change:false_alarms_nominal"] == 1e-3
    assert item["change:false_alarms_measured"][0] == found["measured"]["quiet"]["value"]
    page = Path(job.store.full(job.report_path)).read_text() if main(["report", TILE, "-c", str(finished)]) == 0 else ""
    assert "(used)" in page and "polar plane" in page and "Could not be shown" not in page


def test_a_second_run_writes_nothing_and_the_files_pass(finished, capsys):
    assert main(["run", TILE, "-c", str(finished)]) == 0
    assert "0 ran" in capsys.readouterr().err
    assert main(["verify", "-c", str(finished)]) == 0


@pytest.mark.slow
def test_a_file_that_was_changed_does_not_pass(finished, tmp_path, items):
    """The threshold is looked at in the file against the vectors in the store."""
    file = write(tmp_path, items)
    assert main(["run", TILE, "-c", str(file)]) == 0
    path = product(file, "CH_classes")
    with rasterio.open(path) as source:
        codes, profile = source.read(1), source.profile
    codes[codes == 0] = 1
    with rasterio.open(path, "w", **profile) as target:
        target.write(codes, 1)
    assert main(["verify", "-c", str(file)]) != 0


def test_another_number_of_classes_makes_the_classes_again_and_no_more(finished, items):
    more = write(finished.parent, items, "[parameters.classes]\nnumber = 2")
    job = job_of(more)
    made = {symbol: make_node(job, symbol)[1] for symbol in ("CH_first", "CH_noise", "CH_threshold", "CH_CVA", "CH_classes")}
    assert made == {"CH_first": False, "CH_noise": False, "CH_threshold": False, "CH_CVA": False, "CH_classes": True}
    write(finished.parent, items)


@pytest.mark.slow
def test_a_run_that_stops_half_way_goes_on(items, tmp_path, monkeypatch):
    file = write(tmp_path, items)

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("imperv.tasks.change.nodes.ClassBlock.__call__", fail)
        assert main(["run", TILE, "-c", str(file)]) != 0
    job = job_of(file)
    assert job.record("CH_CVA") is not None and job.record("CH_classes") is None
    assert main(["run", TILE, "-c", str(file)]) == 0
    assert job.record("CH_classes") is not None


@pytest.mark.parametrize(
    ("text", "more", "periods"),
    [
        ("has no B11; leave them out", '[parameters.vectors]\nbands = ["B02", "B11"]', {}),
        ("reference has 2 numbers for 4 bands", "[parameters.vectors]\nreference = [1, 0]", {}),
        ("first .* must be before second", "", {"second": FIRST}),
    ],
)
def test_what_cannot_be_made_is_one_line(tmp_path, capsys, text, more, periods):
    items = write_granules(tmp_path, *(date(day, k, without=("B10", "B11")) for k, day in enumerate((FIRST, SECOND), 1)))
    assert main(["run", TILE, "-c", str(write(tmp_path, items, more, **periods))]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if re.search(text, line)]
    assert len(said) == 1
