"""Pictures of an evaluation: bars with intervals for every method and year, and error by confidence; as PNG or HTML page."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
YEARS = {"then": "year learnt from", "now": "next year"}
BARS = {"ecolor": "#555555", "lw": 1, "capsize": 3}
"""Style of the intervals."""


def check_name(path: Path) -> None:
    """Raise InputError, before hours are spent, for another ending than ``.png`` and ``.html``."""
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

    trials = [p for p in PANELS if any(row["product"] == p for row in found["scores"])]
    trusted = [row for row in found["stored"] if row["confidence"]]
    layered = [row for row in found["stored"] if row["layers"]] if not trials and not trusted else []
    count = len(trials) + len(trusted) + len(layered)
    figure = Figure(figsize=(15, 3.4 * max(count, 1)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = list(figure.subfigures(count, 1, squeeze=False)[:, 0]) if count else []
    for part, product in zip(rows, trials, strict=False):
        _bars(part, product, found)
    for part, row in zip(rows[len(trials) :], trusted, strict=False):
        _trust(part, row)
    for part, row in zip(rows[len(trials) + len(trusted) :], layered, strict=False):
        _layers(part, row)
    out = io.BytesIO()
    figure.savefig(out, dpi=110, format="png")
    return out.getvalue()


def _interval(estimate: Row) -> tuple[float, float, float]:
    """Value, and how far the interval reaches below and above it."""
    value = estimate["value"] if estimate["value"] is not None else float("nan")
    if estimate["low"] is None:
        return value, 0.0, 0.0
    # A median over trials may lie outside of its bootstrap interval by a little.
    return value, max(0.0, value - estimate["low"]), max(0.0, estimate["high"] - value)


def _whiskers(values: Sequence[tuple[float, float, float]]) -> list[list[float]]:
    return [[below for _, below, _ in values], [above for _, _, above in values]]


def _bars(part: Any, product: str, found: Row) -> None:
    rows = {(r["method"], r["year"]): r for r in found["scores"] if r["product"] == product}
    methods = [m for m in METHODS if any((m, y) in rows for y in YEARS)]
    panels = [(n, t) for n, t in PANELS[product] if any(n in r for r in rows.values())]
    axes = part.subplots(1, len(panels), squeeze=False)[0]
    for k, (axis, (name, title)) in enumerate(zip(axes, panels, strict=True)):
        for offset, (year, label) in zip((-0.2, 0.2), YEARS.items(), strict=True):
            shown = [(x, rows[m, year][name]) for x, m in enumerate(methods) if name in rows.get((m, year), {})]
            values = [_interval(e) for _, e in shown]
            places = [x + offset for x, _ in shown]
            axis.barh(
                places, [v for v, _, _ in values], 0.38, color=COLOURS[year], label=label, xerr=_whiskers(values), error_kw=BARS
            )
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
        values = [_interval(e[name]) for e in entries]
        heights = [v for v, _, _ in values]
        # Classes of a few pixels say nothing: they are shown pale.
        colours = ["#74c476" if e["pixels"] >= FEWEST else "#e5e5e5" for e in entries]
        bars = axis.bar(range(len(entries)), heights, 0.7, color=colours, yerr=_whiskers(values), error_kw=BARS)
        labels = [f"{v:.1f}" if name == "mae" else f"{v:.3f}" for v in heights]
        axis.bar_label(bars, labels, padding=2, fontsize=8)
        axis.set_xticks(range(len(entries)), [f"{e['class']}\n{_count(e['pixels'])} px" for e in entries], fontsize=8)
        axis.set_title(f"{what}, by {title}", fontsize=10)
        axis.set_ylim(bottom=0)
        _plain(axis)
    part.suptitle(f"{product}: does confidence tell where the raw density errs?", fontsize=11, x=0.01, ha="left")


def _layers(part: Any, row: Row) -> None:
    axis = part.subplots()
    name = "rmse" if row["product"] == "IMD" else "f1"
    shown = [layer for layer in row["layers"] if name in layer]
    values = [_interval(layer[name]) for layer in shown]
    names = [layer["layer"] for layer in shown]
    axis.barh(names, [v for v, _, _ in values], color=COLOURS["now"], xerr=_whiskers(values), error_kw=BARS)
    axis.set_title(f"{row['product']}: {name} of the stored layers", fontsize=10)
    _plain(axis)


def _count(pixels: float) -> str:
    return f"{pixels / 1e6:.1f} M" if pixels >= 1e6 else f"{pixels / 1e3:.0f} k" if pixels >= 1e4 else f"{pixels:.0f}"


def _plain(axis: Any) -> None:
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.tick_params(labelsize=8)


def page(found: Row, picture: bytes) -> str:
    """One self-contained HTML page: the figure, all tables, notes."""
    parts = [f'<img alt="scores" src="data:image/png;base64,{base64.b64encode(picture).decode()}">']
    for title, headings, lines in grids_of(found):
        head = "".join(f"<th>{html.escape(h)}</th>" for h in headings)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in line) + "</tr>" for line in lines)
        parts.append(f"<h2>{html.escape(title)}</h2><table><tr>{head}</tr>{body}</table>")
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
