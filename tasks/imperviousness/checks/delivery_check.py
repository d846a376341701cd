"""Check of a delivered GeoTIFF: the rules of the EEA delivery check, stricter where a wrong file would pass.

Only what is inside the TIFF counts for its pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyproj
import rasterio
from pyproj.exceptions import CRSError
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from imperv.tasks.delivery.overview_check import Overview, OverviewCheck
from imperv.tasks.errors import InputError
from imperv.tasks.family.findings import Finding, failed, passed
from imperv.tasks.imperviousness.checks.attributes import check_attributes, check_side_files
from imperv.tasks.imperviousness.products.rules import EEA_BUILT_UP_CHANGE, OUTSIDE, Named, check_name
from imperv.tasks.job import count_codes
from imperv.tasks.store.debris import is_debris
from imperv.tasks.store.records import Record
from imperv.tasks.store.store import TEMPORARY

KILOMETRE = 1000
"""Upper-left corners lie on multiples of it (EEA check `origin`), metres."""

MAX_BLOCK = 1024
"""Largest width and height of a block (EEA check `tile`), pixels."""

STRIP_ROWS = 2048
"""Rows read at once: 20 MB of a tile at 10 m."""

TIFFS = (".tif", ".tiff")
"""File endings searched for in folders, lowercase."""

_MISSING = "{path}: no such file; name a delivered GeoTIFF or a folder of them"


def record_beside(path: Path) -> Record | None:
    """The record beside a delivered file, where there is one."""
    try:
        return Record.from_json(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def covers_a_window(path: Path) -> bool:
    """True where the record beside a delivered file says that it covers a window of its tile."""
    record = record_beside(path)
    return record is not None and record.windowed


def check_paths(paths: Iterable[str | Path], endings: Sequence[str] = TIFFS) -> list[Path]:
    """Files to check, each once: those named, and below folders, by name, all with one of `endings` (small letters).

    Debris of other systems in folders is passed over (`find_debris`). InputError if a path does not exist, or a folder holds no
    such file.
    """
    files: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            # All endings, so that a file with a wrong one is found.
            found = [p for p in _below(path, endings) if not is_debris(p.relative_to(path))]
            if not found:
                raise InputError(f"{path}: holds no .tif; name a folder with delivered files")
            files.update(dict.fromkeys(found))
        elif path.is_file():
            files[path] = None
        else:
            raise InputError(_MISSING.format(path=path))
    return list(files)


def find_debris(paths: Iterable[str | Path], endings: Sequence[str] = (*TIFFS, ".zip")) -> list[Path]:
    """Files below folders with endings of products that other systems have left there."""
    folders = [path for path in map(Path, paths) if path.is_dir()]
    return [p for folder in folders for p in _below(folder, endings) if is_debris(p.relative_to(folder))]


def _below(folder: Path, endings: Sequence[str]) -> list[Path]:
    return sorted(
        p for p in folder.rglob("*")
        if p.suffix.lower() in endings and p.is_file() and not any(TEMPORARY in q for q in p.relative_to(folder).parts)
    )  # fmt: skip


def check_file(path: str | Path, *, window: bool = False) -> list[Finding]:
    """Check one delivered GeoTIFF with its attribute table and side files.

    With `window` it may cover whole kilometres of its tile only. Each applicable rule gives one finding; those
    of the product need a valid name.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(_MISSING.format(path=file))
    naming, named = check_name(file.name)
    findings, counts, pixel = [naming, check_side_files(file)], None, 0.0
    try:
        with _environment(), _open(file) as source:
            findings += [check_epsg(source), check_origin(source), check_bands(source), check_type(source),
                         check_compression(source), check_blocks(source), check_nodata(source)]  # fmt: skip
            if named is not None:
                findings += [check_pixel_size(source, named), check_extent(source, named, window)]
                if source.count == 1:  # a TIFF of several bands cannot hold a colour table
                    findings.append(check_colours(source, named))
                pixel = source.transform.a
                counts, overviews = _read_all(file, source, named)
                findings += [check_values(counts, named), overviews]
    except (RasterioError, OSError) as error:
        findings.append(failed("readable", f"is damaged or not a GeoTIFF ({' '.join(str(error).split())})"))
        return findings
    return [*findings, *check_attributes(file, counts, pixel)]


