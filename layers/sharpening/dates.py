"""Bands at half the pixel size from several registered dates: maximum a posteriori super-resolution (Farsiu et al. 2004).

Dates that are shifted by parts of a pixel sample the ground between each other's pixels. Each date is first brought to the state
of the reference date by local linear relations, then the image is sought that, shifted, blurred and averaged, is what all dates
saw, and is smooth but for edges. Shifts are measured in `registration`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.degradation import REACH
from imperv.layers.sharpening.enlarging import enlarge, fill

NOISE = (20.0, 0.01)
"""Standard deviation of a measurement: reflectance x 10 000, and share of the value; our choice, near what Sentinel-2 has."""

RADIUS = 4
"""Pixels on each side of the windows in which dates are compared, our choice: about a field."""

RIDGE = 400.0
"""Variance, (reflectance x 10 000)^2, added to that of a date's bands in local relations: that of its noise."""

TRUST = 0.3
"""Share of the local variance of what relations leave that counts as noise of a date: the rest is the detail looked for."""

SMOOTH = 0.01
"""Weight of the differences between neighbours, in units of the noise."""

EDGE = 0.8
"""Differences between neighbours above this, in units of the noise, count by their absolute value, not by their square."""

PASSES = 2
"""Times that dates are brought to the reference date's state, each time compared with a better image."""

STEPS = 30
"""Gradient steps of a pass."""

LEAST = 0.05
"""Share of a window's pixels that must be comparable."""

ROUNDS = 15
"""Rounds of the last back-projection."""

MARGIN = 12
"""Pixels around the image that are solved for with it, so that its edge is seen right."""

Shift = tuple[float, float]
"""Rows down and columns right, in pixels of the dates, by which ground lies off its place in the reference date."""

_NEIGHBOURS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, math.sqrt(0.5)), (1, -1, math.sqrt(0.5)))


@dataclass(frozen=True)
class Sampling:
    """How a date samples the ground: shift, Gaussian point spread, and mean over each of its pixels.

    Takes fine images (band, y + 2 margin, x + 2 margin), gives coarse ones (band, y / factor, x / factor). Without shift it is
    `degrade`.
    """

    factor: int
    """Fine pixels along a coarse one."""
    sigma: float
    """Point spread, fine pixels; above 0."""
    shift: Shift
    """In coarse pixels."""
    margin: int = MARGIN
    """Fine pixels around the image."""

    def _line(self, shift: float) -> tuple[np.ndarray, int]:
        """Weights of the fine pixels along one axis, odd in number, and the first pixel that their middle lies on."""
        shift *= self.factor
        reach = math.ceil(REACH * self.sigma + abs(shift)) + 1
        at = np.arange(-reach, reach + self.factor)
        line = sum(np.exp(-0.5 * ((at - (k - shift)) / self.sigma) ** 2) for k in range(self.factor))
        line = line / line.sum()
        if len(line) % 2 == 0:
            line = np.append(line, 0.0)
        return line.astype(np.float32), len(line) // 2 - reach

    def _places(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, slice, slice]:
        (down, y), (right, x) = self._line(self.shift[0]), self._line(self.shift[1])
        m, f = self.margin, self.factor
        return down, right, slice(m + y, rows - m + y, f), slice(m + x, columns - m + x, f)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """What the date would see."""
        down, right, y, x = self._places(*image.shape[1:])
        return np.stack([cv2.sepFilter2D(b, cv2.CV_32F, right, down, borderType=cv2.BORDER_CONSTANT)[y, x] for b in image])

    def adjoint(self, seen: np.ndarray) -> np.ndarray:
        """The transpose of `apply`."""
        _, rows, columns = seen.shape
        shape = rows * self.factor + 2 * self.margin, columns * self.factor + 2 * self.margin
        down, right, y, x = self._places(*shape)
        down, right = np.ascontiguousarray(down[::-1]), np.ascontiguousarray(right[::-1])
        result = np.zeros((len(seen), *shape), np.float32)
        for k, band in enumerate(seen):
            spread = np.zeros(shape, np.float32)
            spread[y, x] = band
            result[k] = cv2.sepFilter2D(spread, cv2.CV_32F, right, down, borderType=cv2.BORDER_CONSTANT)
        return result


