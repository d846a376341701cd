"""Validation of the maps of a production, or of delivered files, by reference points or a reference raster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rasterio.errors import RasterioError

from imperv.layers.catalogue import resolve
from imperv.layers.statistics.accuracy import density_moments, stratum_weights
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.assessment.codes import Reading, legend_of
from imperv.tasks.imperviousness.assessment.estimators import (
    PlaceResult,
    Sample,
    Validation,
    post_stratified,
    result,
    scatter_of,
)
from imperv.tasks.imperviousness.assessment.reference_points import VECTOR, Columns, Points, read_points
from imperv.tasks.imperviousness.assessment.reference_raster import BLOCK_METRES, sample_of_raster
from imperv.tasks.imperviousness.checks.consistency import Source
from imperv.tasks.imperviousness.checks.delivery_check import check_name, check_paths
from imperv.tasks.imperviousness.checks.layer_sources import SYMBOLS, file_source, stored_source
from imperv.tasks.job import Job, count_codes
from imperv.tasks.scenes.reading import open_full_resolution

STRIP_METRES = 10_000
"""Height of the strips in which maps are read."""


@dataclass(frozen=True)
class Map:
    """A layer of one tile."""

    tile: str
    source: Source


@dataclass(frozen=True)
class Design:
    """Sampling design, beside the columns of strata and weights."""

    simple: bool = False
    """True for equal weights, whatever the map's areas."""
    stratum_km2: Mapping[str, float] | None = None


def maps_of_files(paths: Iterable[str | Path], symbol: str) -> list[Map]:
    """Maps of a layer from GeoTIFFs and folders, others passed over; InputError if none, or several years or issues of a tile."""
    found: dict[str, tuple[Path, object]] = {}
    for path in check_paths(paths):
        _, named = check_name(path.name)
        if named is None or SYMBOLS[named.part, named.pixel] != symbol:
            continue
        tile = str(named.tile)
        if tile in found:
            raise InputError(f"{path.name} and {found[tile][0].name} are both {symbol} of tile {tile}; name the file to take")
        found[tile] = path, (named.then, named.now)
    if not found:
        raise InputError(f"no delivered file of {symbol} is among the paths; choose another --layer or folder")
    if len({years for _, years in found.values()}) > 1:
        raise InputError(f"files of {symbol} are of several years; name those of one")
    return [Map(tile, file_source(path, path.name)) for tile, (path, _) in sorted(found.items())]


def maps_of_jobs(jobs: Sequence[Job], symbol: str) -> list[Map]:
    """A layer of the tiles of a production that have it; InputError if none has."""
    found = [(str(job.tile), stored_source(job, symbol)) for job in jobs]
    maps = [Map(tile, source) for tile, source in found if source is not None]
    if not maps:
        raise InputError(f"{symbol} is not made in any tile of the production; run it first")
    return sorted(maps, key=lambda m: m.tile)


def validate(
    maps: Sequence[Map], layer: str, reference: str | Path, *, columns: Columns | None = None, threshold: float = 1,
    crs: str = "", design: Design | None = None,
) -> Validation:  # fmt: skip
    """Validate maps of a layer, of one or more tiles, by reference points or a raster with the map's codes.

    Every tile with points has its result, and all together where there are several. `threshold` is the percent from which
    densities count as sealed, and changes of density as changes; `crs` the reference system of files without one.
    InputError if the reference cannot be used, does not overlap the maps, or a stratum has too few points.
    """
    symbol = _symbol(layer)
    legend, design, path = legend_of(symbol, threshold), design or Design(), Path(reference)
    if path.suffix.lower() in VECTOR:
        points = read_points(path, columns, crs)
        places = _by_points(maps, points, legend, design)
    else:
        places = _by_raster(maps, path, legend)
    return Validation(symbol, path.name, legend.kind, threshold, legend.names, tuple(places))


def _symbol(layer: str) -> str:
    try:
        return resolve(layer)
    except ValueError as error:
        raise InputError(str(error)) from None


# points ---------------------------------------------------------------------------------------------------------


