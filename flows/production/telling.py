"""Telling people of what `imperv status --check` finds: once, again after a while, and when it is well again.

A dead parent can tell nobody, so this is for cron or a timer, on any machine that reaches the store. The store keeps what was
told, by a digest of the notifier, as addresses are secrets.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from imperv.flows.production.notifying import FAREWELL, Alert, tell
from imperv.flows.production.status import Trouble
from imperv.tasks.store.store import Store

PATH = "europe.told.data.json"

REMIND = timedelta(hours=6)
"""After which the same trouble is told again."""


def tell_troubles(
    store: Store, notifiers: Sequence[SecretStr], found: Sequence[Trouble], facts: dict[str, str], now: datetime | None = None
) -> list[bool]:
    """Tell every notifier that does not know yet; returns for each that was told whether it took the alert.

    Trouble of a kind that was told already is told again after `REMIND` only: of many failed tiles the first one wakes people.
    """
    moment = now or datetime.now(UTC)
    told = _read(store)
    kinds = sorted({trouble.kind for trouble in found})
    wanted = [n for n in notifiers if _is_news(told.get(_digest(n), {}), kinds, moment)]
    if not wanted:
        return []
    name, lines = facts["production"], tuple(trouble.text for trouble in found)
    alert = (
        Alert("trouble", f"{name}: {lines[0]}", lines[1:], facts)
        if lines
        else Alert("well", f"{name}: nothing is wrong any more", (), facts, good=True)
    )
    taken = asyncio.run(tell(wanted, alert, FAREWELL))
    entry = {"kinds": kinds, "when": moment.isoformat(timespec="seconds")}
    told |= {_digest(notifier): entry for notifier, took in zip(wanted, taken, strict=True) if took}
    store.write_text(f"{store.runs}/{PATH}", json.dumps(told) + "\n")
    return taken


def _is_news(last: dict[str, Any], kinds: list[str], now: datetime) -> bool:
    """Whether there is a new kind of trouble, an old one that was told long ago, or none any more."""
    known = last.get("kinds", [])
    if not kinds:
        return bool(known)
    return not set(kinds) <= set(known) or now - datetime.fromisoformat(last["when"]) >= REMIND


def _digest(notifier: SecretStr) -> str:
    return hashlib.sha256(notifier.get_secret_value().encode()).hexdigest()[:12]


def _read(store: Store) -> dict[str, Any]:
    try:
        return dict(json.loads(store.read_text(f"{store.runs}/{PATH}") or "{}"))
    except ValueError:
        return {}