def fuse(
    reference: np.ndarray,
    others: Sequence[np.ndarray],
    shifts: Sequence[Shift],
    factor: int,
    sigma: float,
    masks: Sequence[np.ndarray] | None = None,
    start: np.ndarray | None = None,
    noise: np.ndarray | None = None,
    rounds: int = ROUNDS,
) -> tuple[np.ndarray, np.ndarray]:
    """Bands of the reference date on finer pixels, with the detail that other dates saw.

    Parameters
    ----------
    reference : ndarray of float32, (band, y, x)
        Reflectance x 10 000, NaN without data.
    others : sequence of ndarrays of float32, (band, y, x)
        Other dates on the same pixels, as they were measured, NaN without data.
    shifts : sequence of (rows, columns)
        Of each other date, coarse pixels; see `Shift` and `registration.shift_between`.
    factor, sigma
        As of `degrade`; sigma above 0.
    masks : sequence of ndarrays of bool, (y, x), optional
        True where a date is clear: first the reference's, then the others'. A pixel takes nothing from dates that did not see it
        clear, nor from any other date if the reference did not.
    start : ndarray of float32, (band, factor * y, factor * x), optional
        A first image, such as that of a network from the reference date; by default cubic with back-projection.
    noise : ndarray, (band,), optional
        Standard deviation of the measurements, reflectance x 10 000; by default `noise_of` the reference. Windows of a scene must
        be given the same to fit together.
    rounds : int
        Rounds of the last back-projection.

    Returns
    -------
    tuple of two ndarrays of float32, (band, factor * y, factor * x)
        Bands, and standard deviations of them between the halves of the dates; NaN in pixels without data in the reference, and
        nowhere else.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.

    Notes
    -----
    A pixel depends on others up to `halo` fine pixels away. Time and memory are linear in pixels and dates.
    """
    if len(others) != len(shifts) or any(o.shape != reference.shape for o in others):
        raise ValueError(f"{len(shifts)} shifts and {len(others)} dates, which must have the reference's shape {reference.shape}")
    if masks is not None and len(masks) != len(others) + 1:
        raise ValueError(f"{len(masks)} masks for {len(others) + 1} dates")
    known = [np.isfinite(image).all(0) for image in (reference, *others)]
    if masks is not None:
        known = [k & m for k, m in zip(known, masks, strict=True)]
    empty = np.isnan(reference)
    whole = np.stack([fill(band) for band in reference]).astype(np.float32)
    if start is None:
        start = back_project(enlarge(whole, factor), whole, factor, sigma, ROUNDS)
    unit = (noise_of(reference) if noise is None else np.asarray(noise)).astype(np.float32)[:, None, None]
    first = np.stack([fill(band) for band in start])
    dates = [np.nan_to_num(image).astype(np.float32) for image in others]
    image = _solved(first, whole, dates, shifts, known, factor, sigma, unit, PASSES)
    sharp = back_project(image, whole, factor, sigma, rounds)
    deviation = np.zeros_like(sharp)
    if len(dates) > 1:
        halves = [
            _solved(first, whole, dates[k::2], shifts[k::2], [known[0], *known[1 + k :: 2]], factor, sigma, unit, 1, image)
            for k in (0, 1)
        ]
        deviation = _smooth(np.abs(halves[0] - halves[1]), factor) / 2
    gone = np.kron(empty, np.ones((1, factor, factor), bool))
    sharp[gone], deviation[gone] = np.nan, np.nan
    return sharp, deviation


def halo(factor: int, sigma: float) -> int:
    """Fine pixels around a window that its result depends on, to within a digital number."""
    return factor * (2 * RADIUS * PASSES + 2 * math.ceil(REACH * sigma / factor) + 8)


def _smooth(image: np.ndarray, factor: int) -> np.ndarray:
    size = 2 * factor + 1
    return np.stack([cv2.blur(band, (size, size), borderType=cv2.BORDER_REFLECT) for band in image])


def _solved(
    first: np.ndarray, reference: np.ndarray, dates: Sequence[np.ndarray], shifts: Sequence[Shift], known: Sequence[np.ndarray],
    factor: int, sigma: float, unit: np.ndarray, passes: int, compared: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """The image that fits all dates; `first` is where it starts, `compared` what dates are compared with first."""
    frame = [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)]
    own = Sampling(factor, sigma, (0.0, 0.0))
    image = np.pad(first, frame, mode="symmetric")
    state = image if compared is None else np.pad(compared, frame, mode="symmetric")
    for _ in range(passes):
        seen = [(own, reference / unit, known[0].astype(np.float32))]
        for date, shift, clear in zip(dates, shifts, known[1:], strict=True):
            sampling = Sampling(factor, sigma, shift)
            expected = sampling.apply(state)
            both = (clear & known[0]).astype(np.float32)
            alike = harmonised(date, expected, both)
            doubt = TRUST * local_mean(((alike - expected) / unit) ** 2, both)
            seen.append((sampling, alike / unit, both / (1 + doubt)))
        image = state = unit * _descent(image / unit, seen)
    return image[:, MARGIN:-MARGIN, MARGIN:-MARGIN]


