"""What the report of super-resolution shows: cuts, spectra of points, deviation, scores, networks, overpasses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imperv.grids import Block
from imperv.grids.specs import UTM_STEP
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.catalogue.superresolution import FALSE, MASK, NATURAL, SHARP
from imperv.layers.sharpening.network import size_of
from imperv.layers.sharpening.scene import steps_to
from imperv.layers.sharpening.steps import STEPS
from imperv.layers.sharpening.wald import degraded_scores
from imperv.tasks.delivery.quicklooks import draw_bands
from imperv.tasks.job import Job
from imperv.tasks.native.looks import shows_ground
from imperv.tasks.report.page import css, gradient, number
from imperv.tasks.report.pictures import Legend, Map, data_uri, grades, indexed_png, scale_bar
from imperv.tasks.scenes.bands import PIXEL
from imperv.tasks.superresolution.cuts import limits_of, measured_cut, sharp_cut
from imperv.tasks.superresolution.models import digest_of_model, measured_bands, scene_model
from imperv.tasks.superresolution.windows import Outlook, window

SHADES = ((255, 255, 255), (253, 212, 158), (227, 101, 58), (127, 18, 18))
"""Of the deviation, from none to most."""

MOST = 0.98
"""Quantile of the deviation that has the darkest shade."""

SAMPLE = 4800
"""Edge of the ground that is scored at the degraded scale, metres."""

LONGEST = 500
"""Most pixels of the mask's map each way; every n-th is shown."""

AROUND, APART = 3, 20
"""Pixels around a point that its frame shows, and that no other point lies in."""


def bounds_of(job: Job, cut: Block) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) of a cut in metres of the native grid."""
    box = job.grid_of(CATALOGUE["SR_B60"])[cut.slices].boundingbox
    return box.left, box.bottom, box.right, box.top


def frame_of(cut: Block, outer: Block) -> dict[str, float]:
    """Where a block lies in another, percent."""
    rows, columns = outer.shape
    return {
        "left": round(100 * (cut.x0 - outer.x0) / columns, 2), "top": round(100 * (cut.y0 - outer.y0) / rows, 2),
        "width": round(100 * cut.shape[1] / columns, 2), "height": round(100 * cut.shape[0] / rows, 2),
    }  # fmt: skip


# before and after -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A cut as measured and as sharpened, in the same colours."""

    before: Map
    after: Map
    same: bool
    """True where all of its bands are measured at these pixels."""
    bands: tuple[str, ...]
    coarsest: int
    """Largest measured pixel of its bands, metres."""


def pairs(job: Job, symbol: str, cut: Block) -> list[Pair]:
    """A cut of a sharpened layer in natural and in false colour, pixel by pixel."""
    resolution = int(CATALOGUE[symbol].resolution)
    share, text = scale_bar(bounds_of(job, cut))
    found = []
    for name, bands in (FALSE, NATURAL):
        before, after = measured_cut(job, cut, bands, resolution), sharp_cut(job, symbol, cut, bands)
        limits = limits_of(before)
        maps = []
        for what, pixels in (("measured", before), (f"sharpened to {resolution} m", after)):
            title = f"{name.capitalize()}, {', '.join(bands)}"
            uri = data_uri(draw_bands(pixels, None, limits), "png", compress_level=9)
            height, width = pixels.shape[1:]
            maps.append(Map(title, uri, f"{title}, {what}", None, "", width, height, share, text))
        coarsest = max(PIXEL[band] for band in bands)
        found.append(Pair(maps[0], maps[1], coarsest <= resolution, bands, coarsest))
    return found


# spectra --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """A pixel with its spectrum, reflectance x 10 000 in the order of `SHARP`."""

    title: str
    x: float
    y: float
    measured: np.ndarray
    """Of the measured pixels that it lies in."""
    sharp: np.ndarray
    deviation: np.ndarray
    frame: Mapping[str, float]
    """In the cut, percent."""


