"""The report of a tile of composites: months side by side in one stretch, how much of each was seen, layers and parameters.

A part that cannot be drawn is named with the reason; the rest is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imperv.layers.catalogue import CATALOGUE, topological_order
from imperv.layers.catalogue.composites import METRIC_BANDS, MONTHLY, NATURAL
from imperv.layers.features import QUANTILE_BANDS
from imperv.tasks.delivery.quicklooks import draw_bands
from imperv.tasks.job import Job
from imperv.tasks.report.charts import ACCENT, LINE, Canvas, Chart
from imperv.tasks.report.layers import facts_of
from imperv.tasks.report.page import locator, render
from imperv.tasks.report.parts import Parts
from imperv.tasks.report.pictures import Map, data_uri, scale_bar
from imperv.tasks.store.records import Record

TEMPLATE = "composites.html.j2"

LONGEST = 400
"""Most pixels of a picture each way; every n-th is shown."""

CUT = (2, 98)
"""Percentiles of a band over all months that are black and white."""

FILLING = "#d9a441"

Planes = Mapping[str, np.ndarray]


def write_report(job: Job) -> str:
    """Write the report of a tile, which may be unfinished or failed; its path, relative to the store."""
    job.store.write_text(job.report_path, render(TEMPLATE, page=compose(job)))
    return job.report_path


def compose(job: Job) -> dict[str, Any]:
    """Everything that the page shows."""
    part = Parts(str(job.tile))
    records = {symbol: job.record(symbol) for symbol in topological_order(family=job.family)}
    made = {symbol: record for symbol, record in records.items() if record is not None and record.made}
    months = {symbol: made[symbol] for symbol in MONTHLY if symbol in made}
    pictures = part("pictures", lambda: _pictures(job, tuple(months), "CO_metrics" in made), {})
    return facts_of(job, records) | {
        "name": str(job.tile),
        "period": str(job.production.periods.span).replace("/", " to "),
        "locator": locator(str(job.tile)),
        "months": [_row(job, symbol, record) for symbol, record in months.items()],
        "pictures": [pictures[symbol] for symbol in months if symbol in pictures],
        "metrics": pictures.get("CO_metrics"),
        "chart": part("clear ground by month", lambda: _chart(months)) if months else None,
        "troubles": part.troubles,
    }


def _row(job: Job, symbol: str, record: Record) -> dict[str, Any]:
    found = record.statistics
    return {
        "month": symbol.removeprefix("CO_"), "period": str(job.period(CATALOGUE[symbol])[0]), "overpasses": found["overpasses"],
        "seen": found["clear"], "filled": found["filled"], "missing": found["missing"],
    }  # fmt: skip


def _pictures(job: Job, months: Sequence[str], metrics: bool) -> dict[str, Map]:
    """Natural colours of all months, and of the median of the span, black and white being the same in all."""
    planes = {symbol: _planes(job, symbol, [QUANTILE_BANDS.index(band) for band in NATURAL[1]]) for symbol in months}
    if metrics:
        planes["CO_metrics"] = _planes(job, "CO_metrics", [METRIC_BANDS.index(f"{band}_median") for band in NATURAL[1]])
    known = np.concatenate([values[:, values[0] > 0] for values in planes.values()], axis=1) if planes else np.empty((3, 0))
    limits = [tuple(np.percentile(band, CUT)) if band.size else (0.0, 1.0) for band in known]
    share, text = scale_bar(job.bounds)
    found = {}
    for symbol, values in planes.items():
        pixels = np.where(values[0] > 0, values.astype("f4"), np.nan)
        title = f"{symbol.removeprefix('CO_')}, {job.period(CATALOGUE[symbol])[0]}" if symbol in MONTHLY else "Median of the span"
        height, width = pixels.shape[1:]
        picture = data_uri(draw_bands(pixels, None, limits), "png", compress_level=9)
        found[symbol] = Map(title, picture, f"Natural colours of {title}", None, "", width, height, share, text, symbol, True)
    return found


def _planes(job: Job, symbol: str, places: Sequence[int]) -> np.ndarray:
    array = job.array(symbol)
    step = max(1, -(-max(array.shape[-2:]) // LONGEST))
    return np.stack([np.asarray(array[k, ::step, ::step]) for k in places])


def _chart(months: Mapping[str, Record]) -> Chart:
    """Shares of the area that are seen clear and filled."""
    canvas = Canvas()
    names = [symbol.removeprefix("CO_") for symbol in months]
    clear, filled = (np.array([100 * record.statistics[key] for record in months.values()]) for key in ("clear", "filled"))
    axes = canvas.axes[0]
    axes.bar(names, clear, color=ACCENT, label="seen clear")
    axes.bar(names, filled, bottom=clear, color=FILLING, label="filled")
    axes.bar(names, 100 - clear - filled, bottom=clear + filled, color=LINE, label="no data")
    axes.set_ylim(0, 100)
    axes.set_ylabel("% of the area")
    canvas.legend(3)
    worst = names[int(clear.argmin())]
    return canvas.finish(
        "Clear ground by month", f"Bars of {len(names)} months; {worst} is seen least, {clear.min():.0f} % of the area"
    )
