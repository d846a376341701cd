"""Fit of the calibration on the previous production: regression, maximum and minimum; ATBD 4.3.2, Figures 15 to 17.

Samples are collected block by block and merged, also across tiles, and fitted once. Which tiles are asked for samples
when one has too few is not decided here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
from numba import njit
from pydantic import BaseModel, ConfigDict, Field

FULL = 100.0
"""Density of fully sealed ground, percent."""

WIDEST_SCALE = 1e4
"""Percent. Largest max - min: every density rounds to 99 or 100 by then."""

NARROWEST_SCALE = 1e-3
"""Percent. Smallest max - min: densities are only 0 or 100 by then."""

NO_IBU = "no_ibu"
"""Flag: no pixel is known to be fully sealed, `maximum` is 100, the regression's own scale."""

NO_ROOT = "no_root"
"""Flag: no minimum keeps the mean density; the closest was taken, at an end of the range."""


class CalibrationError(ValueError):
    """The samples do not carry a calibration; the text says why."""


class CalibrationParameters(BaseModel):
    """Parameters of the calibration."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    threshold: float = Field(default=90, ge=0, le=100)
    """Density from which a pixel is inside the sealing mask whatever its CLC+ class, percent (ATBD 4.3.2)."""

    step: int = Field(default=6, ge=1)
    """Every how many 10 m pixels the regression is sampled, both ways: 60 m (ATBD 4.3.2)."""

    minimum_samples: int = Field(default=200, ge=3)
    """Fewest samples of a regression; with fewer the tile borrows those of its neighbours."""

    fallback_samples: int = Field(default=20, ge=3)
    """Fewest samples of a regression where nothing can be borrowed."""


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration: `R = intercept + slope x NDVI_p0`, scaled linearly from minimum..maximum to 0..100."""

    intercept: float
    """R at an NDVI_p0 of 0, percent."""
    slope: float
    """Percent for an NDVI_p0 of 1; negative."""
    minimum: float
    """R that becomes density 0, percent; below `maximum`, may be negative."""
    maximum: float
    """R that becomes density 100, percent."""
    samples: int
    """Number of samples of the regression."""
    r2: float
    """Coefficient of determination of the regression, 0 to 1."""
    flags: tuple[str, ...] = ()
    """What was unusual: "no_ibu", "no_root", and what a caller adds."""

    def to_json(self) -> str:
        """The calibration as a JSON object; floats keep every digit."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> Calibration:
        """The calibration that `to_json` wrote.

        Raises
        ------
        ValueError
            If the text is no JSON object with exactly the fields of a calibration.
        """
        fields = json.loads(text)
        try:
            return cls(**{**fields, "flags": tuple(fields["flags"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a calibration: {error}") from error


@dataclass(frozen=True, eq=False)
class Samples:
    """What a fit needs of one area; those of several blocks or tiles are merged before the fit."""

    ndvi: np.ndarray
    """(n,) float32: NDVI_p0 of the regression's samples."""
    imd: np.ndarray
    """(n,) uint8: their density, 1 to 100 percent."""
    ibu_ndvi_sum: float
    """Sum of NDVI_p0 over built-up pixels, known to be fully sealed."""
    ibu_count: int
    """Number of these."""
    mask_ndvi: np.ndarray
    """(m,) float32: NDVI_p0 of all pixels of the mask with NDVI and a density of 0 to 100."""
    mask_imd_sum: int
    """Sum of the density over the same pixels, percent."""

    @staticmethod
    def merge(*samples: Samples) -> Samples:
        """Samples of several areas that do not overlap, as of one; none give empty samples."""
        return Samples(
            ndvi=np.concatenate([np.empty(0, np.float32), *(part.ndvi for part in samples)]),
            imd=np.concatenate([np.empty(0, np.uint8), *(part.imd for part in samples)]),
            ibu_ndvi_sum=float(sum(part.ibu_ndvi_sum for part in samples)),
            ibu_count=sum(part.ibu_count for part in samples),
            mask_ndvi=np.concatenate([np.empty(0, np.float32), *(part.mask_ndvi for part in samples)]),
            mask_imd_sum=sum(part.mask_imd_sum for part in samples),
        )


def fit_calibration(
    imd_then: np.ndarray,
    ndvi_p0_then: np.ndarray,
    mask_then: np.ndarray,
    ibu_then: np.ndarray,
    parameters: CalibrationParameters | None = None,
    offset: tuple[int, int] = (0, 0),
) -> Calibration:
    """Calibration of one area held in memory: `collect_samples`, then `fit_samples`.

    Parameters
    ----------
    imd_then, ndvi_p0_then, mask_then, ibu_then, offset
        As in `collect_samples`.
    parameters : CalibrationParameters, optional

    Returns
    -------
    Calibration

    Raises
    ------
    CalibrationError
        If there are too few samples, or density does not fall with NDVI.
    ValueError
        If the shapes differ.

    Notes
    -----
    ATBD 4.3.2, absolute calibration.
    """
    parameters = parameters or CalibrationParameters()
    samples = collect_samples(imd_then, ndvi_p0_then, mask_then, ibu_then, offset, parameters.step)
    return fit_samples(samples, parameters)


