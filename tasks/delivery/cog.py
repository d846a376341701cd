"""The plain form of delivery: one cloud-optimised GeoTIFF a layer and tile, with its statistics, STAC Item, style and quicklook.

Any data type with its own no data, coded or not, one band or several. GDAL's bindings are not needed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from imperv.layers.attributes import units_of
from imperv.layers.catalogue import CATALOGUE, Layer, family_of
from imperv.layers.palette import Palette
from imperv.tasks.delivery.additions import PLAIN, Additions
from imperv.tasks.delivery.cog_check import check_cog, cog_files, cog_name, layer_beside, layer_of_cog
from imperv.tasks.delivery.delivery import delivered_symbols, places_of
from imperv.tasks.delivery.lineage import lineage_of
from imperv.tasks.delivery.product import Product
from imperv.tasks.delivery.quicklooks import write_quicklook
from imperv.tasks.delivery.stac import SUFFIX, item_json
from imperv.tasks.delivery.stac_series import Series, refresh_series
from imperv.tasks.delivery.styles import Shown, bands_qml, style_qml
from imperv.tasks.engine import RESERVED
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.family.costs import Cost
from imperv.tasks.family.findings import Finding, failed
from imperv.tasks.family.form import Form, Places, Written
from imperv.tasks.job import Job, count_codes, without_data
from imperv.tasks.store.records import Record, digest_of

VERSION = 1
"""Raised when the same layer would give other files."""

BLOCK = 512
"""Edge of a block, pixels."""

STRIP_BYTES = 64 * 2**20
"""Most pixels written at once, bytes; counting them takes five times that of floats."""

COUNTING = 5
"""Bytes that a byte of a strip takes with what is computed of it."""

SPREAD = 2.0
"""Standard deviations on each side of the mean that pictures show."""

CUT = (0.02, 0.98)
"""Shares of the pixels that are darker than black and than white, where bands are shown as colours."""

DELIVERY_NS = 36.0
"""Core nanoseconds by byte of the pixels to write and check a product with all its files: codes take less, noise as much."""


@dataclass
class Summary:
    """What a band holds, strip by strip."""

    nodata: float
    coded: bool
    pixels: int = 0
    valid: int = 0
    low: float = math.inf
    high: float = -math.inf
    total: float = 0.0
    squares: float = 0.0
    histogram: dict[int, int] = field(default_factory=dict)
    levels: np.ndarray | None = None
    """Pixels of each value, of unsigned integers of 16 bits at most that are shown as colours."""

    def add(self, strip: np.ndarray) -> None:
        """Count a strip."""
        self.pixels += strip.size
        if self.coded:  # bytes, as all that has a palette
            counts = count_codes(strip)
            for code in np.nonzero(counts)[0].tolist():
                self.histogram[code] = self.histogram.get(code, 0) + int(counts[code])
        some = strip[~without_data(strip, self.nodata)]
        self.valid += some.size
        if some.size:
            self.low, self.high = min(self.low, float(some.min())), max(self.high, float(some.max()))
            self.total += float(some.sum(dtype="f8"))
            self.squares += float(np.einsum("i,i->", some, some, dtype="f8"))
            if self.levels is not None:
                self.levels += np.bincount(some, minlength=len(self.levels))

    @property
    def values(self) -> dict[str, float]:
        """Range, mean and standard deviation of what has data; empty where nothing has."""
        if not self.valid:
            return {}
        mean = self.total / self.valid
        spread = math.sqrt(max(self.squares / self.valid - mean * mean, 0.0))
        return {"minimum": self.low, "maximum": self.high, "mean": mean, "stddev": spread}

    @property
    def tags(self) -> dict[str, str]:
        """The same as GDAL keeps it in a file."""
        return {f"STATISTICS_{name.upper()}": repr(value) for name, value in self.values.items()}

    @property
    def shown(self) -> tuple[float, float]:
        """Range from black to white: what all but a few of the pixels lie in."""
        if not self.valid:
            return 0.0, 1.0
        if self.levels is not None:
            low, high = np.searchsorted(self.levels.cumsum(), np.multiply(CUT, self.valid)).tolist()
            return float(low), float(high)
        found = self.values
        low, high = (found["mean"] + sign * SPREAD * found["stddev"] for sign in (-1, 1))
        return max(low, self.low), min(high, self.high)


def statistics_of(bands: Sequence[Summary]) -> dict[str, Any]:
    """As a record has them: of codes a histogram, of quantities those of the first band."""
    first = bands[0]
    found: dict[str, Any] = {"pixels": first.pixels, "outside": first.pixels - first.valid}
    if first.coded:
        return found | {"histogram": {str(code): first.histogram[code] for code in sorted(first.histogram)}}
    return found | first.values


def rows_at_once(layer: Layer, columns: int) -> int:
    """Rows of a strip within `STRIP_BYTES`, whole blocks of the file."""
    variable = layer.variables[0]
    row = columns * variable.bands * np.dtype(variable.dtype).itemsize
    return max(1, int(STRIP_BYTES // (row * BLOCK))) * BLOCK


def bands_at_once(layer: Layer, columns: int) -> int:
    """Bands of a strip within `STRIP_BYTES`: all, unless there are so many that not even a row of blocks has room."""
    variable = layer.variables[0]
    band = rows_at_once(layer, columns) * columns * np.dtype(variable.dtype).itemsize
    return min(variable.bands, max(1, STRIP_BYTES // band))


def cog_places(job: Job, layer: Layer, additions: Additions = PLAIN) -> Places:
    """Places of a product and of what belongs to it, relative to the store."""
    label = job.production.periods.label(layer.role)
    path = f"products/{job.tile}/{cog_name(layer, label, str(job.tile)).removesuffix('.tif')}"
    styles = {f"style_{slug}": f"{path}.{slug}.qml" for slug in further_styles(layer)}
    more = styles | {key: f"{path}.{ending}" for key, ending in additions.files(layer).items()}
    return Places(f"{path}.tif", f"{path}.qml", f"{path}.png", f"{path}{SUFFIX}", f"{path}.json", more=more)


def further_styles(layer: Layer) -> dict[str, tuple[str, ...]]:
    """Bands of the styles after the first, by what their files are called."""
    shown = layer.delivery.shown if layer.delivery else ()
    return {re.sub(r"\W+", "_", name): bands for name, bands in shown[1:]}


def draft_form(grid: GeoBox, bands: int, dtype: str, nodata: float) -> dict[str, Any]:
    """How Rasterio opens the draft of a cloud-optimised GeoTIFF."""
    return {
        "driver": "GTiff", "width": grid.shape.x, "height": grid.shape.y, "count": bands, "dtype": dtype, "nodata": nodata,
        "crs": str(grid.crs), "transform": grid.affine, "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK,
        "INTERLEAVE": "BAND", "BIGTIFF": "IF_SAFER",
    }  # fmt: skip


def copy_as_cog(draft: Path, path: Path, overviews: Resampling, **options: Any) -> None:
    """A draft as a cloud-optimised GeoTIFF; with further `options` of GDAL's driver.

    The overviews are made in the draft, band by band. The driver makes those of several bands for all of them together, and
    writes each of its compressed blocks anew for every band: ten times the work, and several times the room, of fifty.
    """
    with rasterio.open(draft, "r+") as source:
        levels = [2**k for k in range(1, 16) if max(source.shape) > BLOCK * 2 ** (k - 1)]
        if levels:
            source.build_overviews(levels, overviews)
    rasterio.shutil.copy(
        draft, path, driver="COG", COMPRESS="DEFLATE", PREDICTOR="YES", BLOCKSIZE=BLOCK, BIGTIFF="IF_SAFER", **options
    )  # fmt: skip


def write_cog(path: Path, job: Job, layer: Layer, palette: Palette | None, tags: Mapping[str, str]) -> list[Summary]:
    """Write a layer as a cloud-optimised GeoTIFF by way of a draft beside it; what its bands hold.

    WorkError if GDAL cannot write it.
    """
    variable, grid = layer.variables[0], job.grid_of(layer)
    array = job.array(layer.symbol)
    bands, draft = variable.bands, path.with_suffix(".draft")
    found, rows, some = _summaries(layer), rows_at_once(layer, grid.shape.x), bands_at_once(layer, grid.shape.x)
    form = draft_form(grid, bands, variable.dtype, variable.nodata)
    try:
        with rasterio.open(draft, "w", **form) as out:
            for first, low in ((y, k) for y in range(0, grid.shape.y, rows) for k in range(0, bands, some)):
                numbers, place = range(low, min(low + some, bands)), slice(first, first + rows)
                strip = np.ascontiguousarray(array[..., place, :] if some == bands else array[low : low + some, place, :])
                strip = strip.reshape(len(numbers), *strip.shape[-2:])
                out.write(strip, [n + 1 for n in numbers], window=Window(0, first, grid.shape.x, strip.shape[-2]))
                for number, pixels in zip(numbers, strip, strict=True):
                    found[number].add(pixels)
            out.update_tags(**tags)
            scale = layer.delivery.scale if layer.delivery else 1.0
            out.scales, out.units = (scale,) * bands, (units_of(layer),) * bands
            out.descriptions = variable.labels or (layer.description,)
            if palette is not None:
                out.write_colormap(1, dict(enumerate(palette.colours)))
            for number, band in enumerate(found, 1):
                out.update_tags(number, **band.tags)
        copy_as_cog(draft, path, Resampling.nearest if palette is not None else Resampling.average)
    except RasterioError as error:
        raise WorkError(f"{path.name}: GDAL cannot write it ({' '.join(str(error).split())})") from None
    finally:
        draft.unlink(missing_ok=True)
    return found


def _summaries(layer: Layer) -> list[Summary]:
    """One a band, nothing seen yet."""
    variable, delivery = layer.variables[0], layer.delivery
    colours = {name for _, names in (delivery.shown if delivery else ()) for name in names}
    dtype = np.dtype(variable.dtype)
    count = 2 ** (8 * dtype.itemsize) if dtype.kind == "u" and dtype.itemsize <= 2 else 0
    return [
        Summary(
            variable.nodata,
            bool(delivery and delivery.palette),
            levels=np.zeros(count, "i8") if count and name in colours else None,
        )
        for name in variable.labels or ("",)
    ]


def shown_bands(layer: Layer, names: Sequence[str], bands: Sequence[Summary]) -> list[Shown]:
    """Bands of a style with their limits; the first of the layer where none are named."""
    numbers = [layer.variables[0].labels.index(name) for name in names] or [0]
    return [(number + 1, *bands[number].shown) for number in numbers]


def product_of(job: Job, layer: Layer, made: Record, bands: Sequence[Summary], additions: Additions = PLAIN) -> Product:
    """What is known of a product."""
    lineage = lineage_of(job, layer, made)
    first, last = job.period(layer)
    values = [band.values | {"valid_percent": 100 * band.valid / max(band.pixels, 1)} for band in bands if not band.coded]
    return Product(
        layer, job.tile, PurePosixPath(cog_places(job, layer).tif).stem, series_of(job).name, job.grid_of(layer), first.start,
        last.end, bands[0].histogram, made.created, made.windowed, lineage, job.production.delivery, values,
        additions.properties(job, layer, lineage),
    )  # fmt: skip


def _write(additions: Additions, job: Job, layer: Layer, made: Record, places: Places, folder: Path) -> Written:
    layer = additions.layer(job.production, layer)
    assert layer.delivery is not None
    files = {place: folder / PurePosixPath(place).name for place in (places.tif, *places.beside)}
    palette = layer.delivery.palette
    period = "/".join(str(day) for day in _period(job, layer))
    tags = {"title": layer.title, "product": job.family, "tile": str(job.tile), "period": period}
    bands = write_cog(files[places.tif], job, layer, palette, tags)
    shown = shown_bands(layer, layer.delivery.shown[0][1] if layer.delivery.shown else (), bands)
    style = style_qml(palette, int(layer.variables[0].nodata)) if palette is not None else bands_qml(shown)
    files[places.style].write_text(style, encoding="utf-8")
    write_quicklook(files[places.quicklook], files[places.tif], palette, shown)
    for slug, names in further_styles(layer).items():
        files[places.more[f"style_{slug}"]].write_text(bands_qml(shown_bands(layer, names, bands)), encoding="utf-8")
    assets = {"data": places.tif, "style": places.style, "quicklook": places.quicklook, **places.more}
    additions.write(job, layer, {key: files[place] for key, place in assets.items()})
    links = {key: (f"./{PurePosixPath(place).name}", files[place]) for key, place in assets.items()}
    files[places.stac].write_text(item_json(product_of(job, layer, made, bands, additions), links), encoding="utf-8")
    findings = check_cog(files[places.tif])
    if wrong := [f"{f.check}: {f.text}" for f in findings if not f.ok]:
        raise WorkError(f"{files[places.tif].name}: the check failed, {'; '.join(wrong)}; it is not delivered")
    return Written(files, statistics_of(bands), findings)


def _period(job: Job, layer: Layer) -> tuple[str, str]:
    first, last = job.period(layer)
    return str(first.start), str(last.end)


def _settings(additions: Additions, job: Job, layer: Layer) -> dict[str, Any]:
    delivery = job.production.delivery.model_dump(mode="json")
    found: dict[str, Any] = {
        "delivery": digest_of(repr(additions.layer(job.production, layer).delivery)),
        "settings": {f"delivery.{name}": v for name, v in delivery.items()},
    }
    if layer.delivery and layer.delivery.shown:
        found["shown"] = [[name, *bands] for name, bands in layer.delivery.shown]
    return found | ({"additions": additions.version} if additions.version else {})


def _cost(job: Job, layer: Layer) -> Cost:
    rows, columns = job.grid_of(layer).shape
    variable = layer.variables[0]
    size = np.dtype(variable.dtype).itemsize
    strip = min(rows, rows_at_once(layer, columns)) * columns * bands_at_once(layer, columns) * size
    return Cost(rows * columns * variable.bands * size * DELIVERY_NS / 1e9, RESERVED + COUNTING * strip)


def series_of(job: Job) -> Series:
    """What the collection of a production says."""
    production, contact = job.production, job.production.delivery.contact
    resolutions = {CATALOGUE[symbol].resolution for symbol in delivered_symbols(job.family)}
    return Series(
        name=f"{job.family}_{production.periods.whole}",
        description=f"Product {job.family} of {production.periods.whole}, by 100 km tiles of the EEA reference grid.",
        start=min(period.start for period in production.periods.every),
        end=production.periods.last_day,
        licence=production.delivery.licence,
        resolutions=tuple(sorted(resolutions)),
        codes=tuple(sorted({int(job.grid_of(CATALOGUE[s]).crs.epsg or 0) for s in delivered_symbols(job.family)})),  # type: ignore[union-attr]
        keywords=(job.family,),
        organisation=contact.organisation if contact else "",
        website=contact.website if contact else "",
    )


def _finish(job: Job) -> str:
    refresh_series(job, series_of(job))
    return ""


def _owner(product: str) -> Callable[[str], bool]:
    """Whether a path is of the product: a file of one of its layers, or of its collection."""

    def owns(path: str) -> bool:
        name = PurePosixPath(path).name
        layer = layer_beside(name)
        return family_of(layer.symbol) == product if layer else name.startswith(f"{product}_") and name.endswith(SUFFIX)

    return owns


def _verify(
    additions: Additions, jobs: Sequence[Job], products: Sequence[str], more: Mapping[str, Any]
) -> tuple[dict[str, list[Finding]], dict[str, dict[str, Finding]]]:
    found: dict[str, list[Finding]] = {}
    missing: dict[str, dict[str, Finding]] = {}
    for job in jobs:
        if not job.store.is_local:
            raise InputError(f"{job.store.url}: only files of a folder can be verified; copy the products here")
        absent = missing.setdefault(str(job.tile), {})
        for symbol in products:
            places, made = places_of(job, symbol), job.record(symbol)
            path = Path(job.store.full(places.tif))
            if path.exists():
                found[str(path)] = check_cog(path) + _against_store(additions, job, CATALOGUE[symbol], path)
            elif made is None or made.made:
                absent[str(path)] = failed("missing", f"{symbol} is not delivered; run the tile")
    return found, missing


def _against_store(additions: Additions, job: Job, layer: Layer, path: Path) -> list[Finding]:
    try:
        return additions.check(job, layer, path)
    except (RasterioError, OSError):  # `check_cog` says so
        return []


def _verify_files(
    additions: Additions, paths: Sequence[Path], jobs: Sequence[Job], more: Mapping[str, Any]
) -> dict[str, list[Finding]]:
    found = {}
    for path in cog_files(paths):
        found[str(path)] = check_cog(path)
        for job in jobs:  # of a file that has the name of one of theirs
            if (layer := layer_of_cog(path)) is not None and path.name == PurePosixPath(cog_places(job, layer).tif).name:
                found[str(path)] += _against_store(additions, job, layer, path)
    return found


def cog_form(product: str, additions: Additions = PLAIN) -> Form:
    """The plain form for a product, with what it adds."""
    return Form(
        name="COG", version=VERSION, places=lambda job, layer: cog_places(job, layer, additions), period=_period,
        settings=partial(_settings, additions), layer=additions.layer, write=partial(_write, additions), cost=_cost,
        finish=_finish, owns=_owner(product), verify=partial(_verify, additions),
        verify_files=partial(_verify_files, additions),
    )  # fmt: skip
