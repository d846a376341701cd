"""What an operator sees: tiles by state, what is wrong, costs, logs without secrets, and the way to the run in Prefect."""

from __future__ import annotations

import logging
import time

import pytest

from imperv.flows.runtime.journal import note_run
from imperv.flows.runtime.run_logs import kept_log
from tests.support.browser import browser_path, chromium
from tests.support.pages import PATIENCE
from tests.support.portal import STARTING, Portal, portal_on
from tests.support.report_store import TILE, copied

RUN = "0b4ff1ba-0d6c-4c8e-9a56-0d9a3d3d9e11"
SECRET = "correct-horse-battery"


@pytest.fixture(scope="module")
def failed(filled, tmp_path_factory):
    """A portal on a production whose only tile failed in a run of Prefect."""
    job = copied(filled, tmp_path_factory.mktemp("operator"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT__FLOW_RUN_ID", RUN)
        with kept_log(job, "the end"):
            logging.getLogger("imperv.run").error("s3://bucket/x?token=abc cannot be read; key %s", SECRET)
    note_run(job, "failed", "the catalogue does not answer; try later")
    job.store.remove_record(job.place("IMD_now").record)
    environment = {"PREFECT_API_URL": "http://prefect.example:4200/api", "AWS_SECRET_ACCESS_KEY": SECRET}
    with portal_on(job.production.root / "production.toml", environment=environment) as portal:
        end = time.monotonic() + STARTING
        while not portal.get("/api/tiles")["production"] and time.monotonic() < end:
            time.sleep(0.1)
        yield portal


@pytest.mark.slow
def test_what_is_wrong_comes_first(failed: Portal):
    found = failed.get("/api/tiles")
    assert found["production"]["troubles"] == [f"{TILE} failed: the catalogue does not answer; try later"]
    assert [(row["state"], row["why"]) for row in found["tiles"]] == [("failed", "the catalogue does not answer; try later")]


def test_costs_log_and_run_of_a_tile(failed: Portal):
    found = failed.get(f"/api/tiles/{TILE}")
    assert [row[0] for row in found["costs"]] == ["core hours", "GB of scenes read", "GB stored"]
    assert all(row[2] > 0 for row in found["costs"])
    assert found["run"] == f"http://prefect.example:4200/runs/flow-run/{RUN}"
    script = {"Authorization": f"Bearer {failed.token}"}
    status, headers, body = failed.ask(f"/log/{TILE}.txt", script)
    assert status == 200 and headers["content-type"].startswith("text/plain")
    for text in (body.decode(), "\n".join(found["log"])):
        assert "cannot be read" in text and SECRET not in text and "abc" not in text
    for path in ("/api/tiles/E45N26", "/log/E45N26.txt"):
        assert failed.ask(path, script)[0] == 404
    assert failed.ask(f"/log/{TILE}.txt")[0] == 401


@pytest.mark.slow
def test_the_page_of_an_operator(failed: Portal):
    browser_path()
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(failed.link)
        page.locator("#shown > li").first.wait_for()
        page.get_by_role("tab", name="Tiles").click()
        page.get_by_text(f"{TILE} failed: the catalogue does not answer").wait_for()
        page.get_by_text(f"Costs and log of {TILE}").click()
        page.get_by_role("link", name="Run in Prefect").wait_for()
        assert "cannot be read" in page.get_by_role("region", name=f"Log of {TILE}").inner_text()
        chip = page.get_by_role("button", name="1 failed")
        chip.click()
        assert chip.get_attribute("aria-pressed") == "true" and page.locator("#tile-list li").count() == 1
        page.locator("#tile-filter").fill("E45")
        assert page.locator("#tile-list li").count() == 0
