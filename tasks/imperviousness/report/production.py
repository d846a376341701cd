"""The report of a production from the records of its tiles: state, sealed share, outliers. No pixel is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from scipy.stats import median_abs_deviation

from imperv.grids import official_tiles
from imperv.tasks.imperviousness.report.facts import TileFacts, gather
from imperv.tasks.imperviousness.report.verdicts import judge, overall
from imperv.tasks.job import Job
from imperv.tasks.report.page import number, percent, public, render
from imperv.tasks.settings.production import Production
from imperv.tasks.store.overlay import store_of

PATH = "production.report.html"
"""Relative to the store."""

OUTLIER = 3.5
"""Robust z-score beyond which a tile is an outlier (Iglewicz and Hoaglin 1993)."""

FEWEST = 5
"""Fewest tiles among which outliers are found."""

STATES = {
    "done": "#1f6b75", "running": "#5aa9c4", "incomplete": "#d9b365", "out of date": "#a58ac0", "failed": "#b3261e",
    "missing": "#cfd6dc",
}  # fmt: skip
"""Colours of the states of a tile."""

SHARES = ("#f4e8d8", "#ebc9a0", "#d99a6c", "#bd6543", "#923524", "#5e1510")
SHARE_LIMITS = (0.01, 0.02, 0.05, 0.10, 0.20)
"""Colours of sealed shares, and the limits between them."""

MARGIN = 3
"""Tiles around those of the production on a map."""

NAMED = 16
"""Columns of the grid up to which a map names its tiles."""

MEASURES = (
    ("sealed share now", "sealed", percent),
    ("change share", "changed", lambda v: percent(v, 2)),
    ("gain", "gain", lambda v: percent(v, 2)),
    ("loss", "loss", lambda v: percent(v, 2)),
    ("calibration slope", "slope", lambda v: number(v, 0)),
    ("no data", "no_data", percent),
)
"""(name, attribute, format) of what is compared between tiles."""

TOTALS = ("sealed_km2", "ground_km2", "gain_km2", "loss_km2", "seconds")
"""Sums over all tiles."""


@dataclass(frozen=True)
class TileRow:
    """A tile of the table; None where a value is unknown."""

    tile: str
    state: str
    why: str
    light: str = "none"
    layers: int = 0
    sealed: float | None = None
    """Share of the ground; so are those that follow, but the slope and the median."""
    sealed_then: float | None = None
    changed: float | None = None
    gain: float | None = None
    loss: float | None = None
    slope: float | None = None
    r2: float | None = None
    clear: int | None = None
    no_data: float | None = None
    seconds: float = 0
    report: str = ""
    """File name of the tile's own report, beside this one; empty where there is none."""
    sealed_km2: float = 0
    ground_km2: float = 0
    gain_km2: float = 0
    loss_km2: float = 0


@dataclass(frozen=True)
class Outlier:
    """A tile with an unusual value of one measure."""

    tile: str
    measure: str
    value: str
    median: str
    z: float


def write_production_report(
    production: Production, statuses: Sequence[Mapping[str, Any]], costs: Sequence[tuple[str, float, float]] = ()
) -> str:
    """Make the report of all tiles of a production; its path, relative to the store.

    `statuses` hold ``tile``, ``state`` and ``why``; `costs` are (what, so far, planned for all tiles).
    """
    rows = [tile_row(production, status) for status in statuses]
    found = outliers(rows)
    page = render(
        "production.html.j2", rows=rows, outliers=found, states=STATES, shares=_share_legend(),
        counts={state: sum(row.state == state for row in rows) for state in STATES},
        then=str(production.periods.then), now=str(production.periods.now), measures=[name for name, _, _ in MEASURES],
        map_of_states=europe(rows, lambda row: STATES.get(row.state, "#cfd6dc"), lambda row: row.state),
        map_of_shares=europe(rows, _share_colour, lambda row: percent(row.sealed)),
        costs=costs, odd={one.tile for one in found}, fewest=FEWEST, limit=OUTLIER,
        total={name: sum(getattr(row, name) for row in rows) for name in TOTALS},
    )  # fmt: skip
    store = store_of(production)
    store.write_text(f"{store.runs}/{PATH}", page)
    return f"{store.runs}/{PATH}"


def tile_row(production: Production, status: Mapping[str, Any]) -> TileRow:
    """A tile's row from its records."""
    job = Job.of(production, status["tile"])
    facts = gather(job)
    path = job.report_path
    report = path.rsplit("/", 1)[-1] if job.store.fs.exists(job.store.full(path)) else ""
    return row_of(facts, str(status["state"]), public(status.get("why", "")), overall(judge(facts, {})), report)


