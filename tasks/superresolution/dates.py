"""Further dates of a span, registered to the one that is sharpened, for bands at 5 m."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids import Block
from imperv.layers.reflectance import REFLECTANCE_10M
from imperv.layers.sharpening.dates import noise_of
from imperv.layers.sharpening.registration import Registration, shift_between
from imperv.layers.sharpening.scene import Dates
from imperv.tasks.settings.scenes import SceneAccess
from imperv.tasks.superresolution.looks import CLEAR, Look, bands_of, mask_of
from imperv.tasks.superresolution.windows import Outlook, reflectance

LARGEST = 2400
"""Edge of the area in the middle that shifts are measured on, pixels of 10 m."""

DOUBTFUL = 0.1
"""Standard error of a shift, pixels, from which a date does not take part."""


@dataclass(frozen=True)
class Registered:
    """Dates that take part: the reference first, then others with their shifts."""

    looks: tuple[Look, ...]
    registrations: tuple[Registration, ...]
    """Of each other date."""
    noise: tuple[float, ...]
    """Standard deviation of the noise of the reference's bands, reflectance x 10 000."""

    def to_json(self) -> dict[str, Any]:
        """As a table; looks by their scenes."""
        dates = [
            {"name": look.name, "scenes": [s.id for s in look.scenes], **asdict(found)}
            for look, found in zip(self.looks[1:], self.registrations, strict=True)
        ]
        return {"reference": [s.id for s in self.looks[0].scenes], "noise": list(self.noise), "dates": dates}

    @classmethod
    def from_json(cls, table: Mapping[str, Any], looks: Sequence[Look]) -> Registered:
        """Read what `to_json` wrote."""
        by_scenes = {tuple(sorted(s.id for s in look.scenes)): look for look in looks}
        names = [table["reference"], *(row["scenes"] for row in table["dates"])]
        found = [Registration(*(row[k] for k in ("rows", "columns", "error", "blocks"))) for row in table["dates"]]
        return cls(tuple(by_scenes[tuple(sorted(n))] for n in names), tuple(found), tuple(table["noise"]))


def register(looks: Sequence[Look], grid10: GeoBox, access: SceneAccess) -> tuple[Registered, list[str]]:
    """Measure the shifts of all looks but the first against it, in the middle of an area; what is left out, in words."""
    rows, columns = grid10.shape.yx
    y, x = (max(0, (n - LARGEST) // 2) // 6 * 6 for n in (rows, columns))
    middle = Block(y, x, min(y + LARGEST, rows), min(x + LARGEST, columns)).geobox(grid10)
    reference, clear = _seen(looks[0], middle, access)
    kept, found, left = [looks[0]], [], []
    for look in looks[1:]:
        image, seen = _seen(look, middle, access)
        shift = shift_between(reference, image, clear & seen)
        if shift.blocks and shift.error <= DOUBTFUL:
            kept.append(look)
            found.append(shift)
        else:
            left.append(f"{look.name} takes no part: its shift cannot be measured ({shift.blocks} blocks agree)")
    return Registered(tuple(kept), tuple(found), tuple(float(n) for n in noise_of(reference))), left


def _seen(look: Look, grid10: GeoBox, access: SceneAccess) -> tuple[np.ndarray, np.ndarray]:
    """Bands of 10 m, and where they show clear ground."""
    grid20 = GeoBox.from_bbox(grid10.boundingbox, resolution=20, tight=True)
    clear = mask_of(look, grid20, access) == CLEAR
    return reflectance(bands_of(look, REFLECTANCE_10M, grid10, access)), np.kron(clear, np.ones((2, 2), bool))


@dataclass(frozen=True)
class ReadDates:
    """Reads the dates of a window."""

    dates: Registered
    grid10: GeoBox
    access: SceneAccess

    def __call__(self, outlook: Outlook) -> Dates:
        """The dates where a block looks."""
        here = outlook.at(10).geobox(self.grid10)
        seen = [_seen(look, here, self.access) for look in self.dates.looks]
        return Dates(
            tuple(image for image, _ in seen[1:]),
            tuple(found.shift for found in self.dates.registrations),
            tuple(clear for _, clear in seen),
            np.array(self.dates.noise, np.float32),
        )
