"""Consistency of the final layers of a tile (ATBD 4.2.4, 4.5 to 4.7).

A relation is between a layer and its inputs. All relations of the layers at hand are checked on every pixel, in
one pass of strips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from imperv.layers.aggregation import aggregate_mean, aggregate_mean_change
from imperv.layers.change import classify_change, encode_change, mean_difference
from imperv.layers.confidence import LOWEST
from imperv.tasks.family.findings import Finding, failed, passed
from imperv.tasks.imperviousness.products.rules import OUTSIDE

STRIP_METRES = 12_800
"""Height of a strip: whole pixels of 100 m; 13 MB of a layer of a tile at 10 m."""

STATUS_THEN = ("IMD_then", "IBU_then", "SBU_then")
"""Status layers of the previous production."""

NEVER, SAME = 201, 100
"""Codes of change layers: 0 in both years, and no change (ATBD 4.2.4)."""

NEW, LOSS, UNCHANGED, INCREASED, DECREASED = 1, 2, 10, 11, 12
"""Classes of change (ATBD Table 5); 0 is unchanged without cover."""


@dataclass(frozen=True)
class Source:
    """Pixels of one layer."""

    name: str
    """Name in findings."""
    resolution: int
    """Pixel size, metres."""
    bounds: tuple[float, float, float, float]
    """(left, bottom, right, top) in EPSG:3035."""
    read: Callable[[int, int], np.ndarray]
    """Rows from the first to before the second, (y, x)."""


class Strip(Mapping[str, np.ndarray]):
    """Layers of one strip by symbol, read on access, and quantities derived from them, computed once."""

    def __init__(self, sources: Mapping[str, Source], top: int, bottom: int) -> None:
        """Strip between two distances below the upper edge, metres."""
        self._sources, self._rows = sources, (top, bottom)
        self._known: dict[str, Any] = {}

    def __getitem__(self, symbol: str) -> np.ndarray:
        if symbol not in self._known:
            source = self._sources[symbol]
            array = source.read(*(r // source.resolution for r in self._rows))
            # 254, unclassifiable, stood in editions up to 2018.
            self._known[symbol] = np.where(array > 100, np.uint8(OUTSIDE), array) if symbol in STATUS_THEN else array
        return self._known[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def percent(self, symbol: str) -> np.ndarray:
        """A status layer in percent: built-up, which is 0 or 1, times 100."""
        return self._once(f"{symbol} %", lambda: _percent(self[symbol]) if symbol.startswith("IBU_") else self[symbol])

    def mean(self, symbol: str, factor: int) -> np.ndarray:
        """Mean of a status layer in percent at a coarser resolution."""
        return self._once(f"{symbol} mean {factor}", lambda: aggregate_mean(self.percent(symbol), factor))

    def difference(self, part: str) -> tuple[np.ndarray, ...]:
        """Difference of both years at 20 m, with the status of then and of now, and where it is valid."""
        then, now = f"{part}_then", f"{part}_now"
        return self._once(f"{part} difference", lambda: mean_difference(self.percent(then), self.percent(now), 2))

    def whole(self, symbol: str, factor: int) -> np.ndarray:
        """True where all pixels of a block are valid."""
        return self._once(f"{symbol} whole {factor}", lambda: ~_blocks(self[symbol] == OUTSIDE, factor).any(axis=(1, 3)))

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]


@dataclass(frozen=True)
class Relation:
    """A relation that holds between a layer and others in every pixel."""

    check: str
    """Name of the rule."""
    layer: str
    """Symbol of the layer that fails where it does not hold."""
    needs: tuple[str, ...]
    """Symbols of the other layers."""
    wrong: Callable[[Strip], np.ndarray]
    """True in the pixels of the layer where it does not hold."""
    says: str
    """Text of the finding, after the number of pixels."""
    unless: tuple[str, ...] = ()
    """Left out where all of these are at hand: a stricter relation is checked then."""
    note: bool = False
    """True for a note instead of a failure: there may be reasons."""


@dataclass
class Outcome:
    """A relation and the pixels that break it."""

    relation: Relation
    pixels: int = 0
    wrong: int = 0
    example: str = ""
    used: tuple[str, ...] = field(default=())

    def finding(self) -> Finding:
        """One line."""
        r = self.relation
        if not self.wrong:
            return passed(r.check, f"agrees with {', '.join(self.used)}" if self.used else f"{self.pixels} pixels agree")
        text = f"{self.wrong} of {self.pixels} pixels {r.says}; the first {self.example}"
        return passed(r.check, text, note=True) if r.note else failed(r.check, text)


def _percent(mask: np.ndarray) -> np.ndarray:
    return np.where(mask == OUTSIDE, mask, mask * np.uint8(100))


def _blocks(array: np.ndarray, factor: int) -> np.ndarray:
    return array.reshape(array.shape[0] // factor, factor, array.shape[1] // factor, factor)


def _delta(codes: np.ndarray) -> np.ndarray:
    """Change in percent; 0 where nothing is sealed or outside."""
    return np.where(codes >= NEVER, 0, codes.astype(np.int16) - SAME)


def _mean_of(layer: str, source: str, factor: int) -> Relation:
    return Relation("aggregation", layer, (source,), lambda s: s[layer] != s.mean(source, factor),
                    "are not the rounded mean of the valid pixels at 10 m")  # fmt: skip


def _mean_change_of(layer: str, source: str) -> Relation:
    return Relation("aggregation", layer, (source,), lambda s: s[layer] != aggregate_mean_change(s[source], 5),
                    "are not the mean change of the pixels at 20 m, 201 kept only where all are")  # fmt: skip


def _together(real: str, technical: str) -> Relation:
    """Change and support have 201 and 255 in the same places."""

    def wrong(s: Strip) -> np.ndarray:
        a, b = s[real], s[technical]
        return ((a > 200) | (b > 200)) & (a != b)

    return Relation("change", technical, (real,), wrong, f"differ from {real} in 201 (never sealed) or 255 (outside)")


def _split(real: str, technical: str) -> Relation:
    """At full resolution a change is real or technical, never both."""

    def wrong(s: Strip) -> np.ndarray:
        a, b = s[real], s[technical]
        return (a < NEVER) & (b < NEVER) & (a != SAME) & (b != SAME)

    return Relation("change", technical, (real,), wrong, f"change both here and in {real}: a change is real or technical")


def _sum(real: str, technical: str, part: str) -> Relation:
    """Change + support = now - then, exactly."""

    def wrong(s: Strip) -> np.ndarray:
        d, s0, s1, valid = s.difference(part)
        a, b = s[real], s[technical]
        total = encode_change(d, s0, s1, valid)
        there = total < NEVER
        return np.where(there, (a > 200) | (b > 200) | (_delta(a) + _delta(b) != d), (a != total) | (b != total))

    return Relation("change", real, (technical, f"{part}_then", f"{part}_now"), wrong,
                    f"do not add up: {real} and {technical} must give now - then")  # fmt: skip


def _mean_sum(real: str, technical: str, part: str) -> Relation:
    """At 100 m change and support are rounded each: their sum is now - then to 1 percent."""

    def wrong(s: Strip) -> np.ndarray:
        d, s0, s1, valid = s.difference(part)
        count = _blocks(valid, 5).sum(axis=(1, 3))
        mean = _blocks(d, 5).sum(axis=(1, 3), dtype=np.int64) / np.maximum(count, 1)
        never = ~_blocks(valid & ((s0 > 0) | (s1 > 0)), 5).any(axis=(1, 3))
        a, b = s[real], s[technical]
        expected = np.select([count == 0, never], [OUTSIDE, NEVER], 0)
        apart = np.abs(_delta(a) + _delta(b) - mean) > 1
        return np.where(expected > 0, (a != expected) | (b != expected), (a > 200) | (b > 200) | apart)

    return Relation("change", real, (technical, f"{part}_then", f"{part}_now"), wrong,
                    f"do not add up: {real} and {technical} must give now - then to 1 percent")  # fmt: skip


def _within_now(real: str, technical: str, now: str) -> Relation:
    """Without then: a total change that the status of now allows, whichever pixels of the block were valid then."""

    def wrong(s: Strip) -> np.ndarray:
        a, b, pixels = s[real], s[technical], _blocks(s.percent(now), 2)
        low, high = pixels.min(axis=(1, 3)).astype(np.int16), pixels.max(axis=(1, 3)).astype(np.int16)
        total = _delta(a) + _delta(b)
        impossible = np.where(a == NEVER, low > 0, (total > high + 1) | (total < low - 101))
        return s.whole(now, 2) & (a <= NEVER) & (b <= NEVER) & impossible

    return Relation("change", real, (technical, now), wrong, f"have a change that the density of now ({now}) excludes",
                    unless=("IMD_then",))  # fmt: skip


def _classes_of(classes: str, change: str, status: str, factor: int) -> Relation:
    return Relation("classes", classes, (change, status),
                    lambda s: s[classes] != classify_change(s.mean(status, factor) if factor > 1 else s[status], s[change]),
                    f"are not the class of {change} and the status of then")  # fmt: skip


@cache
def _possible() -> np.ndarray:
    """(change code, class): True for classes that are possible with the code."""
    table = np.zeros((256, 256), bool)
    for status in range(101):
        codes = np.arange(256, dtype=np.uint8)
        table[codes, classify_change(np.full(256, status, np.uint8), codes)] = True
    # A decrease from 0 is rounding, of 1 percent at most.
    table[:99, 0] = False
    return table


def _classes_like(classes: str, change: str, unless: tuple[str, ...]) -> Relation:
    return Relation("classes", classes, (change,), lambda s: ~_possible()[s[change], s[classes]],
                    f"have a class that is impossible with the code of {change}", unless=unless)  # fmt: skip


def _class_pair(real: str, technical: str, exclusive: bool) -> Relation:
    """Both imply the same status of then, and at full resolution one of them is unchanged."""

    def wrong(s: Strip) -> np.ndarray:
        a, b = s[real], s[technical]
        covered = ((a > NEW) != (b > NEW)) | ((a == OUTSIDE) != (b == OUTSIDE))
        changed = (a % 10 != 0) & (b % 10 != 0) & (a != OUTSIDE) & (b != OUTSIDE)
        return covered | changed if exclusive else covered

    return Relation("classes", technical, (real,), wrong, f"contradict {real}: another status of then, or a change in both")


def _classes_against_now(classes: str, now: str, unless: tuple[str, ...]) -> Relation:
    """New and remaining cover is in the status of now, lost cover is not; in blocks without no data."""

    def wrong(s: Strip) -> np.ndarray:
        c, s1 = s[classes], s.mean(now, 2)
        some = _blocks((s[now] > 0) & (s[now] != OUTSIDE), 2).any(axis=(1, 3))
        gone = np.isin(c, (NEW, INCREASED, DECREASED)) & ~some
        return s.whole(now, 2) & (gone | ((c == LOSS) & (s1 > 1)))

    return Relation("classes", classes, (now,), wrong, f"have a class that {now} contradicts", unless=unless)


def _built_up_classes(s: Strip) -> np.ndarray:
    """One of change and support has the class of the whole difference, the other is unchanged."""
    d, s0, s1, valid = s.difference("IBU")
    status = s.mean("IBU_then", 2)
    all_of_it = classify_change(status, encode_change(d, s0, s1, valid))
    none = classify_change(status, encode_change(np.zeros_like(d), s0, s1, valid))
    a, b = s["IBUC"], s["IBUCS"]

    # The delivery may write 11 and 12 of IBUC as 10, everywhere or nowhere.
    folds = not np.any((a == INCREASED) | (a == DECREASED))
    expected = np.where((all_of_it == INCREASED) | (all_of_it == DECREASED), UNCHANGED, all_of_it) if folds else all_of_it
    real = (a == expected) & (b == none)
    technical = (a == none) & (b == all_of_it)
    return ~(real | technical)


def _confidence(layer: str, status: str) -> list[Relation]:
    return [
        Relation("confidence", layer, (), lambda s: s[layer] < LOWEST, f"are below {LOWEST} percent (ATBD 4.7)"),
        Relation("holes", layer, (status,), lambda s: (s[layer] == OUTSIDE) & (s[status] != OUTSIDE),
                 f"have no confidence where {status} has data"),
    ]  # fmt: skip


def _holes(layer: str, other: str, note: bool = False) -> Relation:
    return Relation("holes", layer, (other,), lambda s: (s[layer] == OUTSIDE) & (s[other] != OUTSIDE),
                    f"have no data where {other} has", note=note)  # fmt: skip


def _hole_in_density(s: Strip) -> np.ndarray:
    return (s["IMD_now"] == OUTSIDE) & (s["IMD_MSK_now"] != OUTSIDE) & np.isfinite(s["NDVI_p0_now"])


RELATIONS: tuple[Relation, ...] = (
    _mean_of("IMD_now_resampled", "IMD_now", 10),
    _mean_of("SBU", "IBU_now", 10),
    _mean_change_of("IMDC_resampled", "IMDC"),
    _mean_change_of("IMDCS_resampled", "IMDCS"),
    _together("IMDC", "IMDCS"),
    _together("IMDC_resampled", "IMDCS_resampled"),
    _together("SBUC", "SBUCS"),
    _split("IMDC", "IMDCS"),
    _sum("IMDC", "IMDCS", "IMD"),
    _within_now("IMDC", "IMDCS", "IMD_now"),
    _mean_sum("SBUC", "SBUCS", "IBU"),
    _classes_of("IMCC", "IMDC", "IMD_then", 2),
    _classes_of("IMCCS", "IMDCS", "IMD_then", 2),
    _classes_of("SBCC", "SBUC", "IBU_then", 10),
    _classes_of("SBCCS", "SBUCS", "IBU_then", 10),
    _classes_of("SBCC", "SBUC", "SBU_then", 1),
    _classes_of("SBCCS", "SBUCS", "SBU_then", 1),
    _classes_like("IMCC", "IMDC", ("IMD_then",)),
    _classes_like("IMCCS", "IMDCS", ("IMD_then",)),
    _classes_like("SBCC", "SBUC", ("IBU_then",)),
    _classes_like("SBCCS", "SBUCS", ("IBU_then",)),
    _class_pair("IMCC", "IMCCS", True),
    _class_pair("IBUC", "IBUCS", True),
    _class_pair("SBCC", "SBCCS", False),
    _classes_against_now("IMCC", "IMD_now", ("IMD_then", "IMDC")),
    _classes_against_now("IBUC", "IBU_now", ("IBU_then", "IBUCS")),
    Relation("classes", "IBUC", ("IBUCS", "IBU_then", "IBU_now"), _built_up_classes,
             "are not the class of built-up then and now, real in IBUC or technical in IBUCS"),
    *_confidence("IMDCL", "IMD_now"),
    *_confidence("IBUCL", "IBU_now"),
    _holes("IBU_now", "IMD_now"),
    _holes("IMD_now", "IBU_now", note=True),
    Relation("holes", "IMD_now", ("IMD_MSK_now", "NDVI_p0_now"), _hole_in_density,
             "have no data though the sealing mask and the NDVI have"),
    _holes("IBU_now", "IBUD_now"),
)  # fmt: skip
"""All relations between the layers of one tile."""


def compare(sources: Mapping[str, Source], relations: Sequence[Relation] = RELATIONS) -> list[tuple[str, Finding]]:
    """Check every relation whose layers are at hand on all pixels: symbol of the layer that fails, and the finding.

    `sources` are by the catalogue's symbol, with the codes of the products; ``IMD_then``, ``IBU_then`` and ``SBU_then`` are the
    previous production's. ValueError if their bounds differ.
    """
    if len({source.bounds for source in sources.values()}) > 1:
        raise ValueError("layers to compare must cover the same bounds")
    asked = [
        Outcome(r, used=tuple(sources[n].name for n in r.needs))
        for r in relations
        if {r.layer, *r.needs} <= sources.keys() and not (r.unless and set(r.unless) <= sources.keys())
    ]
    if not asked:
        return []
    left, low, _, high = next(iter(sources.values())).bounds
    height = round(high - low)
    for top in range(0, height, STRIP_METRES):
        strip = Strip(sources, top, min(top + STRIP_METRES, height))
        for outcome in asked:
            _add(outcome, strip, sources, left, high - top)
    return [(outcome.relation.layer, outcome.finding()) for outcome in asked]


def _add(outcome: Outcome, strip: Strip, sources: Mapping[str, Source], left: float, top: float) -> None:
    relation = outcome.relation
    wrong = relation.wrong(strip)
    outcome.pixels += wrong.size
    number = int(np.count_nonzero(wrong))
    if number and not outcome.wrong:
        row, column = np.unravel_index(np.argmax(wrong), wrong.shape)
        pixel = sources[relation.layer].resolution
        codes = [f"{relation.layer} {strip[relation.layer][row, column]}"]
        codes += [f"{s} {strip[s][row, column]}" for s in relation.needs if sources[s].resolution == pixel]
        x, y = left + (column + 0.5) * pixel, top - (row + 0.5) * pixel
        outcome.example = f"at {x:.0f} {y:.0f} ({', '.join(codes)})"
    outcome.wrong += number
