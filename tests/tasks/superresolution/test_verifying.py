"""What `imperv verify` finds of super-resolution: each rule is broken once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio

from imperv.flows.cli.commands import main
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.catalogue.superresolution import NO_DEVIATION, SHARP
from imperv.tasks.delivery.delivery import places_of
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.superresolution import verifying
from imperv.tasks.superresolution.verifying import check_against_input
from tests.support.sharpened import TILE

pytestmark = pytest.mark.slow  # a whole production is made for them


def findings(job: Job, symbol: str, path: str | None = None) -> dict[str, tuple[bool, str]]:
    found = check_against_input(job, CATALOGUE[symbol], path or job.store.full(places_of(job, symbol).tif))
    return {f.check: (f.ok, f.text) for f in found}


def broken(job: Job, symbol: str, tmp_path, change) -> dict[str, tuple[bool, str]]:
    """Findings of a file whose pixels (band, y, x) were changed."""
    with rasterio.open(job.store.full(places_of(job, symbol).tif)) as source:
        pixels, profile = source.read(), {k: source.profile[k] for k in ("dtype", "nodata", "crs", "transform", "count")}
    change(pixels)
    with rasterio.open(
        tmp_path / "some.tif", "w", driver="GTiff", height=pixels.shape[1], width=pixels.shape[2], **profile
    ) as out:
        out.write(pixels)
    found = findings(job, symbol, tmp_path / "some.tif")
    return {check: text for check, (ok, text) in found.items() if not ok}


def test_what_was_delivered_passes(job):
    for symbol, checks in (
        ("SR10", {"consistency", "measured", "data"}), ("SR5", {"consistency", "data"}),
        ("SR10_sd", {"deviation", "data"}), ("SR5_sd", {"deviation", "data"}), ("SR10_laea", set()), ("SR_mask", set()),
    ):  # fmt: skip
        found = findings(job, symbol)
        assert set(found) == checks and all(ok for ok, _ in found.values()), (symbol, found)


def test_consistency_is_that_of_the_run(job):
    """The record tells it block by block before anything is written; here it is read from the file, strip by strip."""
    lacks = job.record("SR5").statistics["consistency"]
    worst = max(lacks, key=lacks.get)
    assert f"{worst} {lacks[worst]:.2f}" in findings(job, "SR5")["consistency"][1]


def test_strips_do_not_show(job, monkeypatch):
    whole = findings(job, "SR5")
    monkeypatch.setattr(verifying, "STRIP_BYTES", 1)  # one row of 60 m
    assert findings(job, "SR5") == whole


@pytest.mark.parametrize(
    ("symbol", "name", "check"),
    [
        ("SR10", "B11", "consistency"),
        ("SR10", "B01", "consistency"),
        ("SR5", "B04", "consistency"),
        ("SR5", "B09", "consistency"),
    ],
)
def test_a_brighter_band_is_not_consistent(job, tmp_path, symbol, name, check):
    def change(pixels):
        band = pixels[SHARP.index(name)]
        band[band > 0] += 3

    wrong = broken(job, symbol, tmp_path, change)
    assert set(wrong) == {check} and name in wrong[check]


def test_one_changed_bit_of_a_measured_band_is_found(job, tmp_path):
    def change(pixels):
        pixels[SHARP.index("B08"), 40, 40] ^= 1

    assert broken(job, "SR10", tmp_path, change) == {"measured": "changed: B08 1 pixels"}


def test_lost_and_invented_pixels_are_found(job, tmp_path):
    def change(pixels):
        band = pixels[SHARP.index("B12")]
        assert band[30, 0] == 0
        band[30, 0], band[50, 50] = 1234, 0

    assert broken(job, "SR10", tmp_path, change) == {"data": "lost: B12 1 pixels; where the input has none: B12 1 pixels"}


def test_a_deviation_of_a_measured_pixel_is_found(job, tmp_path):
    def change(pixels):
        pixels[SHARP.index("B02"), 40, 40] = 7
        pixels[SHARP.index("B05"), 40, 40] = NO_DEVIATION

    wrong = broken(job, "SR10_sd", tmp_path, change)
    assert wrong == {"deviation": "measured pixels have one: B02 1 pixels", "data": "lost: B05 1 pixels"}


def test_another_grid_is_found(job, tmp_path):
    with rasterio.open(tmp_path / "some.tif", "w", driver="GTiff", width=5, height=5, count=12, dtype="uint16") as out:
        out.write(np.ones((12, 5, 5), "uint16"))
    assert "grid" in findings(job, "SR10", tmp_path / "some.tif")["input"][1]


def test_the_command_holds_files_against_the_store(copied, capsys):
    assert main(["verify", "--config", str(copied)]) == 0
    assert "7 of 7 files pass" in capsys.readouterr().out
    job = Job.of(Production.read(copied), TILE)
    path = job.store.full(places_of(job, "SR10").tif)
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as source:
        band = source.read(4)
        source.write(np.where(band > 0, band + 1, 0).astype("uint16"), 4)
    assert main(["verify", "--config", str(copied)]) == 1
    assert "measured: changed: B04" in capsys.readouterr().out
    # Bare files are judged by their form; with the production, by what they were made from too.
    assert main(["verify", path]) == 1
    out = capsys.readouterr().out
    assert "statistics" in out and "measured" not in out
    assert main(["verify", path, "--config", str(copied)]) == 1
    assert "measured: changed: B04" in capsys.readouterr().out


def test_without_the_input_it_is_said(copied, capsys):
    job = Job.of(Production.read(copied), TILE)
    job.store.remove_record(job.place("SR_B20").record)
    assert main(["verify", "--config", str(copied), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    (text,) = [f["text"] for name, found in rows.items() for f in found if f["check"] == "input" and "/SR10_2" in name]
    assert "SR_B20 of tile E44N25 is not in the store" in text
