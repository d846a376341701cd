"""`imperv evaluate`: scores of the models and maps of finished tiles, as tables and JSON.

The work is in `tasks.imperviousness.assessment`, pictures in `evaluation_plots`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich import box
from rich.table import Table

from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.assessment.evaluation import Product, method_settings, run_trial, threshold
from imperv.tasks.imperviousness.assessment.stored import OWN, judge_stored
from imperv.tasks.imperviousness.assessment.summary import summarise_stored, summarise_trials
from imperv.tasks.imperviousness.assessment.truth import Truth
from imperv.tasks.job import Job

PRODUCTS: tuple[Product, ...] = ("IMD", "IBU")

DENSITY_COLUMNS = {"mae": "MAE", "rmse": "RMSE", "bias": "bias", "r2": "R2", "ece": "ECE"}
MASK_COLUMNS = {"precision": "precision", "recall": "recall", "f1": "F1", "iou": "IoU"}
"""Scores shown, and their headings."""

BEST = "best F1 (at)"
"""Heading of the F1 at the threshold that maximises it on the truth, and of that threshold."""

Row = dict[str, Any]


def evaluate_tiles(
    jobs: Sequence[Job],
    truth: Truth,
    trials: int = 3,
    only: Product | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Row:
    """Evaluate tiles of one production, which need features and references; stored layers are scored too.

    Every method is trained `trials` times with other blocks held out; 0: the stored layers only. The result has ``tiles``,
    ``thresholds``, ``settings``, ``scores``, ``differences``, ``years``, ``training`` and ``stored``. ImpervError if a tile is
    not ready, the truth does not fit, or a training fails.
    """
    # IMD needs a true density, IBU a true mask or built-up density.
    held = {key.partition("_")[0] for key in truth.files}
    there = {"IMD": "imd" in held, "IBU": bool(held & {"ibu", "ibud"})}
    products = [p for p in PRODUCTS if there[p] and only in (None, p)]
    if not products:
        raise InputError(f"--only {only}: the truth has no raster of it; name truth_{(only or 'imd').lower()}_now.tif")
    cuts = {p: threshold(jobs[0], p) for p in PRODUCTS}
    found = [run_trial(job, p, truth, number, progress) for p in products for number in range(trials) for job in jobs]
    stored = []
    for product in products:
        for job in jobs:
            judged = judge_stored(job, product, truth)
            if judged is not None:
                stored.append(judged)
                progress(f"{job.tile} {product}: stored layers scored")
    if not found and not stored:
        raise InputError("nothing to evaluate: --seeds is 0, and the store has no layer with a truth of now")
    return {
        "tiles": [str(job.tile) for job in jobs],
        "truth": dict(truth.files),
        "thresholds": cuts,
        "settings": method_settings(jobs[0]),
        **summarise_trials(found, cuts),
        "stored": summarise_stored(stored, cuts),
    }


def cell(estimate: Row | None, digits: int = 3) -> str:
    """A score with its interval as text."""
    if not estimate or estimate["value"] is None:
        return ""
    text = f"{estimate['value']:.{digits}f}"
    return text if estimate["low"] is None else f"{text} [{estimate['low']:.{digits}f}, {estimate['high']:.{digits}f}]"


def best_cell(row: Row) -> str:
    """F1 at the best threshold of each trial, the median, and those thresholds in percent; nothing without a threshold."""
    at = sorted(set(row["best_threshold"]))
    return f"{row['best_f1']:.3f} ({at[0]}{f' to {at[-1]}' if len(at) > 1 else ''} %)" if at and at[-1] else ""


def digits_of(name: str) -> int:
    """Decimals shown: percents have fewer than fractions."""
    return 2 if name in ("mae", "rmse", "bias", "ece") else 3


def grids_of(found: Row) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """The result as plain tables: title, headings, rows."""
    for product in PRODUCTS:
        rows = [row for row in found["scores"] if row["product"] == product]
        where = f"held-out blocks, median of {len(rows[0]['trials'])} trials" if rows else ""
        cut = f"{found['thresholds'][product]:g} %"
        for columns, what in ((DENSITY_COLUMNS, "raw density, percent"), (MASK_COLUMNS, f"mask from {cut} on")):
            if any(name in row for row in rows for name in columns):
                best = [BEST] if columns is MASK_COLUMNS else []
                lines = [[row["year"], row["method"], *_cells(row, columns), *([best_cell(row)] if best else [])] for row in rows]
                yield f"{product}: {what}, {where}", ["year", "method", *columns.values(), *best], lines
        for key, title, names in (
            ("differences", "U-Net minus per-pixel models, same blocks", ("year", "minus")),
            ("years", "next year minus same year", ("method",)),
        ):
            mine = [row for row in found[key] if row["product"] == product]
            shown = _shown(mine, ("mae", "rmse", "f1", "iou"))
            lines = [[*(row[n] for n in names), *_cells(row, shown)] for row in mine]
            if lines:
                yield f"{product}: {title}", [*names, *shown.values()], lines
        for row in found["stored"]:
            if row["product"] == product:
                yield from _stored_grids(row, cut)


def _stored_grids(row: Row, cut: str) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    product = row["product"]
    shown = _shown(row["layers"], ("mae", "rmse", "bias", "r2", "f1", "iou"))
    lines = [[layer["layer"], *_cells(layer, shown)] for layer in row["layers"]]
    if row["ensemble"]:
        lines.append([f"ensemble minus {OWN}", *_cells(row["ensemble"], shown)])
    yield f"{product}: stored layers of now, mask from {cut} on", ["layer", *shown.values()], lines
    trust = row["confidence"]
    if trust:
        names = {"mae": "MAE", "rmse": "RMSE", "wrong": "mask wrong"} if product == "IMD" else {"wrong": "mask wrong"}
        for key, title in (("classes", "confidence"), ("quantiles", "fifths by confidence, lowest first")):
            lines = [[entry["class"], f"{entry['pixels']:.0f}", *_cells(entry, names)] for entry in trust[key]]
            ratio = trust["ratios" if key == "classes" else "quantile_ratios"]
            lines.append(["lowest over highest", "", *(cell(ratio[name], 2) for name in names)])
            yield f"{product}: error by class of {title}", ["class", "pixels", *names.values()], lines


def _shown(rows: Sequence[Row], names: Sequence[str]) -> dict[str, str]:
    """Those of the columns that any row has."""
    return {n: h for n, h in (DENSITY_COLUMNS | MASK_COLUMNS).items() if n in names and any(n in row for row in rows)}


def _cells(row: Row, columns: dict[str, str]) -> list[str]:
    return [cell(row.get(name), digits_of(name)) for name in columns]


def tables(found: Row) -> Iterator[Table]:
    """The result for a terminal."""
    for title, headings, lines in grids_of(found):
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for k, heading in enumerate(headings):
            table.add_column(heading, justify="left" if k < 2 else "right", no_wrap=True)
        for line in lines:
            table.add_row(*line)
        yield table


def notes(found: Row) -> Iterator[str]:
    """Remarks below the tables."""
    for row in found["stored"]:
        if row["confidence"]:
            value = row["confidence"]["spearman"]
            yield f"{row['product']}: rank correlation of spread and error {value:.2f}"
        for tile, members in row["members"].items():
            if len(members["models"]) < 2:
                yield f"{tile} {row['product']}: {members['all']} predictions of its own model only; no ensemble to compare with"
        for tile, missing in row["missing"].items():
            yield from (f"{tile}: {text}" for text in missing)
