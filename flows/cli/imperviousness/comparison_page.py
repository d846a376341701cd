"""Results of `imperv compare` as text and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from imperv.layers.catalogue import topological_order
from imperv.tasks.imperviousness.assessment.comparing import Pair, Score, Tally
from imperv.tasks.imperviousness.assessment.comparison_records import (
    Difference,
    Nodes,
    node_differences,
    settings_differences,
    software_differences,
)
from imperv.tasks.imperviousness.assessment.comparison_sides import Side, unmatched

Found = Sequence[tuple[Pair, Tally]]

SHOWN = 8
"""Transitions and causes that are listed; JSON has all."""

ALL = "all"


def lines(a: Side, b: Side, found: Found) -> Iterator[str]:
    """The comparison as text."""
    yield f"A  {a.label}"
    yield f"B  {b.label}"
    yield from _origins(a, b, found)
    yield from (f"note: {note}" for note in (*a.notes, *b.notes))
    yield ""
    rows: list[tuple[str, ...]] = [("tile", "layer", "pixels", "differ", "mean", "RMS", "km2 A", "km2 B", "B-A")]
    rows += [_row(tile, name, tally) for tile, name, tally in _with_totals(found)]
    if not any(row[0] for row in rows[1:]):
        rows = [row[1:] for row in rows]
    yield from _columns(rows)
    yield "mean and RMS of the difference B - A; km2 sealed or built-up, of other masks code 1, of changes the net change"
    yield from dict.fromkeys(f"{_where(pair.tile)}{pair.name}: {pair.ground.note}" for pair, _ in found if pair.ground.note)
    for pair, tally in found:
        yield from _remarks(f"{_where(pair.tile)}{pair.name}", tally)
    yield from unmatched(a, b)


def _where(tile: str) -> str:
    return f"{tile} " if tile else ""


def _origins(a: Side, b: Side, found: Found) -> Iterator[str]:
    """Settings, software and nodes."""
    settings, software, nodes = _differences(a, b, found)
    if a.production and b.production:
        yield "settings: the same" if not settings else "settings that differ, A | B:"
        yield from (f"  {difference}" for difference in settings)
    if not nodes:
        yield "records are not compared: that needs two productions or stores, or two folders of products"
        return
    yield "software: the same" if not software else f"software, A | B: {'; '.join(map(str, software))}"
    for tile, known in nodes.items():
        total = known.same + known.other
        if not known.other:
            yield f"{tile}: all {total} nodes are the same"
            continue
        equal = f", {known.equal} of them with the same content" if known.equal else ""
        yield f"{tile}: {known.other} of {total} nodes have other keys{equal}, because of"
        yield from (f"  {cause}" for cause in known.causes[:SHOWN])
        if not known.causes:
            yield "  what they were made from; its records are not here"
        elif len(known.causes) > SHOWN:
            yield f"  and {len(known.causes) - SHOWN} more"


def _differences(a: Side, b: Side, found: Found) -> tuple[list[Difference], list[Difference], dict[str, Nodes]]:
    settings = settings_differences(a.production, b.production) if a.production and b.production else []
    by_tile: dict[str, list[str]] = {}
    for pair, _ in found if a.delivered == b.delivered else ():
        if pair.a.record is not None and pair.b.record is not None:
            by_tile.setdefault(pair.tile, []).append(pair.name)
    nodes = {tile: node_differences(a.records[tile], b.records[tile], names) for tile, names in by_tile.items()}
    chains = {tile: topological_order(names) for tile, names in by_tile.items()}
    used = [[side.records[t][s] for t, chain in chains.items() for s in chain if s in side.records[t]] for side in (a, b)]
    software = software_differences(*used)
    return settings, software, nodes


def _with_totals(found: Found) -> Iterator[tuple[str, str, Tally]]:
    """Every tile and layer, then each layer of all tiles where there are several."""
    totals: dict[str, Tally] = {}
    for pair, tally in found:
        yield pair.tile, pair.name, tally
        if pair.tile:
            totals[pair.name] = totals[pair.name] + tally if pair.name in totals else tally
    if len({pair.tile for pair, _ in found} - {""}) > 1:
        yield from ((ALL, name, tally) for name, tally in totals.items())


def _row(tile: str, name: str, tally: Tally) -> tuple[str, ...]:
    areas = tally.area(0), tally.area(1)
    change = tally.reading.kind == "change"
    return (
        tile, name, str(tally.both), _share(tally.differing, tally.both), _number(tally.mean, "+.2f"), _number(tally.rms, ".2f"),
        _number(areas[0], "+.3f" if change else ".3f"), _number(areas[1], "+.3f" if change else ".3f"),
        _number(areas[1] - areas[0], "+.3f"),
    )  # fmt: skip


def _share(part: int, whole: int) -> str:
    """Percent; 0 and 100 only if exact."""
    if not part or not whole:
        return "0" if whole else ""
    percent = 100 * part / whole
    if percent < 0.01 or 99.99 < percent < 100:
        return "< 0.01 %" if percent < 1 else "> 99.99 %"
    return f"{percent:.2f} %"


def _number(value: float, form: str) -> str:
    if math.isnan(value):
        return ""
    text = format(value, form)
    return text if any(c in text for c in "123456789") else text.replace("-", "").replace("+", "")


def _columns(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    text = sum(name in ("tile", "layer") for name in rows[0])
    for row in rows:
        cells = [c.ljust(w) if k < text else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True))]
        yield "  ".join(cells).rstrip()


def _remarks(name: str, tally: Tally) -> Iterator[str]:
    """Remarks below the table: pixels of one map only, transitions, scores."""
    if not tally.both:
        yield f"{name}: no pixel has data in both"
    if tally.only_a or tally.only_b:
        yield f"{name}: {tally.only_a} pixels have data only in A, {tally.only_b} only in B; they are not compared"
    if tally.differing and tally.reading.names and tally.reading.kind not in ("codes", "values"):
        matrix = tally.transitions()
        moves = [(int(matrix[i, j]), i, j) for i, j in np.argwhere(matrix) if i != j]
        moves.sort(key=lambda move: (-move[0], move[1:]))
        if moves:
            yield f"{name}, from A to B:"
        names = [name.split(",")[0] for name in tally.reading.names]
        wide = len(str(moves[0][0])) if moves else 0
        for count, i, j in moves[:SHOWN]:
            yield f"  {count:>{wide}} px  {count * tally.km2:.4f} km2  {names[i]} -> {names[j]}"
        if len(moves) > SHOWN:
            yield f"  and {len(moves) - SHOWN} more kinds"
    if scores := tally.scores():
        for side, score in zip("AB", scores, strict=True):
            yield f"{name}, {side} against the truth: {_score(score)}"


def _score(score: Score) -> str:
    parts = [f"{score['pixels']} pixels"]
    if not math.isnan(score["mae"]):
        parts.append(f"MAE {score['mae']:.2f}, RMSE {score['rmse']:.2f}, bias {score['bias']:+.2f} percent")
    if not math.isnan(score["accuracy"]):
        parts.append(f"{100 * score['accuracy']:.2f} % of classes right")
    if not math.isnan(score["f1"]):
        parts.append(f"F1 {score['f1']:.3f}")
    return ", ".join(parts)


def as_dict(a: Side, b: Side, found: Found) -> dict[str, Any]:
    """The comparison for ``--json``; None where there is no number."""
    settings, software, nodes = _differences(a, b, found)
    grounds = {(pair.tile, pair.name): pair for pair, _ in found}
    layers = []
    for tile, name, tally in _with_totals(found):
        pair = grounds.get((tile, name))
        scores = tally.scores()
        layers.append({
            "tile": tile, "layer": name, "kind": tally.reading.kind, "metres": tally.metres,
            "bounds": list(pair.ground.grid.boundingbox) if pair else None, "note": pair.ground.note if pair else "",
            "pixels": tally.both, "only_a": tally.only_a, "only_b": tally.only_b, "differing": tally.differing,
            "share": tally.differing / tally.both if tally.both else None,
            "mean": _json(tally.mean), "mean_absolute": _json(tally.mean_absolute), "rms": _json(tally.rms),
            "largest": tally.largest if tally.numbers else None,
            "km2_a": _json(tally.area(0)), "km2_b": _json(tally.area(1)),
            **_transitions(tally),
            "truth": None if scores is None else {s: {k: _json(v) for k, v in score.items()}
                                                  for s, score in zip("ab", scores, strict=True)},
        })  # fmt: skip
    return {
        "a": a.label, "b": b.label,
        "settings": [asdict(d) for d in settings], "software": [asdict(d) for d in software],
        "nodes": {tile: asdict(known) for tile, known in nodes.items()},
        "notes": [*a.notes, *b.notes], "layers": layers, "unmatched": unmatched(a, b),
    }  # fmt: skip


def _transitions(tally: Tally) -> dict[str, Any]:
    named = tally.reading.names and tally.reading.kind not in ("codes", "values")
    return {"classes": list(tally.reading.names), "transitions": tally.transitions().tolist()} if named else {}


def _json(value: float) -> float | None:
    return None if isinstance(value, float) and math.isnan(value) else value
