"""Traffic lights of a tile, each with its number. Limits are our choice: they ask for a look and refuse nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from imperv.tasks.family.findings import Finding
from imperv.tasks.imperviousness.report.facts import Status, TileFacts
from imperv.tasks.imperviousness.report.levels import Level
from imperv.tasks.report.page import number

Light = Literal["good", "look", "bad", "none"]

RANK: dict[str, int] = {"none": 0, "good": 1, "look": 2, "bad": 3}

CLEAR_GOOD, CLEAR_LEAST = 12, 7
"""Median clear observations a year: one a month is good; fewer than the seven coefficients of the harmonics is bad."""
HOLE_GOOD, HOLE_MOST = 0.005, 0.02
"""Share of pixels without data in IMD_now beyond that of IMD_then."""
LOSS_GOOD, LOSS_MOST = 0.75, 1.0
"""Validation loss of the worst member over that of a constant."""
R2_GOOD, R2_LEAST = 0.3, 0.1
"""Coefficient of determination of the calibration."""
WIDTH_LEAST = 20.0
"""Width of minimum..maximum of the calibration in percent below which the map is nearly binary."""
NET_GOOD, NET_MOST = 0.02, 0.10
"""Net change as a share of the ground: more is rare in three years."""
DRIFT_GOOD, DRIFT_MOST = 0.10, 0.30
"""Difference of the two maps beyond the change, as a share of the ground sealed then."""


@dataclass(frozen=True)
class Verdict:
    """One light."""

    title: str
    light: Light
    value: str
    text: str
    anchor: str
    """Section of the report with the details."""


def _limits(value: float, good: float, bad: float) -> Light:
    """Good up to `good`, bad above `bad` (or, where good is the larger, good from it on and bad below)."""
    if good > bad:
        return "good" if value >= good else "bad" if value < bad else "look"
    return "good" if value <= good else "bad" if value > bad else "look"


def judge(facts: TileFacts, findings: Mapping[str, Sequence[Finding]], level: Level | None = None) -> list[Verdict]:
    """All lights of a tile, from its records and the delivery check's findings by layer; `level` explains the last of them."""
    first = _complete(facts), _checks(facts, findings)
    return [*first, *(light(facts) for light in (_holes, _clear, _models, _calibration, _net)), _drift(facts, level)]


def overall(verdicts: Sequence[Verdict]) -> Light:
    """The worst light; one without a number asks for a look."""
    worst: Light = max((v.light for v in verdicts), key=RANK.__getitem__, default="none")
    return "look" if worst == "good" and any(v.light == "none" for v in verdicts) else worst


def _complete(facts: TileFacts) -> Verdict:
    made, total = sum(f.made for f in facts.layers), len(facts.layers)
    light: Light = "bad"
    if facts.run.get("state") == "failed":
        text = "the last run failed"
    elif made == total:
        light, text = "good", "all final layers are made"
    elif all(f.record is not None for f in facts.layers):
        light, text = "look", "the others cannot be made; the reasons are below"
    else:
        text = "the run is not finished"
    return Verdict("Layers", light, f"{made} of {total}", text, "maps")


def _checks(facts: TileFacts, findings: Mapping[str, Sequence[Finding]]) -> Verdict:
    due = sum(f.made for f in facts.layers)
    files = sum(f.product is not None for f in facts.layers)
    rules = sum(map(len, findings.values()))
    broken = [number for found in findings.values() if (number := sum(not f.ok for f in found))]
    light: Light = "good"
    if broken:
        light, value, text = "bad", f"{sum(broken)} failed", f"in {len(broken)} of {files} files"
    elif not files:
        light, value, text = "bad", "no file", "nothing has been delivered"
    elif files < due:
        light, value, text = "look", f"{files} of {due}", "files delivered so far, none fails"
    elif not rules:
        value, text = f"{files} of {files}", "files passed when they were written"
    else:
        value, text = f"{rules} of {rules}", f"rules kept by {files} files"
    return Verdict("Delivery check", light, value, text, "check")


