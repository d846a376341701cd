"""Two dates in a hurry: from what a person names to change vectors and classes in a folder, without a production.

Both dates are read twice: windows of them for the noise and the threshold, then block by block for the maps. Nothing has its
name before all files are finished.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox
from shapely import box
from shapely.ops import unary_union

from imperv.grids import Block, block_grid, inner_slices
from imperv.grids.mapping import CELL
from imperv.layers.cva.classes import Centre, assign
from imperv.layers.cva.noise import Noise
from imperv.layers.cva.vectors import MARGIN, change_vectors
from imperv.layers.reflectance import SCL
from imperv.tasks.change.changed import changed_pixels, classes_of, few_classes
from imperv.tasks.change.comparing import noise_of, seen_by_both
from imperv.tasks.change.dates import Windows, read_date
from imperv.tasks.change.pairing import check_granules, check_pair
from imperv.tasks.change.quiet import Calibration, Read, calibrate, close_looks, quiet_pairs
from imperv.tasks.change.request import Request, Source, Tell, checked, engine_of
from imperv.tasks.delivery.drafts import require_room
from imperv.tasks.errors import InputError, writing
from imperv.tasks.native.area import Area, area_of, units_of_metre
from imperv.tasks.native.finding import find_scenes
from imperv.tasks.native.looks import Look, looks_of, zone_of
from imperv.tasks.native.pixels import place_of
from imperv.tasks.projections import moved
from imperv.tasks.settings.periods import Period

BLOCK = 1000
"""Edge of a block, pixels."""

METRES_OF_DEGREE = 111_320.0
"""At the equator."""

PIXEL_BYTES = 40
"""Bytes by pixel and band of a block: both dates, their mean, difference and gradients as floats."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was found; maps lie in `vectors` until they are written."""

    looks: tuple[Look, Look]
    grid: GeoBox
    bands: tuple[str, ...]
    pixel: float
    """Metres."""
    noise: Noise
    calibration: Calibration
    centres: tuple[Centre, ...]
    vectors: np.ndarray
    """Amplitude and angle, (2, y, x) float32."""
    dates: tuple[np.ndarray, np.ndarray]
    """Every n-th pixel of both dates, (band, y, x)."""
    step: int
    """n."""
    warnings: tuple[str, ...]

    def codes(self, rows: slice) -> np.ndarray:
        """Classes of some rows."""
        amplitude, angle = self.vectors[:, rows]
        return assign(amplitude, angle, self.calibration.threshold, self.centres)


