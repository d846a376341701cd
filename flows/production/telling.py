"""Alerts of `imperv status --check --tell`: of new trouble, of old trouble after a while, and when it is over.

For cron, as a dead parent sends no alerts. The store keeps the last alert by digest of the notifier, as addresses are secrets.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from imperv.flows.production.notifying import FAREWELL, Alert, send
from imperv.flows.production.status import Trouble
from imperv.flows.runtime.journal import read_table, write_table
from imperv.tasks.store.store import Store

PATH = "europe.told.data.json"

REMIND = timedelta(hours=6)
"""Time after which the same trouble is sent again."""


def tell_troubles(
    store: Store, notifiers: Sequence[SecretStr], found: Sequence[Trouble], facts: dict[str, str], now: datetime | None = None
) -> list[bool]:
    """Alert every notifier that does not know yet; whether each of these took the alert.

    Trouble of a known kind is sent again after `REMIND` only: of many failed tiles the first one wakes people.
    """
    moment = now or datetime.now(UTC)
    known = read_table(store, PATH)
    kinds = sorted({trouble.kind for trouble in found})
    wanted = [n for n in notifiers if _is_news(known.get(_digest(n), {}), kinds, moment)]
    if not wanted:
        return []
    name, lines = facts["production"], tuple(trouble.text for trouble in found)
    alert = (
        Alert("trouble", f"{name}: {lines[0]}", lines[1:], facts)
        if lines
        else Alert("well", f"{name}: nothing is wrong any more", (), facts, good=True)
    )
    taken = asyncio.run(send(wanted, alert, FAREWELL))
    entry = {"kinds": kinds, "when": moment.isoformat(timespec="seconds")}
    known |= {_digest(notifier): entry for notifier, took in zip(wanted, taken, strict=True) if took}
    write_table(store, PATH, known)
    return taken


def _is_news(last: dict[str, Any], kinds: list[str], now: datetime) -> bool:
    """True for a new kind of trouble, an old one after `REMIND`, and the end of all."""
    known = last.get("kinds", [])
    if not kinds:
        return bool(known)
    return not set(kinds) <= set(known) or now - datetime.fromisoformat(last["when"]) >= REMIND


def _digest(notifier: SecretStr) -> str:
    return hashlib.sha256(notifier.get_secret_value().encode()).hexdigest()[:12]
