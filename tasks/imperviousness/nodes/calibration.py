"""IMD_calibration: fits the calibration, or borrows one where there are too few samples (docs/dev/algorithms.md, section 8)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from imperv.calibration import Calibration, CalibrationError, Samples, collect_samples, fit_samples
from imperv.grids import Tile, nearest_tiles
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.job import Job, Made
from imperv.tasks.memory import block_bytes
from imperv.tasks.store.file_systems import tiles_with
from imperv.tasks.store.records import digest_of

OWN = "own samples"
"""Source of a calibration from the tile's samples alone."""

NARROW = 20.0
"""Width of minimum..maximum, percent, below which the rescaled density is nearly binary; our choice, a warning."""

MASK_PIXEL = 2 * 4
"""Projected memory of the NDVI of a pixel of the mask, bytes: in its block's samples and in the tile's."""

LATTICE_PIXEL = 2 * 5 + 4 * 8
"""The same of NDVI and density of a pixel on the lattice of the regression, and of its two double-precision copies of both."""

INPUTS = CATALOGUE["IMD_calibration"].inputs


def make_calibration(job: Job, layer: Layer) -> Made:
    """Fit and store the calibration of a tile; WorkError if neither it nor any neighbour gives one."""
    job.engine.at_once(projected_bytes(job), layer.symbol)
    versions = calibration_versions(job)  # before anything is read: a later change makes it out of date
    calibration, source = _best(job)
    job.store.replace_text(job.place(layer.symbol), calibration.to_json())
    values = {
        "intercept": calibration.intercept, "slope": calibration.slope, "minimum": calibration.minimum,
        "maximum": calibration.maximum, "samples": calibration.samples, "r2": calibration.r2,
        "flags": list(calibration.flags), "source": source,
    }  # fmt: skip
    warnings = [] if source == OWN else [f"calibration from {source}"]
    if (width := calibration.maximum - calibration.minimum) < NARROW:
        warnings.append(
            f"calibration stretches {width:.0f} percent of predicted density to 100: the map will be nearly binary; "
            "IBU_then should mark fully sealed ground"
        )
    external = {} if source == OWN else {"neighbours": versions}
    return Made(digest_of(calibration.to_json()), values, tuple(warnings), external=external)


def calibration_versions(job: Job) -> dict[str, str]:
    """Versions of what a tile with too few samples may borrow."""
    found: dict[str, str] = {}
    for other in _usable_neighbours(job):
        records = {symbol: other.record(symbol) for symbol in INPUTS}
        found |= {f"{symbol} of {other.tile}": r.version for symbol, r in records.items() if r is not None}
    for tile in nearest_tiles(job.tile, _calibrated_tiles(job), 1):
        record = job.neighbour(tile).record("IMD_calibration")
        found[f"IMD_calibration of {tile}"] = record.version if record else ""
    return found


def _best(job: Job) -> tuple[Calibration, str]:
    parameters = job.production.parameters.calibration
    own = tile_samples(job)
    try:
        return fit_samples(own, parameters), OWN
    except CalibrationError as error:
        reasons = [str(error)]
    neighbours = _usable_neighbours(job)
    job.engine.at_once(sum(projected_bytes(one) for one in (job, *neighbours)), f"IMD_calibration of {len(neighbours) + 1} tiles")
    around = {other.tile: tile_samples(other) for other in neighbours}
    names = ", ".join(str(n) for n in around)
    if around:
        try:
            return _flagged(
                fit_samples(Samples.merge(own, *around.values()), parameters), "pooled"
            ), f"own samples and those of {names}"
        except CalibrationError as error:
            reasons.append(f"with those of {names}: {error}")
    for tile in nearest_tiles(job.tile, _calibrated_tiles(job), 1):
        text = job.store.read_text(job.neighbour(tile).place("IMD_calibration").data)
        if text:
            return _flagged(Calibration.from_json(text), "borrowed"), f"tile {tile}"
    reasons.append(f"{'' if around else 'no neighbouring tile has samples and '}no other tile is calibrated by its own")
    try:
        few = parameters.model_copy(update={"minimum_samples": parameters.fallback_samples})
        return _flagged(fit_samples(own, few), "few_samples"), "own few samples"
    except CalibrationError as error:
        if str(error) not in reasons:
            reasons.append(f"where nothing can be borrowed: {error}")
        raise WorkError(f"IMD_calibration of tile {job.tile}: {'; '.join(reasons)}; {_remedy(job, own, len(around))}") from None