def _by_points(maps: Sequence[Map], points: Points, legend: Reading, design: Design) -> list[PlaceResult]:
    codes = np.full(len(points), -1)
    where = np.full(len(points), -1)
    histograms = []
    for number, one in enumerate(maps):
        found, histogram = _at_points(one.source, points)
        where[found >= 0] = number
        codes[found >= 0] = found[found >= 0]
        histograms.append(histogram)
    outside = int(np.count_nonzero(codes < 0))
    used = (codes >= 0) & (legend.class_of[codes] >= 0)
    if not used.any():
        raise InputError(_nothing_to_compare(points, maps, outside))
    notes = tuple(
        f"{n} of {len(points) + points.without} points {why}"
        for n, why in (
            (points.without, "have no value"), (outside, "lie outside of the maps"),
            (len(points) - outside - int(np.count_nonzero(used)), "lie where the map has no data"),
        ) if n
    )  # fmt: skip
    points, codes, where = points.only(used), codes[used], where[used]
    mapped, reference, values = legend.class_of[codes], _reference_classes(points, legend), legend.value_of[codes]
    chosen = [(m.tile, where == k, histograms[k]) for k, m in enumerate(maps) if np.any(where == k)]
    if len(maps) > 1:
        chosen.append(("all", np.ones(len(points), bool), np.sum(histograms, axis=0)))
    weights, words = _sample_weights(points, mapped, legend, design, histograms)
    places = []
    for place, inside, histogram in chosen:
        sample, text = _sample(points, mapped, reference, inside, legend, values, weights), words
        remarks = notes if place == chosen[-1][0] else ()
        if not words:
            sizes = {k: float(histogram[legend.class_of == k].sum()) for k in range(len(legend.names))}
            own, text, more = post_stratified(mapped[inside], sizes)
            sample = replace(sample, weights=own, strata=None if own is None else mapped[inside])
            remarks = (*remarks, *more)
        places.append(result(place, sample, legend, histogram, maps[0].source.resolution, "point", text, remarks))
    return places