def points(job: Job, symbol: str, cut: Block) -> list[Point]:
    """Four pixels of a cut, chosen by rule among clear ground: largest correction, greenest, brightest, darkest."""
    resolution = int(CATALOGUE[symbol].resolution)
    before, after = measured_cut(job, cut, SHARP, resolution), sharp_cut(job, symbol, cut, SHARP)
    block = cut.scaled(UTM_STEP // resolution)
    deviation = np.asarray(job.group(symbol)["sd"][(slice(None), *block.slices)]).astype("f4")
    codes = np.asarray(job.array("SR_mask"))[cut.scaled(UTM_STEP // 20).slices]
    clear = shows_ground(codes).repeat(20 // resolution, 0).repeat(20 // resolution, 1)
    known = clear & np.isfinite(before).all(0) & np.isfinite(after).all(0)
    band = {name: after[k] for k, name in enumerate(SHARP)}
    near, red = band["B08"], band["B04"]
    rules = {
        "Largest correction of B11": np.abs(after - before)[SHARP.index("B11")],
        "Greenest": (near - red) / (near + red),
        "Brightest": band["B02"] + band["B03"] + red,
        "Darkest": -(near + band["B11"]),
    }
    box = bounds_of(job, cut)
    found: list[Point] = []
    for title, values in rules.items():
        if not known.any():
            break
        y, x = np.unravel_index(int(np.where(known, values, -np.inf).argmax()), known.shape)
        around = Block(int(y) - AROUND, int(x) - AROUND, int(y) + AROUND + 1, int(x) + AROUND + 1)
        known[max(y - APART, 0) : y + APART + 1, max(x - APART, 0) : x + APART + 1] = False
        frame = frame_of(around, Block(0, 0, *known.shape))
        place = box[0] + resolution * (float(x) + 0.5), box[3] - resolution * (float(y) + 0.5)
        found.append(Point(title, *place, before[:, y, x], after[:, y, x], deviation[:, y, x], frame))
    return found


# where detail comes from ----------------------------------------------------------------------------------------------


def told_shares(job: Job) -> dict[str, dict[str, float]]:
    """By step and band: share of the detail's variance that bands of finer pixels tell, an octave lower, on the whole scene.

    From the deviation u that the regression leaves over the detail that it tells: 1 / (1 + u^2). None for steps without guides.
    """
    record = job.record("SR_model")
    unexplained: Mapping[str, Mapping[str, float]] = record.statistics["unexplained"] if record is not None else {}
    return {name: {b: 1 / (1 + u**2) for b, u in found.items()} for name, found in unexplained.items() if STEPS[name].guides}


def deviation_map(job: Job, symbol: str, cut: Block, name: str = "B11") -> Map:
    """Deviation of one band of a cut."""
    resolution = int(CATALOGUE[symbol].resolution)
    block = cut.scaled(UTM_STEP // resolution)
    pixels = np.asarray(job.group(symbol)["sd"][(SHARP.index(name), *block.slices)]).astype("f4")
    known = np.isfinite(sharp_cut(job, symbol, cut, (name,))[0])
    most = max(float(np.quantile(pixels[known], MOST)), 1.0) if known.any() else 1.0
    codes = np.where(known, np.rint(np.clip(200 * pixels / most, 0, 200)), 255).astype("u1")
    share, text = scale_bar(bounds_of(job, cut))
    legend = Legend(((gradient(SHADES), "0", f"{number(most)} or more"),), (("", "no data"),), "reflectance × 10 000")
    title = f"Deviation of {name} at {resolution} m"
    image = indexed_png(codes, grades(SHADES, 201))
    return Map(title, image, f"Map: {title}", legend, "", pixels.shape[1], pixels.shape[0], share, text)


# scores and models ----------------------------------------------------------------------------------------------------


def scores(job: Job, cut: Block) -> dict[str, dict[str, dict[str, float]]]:
    """By step and way: scores at the degraded scale on a cut of the scene; steps that it is too small for are left out."""
    measured = window(measured_bands(job), Outlook.bare(cut.scaled(UTM_STEP // 10)))
    model = scene_model(job)
    wanted = steps_to(job.production.parameters.sharpening.to)
    found = {name: degraded_scores(name, measured, model) for name in wanted}
    return {name: ways for name, ways in found.items() if ways}


@dataclass(frozen=True)
class Told:
    """What is known of a network."""

    step: str
    what: str
    digest: str
    rows: tuple[tuple[str, str], ...]
    """Its record, (key, value)."""


def networks(job: Job) -> list[Told]:
    """The networks that took part, with their records."""
    record = job.record("SR_model")
    if record is None:
        return []
    found, wanted = [], steps_to(job.production.parameters.sharpening.to)
    for name, model in scene_model(job).networks.items():
        if name not in wanted:
            continue
        size, members = size_of(STEPS[name], model.shape), model.members
        what = f"{members} network{'' if members == 1 else 's'} of {number(size)} weights"
        digest, told = digest_of_model(model), record.statistics["networks"].get(name)
        tuned = "tuned on this scene" if name in record.statistics["tuned"] else "as it comes with the package"
        if told != digest and name not in record.statistics["tuned"]:
            tuned = f"of the package that is installed now; the layers were made by another one, {told}"
        found.append(Told(name, f"{what}, {tuned}", digest, tuple(_rows(model.record))))
    return found


def _rows(record: Any, lead: str = "") -> list[tuple[str, str]]:
    """Leaves of nested values, as text."""
    if isinstance(record, Mapping):
        return [row for key, value in record.items() for row in _rows(value, f"{lead}.{key}".strip("."))]
    if isinstance(record, list) and record and all(isinstance(value, Mapping) for value in record):
        return [(lead, "; ".join(", ".join(f"{k} {v}" for k, v in value.items()) for value in record))]
    if isinstance(record, list):
        return [(lead, ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in record))]
    return [(lead, f"{record:.4g}" if isinstance(record, float) else str(record))]


# input ----------------------------------------------------------------------------------------------------------------


def overpasses(job: Job) -> list[dict[str, Any]]:
    """Overpasses of the span, clearest first: name, day, level, scenes, data and clear ground (0 to 1), and their part."""
    record = job.record("SR_dates")
    if record is None or not record.made:
        return []
    rows: list[dict[str, Any]] = json.loads(job.store.read_text(job.place("SR_dates").data) or "[]")
    shifts = job.record("SR_shifts")
    others: Sequence[Mapping[str, Any]] = shifts.statistics["dates"] if shifts is not None and shifts.made else ()
    further = {tuple(sorted(date["scenes"])): date for date in others}
    chosen = set(record.statistics["chosen"])
    for row in rows:
        date = further.get(tuple(sorted(row["scenes"])))
        part = "sharpened" if row["name"] in chosen and row["clear"] > 0 else "not used"
        if date is not None:
            part = f"detail at 5 m; shifted by {_signed(date['rows'])} down, {_signed(date['columns'])} right pixels of 10 m"
        row["part"] = part
    return rows


def _signed(value: float) -> str:
    return number(value, 2)


def mask_map(job: Job) -> Map:
    """The mask that comes along, every n-th pixel, with the share of each code."""
    array, layer = job.array("SR_mask"), CATALOGUE["SR_mask"]
    step = -(-max(array.shape) // LONGEST)
    rows = [np.asarray(array[y : y + 1])[:, ::step] for y in range(0, array.shape[0], step)]
    box = job.grid_of(layer).boundingbox
    share, text = scale_bar((box.left, box.bottom, box.right, box.top))
    record = job.record("SR_mask")
    counts: Mapping[str, int] = record.statistics["SR_mask"]["histogram"] if record is not None else {}
    total = max(sum(counts.values()), 1)
    classes = tuple(
        (css(MASK.colours[code]) if code else "", f"{MASK.meaning(code)} {number(100 * counts[str(code)] / total, 1)} %")
        for code in MASK.codes
        if counts.get(str(code))
    )
    note = f"every {step}. pixel" if step > 1 else ""
    image = indexed_png(np.concatenate(rows), MASK.colours, 0)
    return Map(
        "Mask", image, "Map of clouds, shadows and clear ground", Legend((), classes), note, scale_share=share, scale_text=text
    )
