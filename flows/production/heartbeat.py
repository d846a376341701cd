"""Signs of life of a production's parent, written into the store at an interval.

The age of a sign is that of its file by the clock of the store, as the clock of the parent's machine may be wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from botocore.exceptions import BotoCoreError

from imperv.flows.runtime.journal import read_table, write_table
from imperv.tasks.errors import ImpervError
from imperv.tasks.job import utc_now
from imperv.tasks.store.lease import Process, this_process
from imperv.tasks.store.store import Store

log = logging.getLogger(__name__)

PATH = "europe.heartbeat.data.json"

MISSED = 3
"""Intervals without a sign after which a parent counts as silent."""

SKEW = 30.0
"""Tolerated difference of clocks, seconds; leases need less."""

Standing = Literal["running", "silent", "stopped", "ended"]
"""Silent: no sign for too long, or its process is gone. Stopped: it said why it left before the end."""


@dataclass(frozen=True)
class Sign:
    """A sign of life."""

    run: str
    """Name of the run."""
    process: Process
    every: float
    """Seconds until the next one."""
    when: str = ""
    """By the clock of the parent's machine."""
    state: Literal["running", "stopped"] = "running"
    note: str = ""
    """What it waits for, or why it stopped."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """``tiles`` by state, ..., as `Tally.facts` and the work pool give them."""


@dataclass(frozen=True)
class Life:
    """Whether the parent of a production lives, by its store."""

    state: Standing
    age: float | None
    """Seconds since the last sign, or since the begin of a run without any; None for an ended one without any."""
    why: str
    """Reason of silence or of a stop; what a living one waits for."""
    sign: Sign | None
    clock: str = ""
    """What is wrong with the clocks."""

    def as_table(self) -> dict[str, Any]:
        """For ``--json``."""
        sign = self.sign
        more = {"host": sign.process.host, "pid": sign.process.pid, "every": sign.every, **sign.facts} if sign else {}
        return {"state": self.state, "age": self.age, "why": self.why, "clock": self.clock, **more}


def give_sign(store: Store, sign: Sign) -> None:
    """Write a sign of life; a failure is logged."""
    try:
        write_table(store, PATH, asdict(replace(sign, when=utc_now())))
    except (ImpervError, OSError, BotoCoreError) as error:
        log.warning("no sign of life could be written: %s", error)


def new_sign(run: str, every: float) -> Sign:
    """Of this process."""
    return Sign(run, this_process(), every)


def last_sign(store: Store) -> Sign | None:
    """The last sign of life in a store."""
    try:
        table = read_table(store, PATH)
        return Sign(**table | {"process": Process(**table["process"])})
    except (TypeError, KeyError):
        return None


def say(store: Store, state: Literal["running", "stopped"], note: str) -> None:
    """Say what this process waits for, or why it leaves, if the last sign was its own."""
    sign = last_sign(store)
    if sign is not None and sign.process == this_process():
        give_sign(store, replace(sign, state=state, note=note))


def life_of(store: Store, state: Mapping[str, Any], now: datetime | None = None) -> Life:
    """Whether a production lives, by the `state` of its last run (`read_state`, not empty)."""
    moment = now or datetime.now(UTC)
    sign = last_sign(store)
    if sign is not None and sign.run != state["run"]:  # of an earlier run
        sign = None
    if sign is None:
        age = _seconds(datetime.fromisoformat(state["began"]), moment)
        return Life("ended", None, "", None) if state.get("ended") else Life("silent", age, "it never gave a sign of life", None)
    written = _written(store) or datetime.fromisoformat(sign.when)
    age, clock = _seconds(written, moment), _clock(sign, written, moment)
    if state.get("ended"):
        return Life("ended", age, "", sign, clock)
    if sign.state == "stopped":
        return Life("stopped", age, sign.note, sign, clock)
    who = f"its process {sign.process.pid} on {sign.process.host}"
    if sign.process.gone:
        return Life("silent", age, f"{who} is gone", sign, clock)
    if age > MISSED * sign.every:
        there = "is there but says nothing; kill it" if sign.process.here else "was killed, hangs, or does not reach the store"
        return Life("silent", age, f"{who} {there}", sign, clock)
    return Life("running", age, sign.note, sign, clock)


def _clock(sign: Sign, written: datetime, now: datetime) -> str:
    """What is wrong with the clock of the parent's machine or of this one."""
    ahead = _seconds(written, datetime.fromisoformat(sign.when))
    if abs(ahead) > SKEW:
        side = "ahead of" if ahead > 0 else "behind"
        return f"the clock of {sign.process.host} is {abs(ahead):.0f} s {side} the store's; set it"
    behind = _seconds(now, written)
    return f"the clock of this machine is {behind:.0f} s behind the store's; set it" if behind > SKEW else ""


def _seconds(earlier: datetime, later: datetime) -> float:
    return round((later - earlier).total_seconds(), 1)


def _written(store: Store) -> datetime | None:
    """Time of the file of the last sign."""
    store.fs.invalidate_cache()
    try:
        found = store.fs.modified(store.full(f"{store.runs}/{PATH}"))
    except (OSError, NotImplementedError, KeyError):  # gone meanwhile, or not known to the file system
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