def _at_points(source: Source, points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Code of the map at every point, -1 outside of it; and the map's histogram."""
    left, bottom, right, top = source.bounds
    inside = (points.x >= left) & (points.x < right) & (points.y > bottom) & (points.y <= top)
    rows = np.floor((top - points.y) / source.resolution).astype(np.int64)
    columns = np.floor((points.x - left) / source.resolution).astype(np.int64)
    codes, histogram = np.full(len(points), -1), np.zeros(256, np.int64)
    height = round((top - bottom) / source.resolution)
    step = STRIP_METRES // source.resolution
    for row in range(0, height, step):
        strip = source.read(row, min(row + step, height))
        histogram += count_codes(strip)
        here = inside & (rows >= row) & (rows < row + step)
        codes[here] = strip[rows[here] - row, columns[here]]
    return codes, histogram


def _nothing_to_compare(points: Points, maps: Sequence[Map], outside: int) -> str:
    if outside < len(points):
        return f"reference {points.name}: all points inside the maps lie where they have no data; choose another layer or points"
    boxes = np.array([m.source.bounds for m in maps])
    area = (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
    span = " ".join(f"{v:.0f}" for v in (points.x.min(), points.y.min(), points.x.max(), points.y.max()))
    return (
        f"reference {points.name}: no point lies inside the maps: points span {span}, maps "
        f"{' '.join(f'{v:.0f}' for v in area)} (EPSG:3035); check the coordinate reference system (--crs) and the tile"
    )


def _reference_classes(points: Points, legend: Reading) -> np.ndarray:
    """Class of the reference at every point."""
    start = f"reference {points.name}"
    if points.classes is None:
        assert points.density is not None
        if legend.kind == "classes":
            raise InputError(f"{start}: class codes are needed for this layer; name their column with --class-column")
        return legend.classes(points.density)
    if points.density is not None and legend.kind in ("density", "change"):
        return legend.classes(points.density)
    listed = list(legend.codes)
    if unknown := sorted(set(points.classes.tolist()) - set(listed)):
        raise InputError(f"{start}: holds the classes {unknown[:8]}; the layer has {', '.join(map(str, listed))}")
    return np.array([listed.index(c) for c in points.classes.tolist()])


def _sample_weights(
    points: Points, mapped: np.ndarray, legend: Reading, design: Design, histograms: Sequence[np.ndarray]
) -> tuple[np.ndarray | None, str]:
    """Weights of the sample, and the design in words; no words where the weights come from the map."""
    if points.weights is not None:
        _require_two(points)
        return points.weights, f"given weights{'' if points.strata is None else ', within strata'}"
    if design.simple and points.strata is None:
        return None, "simple random"
    if points.strata is None:
        return None, ""
    sizes = dict(design.stratum_km2 or {})
    if not sizes:
        codes = np.array(legend.codes)[mapped].astype(str)
        if not np.array_equal(codes, points.strata):
            raise InputError(
                f"reference {points.name}: the strata are not the classes of the map: their areas are unknown; give weights "
                "(--weight) or the areas (--stratum-area NAME=KM2)"
            )
        total = np.sum(histograms, axis=0)
        sizes = {str(c): float(total[legend.class_of == k].sum()) for k, c in enumerate(legend.codes)}
    try:
        return stratum_weights(points.strata, sizes), "stratified"
    except ValueError as error:
        raise InputError(f"reference {points.name}: {error}; merge strata or add points") from None


def _require_two(points: Points) -> None:
    """Refuse strata of one point, which has no variance."""
    if points.strata is None:
        return
    names, numbers = np.unique(points.strata, return_counts=True)
    if np.any(numbers < 2):
        raise InputError(
            f"reference {points.name}: stratum {names[numbers < 2][0]} has 1 point, at least 2 are needed; merge strata"
        )


def _sample(
    points: Points, mapped: np.ndarray, reference: np.ndarray, inside: np.ndarray, legend: Reading, values: np.ndarray,
    weights: np.ndarray | None,
) -> Sample:  # fmt: skip
    """The sample of a place. A weighted one keeps all its units: the number that falls into a tile is random too."""
    k, count = len(legend.names), len(mapped)
    matrices = np.zeros((count, k, k))
    matrices[np.arange(count), mapped, reference] = 1
    moments = scatter = None
    if points.density is not None and legend.kind in ("density", "change"):
        moments = density_moments(values, points.density)
        scatter = scatter_of(values[inside], points.density[inside], legend.lowest)
    if weights is None:
        return Sample(matrices[inside], None if moments is None else moments[inside], scatter)
    here = inside[:, np.newaxis].astype(np.float64)
    whole = None if moments is None else moments * here
    return Sample(matrices * here[..., np.newaxis], whole, scatter, weights, points.strata)


# rasters --------------------------------------------------------------------------------------------------------


def _by_raster(maps: Sequence[Map], path: Path, legend: Reading) -> list[PlaceResult]:
    try:
        reference = open_full_resolution(str(path))
    except RasterioError as error:
        raise InputError(
            f"reference {path}: cannot be opened ({' '.join(str(error).split())}); name points or a raster"
        ) from None
    text = f"every pixel; intervals from blocks of {BLOCK_METRES // 1000} km, treated as a sample"
    with reference:
        if reference.crs is None:
            raise InputError(f"reference {path}: has no coordinate reference system; assign one")
        found = [(m, *sample_of_raster(m.source, reference, legend, path)) for m in maps]
    pixel, places = maps[0].source.resolution, []
    met = [(m.tile, sample, histogram) for m, sample, histogram in found if len(sample.matrices)]
    if not met:
        raise InputError(f"reference {path}: shares no valid pixel with the maps; check its extent, codes and no-data value")
    if len(maps) > 1:
        together = Sample.joined([sample for _, sample, _ in met])
        met.append(("all", together, np.sum([histogram for *_, histogram in found], axis=0)))
    for place, sample, histogram in met:
        pixels, valid = int(sample.matrices.sum()), int(histogram[legend.class_of >= 0].sum())
        notes: tuple[str, ...] = () if pixels == valid else (f"the reference covers {100 * pixels / valid:.1f} % of the map",)
        if len(sample.matrices) < 2:
            notes = (*notes, "a single block of 1 km: no intervals")
        places.append(result(place, sample, legend, histogram, pixel, "pixel", text, notes))
    return places