def _remedy(job: Job, own: Samples, asked: int) -> str:
    """Remedies for a tile that cannot be calibrated, with so many neighbours asked."""
    parameters, ways = job.production.parameters.calibration, []
    if own.ndvi.size >= parameters.fallback_samples:  # enough samples without a relation
        ways.append("check that imd_then, ibu_then and clcplus_then describe the year of `then` and lie where its scenes do")
    if job.windowed:
        ways.append("use a larger area")
    if len(job.area_neighbours()) > asked:
        ways.append("run neighbouring tiles first")
    if own.ndvi.size < parameters.fallback_samples <= own.mask_ndvi.size and parameters.step > 1:
        ways.append(f"lower parameters.calibration.step ({parameters.step}): {own.mask_ndvi.size} pixels are inside the mask")
    return ", or ".join(ways) or "share the store with a production that has calibrated tiles of the same year"


def calibrates_alone(job: Job) -> bool:
    """True where the tile's own samples give a calibration, so that it needs nothing of its neighbours."""
    if not all(job.usable(symbol) for symbol in INPUTS):
        return False
    try:
        fit_samples(tile_samples(job), job.production.parameters.calibration)
    except CalibrationError:
        return False
    return True


def _flagged(calibration: Calibration, flag: str) -> Calibration:
    return replace(calibration, flags=(*calibration.flags, flag))


def projected_bytes(job: Job) -> int:
    """Projected memory of the samples of a tile and of a fit to them: they grow with the sealing mask, not with the tile."""
    record = job.record("IMD_MSK_then")
    counted: Any = record.statistics.get("IMD_MSK_then", {}) if record else {}
    blocks = job.blocks(10)
    # Without counts: the upper bound.
    sealed = counted["histogram"].get("1", 0) if "histogram" in counted else math.prod(job.grid(10).shape)
    step = job.production.parameters.calibration.step
    read = [(math.prod(blocks[0].shape), CATALOGUE[symbol].dtype) for symbol in INPUTS if CATALOGUE[symbol].resolution]
    return block_bytes(read) + int(sealed * (MASK_PIXEL + LATTICE_PIXEL / step**2))


def tile_samples(job: Job) -> Samples:
    """Samples of a tile, gathered block by block."""
    row, column = job.global_index()
    step = job.production.parameters.calibration.step
    arrays = [job.array(symbol) for symbol in INPUTS]
    parts = []
    for block in job.blocks(10):
        imd, ndvi, mask, ibu = (array[block.slices] for array in arrays)
        parts.append(collect_samples(imd, ndvi, mask, ibu, offset=(row + block.y0, column + block.x0), step=step))
    return Samples.merge(*parts)


def _usable_neighbours(job: Job) -> list[Job]:
    """Neighbouring tiles whose samples can be taken from the store."""
    return [other for other in job.area_neighbours() if all(other.usable(symbol) for symbol in INPUTS)]


def _calibrated_tiles(job: Job) -> list[Tile]:
    """Tiles of the store that are calibrated for the same period."""
    label, found = job.production.periods.then.label, []
    for name in tiles_with(job.store, "tiles", f"{label}/IMD_calibration.json"):
        try:
            tile = Tile(name)
            record = job.neighbour(tile).record("IMD_calibration")
        except (ValueError, InputError):
            continue
        if record is not None and record.statistics.get("source") == OWN:
            found.append(tile)
    return found


def calibration_external(job: Job, layer: Layer) -> dict[str, Any]:
    """Versions that a calibration with borrowed samples depends on now."""
    record = job.record(layer.symbol)
    return {"neighbours": calibration_versions(job)} if record and "neighbours" in record.ingredients else {}
