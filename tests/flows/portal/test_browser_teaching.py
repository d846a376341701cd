"""A project taught in a real browser: the view at once, rounds, swipe, restoring to the pixel, the package, own classes."""

from __future__ import annotations

import io
import json
import shutil
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from imperv.flows.portal.projects import Project, Projects
from imperv.flows.portal.samples import read
from imperv.layers.colouring import colour_table
from imperv.layers.landcover.classes import FRAME, palette_of
from imperv.tasks.landcover import session
from tests.support.pages import Page, assert_fits, assert_fits_all, opened, screen
from tests.support.portal import Portal, portal_on
from tests.support.teaching import draw, polygons_of
from tests.support.urban import BBOX, TILE

pytestmark = pytest.mark.slow

JOB = 600_000
"""Milliseconds that a job may take on a machine that is busy."""

COLOURS = colour_table(palette_of(FRAME), 255)[:, :3]
LEFT, BOTTOM, RIGHT, TOP = BBOX
AT = f"at={(LEFT + RIGHT) / 2},{(BOTTOM + TOP) / 2},5"


@pytest.fixture(scope="module")
def taught(town, tmp_path_factory) -> Iterator[tuple[Portal, Project]]:
    """A portal on a project with a base map and polygons."""
    folder = tmp_path_factory.mktemp("teaching") / "projects"
    shutil.copytree(town, folder)
    project = Projects(folder).every()[0]
    draw(project, polygons_of(town))
    with portal_on(f"--projects={folder}") as portal:
        yield portal, project


@contextmanager
def at(browser: Any, portal: Portal, project: Project, **context: Any) -> Iterator[Page]:
    """The tab of a project."""
    with opened(browser, portal, f"{AT}&on=", path=f"projects/{project.id}/", **context) as page:
        tab(page)
        yield page


def tab(page: Page) -> None:
    """Open the tab once the page has it ready."""
    page.locator("#teach-samples li").first.wait_for(state="attached")
    page.get_by_role("tab", name="Teach").click()


def ended(page: Page) -> None:
    """Wait for the end of what the tab does."""
    from playwright.sync_api import expect

    expect(page.locator("#teach-going")).to_be_hidden(timeout=JOB)
    expect(page.locator("#teach-trouble")).to_be_hidden()


def area(page: Page) -> np.ndarray:
    """The project's pixels as they are on the screen, a pixel of the map one of the screen, without the outline of the area."""
    page.evaluate("() => portal.draw.tools.layer.setVisible(false)")  # what is drawn lies over all maps
    found = screen(page)
    x, y = page.evaluate(f"() => portal.map.getPixelFromCoordinate([{LEFT}, {TOP}]).map(Math.round)")
    return found[y : y + 200, x : x + 400][5:-5, 5:-5]


def is_map(pixels: np.ndarray, codes: np.ndarray) -> bool:
    """Whether pixels of the screen have the colours of their codes; pixels without data are transparent."""
    there = codes != 255
    return bool(there.mean() > 0.9 and np.array_equal(pixels[there], COLOURS[codes[there]]))


def test_teach_a_town(browser, taught, tmp_path):
    portal, project = taught
    (job,) = project.jobs()
    base = job.array("LC_base")[5:-5, 5:-5]
    with at(browser, portal, project, accept_downloads=True) as page:
        page.get_by_role("button", name="Show Base map").click()
        assert is_map(area(page), base)
        # The view at once: other pixels, exactly those of the round that follows.
        page.get_by_role("button", name="Only this view").click()
        page.get_by_label("Show the view that was taught").wait_for()
        ended(page)
        view = area(page)
        assert not is_map(view, base)
        page.get_by_label("Show the view that was taught").uncheck()
        assert is_map(area(page), base)
        page.get_by_role("button", name="Run model").click()
        page.get_by_role("button", name="Show Round 1").wait_for(timeout=JOB)
        ended(page)
        first = job.array("LC_tuned")[5:-5, 5:-5]
        assert is_map(area(page), first) and is_map(view, first)
        assert "21 polygons" in page.locator("#rounds > li").first.inner_text()
        # Another round of fewer polygons.
        draw(project, [f for f in json.loads((project.folder / "samples/000001.geojson").read_text())["features"]
                       if f["properties"]["class"] in ("grass", "water")])  # fmt: skip
        page.reload()
        tab(page)
        # Cancelled, nothing has changed; the page that is loaded anew finds a job that goes on.
        page.get_by_role("button", name="Run model").click()
        page.get_by_role("button", name="Cancel").click(timeout=JOB)
        page.get_by_text("cancelled; what is finished is kept, start it again to go on").wait_for(timeout=JOB)
        page.get_by_label("Show the view that was taught").uncheck()
        assert is_map(area(page), first)
        page.get_by_role("button", name="Run model").click()
        page.get_by_role("button", name="Cancel").wait_for(timeout=JOB)
        page.reload()
        tab(page)
        page.get_by_role("button", name="Show Round 2").wait_for(timeout=JOB)
        ended(page)
        second = job.array("LC_tuned")[5:-5, 5:-5]
        assert is_map(area(page), second) and (first != second).any()
        # Round 1 left and round 2 right of the line.
        page.locator("#teach-first").select_option(label="Round 1")
        page.locator("#teach-second").select_option(label="Round 2")
        page.get_by_role("button", name="Swipe").click()
        both = area(page)
        assert is_map(both[:, :170], first[:, :170]) and np.array_equal(both[:, -170:], COLOURS[second][:, -170:])
        page.get_by_role("button", name="Table").click()
        page.locator("#teach-compare td").first.wait_for()
        table = [
            [int(cell) for cell in row.locator("td").all_inner_texts()] for row in page.locator("#teach-compare tbody tr").all()
        ]
        assert table == session.compare(job, 1, 2)["pixels"]
        page.evaluate("() => portal.swipe.set({ on: false })")
        for name in ("Hide Round 1", "Hide Round 2", "Hide Base map"):
            if page.get_by_role("button", name=name, exact=True).count():
                page.get_by_role("button", name=name, exact=True).click()
        # Restoring gives round 1's pixels back exactly, in the layer of the present map.
        page.get_by_role("button", name="Restore Round 1").click()
        page.locator("#rounds > li", has_text="Round 1").get_by_text("present").wait_for(timeout=JOB)
        ended(page)
        page.evaluate(
            "() => { for (const { id } of [...portal.layers.shown]) if (!id.startsWith('LC_tuned.')) portal.layers.remove(id); }"
        )
        assert page.evaluate("() => portal.layers.shown.length") == 1
        assert is_map(area(page), first)
        with page.expect_download(timeout=JOB) as waiting:
            page.get_by_role("button", name="Package of Round 1").click()
        assert waiting.value.suggested_filename == f"Town_{TILE}_round_1.zip"
        waiting.value.save_as(tmp_path / "package.zip")
        ended(page)
        page.get_by_role("button", name="Next unsure place").click()
        page.get_by_text("1 of 20:").wait_for()
        page.get_by_role("button", name="Draw here").click()
        assert page.get_by_role("tab", name="Draw").get_attribute("aria-selected") == "true"
        assert page.get_by_role("button", name="Polygon", exact=True).get_attribute("aria-pressed") == "true"
    packed(tmp_path / "package.zip", first)