def pixel_counts(path: str | Path) -> dict[int, int]:
    """Pixels of each code of a file, counted by reading all of them, 255 included."""
    with _environment(), _open(Path(path)) as source:
        return _count(_strips(source))


def check_epsg(source: rasterio.DatasetReader) -> Finding:
    """The CRS has the authority code EPSG:3035; an equal definition is not enough."""
    if source.crs is None:
        return failed("epsg", "has no coordinate reference system")
    try:
        code = pyproj.CRS.from_wkt(source.crs.to_wkt()).to_json_dict().get("id", {})
    except (CRSError, RasterioError) as error:
        return failed("epsg", f"its coordinate reference system cannot be read ({error})")
    text = f"{code['authority']} {code['code']}" if code else "no authority code"
    return Finding("epsg", code == {"authority": "EPSG", "code": 3035}, text)


def check_pixel_size(source: rasterio.DatasetReader, named: Named) -> Finding:
    """Square pixels of exactly the size named, north up."""
    t = source.transform
    ok = (t.a, t.b, t.d, t.e) == (named.pixel, 0, 0, -named.pixel)
    turned = ", turned or not north up" if t.b or t.d or t.e >= 0 else ""
    return Finding("pixel_size", ok, f"{t.a!r} x {abs(t.e)!r} m{turned}")


def check_origin(source: rasterio.DatasetReader) -> Finding:
    """The upper-left corner lies on whole kilometres."""
    x, y = source.transform.c, source.transform.f
    return Finding("origin", x % KILOMETRE == 0 and y % KILOMETRE == 0, f"upper-left corner at {x!r}, {y!r}")


def check_extent(source: rasterio.DatasetReader, named: Named, window: bool = False) -> Finding:
    """The raster covers the tile named; a window lies inside of it and ends on whole kilometres."""
    (left, y0, right, y1), tile = source.bounds, named.tile.bounds
    bottom, top = sorted((y0, y1))  # `check_pixel_size` refuses a raster that is south up
    if window:
        inside = tile[0] <= left < right <= tile[2] and tile[1] <= bottom < top <= tile[3]
        ok = inside and right % KILOMETRE == 0 and bottom % KILOMETRE == 0
    else:
        ok = (left, bottom, right, top) == tile
    asked = f"{'inside ' if window else ''}{' '.join(f'{v:.0f}' for v in tile)}"
    found = " ".join(f"{v:.10g}" for v in (left, bottom, right, top))
    return Finding("extent", ok, f"{found}{'' if ok else f', tile {named.tile} asks for {asked}'}")


def check_bands(source: rasterio.DatasetReader) -> Finding:
    """A single band."""
    return Finding("bands", source.count == 1, f"{source.count} band{'s' if source.count != 1 else ''}")


def check_type(source: rasterio.DatasetReader) -> Finding:
    """Unsigned bytes."""
    return Finding("bit_depth", source.dtypes[0] == "uint8", str(source.dtypes[0]))


def check_compression(source: rasterio.DatasetReader) -> Finding:
    """LZW."""
    found = source.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "none")
    return Finding("compress", found == "LZW", found)


def check_blocks(source: rasterio.DatasetReader) -> Finding:
    """Blocks of at most 1024 x 1024 pixels."""
    height, width = source.block_shapes[0]
    return Finding("tile", max(height, width) <= MAX_BLOCK, f"blocks of {width} x {height}")


def check_nodata(source: rasterio.DatasetReader) -> Finding:
    """The no-data tag is 255 and there is no mask: a histogram leaves other no-data pixels out."""
    if source.nodata != OUTSIDE:
        value = "none" if source.nodata is None else f"{source.nodata:g}"
        return failed("nodata", f"no-data tag is {value}, not {OUTSIDE}")
    if MaskFlags.per_dataset in source.mask_flag_enums[0]:
        return failed("nodata", "a mask inside the file hides pixels")
    return passed("nodata", str(OUTSIDE))


