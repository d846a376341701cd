"""A project from its creation to its map, in a real browser: estimate, clear looks, start, nodes that turn, reload, cancel,
go on.
"""

from __future__ import annotations

import os
import re
import signal
import time
from typing import Any

import pytest

from imperv.flows.portal.projects import Projects
from imperv.flows.tile.progress_file import read_progress
from imperv.tasks.store.lease import Process
from tests.support.pages import assert_fits_all, drawn, opened
from tests.support.portal import portal_on
from tests.support.urban import BBOX

pytestmark = pytest.mark.slow

MINUTES = 600_000
"""Longest wait for a run, milliseconds."""


def states(page: Any) -> list[str]:
    return page.locator("#node-list li").evaluate_all("items => items.map(item => item.dataset.state)")


def fill_region(page: Any) -> None:
    """The last field keeps the focus."""
    for edge, value in zip(("left", "bottom", "right", "top"), BBOX, strict=True):
        page.locator(f"#region-{edge}").fill(str(value))


def held(projects: Projects, nodes: int) -> Process:
    """The process of the only run, stopped at its next node after so many: it could be done before the page shows them."""
    end = time.monotonic() + MINUTES / 1000
    while time.monotonic() < end:
        for path in projects.folder.glob("*/jobs/*.progress"):
            found = read_progress(path)
            if found.get("now") and sum(node["ran"] for node in found["nodes"].values()) >= nodes:
                os.killpg(found["process"].pid, signal.SIGSTOP)
                return found["process"]
        time.sleep(0.02)
    raise AssertionError("no run has made a node")


def test_create_start_reload_cancel_go_on_and_see_the_map(browser, copied_town):
    """By keyboard and mouse; the map appears by itself, and the log is a file."""
    with portal_on(f"--projects={copied_town.folder}") as portal, opened(browser, portal) as page:
        page.locator("#new-template option").first.wait_for(state="attached")
        page.locator("#new-label").fill("Old town")
        fill_region(page)
        page.locator("#new-year").fill("2021")
        page.keyboard.press("Tab")
        page.locator("#estimate", has_text="34 nodes to make: about").wait_for()
        assert "free" in page.locator("#estimate").inner_text()
        # The calendar by keys: open, go to June, choose it.
        page.locator("#calendar summary").press("Enter")
        june = page.get_by_role("button", name=re.compile("^June: 1 clear of 1 days with scenes|^June: 0 clear of 1"))
        june.wait_for()
        assert page.locator("#months button").count() == 12
        assert "2 days with scenes in 2021" in page.locator("#calendar-note").inner_text()
        page.locator("#new-month").select_option("01")
        june.press("Enter")
        assert page.locator("#new-month").input_value() == "06" and june.get_attribute("aria-pressed") == "true"
        page.get_by_role("button", name="Create", exact=True).click()

        page.locator("#node-list li").first.wait_for()
        assert set(states(page)) == {"waiting"} and "town · 2021-06" in page.locator("#about").inner_text()
        assert "Not started. 0 of 34 nodes are ready." in page.locator("#work-state").inner_text()
        page.get_by_role("button", name="Start").click()
        run = held(copied_town, nodes=3)
        page.locator("#node-list li[data-state=running]").wait_for(timeout=MINUTES)
        page.locator("#node-list li[data-state=done]").nth(2).wait_for(timeout=MINUTES)
        assert page.locator("#work-state").inner_text().startswith("Running.")

        page.reload()
        page.locator("#node-list li[data-state=done]").nth(2).wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.locator("#work-state", has_text="Cancelling.").wait_for()
        os.killpg(run.pid, signal.SIGCONT)
        page.get_by_text("cancelled; what is finished is kept, start it again to go on").wait_for(timeout=MINUTES)
        ready = len([state for state in states(page) if state in ("done", "not made")])
        assert ready >= 3 and "running" not in states(page)
        assert f"Cancelled. {ready} of 34 nodes are ready." in page.locator("#work-state").inner_text()
        with page.expect_download() as event:
            page.get_by_role("link", name="Download the log").click()
        assert re.fullmatch(r"imperv-[0-9a-f]{12}-000001\.log", event.value.suggested_filename)

        page.get_by_role("button", name="Go on").click()
        page.locator("#work-state", has_text="Done. 34 of 34 nodes are ready.").wait_for(timeout=MINUTES)
        assert states(page).count("up to date") >= 3 and "done" in states(page)
        shown = page.locator("#shown > li .name")
        shown.first.wait_for(state="attached", timeout=MINUTES)
        assert shown.first.text_content() == "Urban land cover, base map"
        drawn(page)
        assert page.get_by_role("button", name="Start").is_disabled()


def test_what_comes_while_a_button_is_pressed_does_not_move_it(browser, copied_town):
    """Pressed from the last field of the region: its note changes at once, the estimate comes before the button is let go."""
    with portal_on(f"--projects={copied_town.folder}") as portal, opened(browser, portal) as page:
        page.locator("#new-template option").first.wait_for(state="attached")
        page.locator("#new-label").fill("Pressed")
        fill_region(page)
        page.get_by_role("button", name="Create", exact=True).hover()
        page.mouse.down()
        page.locator("#estimate").wait_for()
        page.mouse.up()
        page.wait_for_url("**/projects/*/**")


def test_the_page_of_a_project_and_the_form_are_accessible_and_fit(browser, copied_town):
    """The form with its calendar, a project that fails, the list, a finished one; on a phone, a tablet and a desk."""
    town = next(iter(copied_town.every()))
    template = copied_town.folder / "templates/town.toml"
    template.write_text(template.read_text().replace("clcplus.tif", "nothing.tif"))
    with portal_on(f"--projects={copied_town.folder}") as portal, opened(browser, portal) as page:
        page.locator("#new-template option").first.wait_for(state="attached")
        page.locator("#new-label").fill("Broken")
        fill_region(page)
        page.locator("#new-year").fill("2021")
        page.keyboard.press("Tab")
        page.locator("#calendar summary").click()
        page.locator("#months button").nth(11).wait_for()
        page.locator("#estimate").wait_for()
        assert_fits_all(page, "form")
        page.get_by_role("button", name="Create and start").click()
        page.locator("#work-trouble", has_text="nothing.tif").wait_for(timeout=MINUTES)
        assert "\n" not in page.locator("#work-trouble").inner_text()
        page.get_by_role("link", name="Download the error report").wait_for()
        assert_fits_all(page, "failed")
        page.get_by_role("link", name="All projects").click()
        failed = page.locator("#project-list li", has_text="Broken")
        failed.get_by_text("nothing.tif").wait_for()
        assert failed.locator(".state").inner_text() == "failed"
        assert_fits_all(page, "list")
        page.goto(f"{portal.origin}/projects/{town.id}/")
        page.locator("#work-state", has_text="Everything is made. 34 of 34").wait_for()
        assert_fits_all(page, "project")
