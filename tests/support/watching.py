"""A production that goes wrong on a real Prefect server with a worker on loopback, and what is said of it.

A paused pool, a worker that is gone, a tile that fails, a killed parent. Tiles are those of `productions.flat`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.prefect_loopback import COMMAND, ROOT, Loopback
from tests.support.productions import flat
from tests.support.webhook_server import Hook

TILES = 8

LONG = 600.0
"""Seconds that anything is waited for."""

TARGET = ("-t", "IMD_then")

QUICK = {
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "5", "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "1",
}  # fmt: skip
"""Settings with which workers that are gone are noticed in seconds."""


END = "\n=====\n"
ONE_AFTER_ANOTHER = (
    "import json, sys; from imperv.flows.cli.commands import main; first, second = json.loads(sys.argv[1]); "
    f"main(first); print(end={END!r}); sys.exit(main(second))"
)
"""Two commands in one process, which spends seconds on imports."""


@dataclass
class Seen:
    """What was said in one case."""

    case: str
    seconds: float
    """From what happened to the alert that is waited for, or to what `status` says."""
    status: list[str]
    """Last lines, of the production."""
    check: int
    """Exit code of `status --check`."""
    troubles: list[dict[str, str]]
    parent: list[str]
    """Alerts of the parent since the case before."""
    cron: list[str]
    """Alert of `status --check --notify`."""
    server: list[str]
    """Alerts of automations since the case before."""
    metrics: dict[str, float] = field(default_factory=dict)


class Rehearsal:
    """A production on a server, with everybody who is told.

    Parameters
    ----------
    loopback : Loopback
        Server with one worker, `worker-1`.
    folder : Path
        For the production and its metrics.
    heartbeat : float
        Seconds.
    """

    def __init__(self, loopback: Loopback, folder: Path, heartbeat: float, parent: Hook, cron: Hook, server: Hook) -> None:
        self.loopback = loopback
        self.hooks, self._read = {"parent": parent, "cron": cron, "server": server}, {"parent": 0, "cron": 0, "server": 0}
        self.metrics = folder / "imperv.prom"
        self.file = flat(folder, TILES)
        shutil.rmtree(self.file.parent / "store", ignore_errors=True)
        self.file.write_text(self.file.read_text() + f"[watch]\nheartbeat = {heartbeat}\n")
        self.rasters = sorted((self.file.parent / "imd").iterdir())
        self.bad = self.rasters[2]
        self.seen: list[Seen] = []

    def imperv(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", COMMAND, *arguments], cwd=ROOT, env=self.loopback.environment, capture_output=True, text=True
        )

    def start(self) -> subprocess.Popen[bytes]:
        """The parent, which tells its hook and writes metrics."""
        self.parent = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "europe", "--config", str(self.file), *TARGET, "--at-once", "1",
             "--notify", self.hooks["parent"].url, "--metrics", str(self.metrics)],
            cwd=ROOT, env=self.loopback.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

        return self.parent

    def kill(self) -> None:
        """Kill the parent at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.parent.pid, signal.SIGKILL)
        self.parent.wait()

    def until(self, what: Callable[[], bool], seconds: float) -> float:
        """Seconds until something holds."""
        began = time.monotonic()
        while not what():
            if time.monotonic() - began > seconds:
                raise RuntimeError(f"not within {seconds:g} s: {self.hooks}")
            time.sleep(0.1)
        return time.monotonic() - began

    def told(self, who: str, part: str) -> Callable[[], bool]:
        """Whether an alert says something."""
        return lambda: any(part in json.dumps(body) for body in self.hooks[who].got)

    def says(self, part: str) -> Callable[[], bool]:
        """Whether the last sign of life says something, as a regular expression."""
        path = self.file.parent / "store" / "runs" / "europe.heartbeat.data.json"
        return lambda: path.exists() and re.search(part, path.read_text()) is not None

    def note(self, case: str, seconds: float) -> Seen:
        """Ask everybody, and keep what they say."""
        status = ("status", "--config", str(self.file))
        asked = [(*status, "--metrics", str(self.metrics)), (*status, "--check", "--json", "--notify", self.hooks["cron"].url)]
        done = subprocess.run(
            [sys.executable, "-c", ONE_AFTER_ANOTHER, json.dumps(asked)],
            cwd=ROOT, env=self.loopback.environment, capture_output=True, text=True,
        )  # fmt: skip
        shown, told = done.stdout.split(END)
        lines = shown.splitlines()
        first = next((n for n, line in enumerate(lines) if line.startswith("production ")), len(lines))
        troubles = json.loads(told)["troubles"]
        alerts: dict[str, list[str]] = {}
        for who, hook in self.hooks.items():
            alerts[who] = [self._short(body) for body in hook.got[self._read[who] :]]
            self._read[who] = len(hook.got)
        self.seen.append(
            Seen(case, round(seconds, 1), lines[first:], done.returncode, troubles, **alerts, metrics=self._measured())
        )
        return self.seen[-1]

    def _short(self, body: dict[str, Any]) -> str:
        more = body.get("attachments", [{}])[0].get("text", "")
        return f"{body['text']}: {more}" if more else body["text"]

    def _measured(self) -> dict[str, float]:
        from prometheus_client.parser import text_string_to_metric_families

        if not self.metrics.exists():
            return {}
        return {
            " ".join([family.name.removeprefix("imperv_"), *(v for k, v in s.labels.items() if k != "production")]): s.value
            for family in text_string_to_metric_families(self.metrics.read_text())
            for s in family.samples
        }


def rehearse(found: Rehearsal, patient: bool) -> list[Seen]:
    """Let everything go wrong once; with `patient` the server's automation is waited for that tells of silence."""
    loopback = found.loopback
    assert found.imperv("automations", "--notify", found.hooks["server"].url).returncode == 0
    kept = found.bad.read_bytes()
    try:
        loopback.prefect("work-pool", "pause", "tiles")
        parent = found.start()
        found.note("pool paused", found.until(found.told("parent", "is paused"), LONG))
        found.bad.unlink()  # the parent has looked at it already: its run will fail
        loopback.kill("worker-1")
        loopback.prefect("work-pool", "resume", "tiles")
        found.note("worker gone", found.until(found.told("parent", "no worker serves"), LONG))
        loopback.start_worker("worker-1")
        found.note("worker back", found.until(found.says('"layers": [1-9]'), LONG))
        found.note("tile failed", found.until(found.told("parent", "failed, the first of this run"), LONG))
        found.kill()
        found.note("parent killed", 0.0)
        if patient:
            found.note("parent dead since", found.until(found.told("server", "is silent"), LONG))
        parent = found.start()
        found.until(lambda: parent.poll() is not None, LONG)
        found.note("ended, one failed", 0.0)
        found.bad.write_bytes(kept)
        parent = found.start()
        found.until(lambda: parent.poll() is not None, LONG)
        found.note("ended, all done", 0.0)
    finally:
        found.bad.write_bytes(kept)
        found.kill()
    return found.seen