def collect_samples(
    imd_then: np.ndarray,
    ndvi_p0_then: np.ndarray,
    mask_then: np.ndarray,
    ibu_then: np.ndarray,
    offset: tuple[int, int] = (0, 0),
    step: int = 6,
) -> Samples:
    """Samples of an area, such as a block.

    Parameters
    ----------
    imd_then : ndarray (y, x) of uint8
        Density of the previous production, 0 to 100 percent; higher codes are outside.
    ndvi_p0_then : ndarray (y, x) of float32
        Constant of the harmonic fit of NDVI; NaN no data.
    mask_then : ndarray (y, x) of uint8
        Sealing mask: 1 sealed.
    ibu_then : ndarray (y, x) of uint8
        Built-up of the previous production: 1 built up.
    offset : (row, column)
        Position of the first pixel in the 10 m EEA grid; only its remainder by `step` matters.
    step : int
        Every `step`-th row and column of the EEA grid is sampled for the regression.

    Returns
    -------
    Samples

    Raises
    ------
    ValueError
        If the shapes differ or `step` is below 1.

    Notes
    -----
    ATBD 4.3.2: regression on a grid of 60 m; maximum over the built-up pixels; minimum over all pixels of the mask.
    """
    imd, ndvi, mask, ibu = (np.asarray(a) for a in (imd_then, ndvi_p0_then, mask_then, ibu_then))
    if imd.ndim != 2 or not imd.shape == ndvi.shape == mask.shape == ibu.shape:
        raise ValueError(f"arrays of {imd.shape}, {ndvi.shape}, {mask.shape} and {ibu.shape} must have one shape (y, x)")
    if step < 1:
        raise ValueError(f"step must be at least 1, not {step}")
    known = np.isfinite(ndvi)
    sealed = (mask == 1) & known & (imd <= FULL)
    built = (ibu == 1) & known

    lattice = tuple(slice(-start % step, None, step) for start in offset)
    on_lattice = sealed[lattice] & (imd[lattice] >= 1)
    return Samples(
        ndvi=ndvi[lattice][on_lattice].astype(np.float32),
        imd=imd[lattice][on_lattice].astype(np.uint8),
        ibu_ndvi_sum=float(ndvi.sum(where=built, dtype=np.float64)),
        ibu_count=int(np.count_nonzero(built)),
        mask_ndvi=ndvi[sealed].astype(np.float32),
        mask_imd_sum=int(imd.sum(where=sealed, dtype=np.int64)),
    )


def fit_samples(samples: Samples, parameters: CalibrationParameters | None = None) -> Calibration:
    """Calibration from samples.

    Parameters
    ----------
    samples : Samples
        Of one area, or merged.
    parameters : CalibrationParameters, optional

    Returns
    -------
    Calibration
        `maximum` is the mean of R over built-up pixels, `minimum` the value that keeps the mean density of the mask.

    Raises
    ------
    CalibrationError
        If there are fewer than `parameters.minimum_samples`, or density does not fall with NDVI.

    Notes
    -----
    ATBD 4.3.2: calibration on NDVI, high-density sealing areas, automatic density re-scaling.
    """
    parameters = parameters or CalibrationParameters()
    count = samples.ndvi.size
    if count < parameters.minimum_samples:
        raise CalibrationError(f"{count} samples inside the sealing mask, {parameters.minimum_samples} needed")
    intercept, slope, r2 = _least_squares(samples.ndvi.astype(np.float64), samples.imd.astype(np.float64))
    if not slope < 0:
        raise CalibrationError(f"density does not fall with NDVI in {count} samples: slope {slope:.4g}")

    flags = []
    # R is linear, so its mean is R of the mean.
    if samples.ibu_count:
        maximum = intercept + slope * (samples.ibu_ndvi_sum / samples.ibu_count)
    else:
        maximum = FULL
        flags.append(NO_IBU)
    target = samples.mask_imd_sum / samples.mask_ndvi.size
    minimum, found = _minimum(samples.mask_ndvi, intercept, slope, maximum, target)
    if not found:
        flags.append(NO_ROOT)
    return Calibration(intercept, slope, minimum, maximum, count, r2, tuple(flags))


def _least_squares(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Intercept, slope and R2; centred first, so that no large sums cancel."""
    x_mean, y_mean = x.mean(), y.mean()
    x = x - x_mean
    y = y - y_mean
    sxx, sxy, syy = float(x @ x), float(x @ y), float(y @ y)
    if sxx == 0:
        raise CalibrationError(f"NDVI is {x_mean:.4g} in all {x.size} samples: no slope can be fitted")
    slope = sxy / sxx
    return float(y_mean - slope * x_mean), slope, sxy * sxy / (sxx * syy) if syy > 0 else 0.0


def _minimum(ndvi: np.ndarray, intercept: float, slope: float, maximum: float, target: float) -> tuple[float, bool]:
    """Minimum below `maximum` with which the mean density of `ndvi` is `target`, and whether there is one.

    The mean never rises with the minimum (each pixel's density falls, or stays at 0 or 100), so there is a root if
    the ends of the range enclose the target, and otherwise the nearer end is the closest value of all.
    """
    from scipy.optimize import brentq  # half a second to import, for which every process would pay

    lowest, highest = maximum - WIDEST_SCALE, maximum - NARROWEST_SCALE

    def excess(minimum: float) -> float:
        return _mean_density(ndvi, intercept, slope, minimum, maximum) - target

    at_lowest, at_highest = excess(lowest), excess(highest)
    if at_lowest < 0 or at_highest > 0:
        return (lowest if at_lowest < 0 else highest), False
    return float(brentq(excess, lowest, highest, xtol=1e-9)), True


@njit(cache=True, nogil=True)
def _mean_density(ndvi, intercept, slope, minimum, maximum):
    """Mean density in percent; a loop, because it runs some twenty times over up to 1e8 pixels."""
    total = 0.0
    for value in ndvi:
        share = (intercept + slope * value - minimum) / (maximum - minimum)
        total += min(max(share, 0.0), 1.0)
    return 100.0 * total / ndvi.size
