"""Further dates of a span, registered to the one that is sharpened, for bands at 5 m."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids import Block
from imperv.grids.specs import UTM_STEP
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.reflectance import REFLECTANCE_10M
from imperv.layers.sharpening.dates import noise_of
from imperv.layers.sharpening.registration import Registration, shift_between
from imperv.layers.sharpening.scene import Dates
from imperv.tasks.family.costs import Cost, pixels_of, resident
from imperv.tasks.job import Job, Made
from imperv.tasks.native.looks import CLEAR, Look, bands_of, mask_of
from imperv.tasks.settings.scenes import SceneAccess
from imperv.tasks.store.records import digest_of
from imperv.tasks.superresolution.input import ranked_looks
from imperv.tasks.superresolution.windows import Outlook, reflectance

LARGEST = 2400
"""Edge of the area in the middle that shifts are measured on, pixels of 10 m."""

COMPARE_NS = 150.0
"""Core nanoseconds to read and compare a pixel of a band."""

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
    (rows, columns), each = grid10.shape.yx, UTM_STEP // 10
    y, x = (max(0, (n - LARGEST) // 2) // each * each for n in (rows, columns))
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
    return reflectance(bands_of(look, REFLECTANCE_10M, grid10, access)), _clear(look, grid10, access)


def _clear(look: Look, grid10: GeoBox, access: SceneAccess) -> np.ndarray:
    grid20 = GeoBox.from_bbox(grid10.boundingbox, resolution=20, tight=True)
    return np.kron(mask_of(look, grid20, access) == CLEAR, np.ones((2, 2), bool))


@dataclass(frozen=True)
class ReadDates:
    """Reads the dates of a window."""

    dates: Registered
    grid10: GeoBox
    access: SceneAccess

    def __call__(self, outlook: Outlook) -> Dates:
        """The dates where a block looks."""
        here = outlook.at(10).geobox(self.grid10)
        reference, *others = self.dates.looks
        seen = [_seen(look, here, self.access) for look in others]
        return Dates(
            tuple(image for image, _ in seen),
            tuple(found.shift for found in self.dates.registrations),
            (_clear(reference, here, self.access), *(clear for _, clear in seen)),
            np.array(self.dates.noise, np.float32),
        )


def make_shifts(job: Job, layer: Layer) -> Made:
    """Register the clearest dates of the span to the one that is sharpened."""
    looks = ranked_looks(job)[: job.production.parameters.sharpening.dates]
    dates, left = register(looks, job.grid_of(CATALOGUE["SR_B10"]), job.production.scenes.access)
    text = json.dumps(dates.to_json(), indent=1) + "\n"
    job.store.replace_text(job.place(layer.symbol), text)
    return Made(digest_of(text), dates.to_json(), tuple(left))


def no_shifts(job: Job, symbol: str) -> str:
    """Why no further dates are needed."""
    settings = job.production.parameters.sharpening
    if settings.to != 5:
        return "parameters.sharpening.to is 10"
    return "" if settings.dates > 1 else "parameters.sharpening.dates is 1"


def dates_reader(job: Job) -> ReadDates | None:
    """What reads the further dates of a tile; None where there are none."""
    record = job.record("SR_shifts")
    if record is None or not record.made:
        return None
    dates = Registered.from_json(json.loads(job.store.read_text(job.place("SR_shifts").data) or ""), ranked_looks(job))
    return ReadDates(dates, job.grid_of(CATALOGUE["SR_B10"]), job.production.scenes.access) if dates.registrations else None


def shifts_cost(job: Job, layer: Layer) -> Cost:
    """Reading and comparing the middle of each date."""
    pixels = min(pixels_of(job), LARGEST**2) * job.production.parameters.sharpening.dates
    return Cost(pixels * 4 * COMPARE_NS / 1e9, resident(job, min(pixels_of(job), LARGEST**2) * 80), pixels * 8)
