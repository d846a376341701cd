"""Scenes as files that analysis can begin with: bands at one pixel size, masks applied, any area (`imperv s2 prepare`).

Bands are brought from their native pixels to the common size, then, where asked, to another reference system; band by band.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.overlap import compute_output_geobox
from pyproj.exceptions import CRSError
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.features import geometry_mask
from rasterio.warp import reproject

from imperv.grids import Block
from imperv.layers.reflectance import COASTAL, REFLECTANCE_10M, REFLECTANCE_20M, SCL
from imperv.tasks.delivery.drafts import drafts, require_room
from imperv.tasks.errors import InputError, WorkError, writing
from imperv.tasks.native.area import Area, read_area
from imperv.tasks.native.finding import find_scenes, native_grid
from imperv.tasks.native.looks import Look, bands_of, looks_of
from imperv.tasks.native.pixels import CIRRUS, OPAQUE, grid_epsg, read_classi, read_native
from imperv.tasks.scenes.bands import CLASSI, PIXEL

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

SEN2COR = "L2A_Process"
"""The program that makes Level-2A of Level-1C."""

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
    """What was made."""

    path: Path
    look: Look
    grid: GeoBox
    data: float
    """Share of the pixels that have data."""


def prepare(sources: Sequence[str], out: Path, wanted: Preparation, tell: Tell) -> list[Prepared]:
    """Write a file for each overpass of some products; `out` is a folder, or a file where there is one overpass.

    InputError for what cannot be met, such as a band or mask that a scene lacks, or Level-1C without Sen2Cor; WorkError where
    reading or writing fails. What is finished has its name, whatever happens afterwards.
    """
    check(wanted)
    with tempfile.TemporaryDirectory(prefix="imperv-prepare-") as folder:
        looks = [look for source in sources for look in _looks_of(source, wanted, Path(folder), tell)]
        single = out.suffix != "" and not out.is_dir()
        if single and len(looks) > 1:
            raise InputError(f"--output: {out} is one file, but {len(looks)} overpasses are prepared; name a folder")
        made = []
        for number, look in enumerate(looks):
            tell("prepare", number, len(looks))
            path = out if single else out / f"{file_name(look)}{_ending(wanted.format)}"
            with writing(path, "--output"):
                path.parent.mkdir(parents=True, exist_ok=True)
            made.append(_prepare_look(look, path, wanted))
        tell("prepare", len(looks), len(looks))
        return made


def check(wanted: Preparation) -> None:
    """InputError where a request cannot be met, whatever the scenes are."""
    if unknown := [name for name in wanted.bands if name not in BANDS]:
        raise InputError(f"--bands: {', '.join(unknown)}: bands of Level-2A are {', '.join(BANDS)}; correct the list")
    if wanted.removed != "none" and (wanted.elevation is None) == (wanted.land is None):
        raise InputError("--land-sea-mask: one of --dem and --land tells land from sea; name it")
    if wanted.crs:
        try:
            GeoBox((1, 1), Affine.identity(), wanted.crs)
        except CRSError:
            raise InputError(f"--projection: {wanted.crs} is not known; name a code such as EPSG:32631") from None
    if wanted.format.lower() not in _drivers():
        raise InputError(f"--format: {wanted.format} is no format that GDAL writes here, such as GTiff or netCDF; correct it")


def file_name(look: Look) -> str:
    """Name of a prepared overpass, without its ending."""
    return look.scenes[0].id if len(look.scenes) == 1 else look.name.replace(" ", "_")


def _drivers() -> Mapping[str, str]:
    """Formats of GDAL by their names in small letters."""
    with rasterio.Env() as env:
        return {name.lower(): name for name in env.drivers()}


def _ending(name: str) -> str:
    return ".tif" if name.lower() in ("cog", "gtiff") else ""


def _looks_of(source: str, wanted: Preparation, folder: Path, tell: Tell) -> list[Look]:
    bounds = wanted.area.bounds if wanted.area else None
    scenes = find_scenes(source, bounds, bands=(), optional=(*BANDS, SCL, CLASSI))
    looks = looks_of(scenes)
    if any(look.level == "L1C" for look in looks):
        tell("Sen2Cor", 0, 1)
        looks = looks_of(find_scenes(str(_level_2a(source, folder)), bounds, bands=(), optional=(*BANDS, SCL, CLASSI)))
    for look in looks:
        mask = {"none": (), "L2A": (SCL,), "L1C": (CLASSI,)}[wanted.clouds]
        for scene in look.scenes:
            if missing := [name for name in (*wanted.bands, *mask) if name not in scene.bands]:
                raise InputError(f"scene {scene.id}: has no {', '.join(missing)}; name a scene that has it, or leave it out")
    return looks


def _level_2a(source: str, folder: Path) -> Path:
    """Make Level-2A of a product of Level-1C by Sen2Cor; the folder that it is in."""
    program = shutil.which(SEN2COR)
    if program is None:
        raise InputError(
            f"{source}: is Level-1C, and no {SEN2COR} is installed; install Sen2Cor, or name the product of Level-2A"
        )
    product, made = Path(source), folder / "made"
    if product.suffix.lower() == ".zip":
        with zipfile.ZipFile(product) as packed:
            packed.extractall(folder / "unpacked")
        product = next((folder / "unpacked").glob("*.SAFE"), product)
    made.mkdir()
    done = subprocess.run([program, "--output_dir", str(made), str(product)], capture_output=True, text=True, check=False)
    if done.returncode or not any(made.iterdir()):
        last = ([""] + (done.stderr or done.stdout).strip().splitlines())[-1]
        raise WorkError(f"{source}: {SEN2COR} failed (exit code {done.returncode}, {last!r}); run it by hand to see why")
    return made


def _prepare_look(look: Look, path: Path, wanted: Preparation) -> Prepared:
    native = native_grid([look], wanted.area.bounds if wanted.area else None)
    if wanted.area is not None:
        native = wanted.area.grid(grid_epsg(native), 10)
    common = resized(native, wanted.resolution)
    target = _projected(common, wanted.crs, wanted.resolution)
    require_room(path.parent, 3.0 * 2 * target.shape[0] * target.shape[1] * len(wanted.bands))
    empty = _removed(look, native, common, target, wanted)
    title = {"title": "Sentinel-2 Level-2A, prepared", "scenes": ", ".join(s.id for s in look.scenes), "date": str(look.day)}
    how = {
        "pixel": f"{wanted.resolution:g} m", "upsampling": wanted.upsampling, "downsampling": wanted.downsampling,
        "clouds": wanted.clouds, "removed": wanted.removed, "unit": "reflectance x 10 000",
    }  # fmt: skip
    with _in_format(path, wanted.format) as tif, drafts(tif, target, {tif: (wanted.bands, 0)}) as made:
        draft = made[tif]
        for number, name in enumerate(wanted.bands):
            own = resized(native, PIXEL[name])
            pixels = bands_of(look, [name], own)[0]
            pixels = brought(pixels, own, common, DOWN[wanted.downsampling], UP[wanted.upsampling])
            pixels = pixels if target == common else _warped(pixels, common, target, UP[wanted.upsampling])
            pixels[empty] = 0
            for first in range(0, target.shape.y, ROWS):
                last = min(first + ROWS, target.shape.y)
                draft.write(Block(first, 0, last, target.shape.x), pixels[None, first:last], [number])
        draft.finish(title | how, 2)
        data = draft.found[0].valid / max(draft.found[0].pixels, 1)
    return Prepared(path, look, target, data)


def resized(grid: GeoBox, resolution: float) -> GeoBox:
    """The same corner with other pixels; they cover it all."""
    rows, columns = (int(np.ceil(round(n * abs(grid.resolution.x) / resolution, 6))) for n in grid.shape.yx)
    return GeoBox((rows, columns), Affine(resolution, 0, grid.affine.c, 0, -resolution, grid.affine.f), grid.crs)


def _projected(grid: GeoBox, crs: str, resolution: float) -> GeoBox:
    """Grid in another reference system: of so many metres, or in degrees of about as much."""
    if not crs or GeoBox(grid.shape, grid.affine, crs).crs == grid.crs:
        return grid
    projected = GeoBox((1, 1), Affine.identity(), crs).crs
    assert projected is not None
    return compute_output_geobox(grid, crs, resolution=resolution if projected.projected else "auto")


def brought(pixels: np.ndarray, own: GeoBox, grid: GeoBox, down: Resampling, up: Resampling) -> np.ndarray:
    """A band (y, x), 0 no data, on a grid with the same corner: by `down` to larger pixels, by `up` to smaller ones."""
    ratio = abs(grid.resolution.x) / abs(own.resolution.x)
    if ratio == 1:
        return pixels
    if ratio > 1 and down is Resampling.nearest and ratio == int(ratio):
        step = int(ratio)
        found = pixels[::step, ::step]
        return np.ascontiguousarray(found[: grid.shape.y, : grid.shape.x])
    return _warped(pixels, own, grid, down if ratio > 1 else up)


def _warped(pixels: np.ndarray, own: GeoBox, grid: GeoBox, how: Resampling) -> np.ndarray:
    out = np.zeros(grid.shape.yx, pixels.dtype)
    reproject(
        pixels, out, src_transform=own.affine, src_crs=str(own.crs), dst_transform=grid.affine, dst_crs=str(grid.crs),
        resampling=how, src_nodata=0 if pixels.dtype == np.uint16 else None, dst_nodata=0, num_threads=2,
    )  # fmt: skip
    return out


def _removed(look: Look, native: GeoBox, common: GeoBox, target: GeoBox, wanted: Preparation) -> np.ndarray:
    """Pixels of the target that get no data: clouds, land or sea, and what lies outside of the area; (y, x) bool."""
    empty = np.zeros(target.shape.yx, bool)
    if wanted.clouds != "none":
        grid20 = resized(native, 20)
        flags = brought_flags(_clouds(look, grid20, wanted), grid20, common, wanted.flags)
        if target != common:
            flags = _warped(flags.astype("uint8"), common, target, Resampling.nearest) > 0
        empty |= flags
    if wanted.removed != "none":
        land = _land(target, wanted)
        empty |= land if wanted.removed == "land" else ~land
    if wanted.area is not None:
        shapes = [wanted.area.to(str(target.crs))]
        empty |= geometry_mask(shapes, target.shape.yx, target.affine)
    return empty


def brought_flags(flags: np.ndarray, own: GeoBox, grid: GeoBox, how: str) -> np.ndarray:
    """A mask (y, x) bool on a grid with the same corner; of a half ``median-or`` is true, ``median-and`` is not."""
    if how.startswith("median") and grid.resolution.x > own.resolution.x:
        share = _warped(flags.astype("float32"), own, grid, FLAGS[how])
        found: np.ndarray = share >= 0.5 if how == "median-or" else share > 0.5
        return found
    return brought(flags.astype("uint8"), own, grid, FLAGS[how], Resampling.nearest) > 0


def _clouds(look: Look, grid20: GeoBox, wanted: Preparation) -> np.ndarray:
    found = np.zeros(grid20.shape.yx, bool)
    for scene in look.scenes:
        if wanted.clouds == "L2A":
            codes = read_native(scene.bands[SCL], scene.id, SCL, grid20, stated=scene.nodata.get(SCL, 0)).pixels
            found |= np.isin(codes, wanted.classes)
        else:
            like = next(scene.bands[name] for name in BANDS if name in scene.bands)
            found |= (read_classi(scene.bands[CLASSI], like, scene.id, grid20) & (OPAQUE | CIRRUS)) > 0
    return found


def _land(target: GeoBox, wanted: Preparation) -> np.ndarray:
    """Land on a grid, (y, x) bool."""
    if wanted.land is not None:
        shapes = read_area(wanted.land, "--land")
        return ~geometry_mask([shapes.to(str(target.crs))], target.shape.yx, target.affine)
    out = np.zeros(target.shape.yx, "float32")
    try:
        with rasterio.open(wanted.elevation) as source:
            reproject(
                rasterio.band(source, 1), out, dst_transform=target.affine, dst_crs=str(target.crs), dst_nodata=0,
                resampling=Resampling.nearest,
            )  # fmt: skip
    except RasterioError as error:
        raise InputError(f"--dem: {wanted.elevation} cannot be read ({' '.join(str(error).split())}); name a raster") from None
    found: np.ndarray = out != 0
    return found


@contextmanager
def _in_format(path: Path, name: str) -> Iterator[Path]:
    """Path of a GeoTIFF to be written, of which a file of another format is made at the end, with what lies beside it."""
    if name.lower() in ("cog", "gtiff"):
        yield path
        return
    with writing(path, "--output"), tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        tif = Path(folder) / "prepared.tif"
        yield tif
        made = Path(folder) / "made"
        made.mkdir()
        try:
            rasterio.shutil.copy(tif, made / path.name, driver=_drivers()[name.lower()])
        except (RasterioError, RuntimeError) as error:
            raise WorkError(f"{path}: GDAL cannot write it as {name} ({' '.join(str(error).split())})") from None
        others: list[Any] = sorted(made.iterdir(), key=lambda file: file.name == path.name)
        for file in others:
            file.replace(path.parent / file.name)