def check_colours(source: rasterio.DatasetReader, named: Named) -> Finding:
    """A colour table inside the TIFF with the listed colours."""
    try:
        table = source.colormap(1)
    except ValueError:
        return failed("color", "no colour table inside the TIFF")
    listed = named.rule.colours
    wrong = [f"{c}: {table.get(c, (0,) * 4)[:3] if c in table else 'missing'}, not {rgb}" for c, rgb in listed.items()
             if c not in table or tuple(table[c][:3]) != rgb]  # fmt: skip
    if wrong:
        return failed("color", f"colours of code {'; '.join(wrong)}")
    return passed("color", f"{len(listed)} listed colours agree")


def check_values(counts: Mapping[int, int], named: Named) -> Finding:
    """Only codes of the product occur."""
    wrong = {code: count for code, count in sorted(counts.items()) if code not in named.rule.codes}
    if wrong:
        shown = ", ".join(f"{code} ({count} pixels)" for code, count in list(wrong.items())[:8])
        return failed("value", f"codes that {named.part} must not hold: {shown}{' and more' if len(wrong) > 8 else ''}")
    if named.part == "IBUC" and (extra := sorted(set(counts) - EEA_BUILT_UP_CHANGE)):
        text = f"holds {' and '.join(map(str, extra))}, which the ATBD lists and the EEA check of IBUC refuses"
        return Finding("value", True, text, note=True)
    return passed("value", f"{len(counts)} codes, {sum(counts.values())} pixels")


def _environment() -> rasterio.Env:
    """GDAL environment without side files."""
    return rasterio.Env(GDAL_PAM_ENABLED="NO", GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR")


def _open(file: Path) -> rasterio.DatasetReader:
    return rasterio.open(file, driver="GTiff", sharing=False, GEOREF_SOURCES="INTERNAL")


def _strips(source: rasterio.DatasetReader) -> Iterator[np.ndarray]:
    """Pixels of the first band at full resolution, from the top, strip by strip."""
    for row in range(0, source.height, STRIP_ROWS):
        yield source.read(1, window=Window(0, row, source.width, min(STRIP_ROWS, source.height - row)))


def _count(strips: Iterable[np.ndarray]) -> dict[int, int]:
    """Pixels of each value."""
    counts: Counter[int] = Counter()
    for pixels in strips:
        if pixels.dtype == np.uint8:
            found = count_codes(pixels)
            counts.update({int(code): int(found[code]) for code in np.nonzero(found)[0]})
        else:
            values, numbers = np.unique(pixels, return_counts=True)
            counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
    return dict(counts)


def _read_all(file: Path, source: rasterio.DatasetReader, named: Named) -> tuple[dict[int, int], Finding]:
    """Pixels of each value, and the check of the overviews; everything is read once."""
    if source.dtypes[0] != "uint8":
        return _count(_strips(source)), passed("overviews", "not checked, pixels are not bytes")
    check = OverviewCheck(_overviews(file, source), named.rule.averages)

    def strips() -> Iterator[np.ndarray]:
        row = 0
        for strip in _strips(source):
            row += len(strip)
            check.add(strip, last=row == source.height)
            yield strip

    counts = _count(strips())
    factors = [round(o.scale[0]) for o in check.overviews]
    wrong = [f"{o.wrong} of {o.pixels.size} pixels at 1:{f}" for f, o in zip(factors, check.overviews, strict=True) if o.wrong]
    if wrong:
        mean = " nor their mean" if named.rule.averages else ""
        text = f"{', '.join(wrong)} equal none of the pixels below them{mean}: averages of codes or colours, or another file"
        return counts, failed("overviews", text)
    return counts, passed("overviews", f"1:{', 1:'.join(map(str, factors))}" if factors else "none")


def _overviews(file: Path, source: rasterio.DatasetReader) -> list[Overview]:
    found = []
    for level in range(len(source.overviews(1))):
        with rasterio.open(file, driver="GTiff", sharing=False, overview_level=level) as small:
            scale = source.height / small.height, source.width / small.width
            found.append(Overview(small.read(1), scale))
    return found
