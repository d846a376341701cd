"""One scene in a hurry: from what a person names to one cloud-optimised GeoTIFF, without a production (`imperv sharpen`).

Scenes are found, the clearest look over the area or the mosaic of the span is read once, and blocks of it are sharpened with the
statistics of its surroundings, so that it shows nothing where the area ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox
from threadpoolctl import threadpool_limits

from imperv.grids import Block
from imperv.grids.specs import UTM_STEP
from imperv.layers.catalogue.superresolution import NO_DEVIATION, SHARP
from imperv.layers.network.unet import configure_threads
from imperv.layers.sharpening.date_network import shipped as shipped_dates
from imperv.layers.sharpening.scene import MARGIN, Fit, SceneModel, steps_to
from imperv.tasks.delivery.drafts import WITH_OVERVIEWS, drafts, require_room
from imperv.tasks.engine import RESERVED
from imperv.tasks.errors import InputError
from imperv.tasks.family.costs import TENSORFLOW
from imperv.tasks.native.area import Area, read_area
from imperv.tasks.native.finding import find_scenes, native_grid, require_clear
from imperv.tasks.native.looks import NO_DATA, Look, looks_of, rank_looks, shows_ground
from imperv.tasks.native.pixels import grid_epsg
from imperv.tasks.networks.precision import precision_here
from imperv.tasks.scenes.access import LOCAL
from imperv.tasks.scenes.bands import PIXEL
from imperv.tasks.superresolution.dates import ReadDates, register
from imperv.tasks.superresolution.measured import FIT_EDGE, TEN, Measured, enlarged, surroundings
from imperv.tasks.superresolution.models import (
    FIT_BYTES,
    FIT_NS,
    NETWORK_S,
    digest_of_model,
    in_precision,
    networks_of,
    parts_of,
    shipped_networks,
)
from imperv.tasks.superresolution.mosaics import mosaic_mask
from imperv.tasks.superresolution.request import Request, Tell, check_request, engine_of
from imperv.tasks.superresolution.sharpening import CONSISTENT, REGRESSION_NS, SHARPEN_BYTES, network_ns
from imperv.tasks.superresolution.windows import Outlook, consistency, sharpen_block, window

SMALLEST_BLOCK = 120
"""Edge below which blocks would be margins for the most part, pixels of 10 m."""

BANDS_NS = 250.0
"""Core nanoseconds by pixel of 10 m to decode all bands, of one look."""

WRITE_NS = 1400.0
"""Core nanoseconds by pixel of a file to make it cloud-optimised, all bands."""

LOADING_S = 4.0
"""Core seconds to load libraries and choose the scene."""

DATE_BYTES = 120
"""Bytes by pixel of 10 m that is read for a block, of each further date."""

WIDEST = 300_000
"""Metres of what is sharpened without an area: more than a granule of 110 km, or a few that overlap."""


@dataclass(frozen=True)
class Chosen:
    """What is sharpened."""

    looks: tuple[Look, ...]
    """One, or all of a mosaic."""
    others: tuple[Look, ...]
    """Further dates for 5 m, the clearest first."""
    grid: GeoBox
    """Pixels of 10 m of the area."""
    data: float
    """Share of the area that has data."""
    clear: float
    """Share of the area that is clear."""
    warnings: tuple[str, ...]
    """What a person should know."""


@dataclass(frozen=True)
class Plan:
    """What a request will cost."""

    blocks: int
    """Blocks that are sharpened."""
    core_seconds: float
    """Without the training of `tune`."""
    memory: int
    """Highest resident memory, bytes."""


@dataclass(frozen=True)
class Outcome:
    """What was made."""

    chosen: Chosen
    """Of what."""
    shape: tuple[int, int, int]
    """(band, y, x)."""
    method: str
    """Network or regression."""
    looks: tuple[Look, ...]
    """All that took part."""
    consistency: Mapping[str, float]
    """By band, reflectance x 10 000 (`windows.consistency`)."""
    paths: tuple[Path, ...]
    """Files, the sharpened bands first."""
    warnings: tuple[str, ...]
    """What a person should know."""


def sharpen_scene(request: Request, tell: Tell, planned: Callable[[Plan], None] = lambda _: None) -> Outcome:
    """Make the files of a request; `planned` hears what it will cost, before anything is read.

    InputError for what it or its scenes lack; WorkError if reading or writing fails.
    """
    check_request(request)
    area = read_area(request.area) if request.area is not None else None
    tell("choose", 0, 1)
    chosen = choose(request, area)
    around = surroundings(chosen.grid) if area is not None else chosen.grid
    rows, columns = around.shape.yx
    planned(plan_of(request, chosen, around))
    bands = [name for name in SHARP if all(name in look.bands for look in chosen.looks)]
    measured_bytes = 2 * rows * columns * sum((TEN / PIXEL[name]) ** 2 for name in SHARP)
    pixels = chosen.grid.shape.x * chosen.grid.shape.y * (TEN // request.to) ** 2
    files = 2 * pixels * len(bands) * (2 + request.raw + request.deviation)  # drafts, and the file that is being made of one
    require_room(request.out.parent, measured_bytes + WITH_OVERVIEWS * files)
    with tempfile.TemporaryFile(dir=request.out.parent, prefix=f".{request.out.name}.") as file:
        measured = Measured.read(chosen.looks, request.mosaic, bands, around, file, request, tell)
        model, said = scene_model(measured, request, tell)
        warnings = [*chosen.warnings, *measured.warnings, *said]
        warnings += [f"no scene has {name}: it is left out" for name in SHARP if name not in bands]
        return _write(request, chosen, area, measured, bands, model, warnings, tell)


def plan_of(request: Request, chosen: Chosen, around: GeoBox) -> Plan:
    """What a request will cost, by arithmetic from measured rates."""
    rows, columns = around.shape.yx
    pixel_bytes = SHARPEN_BYTES[request.to] + DATE_BYTES * len(chosen.others)
    blocks = blocks_of(request, chosen.grid, pixel_bytes)
    read = [Outlook.of(within(block, chosen.grid, around), TEN, (rows, columns)).pixels for block in blocks]
    at_once = engine_of(request, "", lambda *_: None).at_once(max(read) * pixel_bytes, "sharpen")
    numbers, _ = precision_here(request.precision, "--precision")
    rate = network_ns(request.to, numbers) if request.network else REGRESSION_NS[request.to]
    written = chosen.grid.shape.x * chosen.grid.shape.y * (TEN // request.to) ** 2 * (1 + request.raw + request.deviation)
    seconds = (rows * columns * (len(chosen.looks) * BANDS_NS + FIT_NS) + sum(read) * rate + written * WRITE_NS) / 1e9
    starting, networks = (NETWORK_S[request.to], TENSORFLOW) if request.network else (0.0, 0)
    memory = RESERVED + networks + at_once * max(read) * pixel_bytes
    return Plan(len(blocks), LOADING_S + starting + seconds, memory)


def choose(request: Request, area: Area | None) -> Chosen:
    """The clearest look, or all that are clear somewhere, and the pixels of the area."""
    scenes = find_scenes(request.source, area.bounds if area else None, request.period, request.level)
    looks = looks_of(scenes)
    lost: dict[str, str] = {}
    grid = native_grid(looks, area.bounds if area else None)
    if area is not None:
        grid = area.grid(grid_epsg(grid), TEN)
    elif max(grid.boundingbox.span_x, grid.boundingbox.span_y) > WIDEST:
        raise InputError(f"{request.source}: its scenes reach over more than {WIDEST / 1000:g} km; name an area with --aoi")
    grid20 = GeoBox.from_bbox(grid.boundingbox, resolution=20, tight=True)
    inside = area.inside(grid20, touched=True) if area is not None else np.ones(grid20.shape.yx, bool)
    ranked = rank_looks(scenes, grid, LOCAL, lost, inside)
    best = require_clear(ranked, request.source)
    warnings = [f"scene {name} left out: {why}" for name, why in lost.items()]
    if request.mosaic:
        found = tuple(look for look, _, clear in ranked if clear > 0)
        mask = mosaic_mask(found, grid20, LOCAL)[0][inside]
        data, clear = float((mask != NO_DATA).mean()), float(shows_ground(mask).mean())
    else:
        found, (_, data, clear) = (best,), ranked[0]
        if area is None:  # of several granules, the ground of this look
            grid = native_grid(found)
    warnings += [said for look in found for said in look.warnings]
    others = tuple(look for look, _, clear in ranked[1 : request.dates] if clear > 0)
    return Chosen(found, others, grid, data, clear, tuple(dict.fromkeys(warnings)))


def scene_model(measured: Measured, request: Request, tell: Tell) -> tuple[SceneModel, list[str]]:
    """What the ground tells of detail, and what a person should know of it."""
    parts = measured.parts()

    def summed(part: Outlook) -> Fit:
        fit = Fit()
        fit.add(window(measured, part))
        return fit

    fit = Fit()
    with threadpool_limits(1, "blas"):  # or threads of one product wait for those of another block
        for some in engine_of(request, "fit", tell).map(summed, parts, FIT_EDGE**2 * FIT_BYTES, "fit"):
            fit.join(some)
    if request.network:
        configure_threads(request.workers)
    several = shipped_dates() if request.network and request.to == 5 and request.dates > 1 else None
    steps = steps_to(request.to)
    networks = {name: network for name, network in shipped_networks().items() if name in steps} if request.network else {}
    model = SceneModel(fit.solve(), networks, several)
    said: list[str] = []
    if model.networks or request.tune:
        tell("tune", 0, 1)
        windows = [window(measured, part) for part in parts_of(measured.shape)]
        held, tuned = networks_of(model, windows, steps if request.tune else ())
        model.networks = held | tuned
    if model.networks:
        precision, warnings = precision_here(request.precision, "--precision")
        model, said = in_precision(model, precision), [*said, *warnings]
    if request.network and not model.networks:
        said.append("no networks come with this version: the regression is used; --tune trains some")
    return model, said


def blocks_of(request: Request, grid: GeoBox, pixel_bytes: int) -> list[Block]:
    """Blocks of pixels of 10 m as large as the memory allows, cut so that all workers have work."""
    each, margin = UTM_STEP // TEN, 2 * MARGIN // TEN
    rows, columns = grid.shape.yx
    budget = engine_of(request, "", lambda *_: None).budget // pixel_bytes
    workers = max(1, min(request.workers, budget // (SMALLEST_BLOCK + margin) ** 2))
    most = min(request.block, int((budget / workers) ** 0.5) - margin) // each * each
    wide = min(most, columns)
    high = min(most, max(SMALLEST_BLOCK, -(-rows // (workers * each)) * each)) if columns <= most else most
    return [
        Block(y, x, min(y + high, rows), min(x + wide, columns)) for y in range(0, rows, high) for x in range(0, columns, wide)
    ]


def within(block: Block, grid: GeoBox, around: GeoBox) -> Block:
    """A block of pixels of 10 m of a grid in pixels of the one around it."""
    down, right = (round(n) for n in (~around.affine * (grid.affine.c, grid.affine.f))[::-1])
    return Block(block.y0 + down, block.x0 + right, block.y1 + down, block.x1 + right)


def _write(
    request: Request, chosen: Chosen, area: Area | None, measured: Measured, bands: Sequence[str], model: SceneModel,
    warnings: list[str], tell: Tell,
) -> Outcome:  # fmt: skip
    """Sharpen block by block, and make the files."""
    grid = GeoBox.from_bbox(chosen.grid.boundingbox, resolution=request.to, tight=True)
    times, kept = TEN // request.to, [SHARP.index(name) for name in bands]
    sharp, raw, deviation = request.out, request.beside("raw"), request.beside("deviation")
    files = {
        **({deviation: (bands, NO_DEVIATION)} if request.deviation else {}),
        **({raw: (bands, NO_DATA)} if request.raw else {}),
        sharp: (bands, NO_DATA),
    }
    shape = (measured.shape[0] * times, measured.shape[1] * times)

    looks, dates, date_bytes = chosen.looks, None, 0
    if chosen.others:
        tell("register", 0, 1)
        found, lost = register([*looks, *chosen.others], measured.grid, LOCAL)
        warnings += lost
        looks, date_bytes = found.looks, DATE_BYTES * len(found.registrations)
        dates = ReadDates(found, measured.grid, LOCAL) if found.registrations else None
    elif request.dates > 1:
        warnings.append("no further date shows the area: one takes part")
    pixel_bytes = SHARPEN_BYTES[request.to] + date_bytes

    with drafts(request.out, grid, files) as made:

        def put(path: Path, block: Block, pixels: np.ndarray, outside: np.ndarray) -> None:
            if path in made:
                made[path].write(block, np.where(outside, np.uint16(files[path][1]), pixels))

        def outlook_of(block: Block) -> Outlook:
            return Outlook.of(within(block, chosen.grid, measured.grid).scaled(times), request.to, shape)

        def work(block: Block) -> dict[str, tuple[float, int]]:
            here = block.scaled(times)
            outlook = outlook_of(block)
            found = sharpen_block(measured, outlook, model, dates)
            place = here.geobox(grid)
            outside = ~area.inside(place) if area is not None else np.zeros(place.shape.yx, bool)
            put(sharp, here, found.bands[kept], outside)
            put(deviation, here, found.deviation[kept], outside)
            if request.raw:
                put(raw, here, enlarged(measured, outlook, bands), outside)
            return found.lack

        blocks = blocks_of(request, chosen.grid, pixel_bytes)
        largest = max(outlook_of(block).pixels for block in blocks)
        lack = engine_of(request, "sharpen", tell).map(work, blocks, largest * pixel_bytes, "sharpen")
        left = {name: value for name, value in consistency(lack).items() if name in bands}
        if wrong := [f"{name} {value:.1f}" for name, value in left.items() if value > CONSISTENT]:
            warnings.append(
                f"degraded again, bands differ from the measured ones by {', '.join(wrong)}, reflectance x 10 000 (at most "
                f"{CONSISTENT:g} expected)"
            )
        tags = tags_of(request, chosen, model, looks, left)
        titles = {sharp: f"all bands at {request.to} m", raw: "measured bands, enlarged", deviation: "deviation of the bands"}
        for done, (path, draft) in enumerate(made.items()):
            tell("write", done, len(made))
            draft.finish({"title": f"Sentinel-2, {titles[path]}", **tags}, request.workers)
        tell("write", len(made), len(made))
    if not any(band.valid for band in made[sharp].found):
        warnings.append("no pixel inside of the area has data")
    paths = tuple(reversed(files))
    return Outcome(chosen, (len(bands), *grid.shape.yx), method_of(request, model), looks, left, paths, tuple(warnings))


def method_of(request: Request, model: SceneModel) -> str:
    """How bands were sharpened, in words."""
    if not model.networks:
        return "regression"
    numbers = [] if model.precision == "float32" else [model.precision]
    return ", ".join(["network", *(["tuned on the scene"] if request.tune else []), *numbers])


def tags_of(
    request: Request, chosen: Chosen, model: SceneModel, looks: Sequence[Look], left: Mapping[str, float]
) -> dict[str, str]:
    """How a file was made, as it says itself."""
    from importlib.metadata import version

    networks = ", ".join(f"{name} {digest_of_model(network)}" for name, network in model.networks.items())
    counted = "one overpass" if len(looks) == 1 else f"{len(looks)} overpasses"
    days = sorted({str(look.day) for look in looks})
    return {
        "scenes": ", ".join(scene.id for look in looks for scene in look.scenes),
        "date": days[0] if len(days) == 1 else f"{days[0]}/{days[-1]}",
        "input": "median of the clear looks" if request.mosaic else counted,
        "level": chosen.looks[0].level,
        "pixel": f"{request.to} m",
        "method": method_of(request, model),
        **({"networks": networks} if networks else {}),
        "consistency": ", ".join(f"{name} {value:.2f}" for name, value in left.items()),
        "clear": f"{chosen.clear:.4f}",
        "unit": "reflectance x 10 000",
        "software": f"imperv {version('imperv')}",
    }
