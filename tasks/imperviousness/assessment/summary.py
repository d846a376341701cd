"""Figures of an evaluation from its error sums: scores with intervals, differences, confidence; as one JSON object.

The n-th trials of all tiles are pooled; medians are over trials.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imperv.layers.statistics.reliability import EDGES, class_table, fixed_classes, quantile_classes, ratios, spearman
from imperv.layers.statistics.scores import (
    Estimate,
    Scores,
    best_threshold,
    calibration_error,
    density_scores,
    differences,
    estimates,
    mask_scores_from,
)
from imperv.tasks.imperviousness.assessment.block_sums import BlockSums, Judged
from imperv.tasks.imperviousness.assessment.evaluation import METHODS, REFERENCE, UNET, Product, Trial, Year
from imperv.tasks.imperviousness.assessment.stored import Stored

QUANTILES = 5
"""Quantile classes of confidence."""

Row = dict[str, Any]


def _json(found: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: value.to_json() for name, value in found.items()}


def _scores(cut: float) -> dict[str, Scores]:
    """Scores by the field of `Judged` with their sums."""
    return {"density": density_scores, "bins": calibration_error, "mask": mask_scores_from(cut)}


def _parts(judged: Sequence[Sequence[Judged]], field: str) -> list[np.ndarray]:
    """(block, statistic) sums of each trial, blocks of all tiles; none where a trial has none."""
    parts = []
    for trial in judged:
        arrays = [getattr(one, field).array() for one in trial if getattr(one, field).keys]
        if not arrays:
            return []
        parts.append(np.concatenate(arrays))
    return parts


def _all_scores(judged: Sequence[Sequence[Judged]], cut: float) -> tuple[dict[str, Estimate], list[dict[str, float]]]:
    """Estimates over all trials, and the scores of each."""
    found: dict[str, Estimate] = {}
    each: list[dict[str, float]] = [{} for _ in judged]
    for field, scores in _scores(cut).items():
        if parts := _parts(judged, field):
            found |= estimates(parts, scores)
            for one, part in zip(each, parts, strict=True):
                one |= {name: round(float(v), 6) for name, v in scores(part.sum(axis=0)).items()}
    return found, each


def _pairs(a: Sequence[Sequence[Judged]], b: Sequence[Sequence[Judged]], cut: float) -> dict[str, Estimate]:
    """Paired differences, a minus b, over the blocks of both."""
    found: dict[str, Estimate] = {}
    for field, scores in _scores(cut).items():
        ours, theirs = [], []
        for one, two in zip(a, b, strict=True):
            pairs = [(getattr(x, field), getattr(y, field)) for x, y in zip(one, two, strict=True)]
            common = [(x, y, x.keys & y.keys) for x, y in pairs]
            if any(keys for _, _, keys in common):
                ours.append(_joined([(x, keys) for x, _, keys in common]))
                theirs.append(_joined([(y, keys) for _, y, keys in common]))
        if ours and len(ours) == len(a):
            found |= differences(ours, theirs, scores)
    return found


def _joined(parts: Sequence[tuple[BlockSums, frozenset[tuple[int, int]]]]) -> np.ndarray:
    return np.concatenate([sums.array(keys) for sums, keys in parts if keys])


# trials -----------------------------------------------------------------------------------------------------------


def summarise_trials(trials: Sequence[Trial], cuts: Mapping[Product, float]) -> Row:
    """Scores of every product, year and method; differences of the U-Net to the others, and of the next year to the same year.

    Every tile and product has trials of the same numbers; `cuts` are the thresholds of the masks, percent. The result holds the
    rows ``scores``, ``differences`` and ``years``, and ``training`` with one for each trial.
    """
    scores: list[Row] = []
    differing: list[Row] = []
    years: list[Row] = []
    for product in dict.fromkeys(trial.product for trial in trials):
        mine = [trial for trial in trials if trial.product == product]
        groups = [[t for t in mine if t.number == number] for number in sorted({t.number for t in mine})]
        found: dict[tuple[Year, str], list[list[Judged]]] = {}
        for year in ("then", "now"):
            for method in METHODS:
                judged = [[t.judged[year, method] for t in group if (year, method) in t.judged] for group in groups]
                if all(judged):
                    found[year, method] = judged
        for (year, method), judged in found.items():
            estimate, each = _all_scores(judged, cuts[product])
            best = [best_threshold(part) for part in _parts(judged, "mask")]
            scores.append(
                {
                    "product": product, "year": year, "method": method, **_json(estimate), "trials": each,
                    "best_threshold": [k for k, _ in best], "best_f1": round(statistics.median(f for _, f in best), 6),
                    "blocks": [sum(len(one.mask.keys) for one in trial) for trial in judged],
                }
            )  # fmt: skip
            if method not in (UNET, REFERENCE) and (year, UNET) in found:
                row = {"product": product, "year": year, "method": UNET, "minus": method}
                differing.append(row | _json(_pairs(found[year, UNET], judged, cuts[product])))
            if year == "now" and method != REFERENCE and ("then", method) in found:
                row = {"product": product, "method": method}
                years.append(row | _json(_pairs(judged, found["then", method], cuts[product])))
    training = [
        {
            "tile": t.tile, "product": t.product, "trial": t.number, "pixels": t.pixels,
            "seconds": {name: round(value, 2) for name, value in t.seconds.items()},
            "epochs": [len(h["validation"]) for h in t.history if "validation" in h],
        }
        for t in trials
    ]  # fmt: skip
    return {"scores": scores, "differences": differing, "years": years, "training": training}


# stored layers ----------------------------------------------------------------------------------------------------


def summarise_stored(found: Sequence[Stored], cuts: Mapping[Product, float]) -> list[Row]:
    """Scores of the stored layers, own model against ensemble, and errors by confidence: one row for each product."""
    rows = []
    for product in dict.fromkeys(stored.product for stored in found):
        mine, cut = [s for s in found if s.product == product], cuts[product]
        layers: list[Row] = []
        for symbol in dict.fromkeys(name for s in mine for name in s.judged):
            judged = [[s.judged[symbol] for s in mine if symbol in s.judged]]
            layers.append({"layer": symbol, **_json(_all_scores(judged, cut)[0])})
        rows.append(
            {
                "product": product, "layers": layers, "ensemble": _own_and_ensemble(mine, cut),
                "confidence": _confidence(mine), "missing": {s.tile: list(s.missing) for s in mine if s.missing},
                "members": {s.tile: {"own": s.own_members, "all": s.members, "models": list(s.models)} for s in mine},
            }
        )  # fmt: skip
    return rows


def _own_and_ensemble(mine: Sequence[Stored], cut: float) -> Row | None:
    """Ensemble minus own model, where both are there."""
    from imperv.tasks.imperviousness.assessment.stored import OWN, RAW

    both = [s for s in mine if OWN in s.judged]
    if not both:
        return None
    raw = RAW[both[0].product][0]
    return _json(_pairs([[s.judged[raw] for s in both]], [[s.judged[OWN] for s in both]], cut))


def _confidence(mine: Sequence[Stored]) -> Row | None:
    parts = [s.trust.sums.array() for s in mine if s.trust.sums.keys]
    if not parts:
        return None
    sums = np.concatenate(parts)
    quantiles = quantile_classes(sums, QUANTILES)
    names = [f"{a}-{min(b - 1, 100)}" for a, b in zip(EDGES, EDGES[1:], strict=False)]
    joint = sum(s.trust.joint for s in mine if s.trust.joint is not None)
    return {
        "classes": _table(sums, fixed_classes(), names),
        "quantiles": _table(sums, quantiles, [f"{k + 1} of {QUANTILES}" for k in range(QUANTILES)]),
        "ratios": _json(ratios(sums, fixed_classes())),
        "quantile_ratios": _json(ratios(sums, quantiles)),
        "spearman": round(spearman(np.asarray(joint)), 6),
    }


def _table(sums: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> list[Row]:
    return [
        {"class": name, **{k: v.to_json() if isinstance(v, Estimate) else v for k, v in row.items()}}
        for name, row in zip(names, class_table(sums, classes), strict=True)
    ]
