"""Scenes as files that analysis can begin with: bands at one pixel size, masks applied, any area (`imperv s2 prepare`).

Bands are brought from their native pixels to the common size, then, where asked, to another reference system; band by band.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.overlap import compute_output_geobox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.warp import reproject, transform_bounds

from imperv.grids import Block, Bounds
from imperv.layers.reflectance import COASTAL, REFLECTANCE_10M, REFLECTANCE_20M, SCL
from imperv.tasks.composites.formats import check_format, ending, in_format, is_file
from imperv.tasks.composites.masks import clouds_of, land_by_elevation, land_by_shape
from imperv.tasks.composites.sen2cor import level_2a
from imperv.tasks.delivery.drafts import drafts, require_room
from imperv.tasks.errors import ImpervError, InputError, writing
from imperv.tasks.native.area import Area, units_of_metre
from imperv.tasks.native.finding import find_scenes, native_grid
from imperv.tasks.native.looks import SATURATED, Look, bands_of, looks_of
from imperv.tasks.native.pixels import grid_epsg
from imperv.tasks.projections import DEGREES
from imperv.tasks.scenes.bands import CLASSI, PIXEL
from imperv.tasks.scenes.scenes import Scene, SceneList
from imperv.tasks.store.records import digest_of

BANDS = (*REFLECTANCE_10M, *REFLECTANCE_20M, *COASTAL)
"""Bands of surface reflectance."""

CLOUDS = (3, 8, 9, 10)
"""Classes of SCL that a mask of clouds takes: shadows, clouds of medium and high probability, cirrus."""

UP = {"nearest": Resampling.nearest, "bilinear": Resampling.bilinear, "cubic": Resampling.cubic}
DOWN = {
    "first": Resampling.nearest, "min": Resampling.min, "max": Resampling.max, "mean": Resampling.average,
    "median": Resampling.med,
}  # fmt: skip
FLAGS = {
    "first": Resampling.nearest, "and": Resampling.min, "or": Resampling.max, "median-and": Resampling.average,
    "median-or": Resampling.average,
}  # fmt: skip
"""How GDAL resamples; ``first``, where it is the north-western pixel of whole ones, is taken without it."""

LARGEST = 10_000
"""Metres of the largest pixel."""

ROWS = 1024
"""Rows that are written at once."""

Tell = Callable[[str, int, int], None]
"""Gets the step, what of it is done, and all."""


@dataclass(frozen=True)
class Preparation:
    """What a person asks for; the defaults are those of AI4Copernicus, table 4."""

    bands: tuple[str, ...] = ("B02", "B03", "B04", "B08")
    resolution: float = 10
    """Metres."""
    area: Area | None = None
    clouds: Literal["none", "L1C", "L2A"] = "none"
    """Pixels that have no data: none, those of the mask of Level-1C, or those of some classes of SCL."""
    classes: tuple[int, ...] = CLOUDS
    """Classes of SCL that ``L2A`` takes."""
    removed: Literal["none", "land", "sea"] = "none"
    """Pixels that have no data: none, land, or sea."""
    elevation: Path | None = None
    """Model of elevation, whose 0 and no data are sea."""
    land: Path | None = None
    """Polygons of land, in its place."""
    upsampling: Literal["nearest", "bilinear", "cubic"] = "nearest"
    downsampling: Literal["first", "min", "max", "mean", "median"] = "first"
    flags: Literal["first", "and", "or", "median-and", "median-or"] = "first"
    """How masks are brought to larger pixels."""
    crs: str = ""
    """Reference system; the UTM zone of the scene where it is empty."""
    format: str = "COG"
    """Driver of GDAL."""


@dataclass(frozen=True)
class Prepared:
    """What was made, or was there already."""

    path: Path
    look: Look
    shape: tuple[int, int]
    """(rows, columns)."""
    data: float
    """Share of the pixels that have data."""
    kept: bool = False
    """True where a file of the same scenes and options was there."""


def prepare(sources: Sequence[str], out: Path, wanted: Preparation, tell: Tell) -> tuple[list[Prepared], list[str]]:
    """Write a file for each overpass of some products, and say why others could not be made.

    `out` is a folder, or a file where there is one overpass (`is_file`). A finished file of the same scenes and
    options stays. InputError for what cannot be met, such as a band or mask that a scene lacks, or Level-1C without
    Sen2Cor; WorkError where writing fails.
    """
    check(wanted)
    with tempfile.TemporaryDirectory(prefix="imperv-prepare-") as folder:
        looks = _looks(sources, wanted, Path(folder), tell)
        single = is_file(out, wanted.format)
        if single and len(looks) > 1:
            raise InputError(f"--output: {out} is one file, but {len(looks)} overpasses are prepared; name a folder")
        names = [file_name(look) for look in looks]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"--output: {twice[0]} would be written twice; name its products in two commands")
        made: list[Prepared] = []
        wrong: list[str] = []
        for number, (look, name) in enumerate(zip(looks, names, strict=True)):
            tell("prepare", number, len(looks))
            path = out if single else out / f"{name}{ending(wanted.format)}"
            with writing(path, "--output"):
                path.parent.mkdir(parents=True, exist_ok=True)
            try:
                made.append(_prepare_look(look, path, wanted))
            except ImpervError as error:
                if len(looks) == 1:
                    raise
                wrong.append(str(error))
        tell("prepare", len(looks), len(looks))
        return made, wrong


def check(wanted: Preparation) -> None:
    """InputError where a request cannot be met, whatever the scenes are."""
    if unknown := [name for name in wanted.bands if name not in BANDS]:
        raise InputError(f"--bands: {', '.join(unknown)}: bands of Level-2A are {', '.join(BANDS)}; correct the list")
    if not 0 < wanted.resolution <= LARGEST:
        raise InputError(f"--resolution: {wanted.resolution:g} m; pixels have at most {LARGEST} m")
    if wanted.removed != "none" and (wanted.elevation is None) == (wanted.land is None):
        raise InputError("--land-sea-mask: one of --dem and --land tells land from sea; name it")
    if wanted.crs and units_of_metre(wanted.crs) is None:
        raise InputError(f"--projection: {wanted.crs} is not known, or none of a map; name a code such as EPSG:32631")
    check_format(wanted.format)


def file_name(look: Look) -> str:
    """Name of a prepared overpass, without its ending."""
    if len(look.scenes) == 1:
        return look.scenes[0].id
    return f"{look.name.replace(' ', '_')}_{look.scenes[0].datetime[11:19].replace(':', '')}"


def _looks(sources: Sequence[str], wanted: Preparation, folder: Path, tell: Tell) -> list[Look]:
    """Overpasses of all products; InputError for what one lacks."""
    bounds = wanted.area.bounds if wanted.area else None
    scenes: dict[str, Scene] = {}
    for source in sources:
        found = find_scenes(source, bounds, bands=(), optional=(*BANDS, SCL, CLASSI))
        if any(scene.level == "L1C" for scene in found.scenes):
            tell("Sen2Cor", 0, 1)
            found = find_scenes(str(level_2a(source, folder)), bounds, bands=(), optional=(*BANDS, SCL, CLASSI))
        scenes |= {scene.id: scene for scene in found.scenes}
    mask = {"none": (), "L2A": (SCL,), "L1C": (CLASSI,)}[wanted.clouds]
    for scene in scenes.values():
        if missing := [name for name in (*wanted.bands, *mask) if name not in scene.bands]:
            raise InputError(f"scene {scene.id}: has no {', '.join(missing)}; name a scene that has it, or leave it out")
    return looks_of(SceneList(tuple(sorted(scenes.values(), key=lambda scene: (scene.datetime, scene.id)))))


def _said(look: Look, wanted: Preparation) -> dict[str, str]:
    """How a file is made, as it says itself."""
    area = wanted.area.shape.wkt if wanted.area else ""
    beside = [[str(path), path.stat().st_mtime_ns] for path in (wanted.elevation, wanted.land) if path and path.exists()]
    return {
        "title": "Sentinel-2 Level-2A, prepared", "scenes": ", ".join(s.id for s in look.scenes), "date": str(look.day),
        "pixel": f"{wanted.resolution:g} m", "upsampling": wanted.upsampling, "downsampling": wanted.downsampling,
        "clouds": wanted.clouds, "removed": wanted.removed, "unit": "reflectance x 10 000",
        "options": digest_of([wanted.bands, wanted.classes, wanted.flags, wanted.crs, area, beside]),
    }  # fmt: skip


def _is_there(path: Path, look: Look, said: dict[str, str]) -> Prepared | None:
    """What a finished file of the same scenes and options holds."""
    if not path.exists():
        return None
    try:
        with rasterio.open(path) as file:
            if {key: file.tags().get(key) for key in said} != said:
                return None
            share = float(file.tags(1).get("STATISTICS_VALID_SHARE", "nan"))
            return Prepared(path, look, file.shape, share, True)
    except (RasterioError, ValueError):
        return None


def _prepare_look(look: Look, path: Path, wanted: Preparation) -> Prepared:
    said = _said(look, wanted)
    if (there := _is_there(path, look, said)) is not None:
        return there
    native, area = _ground(look, wanted)
    common = resized(native, wanted.resolution)
    target = _projected(common, wanted.crs, wanted.resolution)
    require_room(path.parent, 3.0 * 2 * target.shape[0] * target.shape[1] * len(wanted.bands))
    empty = _removed(look, native, common, target, area, wanted)
    down, up = DOWN[wanted.downsampling], UP[wanted.upsampling]
    data = 0.0
    with in_format(path, wanted.format) as tif, drafts(tif, target, {tif: (wanted.bands, 0)}) as made:
        draft = made[tif]
        for number, name in enumerate(wanted.bands):
            own = resized(native, PIXEL[name])
            pixels = bands_of(look, [name], own)[0]
            bright = pixels == SATURATED
            pixels = brought(pixels, own, common, down, up)
            if bright.any():  # what takes part in a pixel makes it so: its value would be none that was measured
                pixels[brought(bright.astype("uint8"), own, common, Resampling.max, UP["nearest"]) > 0] = SATURATED
            pixels = pixels if target == common else _warped(pixels, common, target, up)
            pixels[empty] = 0
            if number == 0:
                data = float((pixels > 0).mean())
                draft.out.update_tags(1, STATISTICS_VALID_SHARE=repr(data))
            for first in range(0, target.shape.y, ROWS):
                last = min(first + ROWS, target.shape.y)
                draft.write(Block(first, 0, last, target.shape.x), pixels[None, first:last], [number])
        draft.finish(said, 2)
    return Prepared(path, look, target.shape.yx, data)


def _ground(look: Look, wanted: Preparation) -> tuple[GeoBox, Area | None]:
    """Pixels of 10 m of the look, or of what of the area it shows, and that area."""
    whole = native_grid([look])
    if wanted.area is None:
        return whole, None
    native = native_grid([look], wanted.area.bounds)
    area = wanted.area.within(_degrees(whole if whole.crs == native.crs else native))
    if area is None:
        raise InputError(f"{look.name}: the area lies outside of it; name another scene or area")
    grid = area.grid(grid_epsg(native), 10)
    return (grid & whole if whole.crs == grid.crs else grid), area


def _degrees(grid: GeoBox) -> Bounds:
    """Bounds in degrees around a grid, a little wider."""
    west, south, east, north = transform_bounds(str(grid.crs), DEGREES, *grid.boundingbox, densify_pts=21)
    margin = 0.01
    return west - margin, south - margin, east + 360 * (east < west) + margin, north + margin


def resized(grid: GeoBox, resolution: float) -> GeoBox:
    """The same corner with other pixels; they cover it all."""
    rows, columns = (int(np.ceil(round(n * abs(grid.resolution.x) / resolution, 6))) for n in grid.shape.yx)
    return GeoBox((rows, columns), Affine(resolution, 0, grid.affine.c, 0, -resolution, grid.affine.f), grid.crs)


def _projected(grid: GeoBox, crs: str, resolution: float) -> GeoBox:
    """Grid in another reference system: of so many metres, or in degrees of about as much."""
    if not crs or GeoBox(grid.shape, grid.affine, crs).crs == grid.crs:
        return grid
    units = units_of_metre(crs)
    return compute_output_geobox(grid, crs, resolution=resolution * units if units else "auto")


def brought(pixels: np.ndarray, own: GeoBox, grid: GeoBox, down: Resampling, up: Resampling) -> np.ndarray:
    """A band (y, x), 0 no data, on a grid with the same corner: by `down` to larger pixels, by `up` to smaller ones."""
    ratio = abs(grid.resolution.x) / abs(own.resolution.x)
    if ratio == 1:
        return pixels
    if ratio > 1 and down is Resampling.nearest and ratio == int(ratio):
        step = int(ratio)
        return np.ascontiguousarray(pixels[::step, ::step][: grid.shape.y, : grid.shape.x])
    return _warped(pixels, own, grid, down if ratio > 1 else up)


def _warped(pixels: np.ndarray, own: GeoBox, grid: GeoBox, how: Resampling) -> np.ndarray:
    out = np.zeros(grid.shape.yx, pixels.dtype)
    reproject(
        pixels, out, src_transform=own.affine, src_crs=str(own.crs), dst_transform=grid.affine, dst_crs=str(grid.crs),
        resampling=how, src_nodata=0 if pixels.dtype == np.uint16 else None, dst_nodata=0, num_threads=2,
    )  # fmt: skip
    return out


def _removed(look: Look, native: GeoBox, common: GeoBox, target: GeoBox, area: Area | None, wanted: Preparation) -> np.ndarray:
    """Pixels of the target that get no data: clouds, land or sea, and what lies outside of the area; (y, x) bool."""
    empty = np.zeros(target.shape.yx, bool)
    if wanted.clouds != "none":
        grid20 = resized(native, 20)
        clouds = clouds_of(look, grid20, wanted.classes if wanted.clouds == "L2A" else None)
        flags = brought_flags(clouds, grid20, common, wanted.flags)
        if target != common:
            flags = _warped(flags.astype("uint8"), common, target, Resampling.nearest) > 0
        empty |= flags
    if wanted.removed != "none":
        if wanted.land is not None:
            land = land_by_shape(wanted.land, target, _degrees(native))
        else:
            assert wanted.elevation is not None
            land = land_by_elevation(wanted.elevation, target)
        empty |= land if wanted.removed == "land" else ~land
    if area is not None:
        empty |= ~area.inside(target)
    return empty


def brought_flags(flags: np.ndarray, own: GeoBox, grid: GeoBox, how: str) -> np.ndarray:
    """A mask (y, x) bool on a grid with the same corner; of a half ``median-or`` is true, ``median-and`` is not."""
    if how.startswith("median") and grid.resolution.x > own.resolution.x:
        share = _warped(flags.astype("float32"), own, grid, FLAGS[how])
        found: np.ndarray = share >= 0.5 if how == "median-or" else share > 0.5
        return found
    return brought(flags.astype("uint8"), own, grid, FLAGS[how], Resampling.nearest) > 0