def row_of(facts: TileFacts, state: str, why: str, light: str, report: str) -> TileRow:
    """A tile's row from its facts."""
    now, then, change, fitted = facts.status_now, facts.status_then, facts.change, facts.calibration or {}
    shares = {}
    if change and change.valid_km2:
        moved = {"changed": change.touched_km2, "gain": change.gain_km2, "loss": change.loss_km2}
        shares = {name: km2 / change.valid_km2 for name, km2 in moved.items()}
    return TileRow(
        **shares,
        tile=facts.tile,
        state=state,
        why=why,
        light="none" if state == "missing" else light,
        layers=sum(fact.made for fact in facts.layers),
        sealed=now.share if now else None,
        sealed_then=then.share if then else None,
        slope=fitted.get("slope"),
        r2=fitted.get("r2"),
        clear=min((looks.median for looks in facts.looks.values()), default=None),
        no_data=facts.layer("IMD_now").no_data,
        seconds=sum(cost.seconds for cost in facts.costs.values()),
        report=report,
        sealed_km2=now.sealed_km2 if now else 0.0,
        ground_km2=now.valid_km2 if now else 0.0,
        gain_km2=change.gain_km2 if change else 0.0,
        loss_km2=change.loss_km2 if change else 0.0,
    )


def robust_z(values: Sequence[float]) -> np.ndarray:
    """Robust z-score of each value.

    Where more than half of the values are equal, the mean absolute deviation takes the place of the median one (Iglewicz and
    Hoaglin 1993); where all are equal, all are 0.
    """
    x = np.asarray(values, float)
    away = np.abs(x - np.median(x))
    scale = median_abs_deviation(x, scale="normal") or 1.2533 * away.mean()
    return (x - np.median(x)) / scale if scale else np.zeros(x.shape)


def outliers(rows: Sequence[TileRow]) -> list[Outlier]:
    """Outliers in any measure, largest z-score first; none among fewer than `FEWEST` tiles."""
    found = []
    for name, attribute, write in MEASURES:
        known = [row for row in rows if getattr(row, attribute) is not None]
        if len(known) < FEWEST:
            continue
        values = [getattr(row, attribute) for row in known]
        middle = write(float(np.median(values)))
        for row, value, z in zip(known, values, robust_z(values), strict=True):
            if abs(z) > OUTLIER:
                found.append(Outlier(row.tile, name, write(value), middle, float(z)))
    return sorted(found, key=lambda one: -abs(one.z))


def _share_colour(row: TileRow) -> str:
    return "#ffffff" if row.sealed is None else SHARES[int(np.searchsorted(SHARE_LIMITS, row.sealed, side="right"))]


def _share_legend() -> list[tuple[str, str]]:
    limits = [f"{100 * limit:g}" for limit in SHARE_LIMITS]
    between = (f"{a}–{b} %" for a, b in pairwise(limits))
    texts = [f"below {limits[0]} %", *between, f"{limits[-1]} % and more"]
    return [*zip(SHARES, texts, strict=True), ("#ffffff", "not known")]


def europe(rows: Sequence[TileRow], colour: Any, text: Any) -> Markup:
    """The EEA grid around the tiles as SVG; tiles are coloured and link to their reports."""
    mine = {row.tile: row for row in rows}
    places = {name: (int(name[1:3]), int(name[4:6])) for name in official_tiles("eea38-2024")}
    shown = [places[name] for name in mine if name in places] or list(places.values())
    (left, low), (right, high) = np.min(shown, axis=0) - MARGIN, np.max(shown, axis=0) + MARGIN + 1
    inside = {name: p for name, p in places.items() if left <= p[0] < right and low <= p[1] < high}
    others = "".join(f"M{x} {high - y - 1}h.94v.94h-.94z" for name, (x, y) in inside.items() if name not in mine)
    cells = []
    for name, row in mine.items():
        x, y = places[name]
        cell = (
            f'<rect x="{x}" y="{high - y - 1}" width=".94" height=".94" fill="{colour(row)}" stroke="#566472" stroke-width=".03">'
            f"<title>{name}: {escape(text(row))}</title></rect>"
        )
        if right - left <= NAMED:
            cell += f'<text x="{x + 0.47}" y="{high - y - 0.16}">{name}</text>'
        cells.append(f'<a href="{escape(row.report)}">{cell}</a>' if row.report else cell)
    words = f"Map of {len(mine)} tile{'s' * (len(mine) != 1)} of the EEA grid"
    return Markup(
        f'<svg viewBox="{left} 0 {right - left} {high - low}" role="img" aria-label="{words}">'
        f'<path d="{others}" fill="#e4e9ed"/>{"".join(cells)}</svg>'
    )
