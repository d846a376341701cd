"""Yearly statistics of every pixel of a block, each number read once: quantiles of bands and NDVI, and harmonics; ATBD 4.2.1.

Gives, bit for bit, what `reflectance`, `quantiles` and `harmonics` give one after the other, from blocks with the rows outermost,
(y, time, x): all dates of a strip of pixels lie near each other in memory, and the index is never stored as a block. How the
statistics are defined is decided in those modules, and what an observation weighs in `scl`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imperv.layers.harmonic_plan import fit_plan
from imperv.layers.harmonics import fit_harmonics, fit_room, fit_strip
from imperv.layers.kernels.lanes import (
    STRIP,
    convert,
    kernel,
    largest,
    load,
    scratch,
    select,
    spread,
    store,
    widened,
)
from imperv.layers.kernels.quantiles import (
    PIECE,
    extent,
    gather_integers,
    nothing,
    put_float,
    reduce_floats,
    reduce_integers,
    see,
    strip_room,
)
from imperv.layers.quantiles import checked_shares, target_tables, weighted_quantile
from imperv.layers.reflectance import NO_DATA, ndvi

_NONE = np.uint16(NO_DATA)
_NAN = np.float32(np.nan).view(np.uint32)


@dataclass(frozen=True)
class YearlyNdvi:
    """Statistics of the red and the near-infrared band and of NDVI over a year."""

    red: np.ndarray
    """(y, x) uint16: quantile of B04, reflectance x 10 000; 0 is no data."""
    nir: np.ndarray
    """(y, x) uint16: quantile of B08, reflectance x 10 000; 0 is no data."""
    ndvi: np.ndarray
    """(y, x) float32: quantile of NDVI, -1 to 1; NaN is no data."""
    harmonics: np.ndarray
    """(2 N + 1, y, x) float32: coefficients of NDVI, as of `harmonics.fit_harmonics`; NaN is no data."""
    observations: np.ndarray
    """(y, x) uint16: number of dates with a clear look."""


def yearly_quantile(values: np.ndarray, weights: np.ndarray, q: float) -> np.ndarray:
    """Weighted quantile over the dates of each pixel, as of `quantiles.weighted_quantile`: (y, x) uint16, 0 no data.

    `values` are (y, time, x) uint16, 0 no data, `weights` uint8 of that shape, `q` is 0 to 1; ValueError for others. Releases
    the GIL: threads may each take some of the rows. Copied are non-contiguous input, and input of more than 257 dates whose
    weights may sum to more than 65 535.
    """
    values, weights = np.asarray(values), np.asarray(weights)
    _check_bands(values=values)
    _check_weights(values.shape, weights=weights)
    shares = checked_shares(q)
    if shares.size != 1:
        raise ValueError(f"q must be one number, not {q}")
    rows, time, columns = values.shape
    if not values.size:
        return np.zeros((rows, columns), np.uint16)
    if not _sums_fit(weights):
        return weighted_quantile(np.moveaxis(values, 1, 0), np.moveaxis(weights, 1, 0), q)
    values, weights = widened(values), widened(weights)
    result = np.empty((1, rows * values.shape[2]), np.uint16)
    _reduce(values, weights, shares, target_tables(shares), result)
    return result.reshape(rows, -1)[:, :columns]


def yearly_ndvi(
    red: np.ndarray,
    nir: np.ndarray,
    red_weights: np.ndarray,
    nir_weights: np.ndarray,
    time: np.ndarray,
    *,
    reflectance_quantile: float = 0.2,
    ndvi_quantile: float = 0.9,
    clear_weight: int = 50,
    degree: int = 3,
) -> YearlyNdvi:
    """Quantiles of two bands, and quantile and harmonics of the NDVI between them, over the dates of each pixel.

    NDVI weighs the less of what its bands weigh, and a band without data weighs 0. `red` and `nir` are (y, time, x) uint16
    without offset, 0 no data; weights uint8 of that shape, which may be one array; `time` holds fractions of the year in any
    order; an NDVI of `clear_weight` counts as a clear look; `degree` is 0 to 5.

    Releases the GIL, and copies input, as `yearly_quantile`. ValueError for wrong shapes or dtypes, dates that are not finite,
    or a quantile, a weight or a degree out of range.
    """
    red, nir, red_weights, nir_weights = (np.asarray(a) for a in (red, nir, red_weights, nir_weights))
    _check_bands(red=red, nir=nir)
    _check_weights(red.shape, red_weights=red_weights, nir_weights=nir_weights)
    shares = checked_shares([reflectance_quantile, ndvi_quantile])
    if not 0 <= clear_weight <= np.iinfo(np.uint8).max:
        raise ValueError(f"clear_weight must be 0 to 255, not {clear_weight}")
    rows, dates, columns = red.shape
    plan = fit_plan(time, dates, degree)
    if not (red.size and _sums_fit(red_weights) and _sums_fit(nir_weights)):
        return _one_after_the_other(red, nir, red_weights, nir_weights, time, shares, clear_weight, degree)
    red, nir, red_weights, nir_weights = (widened(a) for a in (red, nir, red_weights, nir_weights))
    width = red.shape[2]
    bands, observations = np.empty((2, rows * width), np.uint16), np.empty(rows * width, np.uint16)
    index, coefficients = np.empty((1, rows * width), np.float32), np.empty((2 * degree + 1, rows * width), np.float32)
    _reduce_and_fit(
        red, nir, red_weights, nir_weights, np.uint8(clear_weight), shares, target_tables(shares), plan,
        bands, index.view(np.uint32), coefficients, observations,
    )  # fmt: skip
    planes = (a.reshape(-1, rows, width)[..., :columns] for a in (bands, index, observations))
    (red_plane, nir_plane), (ndvi_plane,), (count_plane,) = planes
    fitted = coefficients.reshape(-1, rows, width)[..., :columns]
    return YearlyNdvi(red_plane, nir_plane, ndvi_plane, fitted, count_plane)


def _check_bands(**bands: np.ndarray) -> None:
    shapes = {band.shape for band in bands.values()}
    for name, band in bands.items():
        if band.ndim != 3 or len(shapes) > 1:
            raise ValueError(f"{' and '.join(bands)} must have one shape (y, time, x), not {name} {band.shape}")
        if band.dtype != np.uint16:
            raise ValueError(f"{name} must be uint16, not {band.dtype}")


def _check_weights(shape: tuple[int, ...], **weights: np.ndarray) -> None:
    for name, weight in weights.items():
        if weight.shape != shape:
            raise ValueError(f"{name} {weight.shape} must have the shape (y, time, x) of the values, {shape}")
        if weight.dtype != np.uint8:
            raise ValueError(f"{name} must be uint8, not {weight.dtype}")


def _sums_fit(weights: np.ndarray) -> bool:
    """Whether the sum of the weights of any pixel fits 16 bits, the weights being read only if there are many dates."""
    dates, most = weights.shape[1], np.iinfo(np.uint16).max
    return dates * np.iinfo(np.uint8).max <= most or dates * int(weights.max()) <= most


def _one_after_the_other(
    red: np.ndarray, nir: np.ndarray, red_weights: np.ndarray, nir_weights: np.ndarray, time: np.ndarray,
    shares: np.ndarray, clear_weight: int, degree: int,
) -> YearlyNdvi:  # fmt: skip
    """The same from the modules that define it: slower, and for any weights."""
    red, nir, red_weights, nir_weights = (np.moveaxis(a, 1, 0) for a in (red, nir, red_weights, nir_weights))
    index = ndvi(nir, red)
    weights = np.where(np.isnan(index), np.uint8(0), np.minimum(red_weights, nir_weights))
    return YearlyNdvi(
        red=weighted_quantile(red, red_weights, shares[0], NO_DATA),
        nir=weighted_quantile(nir, nir_weights, shares[0], NO_DATA),
        ndvi=weighted_quantile(index, weights, shares[1], np.nan),
        harmonics=fit_harmonics(index, weights, time, degree),
        observations=(weights >= clear_weight).sum(axis=0, dtype=np.uint16),
    )


@kernel
def _reduce(values, weights, shares, tables, out):
    rows, time, columns = values.shape
    room = strip_room(time, out, weights, weights, out)
    for y in range(rows):
        for start in range(0, columns, STRIP):
            x = min(start, columns - STRIP)
            within = gather_integers(values, weights, y * time * columns + x, columns, _NONE, _NONE, room)
            reduce_integers(within, _NONE, _NONE, shares, tables, room, out, y * columns + x)


@kernel
def _reduce_and_fit(red, nir, red_weights, nir_weights, clear, shares, tables, plan, bands, index, coefficients, observations):
    """All statistics strip by strip: what follows the first reading of a strip finds it in the cache of the core."""
    rows, time, columns = red.shape
    room, fitting = strip_room(time, bands, red_weights, red_weights, bands), fit_room(time, plan)
    floats, value = strip_room(time, index, red_weights, red_weights, bands), scratch(time * STRIP, np.float32)
    for y in range(rows):
        for start in range(0, columns, STRIP):
            x = min(start, columns - STRIP)
            at, to = y * time * columns + x, y * columns + x
            within = gather_integers(red, red_weights, at, columns, _NONE, _NONE, room)
            reduce_integers(within, _NONE, _NONE, shares[:1], tables[:1], room, bands[:1], to)
            within = gather_integers(nir, nir_weights, at, columns, _NONE, _NONE, room)
            reduce_integers(within, _NONE, _NONE, shares[:1], tables[:1], room, bands[1:], to)
            within = _gather_ndvi(red, nir, red_weights, nir_weights, at, columns, floats, value)
            reduce_floats(within, _NAN, shares[1:], tables[1:], floats, index, to)
            fit_strip(value, floats.weight, floats.date, within[0], plan, fitting, coefficients, to)
            _count(floats.weight, within[0], time, clear, observations, to)


@kernel
def _gather_ndvi(red, nir, red_weights, nir_weights, at, stride, room, value):
    """Like `gather_floats` of the kernels of quantiles, of the index between two bands, which is kept as `value` too."""
    absent, none = spread(_NONE, STRIP), spread(np.uint8(0), STRIP)
    seen, kept = nothing(room), 0
    for t in range(room.date.size):
        first = at + t * stride
        red_weight, nir_weight = load(red_weights, first, STRIP), load(nir_weights, first, STRIP)
        w = select(red_weight < nir_weight, red_weight, nir_weight)
        w = select((load(red, first, STRIP) != absent) & (load(nir, first, STRIP) != absent), w, none)
        if largest(w > none):
            for part in range(0, STRIP, PIECE):
                dark, bright = load(red, first + part, PIECE), load(nir, first + part, PIECE)
                # A sum of zero gives no number; its weight is 0, and a fit multiplies by it.
                dark, bright = convert(dark, np.float32), convert(bright, np.float32)
                index = (bright - dark) / (bright + dark)
                index = select(index == index, index, spread(np.float32(0), PIECE))
                store(value, kept * STRIP + part, index)
                put_float(index, room, kept * STRIP + part)
            room.date[kept] = t
            seen = see(seen, w, room, kept)
            kept += 1
    return extent(seen, room, kept)


@kernel
def _count(weight, kept, time, least, out, to):
    """Number of dates with at least that weight; those that were not kept have none."""
    one, none = spread(np.uint16(1), STRIP), spread(np.uint16(0), STRIP)
    count = spread(np.uint16(0 if least > 0 else time - kept), STRIP)
    for t in range(kept):
        count = count + select(load(weight, t * STRIP, STRIP) >= spread(least, STRIP), one, none)
    store(out, to, count)