def _holes(facts: TileFacts) -> Verdict:
    share = facts.layer("IMD_now").no_data
    if share is None:
        return Verdict("No data", "none", "unknown", "IMD is not made", "maps")
    total = (facts.bounds[2] - facts.bounds[0]) * (facts.bounds[3] - facts.bounds[1]) / 1e6
    before = 1 - facts.status_then.valid_km2 / total if facts.status_then else 0.0
    light = _limits(share - before, HOLE_GOOD, HOLE_MOST)
    text = f"of the area; {100 * before:.1f} % in the map of then"
    return Verdict("No data", light, f"{100 * share:.1f} %", text, "maps")


def _clear(facts: TileFacts) -> Verdict:
    if not facts.looks:
        return Verdict("Clear observations", "none", "unknown", "no features are made", "observations")
    least = min(looks.median for looks in facts.looks.values())
    shown = " / ".join(str(facts.looks[p].median) for p in ("then", "now") if p in facts.looks)
    return Verdict("Clear observations", _limits(least, CLEAR_GOOD, CLEAR_LEAST), shown,
                   "a pixel and year, median, then / now", "observations")  # fmt: skip


def _models(facts: TileFacts) -> Verdict:
    names = {"IMD_model": "density", "IBUD_model": "built-up"}
    ratios = {names[m.symbol]: m.ratio for m in facts.models if m.ratio is not None}
    if not ratios:
        return Verdict("Models", "none", "unknown", "none is trained here", "models")
    light = _limits(max(ratios.values()), LOSS_GOOD, LOSS_MOST)
    if light == "good" and len(ratios) < len(names):
        light = "look"
    shown = " / ".join(f"{100 * ratio:.0f} %" for ratio in ratios.values())
    text = f"of a constant's validation loss, worst member: {' / '.join(ratios)}"
    return Verdict("Models", light, shown, text, "models")


def _calibration(facts: TileFacts) -> Verdict:
    fitted = facts.calibration
    if not fitted:
        return Verdict("Calibration", "none", "unknown", "there is none", "calibration")
    light = _limits(fitted["r2"], R2_GOOD, R2_LEAST)
    own = fitted.get("source", "own samples") == "own samples"
    narrow = fitted["maximum"] - fitted["minimum"] < WIDTH_LEAST
    if light == "good" and (not own or narrow or fitted.get("flags")):
        light = "look"
    text = f"{number(fitted['samples'])} samples" if own else f"from {fitted['source']}"
    if own and narrow:
        text += f"; stretches only {fitted['maximum'] - fitted['minimum']:.0f} percent"
    return Verdict("Calibration", light, f"R² {fitted['r2']:.2f}", text, "calibration")


def _net(facts: TileFacts) -> Verdict:
    change = facts.change
    if change is None or not change.valid_km2:
        return Verdict("Change", "none", "unknown", "IMDC is not made", "change")
    net = (change.gain_km2 - change.loss_km2) / change.valid_km2
    light = _limits(abs(net), NET_GOOD, NET_MOST)
    text = "net change of the sealed share, percentage points"
    return Verdict("Change", light, f"{100 * net:+.2f}".replace("-", "\u2212"), text, "change")


def _drift(facts: TileFacts, level: Level | None) -> Verdict:
    then, now, change = facts.status_then, facts.status_now, facts.change
    if then is None or now is None or change is None or not then.sealed_km2:
        return Verdict("Level", "none", "unknown", "the two maps cannot be compared", "areas")
    # Shares, not areas: the two maps may cover slightly different ground.
    drift = (now.share - then.share - (change.gain_km2 - change.loss_km2) / change.valid_km2) / then.share
    light = _limits(abs(drift), DRIFT_GOOD, DRIFT_MOST)
    text = "of the ground sealed then: difference of the maps beyond the change"
    if light != "good" and level is not None:
        text += f"; {_sources(level, then)}"
    return Verdict("Level", light, _percent(drift), text, "areas")


def _sources(level: Level, then: Status) -> str:
    """Parts of the difference; those below half a percent are left out."""
    where = {
        f"where CLC+ is unsealed in both years ({100 * level.outside.density:.0f} % dense in the old map)": level.outside,
        "where only CLC+ of then is sealed": level.lost,
        "where only the map of now is": level.new,
        "in density": level.both,
    }
    shares = {text: part.difference_km2 / then.sealed_km2 for text, part in where.items()}
    return ", ".join(f"{_percent(share)} {text}" for text, share in shares.items() if abs(share) >= 0.005)


def _percent(share: float) -> str:
    return f"{100 * share:+.0f} %".replace("-", "\u2212")