def noise_of(reference: np.ndarray) -> np.ndarray:
    """Standard deviation of the noise of measured bands (band,), by `NOISE`, root of the mean square over the image."""
    constant, share = NOISE
    return np.sqrt(constant**2 + np.nan_to_num(np.nanmean((share * reference.astype("f8")) ** 2, (1, 2))))


def _descent(image: np.ndarray, seen: Sequence[tuple[Sampling, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Accelerated gradient descent (Nesterov) of the weighted squares plus smoothed total variation, in units of the noise."""
    # The largest eigenvalue of sampling and its transpose is 1 / factor^2; no weight is above 1.
    steep = sum(1 / sampling.factor**2 for sampling, *_ in seen) + SMOOTH * 4 * sum(w for *_, w in _NEIGHBOURS) / EDGE
    ahead, pace = image, 1.0
    for _ in range(STEPS):
        slope = SMOOTH * _variation_slope(ahead)
        for sampling, bands, weight in seen:
            slope += sampling.adjoint(weight * (sampling.apply(ahead) - bands))
        last, image = image, ahead - slope / np.float32(steep)
        following = (1 + math.sqrt(1 + 4 * pace**2)) / 2
        ahead, pace = image + np.float32((pace - 1) / following) * (image - last), following
    return image


def _variation_slope(image: np.ndarray) -> np.ndarray:
    """Gradient of the sum over neighbours of sqrt(|difference|^2 + EDGE^2), all bands together: their edges lie alike."""
    slope = np.zeros_like(image)
    _, rows, columns = image.shape
    for down, right, weight in _NEIGHBOURS:
        here = np.s_[:, down:, max(right, 0) : columns + min(right, 0)]
        there = np.s_[:, : rows - down, max(-right, 0) : columns - max(right, 0)]
        step = image[here] - image[there]
        step *= np.float32(weight) / np.sqrt((step**2).sum(0) + np.float32(EDGE**2))
        slope[here] += step
        slope[there] -= step
    return slope


def _local_sum(image: np.ndarray) -> np.ndarray:
    size = 2 * RADIUS + 1
    return np.stack([cv2.boxFilter(b, cv2.CV_32F, (size, size), normalize=False, borderType=cv2.BORDER_CONSTANT) for b in image])


def local_mean(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted means (band, y, x) over the windows of `RADIUS`; 0 where nothing has weight."""
    return _local_sum(image * weight) / np.maximum(_local_sum(weight[None]), 1)


def harmonised(date: np.ndarray, expected: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A date in the state of the reference date: the linear relation of all bands that holds in each window (guided filter).

    `date` and `expected`, what the date would see of the reference date's image, are (band, y, x) float32; `weight` (y, x)
    float32 is 1 where both are known. Where too little of a window is known, the result is what is expected.
    """
    # Values about their mean: differences of large numbers cost digits.
    centre = (date * weight).sum((1, 2), keepdims=True) / max(float(weight.sum()), 1.0)
    date, bands = (date - centre) * weight, len(date)
    base = (expected * weight).sum((1, 2), keepdims=True) / max(float(weight.sum()), 1.0)
    told = (expected - base) * weight
    mean, aim = local_mean(date, weight), local_mean(told, weight)
    rows, columns = np.triu_indices(bands)
    pairs = local_mean(date[rows] * date[columns], weight) - mean[rows] * mean[columns]
    square = np.empty((*weight.shape, bands, bands), np.float32)
    for k, (i, j) in enumerate(zip(rows, columns, strict=True)):
        square[..., i, j] = square[..., j, i] = pairs[k]
    square += np.float32(RIDGE) * np.eye(bands, dtype=np.float32)
    cross = np.stack([local_mean(date * band, weight) - mean * aim[k] for k, band in enumerate(told)])
    slope = np.moveaxis(np.linalg.solve(square, cross.transpose(2, 3, 1, 0)), (3, 2), (0, 1))
    offset = aim - (slope * mean).sum(1)
    slope = np.stack([local_mean(s, weight) for s in slope])
    result = (slope * date).sum(1) + local_mean(offset, weight) + base
    enough = _local_sum(weight[None])[0] >= LEAST * (2 * RADIUS + 1) ** 2
    return np.where((weight > 0) & enough, result, expected).astype(np.float32)
