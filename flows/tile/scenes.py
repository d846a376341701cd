"""`imperv scenes`: the scenes that a tile would be made from, what was decided about each, and how they fall over the year."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imperv.layers.catalogue import CATALOGUE, layers_of
from imperv.tasks.errors import InputError
from imperv.tasks.families import task_of
from imperv.tasks.job import Job
from imperv.tasks.landsat.scenes import LandsatList, LandsatScene, frozen_list
from imperv.tasks.scenes.scenes import Scene, SceneList
from imperv.tasks.settings.periods import Period
from imperv.tasks.yearly.freezing import search_scenes

CLEAR = 50.0
"""Percent of clouds, as the catalogue says, up to which an overpass counts as a clear look in the calendar."""

BAR = 40
"""Widest bar of the calendar in characters."""


@dataclass(frozen=True)
class Listing:
    """Scenes of one period."""

    symbol: str
    period: Period
    scenes: SceneList | LandsatList
    frozen: bool
    """True for the list that a run has frozen; False for what the catalogue says now."""


def list_scenes(job: Job) -> list[Listing]:
    """Scenes of all periods: the frozen list where there is one, or what a search finds; nothing is frozen by this."""
    found = []
    for symbol, layer in layers_of(job.family).items():
        if layer.kind != "source":
            continue
        text = job.store.read_text(job.place(symbol).data) if job.record(symbol) else None
        scenes = search_scenes(job, layer) if text is None else frozen_list(text)
        found.append(Listing(symbol, job.period(layer)[0], scenes, text is not None))
    return found


def objections(job: Job, listings: Sequence[Listing]) -> list[str]:
    """Why a run would refuse what a search found, a line each: too few scenes, a hole in the year, too many that are lost."""
    found = []
    for entry in listings:
        try:
            if not entry.frozen:
                task_of(entry.symbol).require(job, CATALOGUE[entry.symbol], entry.scenes)
        except InputError as error:
            found.append(str(error))
    return found


def table_lines(listing: Listing) -> list[str]:
    """One line a scene: date, id, cloud, baseline, what is subtracted and why; then what was left out."""
    scenes = listing.scenes
    source = "frozen list" if listing.frozen else "catalogue, not frozen yet"
    lines = [f"{listing.symbol}  {listing.period}  {len(scenes.overpasses)} overpasses, {len(scenes.scenes)} scenes ({source})"]
    width = max((len(s.id) for s in scenes.scenes), default=0)
    for scene in scenes.scenes:
        cloud = "   ?" if scene.cloud is None else f"{scene.cloud:3.0f}%"
        lines.append(
            f"  {scene.day}  {scene.id:<{width}}  {cloud}  {scene.baseline or '?':>5}  {-scene.subtract or 0:>5}  {scene.reason}"
        )
    lines += [f"  left out  {name}  {why}" for name, why in scenes.dropped.items()]
    return lines


def months_of(period: Period) -> list[tuple[int, int]]:
    """(year, month) of the twelve months of a period."""
    first = period.start.year * 12 + period.start.month - 1
    last = period.end.year * 12 + period.end.month - 1
    return [(k // 12, k % 12 + 1) for k in range(first, last + 1)]


def clear_share(overpass: Sequence[Scene | LandsatScene]) -> float | None:
    """Clear share of an overpass, 0 to 1: of its clearest granule, as the catalogue says; None if it says nothing."""
    clouds = [scene.cloud for scene in overpass if scene.cloud is not None]
    return 1 - min(clouds) / 100 if clouds else None


def calendar_lines(listing: Listing) -> list[str]:
    """Overpasses by month, clear ones as full blocks."""
    lines = []
    overpasses: list[Sequence[Scene | LandsatScene]] = list(listing.scenes.overpasses.values())
    for year, month in months_of(listing.period):
        here = [clear_share(o) for o in overpasses if (o[0].day.year, o[0].day.month) == (year, month)]
        clear = sum(share is not None and 100 * (1 - share) <= CLEAR for share in here)
        bar = ("█" * clear + "░" * (len(here) - clear))[:BAR]
        lines.append(f"  {year} {calendar.month_abbr[month]}  {clear:>2} of {len(here):>2} clear  {bar}".rstrip())
    return lines


def as_table(listings: Sequence[Listing]) -> list[dict[str, Any]]:
    """For ``--json``."""
    return [
        {
            "symbol": entry.symbol,
            "period": str(entry.period),
            "frozen": entry.frozen,
            "overpasses": len(entry.scenes.overpasses),
            "scenes": [
                {
                    "date": str(s.day), "id": s.id, "overpass": s.overpass, "mgrs": s.mgrs, "cloud": s.cloud,
                    "baseline": s.baseline, "subtract": s.subtract, "reason": s.reason,
                }
                for s in entry.scenes.scenes
            ],
            "dropped": dict(entry.scenes.dropped),
        }
        for entry in listings
    ]  # fmt: skip


def plot_calendar(tile: str, listings: Sequence[Listing], path: Path) -> None:
    """Draw the clear share of every overpass over the months of each period."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.2 + 1.6 * len(listings)), layout="constrained")
    FigureCanvasAgg(figure)
    for k, entry in enumerate(listings):
        axes = figure.add_subplot(len(listings), 1, k + 1)
        months = months_of(entry.period)
        for overpass in entry.scenes.overpasses.values():
            share, day = clear_share(overpass), overpass[0].day
            place = (entry.period.end - entry.period.start).days
            x = 12 * (day - entry.period.start).days / max(place, 1)
            axes.vlines(x, 0, 1, color="0.9", linewidth=2)
            axes.vlines(x, 0, share if share is not None else 1, color="tab:green" if share is not None else "0.6", linewidth=2)
        axes.set(xlim=(0, 12), ylim=(0, 1), ylabel="clear", title=f"{tile}  {entry.symbol}  {entry.period}")
        axes.set_xticks([x + 0.5 for x in range(len(months))], [calendar.month_abbr[m] for _, m in months])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
