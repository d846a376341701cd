"""What a production's run leaves in the store: which run it is, so that a killed parent goes on under the same name."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from imperv.flows.runtime.outcomes import Ledger
from imperv.tasks.job import utc_now
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import digest_of
from imperv.tasks.store.store import Store

PATH = "europe.data.json"


def settings_digest(production: Production, targets: Sequence[str] | None) -> str:
    """Tells runs of one production apart: its settings and what is asked for."""
    told = production.model_dump(mode="json", exclude={"root", "watch"})
    return digest_of({"production": told, "targets": list(targets or ())})


def read_state(store: Store) -> dict[str, Any]:
    """What the last run of a production left; empty if there was none."""
    try:
        return dict(json.loads(store.read_text(f"{store.runs}/{PATH}") or "{}"))
    except ValueError:
        return {}


def begin(store: Store, production: Production, tiles: Sequence[str], targets: Sequence[str] | None) -> str:
    """Name of the run: that of one that was cut off, with the same settings and tiles, or a new one."""
    digest = settings_digest(production, targets)
    last = read_state(store)
    same = last.get("digest") == digest and sorted(last.get("tiles", ())) == sorted(tiles)
    name = str(last["run"]) if same and not last.get("ended") else uuid.uuid4().hex[:12]
    state = {"run": name, "digest": digest, "tiles": list(tiles), "began": utc_now(), "ended": ""}
    store.write_text(f"{store.runs}/{PATH}", json.dumps(state) + "\n")
    return name


def end(store: Store, name: str, ledger: Ledger) -> None:
    """Note that a run has ended, and how."""
    state = read_state(store) | {"run": name, "ended": utc_now(), "summary": ledger.summary()}
    store.write_text(f"{store.runs}/{PATH}", json.dumps(state) + "\n")
