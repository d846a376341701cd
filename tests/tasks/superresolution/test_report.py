"""The report of super-resolution: what it shows is what is stored, and what cannot be shown is named."""

from __future__ import annotations

import base64
import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from imperv.flows.cli.commands import main
from imperv.grids import Block
from imperv.layers.catalogue.superresolution import SHARP
from imperv.layers.sharpening.wald import CUBIC, REGRESSION
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.superresolution import evidence
from imperv.tasks.superresolution.cuts import detail_by_cell, sharp_cut, sharpest
from imperv.tasks.superresolution.report import compose, write_report
from tests.support.sharpened import TILE, small_production

pytestmark = pytest.mark.slow  # a whole production is made for them


@pytest.fixture(scope="session")
def text(finished) -> str:
    """The page that the run wrote."""
    job = Job.of(Production.read(finished), TILE)
    return job.store.read_text(job.report_path)


@pytest.fixture
def cut(job) -> Block:
    return sharpest(detail_by_cell(job), 600)


def picture(uri: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGBA"))


def test_the_run_writes_one_file_that_needs_no_other(text):
    assert "Sharpened, and consistent with what was measured" in text
    for section in ("compare", "spectra", "consistency", "detail", "scores", "model", "input", "layers"):
        assert f'<section id="{section}">' in text and f'href="#{section}"' in text
    used = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert all(one.startswith(("data:", "#")) for one in used) and len(used) > 15
    assert "url(" not in re.sub(r"url\(#[^)]*\)", "", text) and "Could not be shown" not in text


def test_handles_work_by_mouse_touch_and_keyboard(text):
    """A slider of the browser lies over each pair: natural colour at 10 m is measured, and needs none."""
    swipes = text.split('class="map swipe')[1:]
    assert len(swipes) == 3
    for one in swipes:
        one = one.partition("</figure>")[0]
        assert one.count("<img") == 2 and '<input type="range"' in one and "aria-label" in one
    assert "All three bands are measured at these pixels and untouched" in text


def test_pictures_show_the_stored_pixels(job, cut):
    false, natural = evidence.pairs(job, "SR10", cut)
    assert not false.same and natural.same and false.coarsest == 20
    before, after = picture(false.before.image), picture(false.after.image)
    pixels = sharp_cut(job, "SR10", cut, ("B11",))[0]
    assert before.shape == after.shape == (*pixels.shape, 4) and (false.after.height, false.after.width) == pixels.shape
    assert np.array_equal(after[..., 3] > 0, np.isfinite(pixels))
    order = np.argsort(pixels[np.isfinite(pixels)])
    assert (np.diff(after[..., 0][np.isfinite(pixels)][order].astype(int)) >= 0).all()  # brighter where brighter
    before, after = before[..., :2], after[..., :2]  # B11 and B8A
    assert np.array_equal(before[::2, ::2], before[1::2, 1::2]) and not np.array_equal(after[::2, ::2], after[1::2, 1::2])
    assert np.array_equal(picture(natural.before.image), picture(natural.after.image))


def test_points_are_chosen_by_rule_on_clear_ground(job, cut):
    found = {p.title: p for p in evidence.points(job, "SR10", cut)}
    assert len(found) == 4
    sharp = sharp_cut(job, "SR10", cut, SHARP)
    red, near = sharp[SHARP.index("B04")], sharp[SHARP.index("B08")]
    for point in found.values():
        assert len(point.sharp) == len(point.measured) == len(point.deviation) == 12
        for name in ("B02", "B03", "B04", "B08"):
            k = SHARP.index(name)
            assert point.sharp[k] == point.measured[k] and point.deviation[k] == 0
        box = evidence.bounds_of(job, cut)
        column, row = int((point.x - box[0]) / 10), int((box[3] - point.y) / 10)
        assert np.array_equal(point.sharp, sharp[:, row, column])
    first = found["Largest correction of B11"]
    k = SHARP.index("B11")
    assert abs(first.sharp[k] - first.measured[k]) > 100
    index = (near - red) / (near + red)
    greenest = found["Greenest"].sharp
    g = (greenest[SHARP.index("B08")] - greenest[SHARP.index("B04")]) / (
        greenest[SHARP.index("B08")] + greenest[SHARP.index("B04")]
    )
    assert g >= np.nanquantile(index, 0.98)


def test_the_share_that_is_told_is_that_of_the_fit(job):
    unexplained = job.record("SR_model").statistics["unexplained"]
    shares = evidence.told_shares(job)
    assert set(shares) == {"20to10", "60to10"}
    for name, found in shares.items():
        for band, share in found.items():
            u = unexplained[name][band]
            assert share == pytest.approx(1 / (1 + u * u)) and 0 < share <= 1  # left / told = u^2


def test_scores_are_of_the_scene_itself(job, text):
    found = evidence.scores(job, sharpest(detail_by_cell(job), evidence.SAMPLE))
    assert set(found) == {"20to10", "10to5"} and "The scene is too small for 60to10" in text
    ways = found["20to10"]
    assert ways[REGRESSION]["rmse"] < ways[CUBIC]["rmse"]
    assert f"{ways[REGRESSION]['rmse.B11']:.1f}" in text


def test_the_mask_has_the_shares_of_its_codes(job):
    shown = evidence.mask_map(job)
    histogram = job.record("SR_mask").statistics["SR_mask"]["histogram"]
    clear = 100 * histogram["1"] / sum(histogram.values())
    assert any(meaning == f"clear {clear:.1f} %" for _, meaning in shown.legend.classes)
    codes = np.asarray(job.array("SR_mask"))
    drawn = picture(shown.image)
    factor = drawn.shape[0] // codes.shape[0]
    assert np.array_equal(drawn[::factor, ::factor, 3] == 0, codes == 0)


def test_a_large_mask_is_thinned(job, monkeypatch):
    monkeypatch.setattr(evidence, "LONGEST", 40)
    monkeypatch.setattr("imperv.tasks.report.pictures.SMALLEST", 1)
    codes = np.asarray(job.array("SR_mask"))
    step = -(-max(codes.shape) // 40)
    drawn = picture(evidence.mask_map(job).image)
    assert step > 1 and np.array_equal(drawn[..., 3] == 0, codes[::step, ::step] == 0)


def test_overpasses_say_their_part(job):
    (one,) = evidence.overpasses(job)
    assert one["part"] == "sharpened" and one["level"] == "L2A" and 0.5 < one["clear"] < one["data"] < 1


def test_records_of_networks_become_rows():
    rows = evidence._rows({"a": {"b": 1.23456, "c": [1, 2]}, "d": [{"x": 1, "y": "z"}], "e": "text"})
    assert rows == [("a.b", "1.235"), ("a.c", "1, 2"), ("d", "x 1, y z"), ("e", "text")]


def test_what_cannot_be_drawn_is_named_and_the_rest_is_shown(copied):
    job = Job.of(Production.read(copied), TILE)
    shutil.rmtree(job.store.full(job.place("SR5").data))
    page = compose(job)
    assert [what for what, _ in page["troubles"]] == ["before and after of SR5"]
    assert len(page["pairs"]["SR10"]) == 2 and page["scores"] and page["pairs"]["SR5"] == []
    write_report(job)
    text = job.store.read_text(job.report_path)
    assert "Could not be shown: before and after of SR5" in text and '<section id="scores">' in text


def test_nothing_made_is_a_page_too(tmp_path, capsys):
    file = small_production(tmp_path)
    assert main(["report", TILE, "--config", str(file)]) == 0
    job = Job.of(Production.read(file), TILE)
    text = job.store.read_text(job.report_path)
    assert "Nothing is sharpened yet" in text and "not made yet" in text
