"""The dark end of clear pixels: whether scenes with and without the offset of baseline 04.00 lie on one scale.

Over a year every landscape shows something dark in blue or in the second short-wave infrared: vegetation, water, shade.
Where that lies, by how much groups differ, and what no right decision gives, is judged here; what is read for it is in
`tasks.scenes.offset_check`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DARK_CLASSES = (4, 5, 6)
"""Scene classes of the sample: vegetation, bare soil, water."""

PERCENTILE = 1.0
"""Percent of clear pixels below the dark end."""

FEWEST = 100
"""Clear pixels of 20 m that a scene must show to count."""

FLAT = 5
"""Digital numbers between the dark end and the median below which an image is no landscape, and says nothing."""

TOO_DARK = -300
"""Digital numbers after the subtraction: a median below says that the offset was subtracted twice."""

TOO_BRIGHT = 950
"""Digital numbers: a median above says that the offset is still there; over open water it may be all that there is."""

FEWEST_OF_A_KIND = 3
"""Scenes of one kind that are judged beside others."""

STEP = 600
"""Digital numbers between the medians of two groups that no difference of season or weather explains."""


@dataclass(frozen=True)
class DarkEnd:
    """The dark end of one scene."""

    scene: str
    subtract: int
    """Digital numbers that are subtracted from it."""
    value: float
    """Lower of the percentiles of B02 and B12, after the subtraction but not clipped."""
    kind: str = ""
    """Why so much is subtracted: scenes of one kind are right or wrong together."""


def dark_end(bands: tuple[np.ndarray, ...], scl: np.ndarray, subtract: int) -> float | None:
    """Lowest among the first percentiles of some bands over clear pixels, in digital numbers less `subtract`; may be negative.

    Bands are (y, x) uint16, 0 no data, on the grid of the scene classes `scl`. None where fewer than `FEWEST` pixels are clear,
    or they are all alike.
    """
    clear = np.isin(scl, DARK_CLASSES)
    found = []
    for band in bands:
        values = band[clear & (band > 0)]
        if values.size < FEWEST:
            return None
        low, middle = np.percentile(values, [PERCENTILE, 50])
        if middle - low < FLAT:
            return None
        found.append(float(low))
    return min(found) - subtract


@dataclass(frozen=True)
class Verdict:
    """Verdict on the dark ends of a year."""

    medians: dict[int, float]
    """Median dark end of the scenes by what is subtracted from them."""
    odd: tuple[str, ...] = ()
    """Scenes whose offset was decided wrongly."""
    reason: str = ""
    """Why they are odd; empty if nothing is wrong."""


def judge(ends: list[DarkEnd]) -> Verdict:
    """Whether scenes with and without subtraction lie on one scale, and each where reflectance can lie.

    The thresholds stand between what was measured. Medians of the dark end of real and made-up series: Flanders 2018 245, Austria
    2022 280 with and 434 without subtraction, a city 196 in both conventions; single scenes 1 to 960, but for one missed cloud
    at 2484. A wrong decision moves all of that by 1000, up or down.
    """
    groups: dict[int, list[DarkEnd]] = {}
    for end in ends:
        groups.setdefault(end.subtract, []).append(end)
    medians = {subtract: float(np.median([e.value for e in group])) for subtract, group in sorted(groups.items())}
    # Even the darkest water cannot lie so low: single scenes are enough, two against a chance.
    below = [e for e in ends if e.subtract and e.value < TOO_DARK]
    if len(below) >= min(2, sum(e.subtract > 0 for e in ends)) > 0:
        names = tuple(e.scene for e in below)
        return Verdict(medians, names, f"after the subtraction their dark end lies at {np.median([e.value for e in below]):.0f}")
    kinds: dict[tuple[int, str], list[DarkEnd]] = {}
    for end in ends:
        kinds.setdefault((end.subtract, end.kind), []).append(end)
    # Kinds first: those that are right are not to be named for the others.
    for group in (*kinds.values(), *groups.values()):
        middle = float(np.median([e.value for e in group]))
        # One or two may show missed clouds, unless they are all that there is.
        if middle > TOO_BRIGHT and len(group) >= min(FEWEST_OF_A_KIND, len(ends)):
            return Verdict(medians, tuple(e.scene for e in group), f"their dark end lies at {middle:.0f}")
    if len(medians) == 2:
        (_, plain), (_, shifted) = sorted(medians.items())
        if abs(shifted - plain) > STEP:
            few = min(groups.values(), key=len)
            return Verdict(
                medians, tuple(e.scene for e in few), f"the dark ends are {plain:.0f} without and {shifted:.0f} with subtraction"
            )
    return Verdict(medians)
