"""Classifying twelve GeoTIFFs of months without a production: one GeoTIFF of crops (AI4Copernicus 5.2.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from imperv.grids import Block, block_grid, inner_slices, pad_clipped
from imperv.layers.composites import MONTHS
from imperv.layers.crops.classes import classes_named, palette_of
from imperv.layers.crops.maps import NO_DATA, classes_of, confidence_of
from imperv.layers.features import QUANTILE_BANDS, REFLECTANCE_SCALE
from imperv.layers.network.unet import configure_threads
from imperv.layers.palette import CONFIDENCE, Palette
from imperv.tasks.crops.arrays import TABLE8
from imperv.tasks.crops.classifying import shares_of_months
from imperv.tasks.crops.model_files import ModelFile, load_model
from imperv.tasks.delivery.cog import BLOCK, Summary, copy_as_cog, draft_form
from imperv.tasks.errors import InputError, WorkError, writing
from imperv.tasks.files import draft_folder

MONTH = re.compile(r"(?:^|[^A-Za-z0-9])([A-L])(?![A-Za-z0-9])")
"""Letter of the month in a name, such as ``CO_A_2017-09.tif``."""

Tell = Callable[[int, int], None]
"""Called with (blocks done, blocks in all)."""


@dataclass(frozen=True)
class Request:
    """What is classified with what."""

    folder: Path
    """Twelve GeoTIFFs."""
    model: Path
    output: Path
    mask: Path | None = None
    """0 is classified."""
    majority: int = 0
    """Edge of the filter's square, pixels."""
    confidence: bool = False
    """Whether the probability of the class is written, too (OUTPUT_confidence.tif)."""
    workers: int = 1
    """Threads."""


@dataclass(frozen=True)
class Outcome:
    """What was made."""

    paths: tuple[Path, ...]
    shape: tuple[int, int]
    pixels: dict[str, int]
    """Of each class."""
    unclassified: int
    warnings: tuple[str, ...]


def classify_folder(request: Request, tell: Tell = lambda *_: None) -> Outcome:
    """Make the map, block by block. InputError for what does not fit, WorkError where GDAL cannot write."""
    if request.majority and not request.majority % 2:
        raise InputError(f"--majority: {request.majority} is even; a square around a pixel has an odd edge")
    files = month_files(request.folder)
    if request.model.suffix.lower() in (".keras", ".h5"):
        configure_threads(request.workers)
    file = load_model(request.model)
    with ExitStack() as stack:
        months = [stack.enter_context(_open(path)) if path is not None else None for path in files]
        there = [month for month in months if month is not None]
        places = require_alike(there, file, request.model)
        mask = stack.enter_context(_open(request.mask)) if request.mask is not None else None
        if mask is not None:
            require_mask(mask, there[0])
        return _write(request, file, months, places, mask, tell)


def month_files(folder: Path) -> list[Path | None]:
    """The months of a folder in order: by their letters A to L, of which some may be missing, else twelve files by name."""
    if not folder.is_dir():
        what = "is a production file: imperv run -c makes its map" if folder.suffix == ".toml" else "is no folder"
        raise InputError(f"{folder}: {what}; name a folder of twelve GeoTIFFs")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".tif", ".tiff"))
    lettered: dict[str, list[Path]] = {}
    for path in found:
        for letter in MONTH.findall(path.stem)[:1]:
            lettered.setdefault(letter, []).append(path)
    if lettered:
        if twice := next((paths for paths in lettered.values() if len(paths) > 1), None):
            raise InputError(f"{folder}: {twice[0].name} and {twice[1].name} are of one month; keep one of them")
        return [next(iter(lettered.get(letter, ())), None) for letter in MONTHS]
    if len(found) != len(MONTHS):
        raise InputError(f"{folder}: holds {len(found)} GeoTIFFs; twelve months are needed, named in order or with A to L")
    return list(found)


def _open(path: Path) -> Any:
    try:
        return rasterio.open(path)
    except RasterioError as error:
        raise InputError(f"{path}: cannot be opened ({str(error).splitlines()[0]})") from None


def require_alike(months: Sequence[Any], file: ModelFile, model: Path) -> list[int]:
    """Bands of the months that the model wants, from 1; InputError where months differ, or the model does not fit."""
    first = months[0]
    for other in months[1:]:
        for what in ("crs", "transform", "shape", "count"):
            if getattr(other, what) != getattr(first, what):
                raise InputError(f"{other.name}: its {what} is not that of {Path(first.name).name}; months must be on one grid")
    inputs = file.model.inputs
    if inputs.calendar.count != len(MONTHS):
        raise InputError(f"{model}: wants {inputs.calendar}; twelve months are given: train it with --monthly")
    named = [(text or "").split(" ")[0] for text in first.descriptions]
    if not set(named) & set(QUANTILE_BANDS):
        named = list({10: QUANTILE_BANDS, 9: TABLE8}.get(first.count, ()))
    if len(inputs.bands) == first.count and not all(band.startswith("B") for band in inputs.bands):
        return list(range(1, first.count + 1))  # a model of bands without names
    if missing := [band for band in inputs.bands if band not in named]:
        there = ", ".join(named) or f"{first.count} bands without names"
        raise InputError(f"{first.name}: has no {', '.join(missing)}, which {model.name} wants; it has {there}")
    return [named.index(band) + 1 for band in inputs.bands]


