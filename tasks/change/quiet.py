"""Quiet pairs: dates so close that nothing changes between them, and the threshold they tell (docs/change.md, Thresholds)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from imperv.layers.cva.noise import Noise
from imperv.layers.cva.threshold import Rate, at_own, chi_squared, empirical, held_out, student
from imperv.tasks.change.comparing import Comparison, compare
from imperv.tasks.change.dates import Windows
from imperv.tasks.errors import ImpervError, InputError
from imperv.tasks.native.looks import Look

Method = Literal["auto", "quiet", "student", "chi-squared"]
"""How a threshold is set; ``auto`` is ``quiet`` where there are quiet pairs, ``student`` where there are none."""

DATES = 4
"""Dates around either date that take part at most."""

TRIED = 8
"""Dates around either date that are read at most to find so many."""

LEAST_CLEAR = 0.1
"""Share of the area that both dates of a pair must show; our choice."""

INNER_SHARE = 0.1
"""Part of the time between the two dates in which a date still counts as close to one of them; our choice."""

Read = Callable[[Look], list[np.ndarray]]
"""Windows of a date, each (band, y, x)."""


@dataclass(frozen=True)
class QuietPair:
    """Two dates between which nothing changes."""

    first: str
    second: str
    pixels: int
    clear: float
    freedom: float


@dataclass(frozen=True)
class Calibration:
    """Threshold of the amplitude, and false alarms nominal and measured."""

    threshold: float
    """From which amplitude on a pixel has changed."""
    method: str
    """``quiet``, ``student`` or ``chi-squared``."""
    nominal: float
    """Share of unchanged pixels that is to lie beyond it."""
    thresholds: dict[str, float]
    """Of every method that there is."""
    measured: dict[str, Rate] = field(default_factory=dict)
    """Share of quiet pixels beyond the threshold of each method; empty without quiet pairs."""
    held_out: str = ""
    """What was held out to measure that of ``quiet``."""
    pairs: tuple[QuietPair, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a table."""
        return asdict(self)

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> Calibration:
        """Read what `to_json` gave."""
        return cls(**{
            **table,
            "measured": {name: Rate(**rate) for name, rate in table["measured"].items()},
            "pairs": tuple(QuietPair(**pair) for pair in table["pairs"]), "warnings": tuple(table["warnings"]),
        })  # fmt: skip


def close_looks(looks: Sequence[Look], day: dt.date, other: dt.date, days: int) -> list[Look]:
    """Looks within so many days of a date, the nearest first, one a day.

    On the side of the other date only within a tenth of the time between both, as what changed may have changed there.
    """
    between = abs((other - day).days)
    found: dict[dt.date, Look] = {}
    for look in looks:
        away = (look.day - day).days * (1 if other > day else -1)
        if -days <= away <= min(days, int(INNER_SHARE * between)):
            found.setdefault(look.day, look)
    return sorted(found.values(), key=lambda look: (abs((look.day - day).days), look.day))


def quiet_pairs(
    looks: Sequence[Look], windows: Windows, read: Read, gap: int, known: dict[str, list[np.ndarray]]
) -> tuple[list[tuple[QuietPair, Comparison]], list[str]]:
    """Comparisons of successive dates among the nearest (`close_looks`), at most `gap` days apart; and what was left out, why.

    `known` are windows of dates that were read already, by name. Windows of a date are held no longer than needed.
    """
    kept: list[tuple[Look, list[np.ndarray]]] = []
    said: list[str] = []
    for look in looks[:TRIED]:
        if len(kept) == DATES:
            break
        try:
            pixels = known[look.name] if look.name in known else read(look)
        except InputError:
            raise
        except ImpervError as error:
            said.append(f"quiet date {look.day} left out: {error}")
            continue
        if sum(int((w[0] > 0).sum()) for w in pixels) >= LEAST_CLEAR * sum(w[0].size for w in pixels):
            kept.append((look, pixels))
    kept.sort(key=lambda pair: pair[0].day)
    found = []
    for (first, before), (second, after) in zip(kept, kept[1:], strict=False):
        if (second.day - first.day).days > gap:
            continue
        try:
            made = compare(before, after, windows)
        except ValueError as error:
            said.append(f"quiet pair {first.day} {second.day} left out: {error}")
            continue
        if made.clear >= LEAST_CLEAR:
            pair = QuietPair(str(first.day), str(second.day), int(made.counts.sum()), round(made.clear, 4), made.noise.freedom)
            found.append((pair, made))
    return found, said


def calibrate(
    noise: Noise, level: float, method: Method, pairs: Sequence[tuple[QuietPair, Comparison]], said: Sequence[str] = ()
) -> Calibration:
    """Threshold by a method for the share `level` of unchanged pixels. InputError for want of quiet pairs that are asked for."""
    thresholds = {"student": student(level, noise), "chi-squared": chi_squared(level, noise.bands)}
    measured: dict[str, Rate] = {}
    how, warnings = "", list(said)
    if pairs:
        counts = np.stack([made.counts for _, made in pairs])
        noises = [made.noise for _, made in pairs]
        measured["student"] = at_own(counts, [student(level, one) / one.body for one in noises])
        measured["chi-squared"] = at_own(counts, [thresholds["chi-squared"] / one.body for one in noises])
        try:
            thresholds["quiet"] = noise.body * empirical(counts.sum((0, 1)), level, noise.bands)
            measured["quiet"], how = held_out(counts, [(pair.first, pair.second) for pair, _ in pairs], level, noise.bands)
        except ValueError as error:
            thresholds.pop("quiet", None)
            warnings.append(f"quiet pairs set no threshold: {error}")
    if method == "quiet" and "quiet" not in thresholds:
        raise InputError(
            "threshold: no quiet pair of dates lies close to either date; name a catalogue that has some, allow more days, or "
            'take the threshold "student"'
        )
    if method == "auto":
        method = "quiet" if "quiet" in thresholds else "student"
    return Calibration(
        thresholds[method], method, level, thresholds, measured, how, tuple(pair for pair, _ in pairs), tuple(warnings)
    )  # fmt: skip