def change_of(request: Request, tell: Tell) -> Outcome:
    """Find the changes of a request and write its files. InputError for what it or its scenes lack."""
    from imperv.tasks.change.files import draft_bytes, write_files
    from imperv.tasks.change.pictures import step_of

    bands, reference = checked(request)
    area = area_of(request.area) if request.area else None
    tell("choose", 0, 1)
    looks = tuple(_look(text, bands, area) for text in (request.first, request.second))
    check_pair(*looks)
    if looks[0].day > looks[1].day:
        raise InputError(f"the first date ({looks[0].day}) is later than the second ({looks[1].day}); swap them")
    check_granules(*looks)
    grid = grid_of(request, area, looks, bands)
    with writing(request.out, "--output"):
        request.out.mkdir(exist_ok=True)
    require_room(request.out, draft_bytes(grid))
    edge = request.cloud_edge / request.resolution
    size = read_bytes(grid, bands, edge, 250)

    def read(look: Look, step: str) -> list[np.ndarray]:
        def window(block: Block) -> np.ndarray:
            return _inside(read_date(look, bands, block.geobox(grid), edge), block.geobox(grid), area)

        return engine_of(request, step, tell).map(window, windows.blocks, size, step)

    windows = Windows.of(grid)
    first, second = (read(look, f"read {look.day}") for look in looks)
    clear = _require_clear(looks, first, second)
    try:
        noise = noise_of(zip(first, second, strict=True), clear)
    except ValueError as error:
        raise InputError(f"{looks[0].name} and {looks[1].name}: {error}; choose other dates or a larger area") from None
    known = {looks[0].name: first, looks[1].name: second}
    calibration = _calibration(request, looks, noise, windows, lambda look: read(look, f"quiet {look.day}"), bands, grid, known)
    del first, second, known
    warnings = [said for look in looks for said in look.warnings] + list(calibration.warnings)
    with tempfile.TemporaryFile(dir=request.out, prefix=".vectors.") as file:
        vectors = np.memmap(file, "f4", "w+", shape=(2, *grid.shape.yx))
        step = step_of(grid.shape.yx)
        small = [np.zeros((len(bands), *(-(-n // step) for n in grid.shape.yx)), "u2") for _ in looks]
        blocks = list(block_grid(grid, BLOCK // 25 * 25))

        def work(block: Block) -> np.ndarray:
            outer = Block(block.y0 - CELL, block.x0 - CELL, block.y1 + CELL, block.x1 + CELL)  # on the cells of the windows
            place = outer.geobox(grid)
            both = [_inside(read_date(look, bands, place, edge), place, area) for look in looks]
            near = Block(block.y0 - MARGIN, block.x0 - MARGIN, block.y1 + MARGIN, block.x1 + MARGIN)
            both = [date[(slice(None), *inner_slices(near, outer))] for date in both]
            found = np.stack(change_vectors(both[0], both[1], seen_by_both(both[0], both[1]), noise, reference))
            found = found[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
            vectors[(slice(None), *block.slices)] = found
            thin_y, thin_x = (slice(-first % step, None, step) for first in (block.y0, block.x0))
            for target, date in zip(small, both, strict=True):
                part = date[:, MARGIN:-MARGIN, MARGIN:-MARGIN][:, thin_y, thin_x]
                y, x = -(-block.y0 // step), -(-block.x0 // step)
                target[:, y : y + part.shape[1], x : x + part.shape[2]] = part
            return changed_pixels(found, calibration.threshold, len(blocks))

        changed = engine_of(request, "compare", tell).map(work, blocks, read_bytes(grid, bands, edge, BLOCK), "compare")
        centres = classes_of(changed, calibration.threshold, request.classes)
        if len(centres) < request.classes:
            warnings.append(few_classes(len(centres), request.classes))
        outcome = Outcome(
            (looks[0], looks[1]), grid, bands, request.resolution, noise, calibration, centres, vectors, (small[0], small[1]),
            step, tuple(dict.fromkeys(warnings)),
        )  # fmt: skip
        write_files(request, outcome, reference, tell)
    return outcome


def _look(text: str, bands: Sequence[str], area: Area | None) -> Look:
    """The only overpass that a person names; InputError for none, or several dates."""
    source = Source.parse(text)
    scenes = find_scenes(source.path, area.bounds if area else None, source.day, "L2A", (*bands, SCL), ())
    looks = looks_of(scenes)
    days = sorted({look.day for look in looks})
    if len(days) > 1:
        named = ", ".join(map(str, days[:4])) + (f" and {len(days) - 4} more" if len(days) > 4 else "")
        raise InputError(f"{text}: holds several dates ({named}); name one, such as {source.path}@{days[0]}")
    return max(looks, key=lambda look: len(look.scenes))


def grid_of(request: Request, area: Area | None, looks: Sequence[Look], bands: Sequence[str]) -> GeoBox:
    """Pixels of the area, or of the ground that both dates show: in their UTM zone, or the system that is asked for."""
    epsg = zone_of(looks[0].scenes[0])
    shown = [
        unary_union([box(*place_of(scene.bands[bands[0]], scene.id, bands[0]).bounds) for scene in look.scenes]) for look in looks
    ]
    ground = shown[0] & shown[1]
    if area is not None:
        ground &= area.to(f"EPSG:{epsg}")
    if ground.area <= 0:
        where = f"{area.name} lies beside what" if area is not None else "nothing is what"
        raise InputError(
            f"{where} both {looks[0].name} and {looks[1].name} show; name two dates of one granule and an area in it"
        )
    system = request.projection or f"EPSG:{epsg}"
    bounds = area.to(system).bounds if area is not None else moved(ground.bounds, f"EPSG:{epsg}", system)
    size = request.resolution * (units_of_metre(system) or 1 / METRES_OF_DEGREE)
    # Edges lie on whole pixels of the reference system: in the UTM zone those of Sentinel-2.
    left, bottom, right, top = (round(float(v), 9) for v in bounds)
    return GeoBox.from_bbox((left, bottom, right, top), crs=system, resolution=size, anchor="edge")


def read_bytes(grid: GeoBox, bands: Sequence[str], edge: float, block: int) -> int:
    """Memory of one block of both dates."""
    rows, columns = (min(block, n) + 2 * CELL for n in grid.shape.yx)
    margin = 2 * (int(edge) + CELL)
    return rows * columns * len(bands) * PIXEL_BYTES + (rows + margin) * (columns + margin) * 8 + 32 * 2**20


def _inside(pixels: np.ndarray, grid: GeoBox, area: Area | None) -> np.ndarray:
    """Without what lies outside of the area."""
    if area is not None:
        pixels[:, ~area.inside(grid)] = 0
    return pixels


def _require_clear(looks: Sequence[Look], first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> int:
    """Clear pixels that both dates have; InputError where one or both show nothing."""
    for look, windows in zip(looks, (first, second), strict=True):
        if not any((window[0] > 0).any() for window in windows):
            raise InputError(f"{look.name} shows nothing of the area but cloud, shadow, snow or no data; choose another date")
    if not (clear := sum(int(seen_by_both(a, b).sum()) for a, b in zip(first, second, strict=True))):
        raise InputError(
            f"{looks[0].name} and {looks[1].name} show no ground in common: where one is clear the other has cloud or no data; "
            "choose another date"
        )
    return clear


def _calibration(
    request: Request, looks: Sequence[Look], noise: Noise, windows: Windows, read: Read, bands: Sequence[str], grid: GeoBox,
    known: dict[str, list[np.ndarray]],
) -> Calibration:  # fmt: skip
    """The threshold, by quiet pairs where a catalogue of them is named."""
    pairs, said = [], []
    if request.quiet and request.threshold in ("auto", "quiet") and request.days:
        system = str(grid.crs)
        bounds = moved(grid.boundingbox.bbox, system, "EPSG:4326")
        for look, other in (looks, looks[::-1]):
            some = dt.timedelta(days=request.days)
            around = Period(look.day - some, look.day + some)
            try:
                scenes = find_scenes(request.quiet, bounds, around, "L2A", (*bands, SCL), ())
            except InputError as error:
                if "no scene" not in str(error):
                    raise
                said.append(f"no quiet date around {look.day}: {error}")
                continue
            found, left = quiet_pairs(
                close_looks(looks_of(scenes), look.day, other.day, request.days), windows, read, request.gap, known
            )  # fmt: skip
            pairs += found
            said += left
        if not pairs:
            said.append(f"{request.quiet}: no quiet pair of dates lies close to either date, so no false alarms are measured")
    try:
        return calibrate(noise, request.level, request.threshold, pairs, said)
    except InputError as error:
        raise InputError(f"--{error}") from None
