"""A tile of a production for its operator: how far it is, what it cost, the log of its last run, and that run in Prefect."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException
from fastapi.responses import PlainTextResponse

from imperv.flows.portal.map_routes import SiteOf, TileId
from imperv.flows.portal.site import Site
from imperv.tasks.job import Job

LAST = 30
"""Lines of a log that the page shows."""

_RUN = re.compile(r"Prefect flow run ([0-9a-f-]{36})")

router = APIRouter()


@router.get("/api/tiles/{tile}")
def tile(tile: TileId, site: SiteOf) -> dict[str, Any]:
    """Stages, costs so far beside the planned ones, and the end of the last log."""
    from imperv.flows.plan.planning import tile_status
    from imperv.flows.production.spending import cost_rows, tile_costs

    job = _job(site, tile)
    log = _log(job)
    lines = log.splitlines()
    return {
        **tile_status(job), "log": lines[-LAST:], "lines": len(lines), "run": _prefect(log),
        "costs": [list(row) for row in cost_rows(tile_costs(job), job.production.prices)],
    }  # fmt: skip


@router.get("/log/{tile}.txt")
def log(tile: TileId, site: SiteOf) -> PlainTextResponse:
    """The log of the last run of a tile."""
    text = _log(_job(site, tile))
    if not text:
        raise HTTPException(404, f"there is no log of {tile}; run it first")
    return PlainTextResponse(text)


def _job(site: Site, tile: str) -> Job:
    if site.production is None or tile not in site.production.tile_names:
        raise HTTPException(404, f"{tile} is no tile of a production here; start with imperv portal --config FILE")
    return Job.of(site.production, tile)


def _log(job: Job) -> str:
    """The newest log without secrets; empty where there is none."""
    from imperv.flows.runtime.run_logs import logs_of
    from imperv.tasks.secrets import redacted

    found = logs_of(job.store, str(job.tile))
    return redacted((job.store.read_text(found[-1]) or "") if found else "", job.production.store_options)


def _prefect(log: str) -> str:
    """Address of the page of the run that wrote a log in Prefect's own interface; empty where there is none."""
    found = _RUN.search(log)
    base = os.environ.get("PREFECT_UI_URL") or os.environ.get("PREFECT_API_URL", "").removesuffix("/").removesuffix("/api")
    if found is None or not re.match(r"https?://", base):
        return ""
    return f"{base.rstrip('/')}/runs/flow-run/{quote(found[1])}"