def require_mask(mask: Any, month: Any) -> None:
    """InputError where a mask is not on the grid of the months."""
    if (mask.crs, mask.shape) != (month.crs, month.shape) or not mask.transform.almost_equals(month.transform, 1e-6):
        raise InputError(
            f"{mask.name}: is not on the grid of the months ({month.crs}, {month.shape[0]} x {month.shape[1]} pixels)"
        )
    if mask.count != 1 or np.dtype(mask.dtypes[0]).kind not in "iu":
        raise InputError(f"{mask.name}: has {mask.count} band(s) of {mask.dtypes[0]}; one band of whole numbers is needed")


def _read(month: Any, places: Sequence[int], window: Window) -> np.ndarray:
    """Bands as (band, y, x) uint16, reflectance x 10 000, 0 no data; of a month that is missing nothing has data."""
    if month is None:
        return np.zeros((len(places), window.height, window.width), "uint16")
    pixels = month.read(places, window=window)
    if month.nodata is not None:
        pixels = np.where(pixels == month.nodata, 0, pixels)
    if pixels.dtype.kind == "f":
        pixels = np.rint(np.nan_to_num(pixels) / REFLECTANCE_SCALE)
    return np.clip(pixels, 0, 65535).astype("uint16")


def _write(request: Request, file: ModelFile, months: Sequence[Any], places: Sequence[int], mask: Any, tell: Tell) -> Outcome:
    model, first = file.model, next(month for month in months if month is not None)
    grid = GeoBox(first.shape, first.transform, first.crs)
    crops = palette_of(classes_named(model.classes))
    wanted = {request.output: (crops, "crop types")}
    if request.confidence:
        beside = request.output.with_name(f"{request.output.stem}_confidence{request.output.suffix}")
        wanted = {beside: (CONFIDENCE, "probability of the crop, percent")} | wanted
    blocks = list(block_grid(grid, BLOCK))
    found = {path: Summary(NO_DATA, True) for path in wanted}
    with (
        writing(request.output, "--output"), draft_folder(request.output) as folder, ExitStack() as stack
    ):  # fmt: skip
        drafts = {
            path: stack.enter_context(rasterio.open(folder / f"{path.name}.draft", "w", **draft_form(grid, 1, "uint8", NO_DATA)))
            for path in wanted
        }
        for done, block in enumerate(blocks):
            tell(done, len(blocks))
            codes, confidence = _block(request, file, months, places, mask, block, grid)
            for path, (palette, _) in wanted.items():
                pixels = codes if palette is crops else confidence
                drafts[path].write(pixels, 1, window=_window(block))
                found[path].add(pixels)
        for path, (palette, title) in wanted.items():
            _describe(drafts[path], palette, title, request, found[path])
        stack.close()
        try:
            for path in wanted:
                copy_as_cog(folder / f"{path.name}.draft", folder / path.name, Resampling.nearest)
        except RasterioError as error:
            raise WorkError(f"{request.output}: GDAL cannot write it ({' '.join(str(error).split())})") from None
        for path in wanted:  # the map last
            (folder / path.name).replace(path)
    tell(len(blocks), len(blocks))
    histogram = found[request.output].histogram
    counted = {name: histogram.get(code, 0) for code, name in enumerate(model.classes)}
    warnings = list(file.warnings)
    if missing := [letter for letter, month in zip(MONTHS, months, strict=True) if month is None]:
        warnings.append(f"months {', '.join(missing)} are missing: straight lines from the months around take their place")
    if not any(counted.values()):
        warnings.append("no pixel was classified: the months have no data, or the mask leaves nothing")
    return Outcome(tuple(reversed(wanted)), grid.shape.yx, counted, histogram.get(NO_DATA, 0), tuple(warnings))


def _window(block: Block) -> Window:
    rows, columns = block.shape
    return Window(block.x0, block.y0, columns, rows)


def _block(
    request: Request, file: ModelFile, months: Sequence[Any], places: Sequence[int], mask: Any, block: Block, grid: GeoBox
) -> tuple[np.ndarray, np.ndarray]:
    """Codes and confidence of a block, which the filter sees with its surroundings."""
    outer = pad_clipped(block, request.majority // 2, grid.shape.yx)
    window, inner = _window(outer), inner_slices(block, outer)
    try:
        here = mask.read(1, window=window) == 0 if mask is not None else np.ones(outer.shape, bool)
        read = [_read(month, places, window) for month in months] if here.any() else []
    except RasterioError as error:
        raise InputError(f"{request.folder}: cannot be read ({' '.join(str(error).split())})") from None
    if not read:
        nothing = np.full(block.shape, NO_DATA, "u1")
        return nothing, nothing
    shares = shares_of_months(file.model, read, here)
    codes = classes_of(shares, request.majority)
    return codes[inner], confidence_of(shares, codes)[inner]


def _describe(draft: Any, palette: Palette, title: str, request: Request, found: Summary) -> None:
    from importlib.metadata import version

    draft.write_colormap(1, dict(enumerate(palette.colours)))
    draft.descriptions = (title,)
    names = {f"class_{code}": name for code, name in palette.class_names if code != NO_DATA}
    draft.update_tags(
        title=title, model=request.model.name, majority=str(request.majority), software=f"imperv {version('imperv')}"
    )
    draft.update_tags(1, **found.tags, **names)
