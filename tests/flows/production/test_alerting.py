"""What people are told of a production, and when: while it goes on, and by `imperv status --check --tell` where it is dead."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.production import alerting, notifying, telling
from imperv.flows.production.alerting import Alerts
from imperv.flows.production.heartbeat import PATH, give_sign, new_sign
from imperv.flows.production.state import PATH as STATE
from imperv.flows.production.status import Trouble, troubles
from imperv.flows.production.telling import REMIND, tell_troubles
from imperv.flows.runtime.outcomes import Ledger, Outcome
from imperv.tasks.settings.watch import WatchSettings
from imperv.tasks.store.lease import this_process
from imperv.tasks.store.store import Store
from tests.flows.production.test_metrics import by_label
from tests.support.productions import flat
from tests.support.webhook_server import Hook, receiving

TILES = ("E44N26", "E45N26", "E46N26")
FACTS = {"production": "austria", "store": "s3://b/p"}


@pytest.fixture
def hook():
    with receiving() as running:
        yield running


def watched(notifier: str | WatchSettings, body, limit: int = 3) -> Ledger:
    """Let `body(ledger, alerts)` run with alerts."""

    async def run() -> Ledger:
        ledger = Ledger(TILES, limit)
        settings = notifier if isinstance(notifier, WatchSettings) else WatchSettings(notify=(notifier,))
        alerts = Alerts(settings, ledger, FACTS)
        ledger.lost = alerts.lost
        await body(ledger, alerts)
        return ledger

    return asyncio.run(run())


# while it goes on -----------------------------------------------------------------------------------------------


def test_the_first_failure_and_the_end_are_told(hook):
    async def body(ledger: Ledger, alerts: Alerts) -> None:
        ledger.give_up(Outcome("E44N26", "all", "input", "bad.tif is no raster"))
        while not hook.got:
            await asyncio.sleep(0.01)
        ledger.give_up(Outcome("E45N26", "all", "work", "disk full"))
        ledger.add(Outcome("E46N26", "all", "done"))
        await alerts.ended()

    watched(hook.url, body)
    assert [body["text"] for body in hook.got] == [
        "austria: tile E44N26 failed, the first of this run",
        "austria: ended, 1 of 3 tiles done, 2 failed",
    ]
    assert [body["attachments"][0]["text"] for body in hook.got] == [
        "bad.tif is no raster", "E44N26: bad.tif is no raster\nE45N26: disk full",
    ]  # fmt: skip
    assert hook.events() == ["failed", "ended"] and {b["attachments"][0]["color"] for b in hook.got} == {"danger"}


def test_a_failure_is_in_the_signs_of_life_before_it_is_told(hook):
    told: list[int] = []

    async def sign() -> None:
        await asyncio.sleep(0.2)
        told.append(len(hook.got))

    async def run() -> None:
        ledger = Ledger(TILES, 3)
        alerts = Alerts(WatchSettings(notify=(hook.url,)), ledger, FACTS, sign)
        ledger.lost = alerts.lost
        ledger.give_up(Outcome("E44N26", "all", "input", "bad.tif is no raster"))
        await alerts.stopped("it was interrupted")

    asyncio.run(run())
    assert told == [0] and hook.events() == ["failed", "stopped"]


def test_a_good_end_is_told_as_such(hook):
    async def body(ledger: Ledger, alerts: Alerts) -> None:
        for tile in TILES:
            ledger.add(Outcome(tile, "all", "done"))
        await alerts.ended()

    watched(hook.url, body)
    assert hook.got[0]["text"] == "austria: ended, 3 of 3 tiles done, 0 failed"
    assert hook.got[0]["attachments"][0]["color"] == "good"


def test_a_production_that_is_given_up_says_so(hook):
    async def body(ledger: Ledger, alerts: Alerts) -> None:
        ledger.give_up(Outcome("E44N26", "all", "work", "disk full"))
        await alerts.ended()

    watched(hook.url, body, limit=0)
    assert hook.got[-1]["attachments"][0]["text"].splitlines() == [
        "too many tiles failed: 2 not done; run again to go on", "E44N26: disk full",
    ]  # fmt: skip


def test_a_failure_found_in_a_thread_is_told_before_the_end(hook):
    async def body(ledger: Ledger, alerts: Alerts) -> None:
        await asyncio.to_thread(ledger.give_up, Outcome("E44N26", "features", "input", "no raster"))
        await alerts.ended()

    watched(hook.url, body)
    assert hook.events() == ["failed", "ended"]


def test_what_blocks_a_production_is_told_once_it_lasts_and_again_the_next_time(hook):
    soon = WatchSettings(notify=(hook.url,)).model_copy(update={"heartbeat": 0.07})
    paused = "work pool tiles is paused; prefect work-pool resume tiles"

    async def body(ledger: Ledger, alerts: Alerts) -> None:
        for _ in range(2):
            alerts.blocked(paused)
            alerts.blocked("")  # it went on at once
            for _ in range(4):
                alerts.blocked(paused)
                await asyncio.sleep(0.1)
        await alerts.stopped("it was interrupted")

    watched(soon, body)
    assert hook.events() == ["blocked", "blocked", "stopped"]
    assert hook.got[0]["text"] == f"austria: nothing can run: {paused}"
    assert hook.got[2]["attachments"][0]["text"] == "it was interrupted\nrun it again to go on"


def test_a_notifier_that_is_away_delays_nothing_but_the_farewell(monkeypatch, caplog):
    monkeypatch.setattr(alerting, "FAREWELL", 1.0)
    monkeypatch.setattr(notifying, "LONGEST_PAUSE", 0.1)
    with receiving(*[500] * 1000) as hook:
        seconds = []

        async def body(ledger: Ledger, alerts: Alerts) -> None:
            began = time.monotonic()
            ledger.give_up(Outcome("E44N26", "all", "work", "x"))
            seconds.append(time.monotonic() - began)
            await alerts.ended()
            seconds.append(time.monotonic() - began)

        watched(hook.url, body)
    assert seconds[0] < 0.9 and 1.0 < seconds[1] < 30.0
    assert " in time" in caplog.text and "SECRET" not in caplog.text


def test_one_that_comes_back_is_told_after_all(monkeypatch):
    monkeypatch.setattr(notifying, "LONGEST_PAUSE", 0.1)
    with receiving(500, 500, 500) as hook:

        async def body(ledger: Ledger, alerts: Alerts) -> None:
            ledger.give_up(Outcome("E44N26", "all", "work", "x"))
            await alerts.ended()

        watched(hook.url, body)
    assert hook.events() == ["failed", "ended"]


# by cron --------------------------------------------------------------------------------------------------------

SILENT = Trouble("silent", "production austria has been silent for 2 h")
FAILED = [Trouble("failed", f"{tile} failed: disk full") for tile in TILES]


def tell(tmp_path, hook: Hook, found: list[Trouble], hours: float = 0.0) -> list[bool]:
    notifiers = WatchSettings(notify=(hook.url,)).notify
    return tell_troubles(Store(tmp_path), notifiers, found, FACTS, datetime.now(UTC) + timedelta(hours=hours))


def test_trouble_is_told_once_new_kinds_at_once_and_old_ones_after_hours(tmp_path, hook):
    assert tell(tmp_path, hook, []) == []
    assert tell(tmp_path, hook, FAILED[:1]) == [True]
    assert tell(tmp_path, hook, FAILED) == []  # more of the same wake nobody
    assert tell(tmp_path, hook, [SILENT, *FAILED]) == [True]
    assert tell(tmp_path, hook, [SILENT], 1.0) == []
    assert tell(tmp_path, hook, [SILENT], REMIND / timedelta(hours=1)) == [True]
    assert tell(tmp_path, hook, [], 7.0) == [True]
    assert tell(tmp_path, hook, [], 8.0) == []
    assert tell(tmp_path, hook, FAILED, 9.0) == [True]
    assert hook.events() == ["trouble", "trouble", "trouble", "well", "trouble"]
    assert hook.got[1]["text"] == "austria: production austria has been silent for 2 h"
    assert hook.got[1]["attachments"][0]["text"].splitlines() == [f"{tile} failed: disk full" for tile in TILES]
    assert "SECRET" not in (tmp_path / "runs" / telling.PATH).read_text()


def test_who_was_not_told_is_told_the_next_time(tmp_path, monkeypatch):
    monkeypatch.setattr(telling, "FAREWELL", 0.0)
    with receiving(500) as hook, receiving() as other:
        notifiers = WatchSettings(notify=(hook.url, other.url)).notify
        assert tell_troubles(Store(tmp_path), notifiers, [SILENT], FACTS) == [False, True]
        assert tell_troubles(Store(tmp_path), notifiers, [SILENT], FACTS) == [True]
        assert hook.events() == other.events() == ["trouble"]


def dead(tmp_path) -> Path:
    """Production file of one whose parent on another machine died two hours ago."""
    file = flat(tmp_path, 1)
    store, began = Store(file.parent / "store"), datetime.now(UTC) - timedelta(hours=3)
    store.write_text(
        f"runs/{STATE}", json.dumps({"run": "abc", "digest": "", "tiles": [], "began": began.isoformat(), "ended": ""})
    )
    give_sign(store, replace(new_sign("abc", 30.0), process=replace(this_process(), host="node-7", boot="other")))
    text = json.loads(store.read_text(f"runs/{PATH}"))
    store.write_text(f"runs/{PATH}", json.dumps({**text, "when": (datetime.now(UTC) - timedelta(hours=2)).isoformat()}))
    import os

    old = time.time() - 7200
    os.utime(store.full(f"runs/{PATH}"), (old, old))
    return file


def test_a_dead_production_is_told_by_status(tmp_path, hook, capsys):
    file = dead(tmp_path)
    for _ in range(2):
        assert main(["status", "--check", "--config", str(file), "--notify", hook.url]) == 1
    assert hook.events() == ["trouble"] and "has been silent for 2.0 h: its process" in hook.got[0]["text"]
    assert "has been silent for 2.0 h" in capsys.readouterr().err
    file.write_text(file.read_text() + f'[watch]\nnotify = ["{hook.url}?second"]\n')
    assert main(["status", "--check", "--config", str(file)]) == 1  # by hand nobody is woken
    assert len(hook.got) == 1
    assert main(["status", "--check", "--tell", "--config", str(file)]) == 1
    assert len(hook.got) == 2


def test_options_that_tell_nobody_are_refused(tmp_path, capsys):
    file = flat(tmp_path, 1)
    assert main(["status", "--tell", "--config", str(file)]) == 2
    assert "go with --check" in capsys.readouterr().err
    assert main(["status", "--check", "--tell", "--config", str(file)]) == 2
    assert "watch.notify is empty" in capsys.readouterr().err
    assert main(["status", "--check", "--notify", "ftp://x", "--config", str(file)]) == 2
    assert "imperv: --notify: is no address" in capsys.readouterr().err
    for command in (["status", "--check"], ["europe", "-t", "IMD_then"]):
        assert main([*command, "--notify", "no-such-mail x", "--config", str(file)]) == 2
        assert "there is no command no-such-mail here" in capsys.readouterr().err
        assert main([*command, "--metrics", "/no/such/folder/x.prom", "--config", str(file)]) == 2
        assert "metrics: there is no folder /no/such/folder" in capsys.readouterr().err
        assert main([*command, "--metrics", str(tmp_path / "x.txt"), "--config", str(file)]) == 2
        assert "does not end in .prom" in capsys.readouterr().err
    assert not (file.parent / "store" / "runs" / STATE).exists()


def test_a_server_that_is_away_changes_nothing_of_what_status_says(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(telling, "FAREWELL", 0.0)
    with receiving(*[500] * 10) as hook:
        assert main(["status", "--check", "--config", str(dead(tmp_path)), "--notify", hook.url]) == 1
    assert "has been silent for" in capsys.readouterr().err


# a production ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_production_tells_its_first_failure_and_its_end_and_writes_metrics(tmp_path, hook, capsys):
    """By the command line, with processes: one good tile, one whose reference is none."""
    from prometheus_client.parser import text_string_to_metric_families

    file = flat(tmp_path, 2)
    bad = sorted((file.parent / "imd").iterdir())[1]
    bad.write_bytes(b"no raster")
    metrics, read = tmp_path / "imperv.prom", []
    done = threading.Event()

    def scrape() -> None:  # as node_exporter would, at any moment
        while not done.is_set():
            if metrics.exists():
                read.append(list(text_string_to_metric_families(metrics.read_text())))
            time.sleep(0.01)

    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        arguments = ["europe", "--config", str(file), "-t", "IMD_then", "--notify", hook.url, "--metrics", str(metrics)]
        assert main(arguments) == 2
    finally:
        done.set()
        scraper.join()
    assert hook.events() == ["failed", "ended"]
    assert hook.got[0]["text"] == f"flat-2: tile {bad.stem} failed, the first of this run"
    assert hook.got[1]["text"] == "flat-2: ended, 1 of 2 tiles done, 1 failed"
    assert read and all(families for families in read)
    found = by_label(metrics)
    assert found["imperv_tiles"] == {("not begun",): 0, ("in work",): 0, ("done",): 1, ("failed",): 1}
    assert found["imperv_tile_failures"] == {("input",): 1}
    assert found["imperv_production_state"] == {("running",): 0, ("silent",): 0, ("stopped",): 0, ("ended",): 1}
    assert found["imperv_stored_bytes"][("layers",)] > 0
    capsys.readouterr()
    assert main(["status", "--check", "--config", str(file)]) == 1
    assert f"{bad.stem} failed: " in capsys.readouterr().err


def test_tiles_that_are_out_of_date_are_trouble_whether_a_production_ran_or_not():
    entry = {"why": "", "state": "out of date"}
    found = [{"tile": "E43N32", "state": "done", "why": ""}, {"tile": "E44N32", **entry}]
    (trouble,) = troubles(found, {})
    assert (trouble.kind, trouble.text) == ("out of date", "1 tile out of date: E44N32; run again, or see imperv plan")
    life = {"state": "ended", "clock": ""}
    (trouble,) = troubles([{"tile": f"E4{k}N32", **entry} for k in range(7)], {"life": life})
    assert trouble.text.startswith("7 tiles out of date: E40N32, E41N32, E42N32, E43N32, E44N32, ...; ")
    assert troubles(found, {"life": {"state": "running", "clock": ""}}) == []  # it makes them
