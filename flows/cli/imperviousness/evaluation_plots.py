"""Pictures of an evaluation: bars with intervals for every method and year, and error by confidence; as PNG or HTML page."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imperv.flows.cli.imperviousness.evaluating import Row, grids_of, notes
from imperv.layers.statistics.reliability import FEWEST
from imperv.tasks.errors import InputError, writing
from imperv.tasks.imperviousness.assessment.evaluation import METHODS

PANELS = {
    "IMD": (
        ("mae", "mean absolute error, percent"),
        ("rmse", "RMSE, percent"),
        ("f1", "F1 of the mask"),
        ("iou", "IoU of the mask"),
    ),
    "IBU": (("precision", "precision"), ("recall", "recall"), ("f1", "F1"), ("iou", "IoU")),
}
"""Scores drawn for each product."""

COLOURS = {"then": "#9ecae1", "now": "#08519c"}
YEARS = {"then": "year of training", "now": "next year"}
BARS = {"ecolor": "#555555", "lw": 1, "capsize": 3}
"""Style of the intervals."""


def check_name(path: Path) -> None:
    """Raise InputError, before anything is computed, for endings other than ``.png`` and ``.html``."""
    if path.suffix not in (".png", ".html"):
        raise InputError(f"--plot: {path}: name a file that ends in .png or .html")


def save(found: Row, path: Path) -> None:
    """Write the pictures as ``.png``, or as ``.html`` with the tables; InputError for another ending, or if that fails."""
    check_name(path)
    picture = draw(found)
    with writing(path, "--plot"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            path.write_bytes(picture)
        else:
            path.write_text(page(found, picture), encoding="utf-8")


def draw(found: Row) -> bytes:
    """The figure as PNG: a row of panels for the trials of each product, and one for the confidence of each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    draws: list[Callable[[Any], None]]
    draws = [partial(_bars, product=p, found=found) for p in PANELS if any(row["product"] == p for row in found["scores"])]
    draws += [partial(_trust, row=row) for row in found["stored"] if row["confidence"]]
    draws = draws or [partial(_layers, row=row) for row in found["stored"] if row["layers"]]
    figure = Figure(figsize=(15, 3.4 * max(len(draws), 1)), layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(len(draws), 1, squeeze=False)[:, 0] if draws else ()
    for part, drawn in zip(parts, draws, strict=True):
        drawn(part)
    out = io.BytesIO()
    figure.savefig(out, dpi=110, format="png")
    return out.getvalue()


def _intervals(estimates: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Values, and the lengths of their intervals below and above: (n,) and (2, n)."""
    table = pd.DataFrame(estimates, columns=["value", "low", "high"], dtype=float)
    whiskers = np.stack([table["value"] - table["low"], table["high"] - table["value"]])
    # A median over trials may lie outside of its bootstrap interval by a little.
    return table["value"].to_numpy(), np.maximum(np.nan_to_num(whiskers), 0)


def _bars(part: Any, product: str, found: Row) -> None:
    rows = {(r["method"], r["year"]): r for r in found["scores"] if r["product"] == product}
    methods = [m for m in METHODS if any((m, y) in rows for y in YEARS)]
    panels = [(n, t) for n, t in PANELS[product] if any(n in r for r in rows.values())]
    axes = part.subplots(1, len(panels), squeeze=False)[0]
    for k, (axis, (name, title)) in enumerate(zip(axes, panels, strict=True)):
        for offset, (year, label) in zip((-0.2, 0.2), YEARS.items(), strict=True):
            shown = [(x, rows[m, year][name]) for x, m in enumerate(methods) if name in rows.get((m, year), {})]
            values, whiskers = _intervals([e for _, e in shown])
            places = [x + offset for x, _ in shown]
            axis.barh(places, values, 0.38, color=COLOURS[year], label=label, xerr=whiskers, error_kw=BARS)
        axis.set_yticks(range(len(methods)), methods if k == 0 else [])
        axis.invert_yaxis()
        axis.set_title(title, fontsize=10)
        axis.set_xlim(left=0, right=None if name in ("mae", "rmse") else 1)
        _plain(axis)
    part.legend(*axes[-1].get_legend_handles_labels(), fontsize=8, loc="upper right", ncols=2, frameon=False)
    part.suptitle(f"{product}: held-out blocks, with 95 % intervals", fontsize=11, x=0.01, ha="left")


def _trust(part: Any, row: Row) -> None:
    product, trust = row["product"], row["confidence"]
    name, what = ("mae", "mean absolute error, percent") if product == "IMD" else ("wrong", "share of wrong pixels")
    axes = part.subplots(1, 2)
    for axis, key, title in (
        (axes[0], "classes", "class of confidence"),
        (axes[1], "quantiles", "fifth, lowest confidence first"),
    ):
        entries = [e for e in trust[key] if e["pixels"] > 0]
        heights, whiskers = _intervals([e[name] for e in entries])
        # Classes of few pixels are pale.
        colours = ["#74c476" if e["pixels"] >= FEWEST else "#e5e5e5" for e in entries]
        bars = axis.bar(range(len(entries)), heights, 0.7, color=colours, yerr=whiskers, error_kw=BARS)
        labels = [f"{v:.1f}" if name == "mae" else f"{v:.3f}" for v in heights]
        axis.bar_label(bars, labels, padding=2, fontsize=8)
        axis.set_xticks(range(len(entries)), [f"{e['class']}\n{_count(e['pixels'])} px" for e in entries], fontsize=8)
        axis.set_title(f"{what}, by {title}", fontsize=10)
        axis.set_ylim(bottom=0)
        _plain(axis)
    part.suptitle(f"{product}: errors of the raw density by confidence", fontsize=11, x=0.01, ha="left")


def _layers(part: Any, row: Row) -> None:
    axis = part.subplots()
    name = "rmse" if row["product"] == "IMD" else "f1"
    shown = [layer for layer in row["layers"] if name in layer]
    values, whiskers = _intervals([layer[name] for layer in shown])
    axis.barh([layer["layer"] for layer in shown], values, color=COLOURS["now"], xerr=whiskers, error_kw=BARS)
    axis.set_title(f"{row['product']}: {name} of the stored layers", fontsize=10)
    _plain(axis)


def _count(pixels: float) -> str:
    return f"{pixels / 1e6:.1f} M" if pixels >= 1e6 else f"{pixels / 1e3:.0f} k" if pixels >= 1e4 else f"{pixels:.0f}"


def _plain(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def page(found: Row, picture: bytes) -> str:
    """One self-contained HTML page: the figure, all tables, notes."""
    parts = [f'<img alt="scores" src="data:image/png;base64,{base64.b64encode(picture).decode()}">']
    for title, headings, lines in grids_of(found):
        table = pd.DataFrame(lines, columns=headings).to_html(index=False, border=0)
        parts.append(f"<h2>{html.escape(title)}</h2>{table}")
    parts += [f"<p>{html.escape(note)}</p>" for note in notes(found)]
    style = (
        "body{font:14px/1.5 sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#222}img{max-width:100%}"
        "h2{font-size:1em;margin:2em 0 .3em}table{border-collapse:collapse}"
        "td,th{padding:.15em .8em;text-align:right;border-bottom:1px solid #ddd}"
        "td:first-child,th:first-child{text-align:left}"
    )
    name = html.escape(f"Evaluation of {', '.join(found['tiles'])}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>{style}</style></head>'
        f"<body><h1>{name}</h1>{''.join(parts)}</body></html>\n"
    )