def packed(file: Path, codes: np.ndarray) -> None:
    """The package holds the map, a style with its colours, and a text that says what it is."""
    pdfium = pytest.importorskip("pypdfium2")
    with zipfile.ZipFile(file) as archive:
        with rasterio.open(io.BytesIO(archive.read("classification.tif"))) as source:
            assert np.array_equal(source.read(1)[5:-5, 5:-5], codes) and source.crs.to_epsg() == 3035
            table = source.colormap(1)
        style = ElementTree.fromstring(archive.read("classification.qml"))
        entries = {int(e.get("value")): e.get("color") for e in style.iter("paletteEntry")}
        assert all(entries[one.code] == "#{:02x}{:02x}{:02x}".format(*table[one.code][:3]) for one in FRAME)
        text = "".join(page.get_textpage().get_text_range() for page in pdfium.PdfDocument(archive.read("metadata.pdf")))
        assert "Round 1: 21 polygons" in text and "coniferous trees" in text and TILE in text
        assert len(json.loads(archive.read("training_polygons.geojson"))["features"]) == 21
        assert "5 m" in archive.read("summary.txt").decode()


def test_the_tab_is_accessible_and_fits(browser, taught):
    portal, project = taught
    with at(browser, portal, project, viewport={"width": 390, "height": 844}) as page:
        page.get_by_role("button", name="Show Base map").wait_for()
        for one in page.locator("#rounds summary").all():
            one.click()
        page.get_by_role("button", name="Only this view").click()
        page.get_by_label("Show the view that was taught").wait_for()
        ended(page)
        assert_fits_all(page, "teach")


def test_own_classes_in_the_form(browser, taught):
    """A class is added with a name, a code and a colour; the project that is made has it."""
    portal, project = taught
    with opened(browser, portal) as page:
        page.locator("#new-template option").first.wait_for(state="attached")
        page.get_by_label("Name", exact=True).fill("Roofs")
        for edge, value in zip(("West", "South", "East", "North"), BBOX, strict=True):
            page.get_by_label(edge, exact=True).fill(str(value))
        page.get_by_label("Year", exact=True).fill("2021")
        page.get_by_text("Classes", exact=True).click()
        assert page.locator("#class-list li").count() == 7
        page.get_by_role("button", name="Add a class").click()
        page.get_by_label("Name of class 8").fill("green roof")
        page.get_by_label("Colour of class 8").fill("#00ff88")
        page.get_by_role("button", name="Remove class 1, bare soil").click()
        assert_fits(page, 1280)
        page.get_by_role("button", name="Create", exact=True).click()
        page.wait_for_url("**/projects/*/**")
        tab(page)
        names = page.locator("#teach-samples li span:nth-child(2)").all_inner_texts()
        assert names == [*(one.name for one in FRAME[1:]), "green roof"]
        assert "start the run, which makes the base map" in page.locator("#teach-note").inner_text()
        for name in ("Run model", "Only this view", "Next unsure place", "Confidence", "Swipe", "Table"):
            assert page.get_by_role("button", name=name, exact=True).is_disabled()
    made = next(p for p in Projects(project.folder.parent).every() if p.about["label"] == "Roofs")
    assert [(c.code, c.colour) for c in made.production().parameters.classes.classes][-1] == (8, (0, 255, 136))


def test_faults_are_told_beside_the_counts(browser, taught):
    """Until they are mended."""
    from playwright.sync_api import expect

    portal, project = taught
    new = Projects(project.folder.parent).create("Faults", "town", BBOX, "2021-06")
    drawn_there = read(project)["features"]
    first, last = drawn_there[0], drawn_there[-1]
    draw(new, [*drawn_there, {**first, "properties": {**last["properties"], "id": "f" * 12}}])
    with at(browser, portal, new) as page:
        trouble = page.locator("#teach-trouble")
        expect(trouble).to_contain_text("share 9 pixels; draw them apart")
        counts = page.locator("#teach-samples li span:nth-child(3)").all_inner_texts()
        assert sum(map(int, counts)) == len(drawn_there) + 1
        draw(new, drawn_there)
        page.reload()
        tab(page)
        expect(trouble).to_be_hidden()
