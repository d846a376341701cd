"""What two dates of unchanged ground differ by: a line for each band, a covariance, and what misregistration adds at edges.

The model is fitted to all pixels, changed ones too, by weights of Student's t distribution: what lies far from the rest counts
little (docs/change.md, Noise). Weights from a chi-squared distribution (Canty and Nielsen 2008) shrink without end on ground
whose noise is not normal; these do not (Kent and Tyler 1991).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln

LIGHTEST, HEAVIEST = 4.0, 60.0
"""Degrees of freedom that may be found. Quiet pairs have 4 to 15 (docs/change.md): heavier tails are changes, not noise."""

ROUNDS, SETTLED = 200, 1e-3
"""Most rounds of the fit, and the relative change of its variances that ends it; our choice."""

STILL = 1e-4
"""Change of the registration in a round that ends the fit, square pixels: a hundredth of a pixel squared; our choice."""

FEWEST = 10
"""Pixels by parameter of the fit below which nothing is said; our choice."""

BODY = 0.9
"""Share of pixels below `Noise.body`. More would tell the tails better, and fail sooner where much has changed: on quiet pairs of
Flanders false alarms are 2.0 times the nominal ones with 0.9, 1.2 with 0.95, 2.5 without; our choice."""

ROUNDING = 1 / 6
"""Variance of a difference of two rounded digital numbers: what no band can be more exact than."""


@dataclass(frozen=True)
class Noise:
    """How second dates differ from first ones where nothing changed; digital numbers."""

    gain: tuple[float, ...]
    """By band: the first date is multiplied by it."""
    offset: tuple[float, ...]
    """By band: added then."""
    covariance: tuple[tuple[float, ...], ...]
    """Scatter (band, band) of the second date less the normalised first, where the ground is even."""
    registration: float
    """Variance of the shift between the dates along an axis, square pixels."""
    freedom: float
    """Degrees of freedom of Student's t distribution of the differences."""
    body: float
    """Amplitude that nine of ten pixels stay below: what pairs of dates are measured by when they are held against each other."""
    pixels: int
    """That it was fitted to."""

    @property
    def bands(self) -> int:
        """Number of bands."""
        return len(self.gain)

    def to_json(self) -> dict[str, Any]:
        """As a table."""
        return {
            "gain": list(self.gain), "offset": list(self.offset), "covariance": [list(row) for row in self.covariance],
            "registration": self.registration, "freedom": self.freedom, "body": self.body, "pixels": self.pixels,
        }  # fmt: skip

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> Noise:
        """Read what `to_json` gave."""
        rows = tuple(tuple(row) for row in table["covariance"])
        return cls(
            tuple(table["gain"]), tuple(table["offset"]), rows, table["registration"], table["freedom"], table["body"],
            table["pixels"],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sample:
    """Pixels of two dates, with how steep the ground is there."""

    first: np.ndarray
    """(pixel, band) float."""
    second: np.ndarray
    """The same at the second date."""
    steepness: np.ndarray
    """Gradients of the second date along x and y, (pixel, 2, band), by pixel (`gradients`)."""

    @classmethod
    def joined(cls, parts: list[Sample]) -> Sample:
        """One of several."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("first", "second", "steepness")))

    def thinned(self, most: int) -> Sample:
        """At most so many pixels, evenly taken."""
        step = max(1, -(-len(self.first) // most))
        return Sample(self.first[::step], self.second[::step], self.steepness[::step])


def fit_noise(sample: Sample) -> Noise:
    """Fit lines, covariance, registration and tails by expectation and maximisation.

    The line of a band is the reduced major axis of the weighted pixels. A difference is G e + r: shift e of variance
    `registration` along each axis times the gradients G, and the rest r of the covariance; both have the pixel's own Student
    weight (Lange, Little and Taylor 1989). ValueError for too few pixels, a band without contrast, or two dates that are equal.
    """
    first, second = sample.first.astype("f8"), sample.second.astype("f8")
    steep = np.swapaxes(sample.steepness.astype("f8"), 1, 2)  # (pixel, band, 2)
    pixels, bands = first.shape
    if pixels < FEWEST * bands * (bands + 3):
        raise ValueError(
            f"{pixels} clear pixels are too few for {bands} bands, at least {FEWEST * bands * (bands + 3)} are needed"
        )
    if flat := [k for k in range(bands) if min(np.ptp(first[:, k]), np.ptp(second[:, k])) == 0]:
        raise ValueError(f"band {flat[0] + 1} has one value everywhere")
    if not (first != second).any():
        raise ValueError("the two dates are equal, pixel by pixel")
    weights, freedom, registration = np.ones(pixels), 4.0, 0.01
    gain, offset = _lines(first, second, weights)
    covariance = _floored(np.cov((second - (gain * first + offset)).T).reshape(bands, bands))
    for turn in range(ROUNDS):
        difference = second - (gain * first + offset)
        inverse = np.linalg.inv(covariance)
        shifted = steep.transpose(0, 2, 1) @ inverse  # G' C^-1, (pixel, 2, band)
        inner = np.linalg.inv(np.eye(2) / registration + shifted @ steep)  # variance of the shift, given the difference
        shift = (inner @ (shifted @ difference[..., None]))[..., 0]
        rest = difference - (steep @ shift[..., None])[..., 0]
        # d' S^-1 d = d' C^-1 (d - G e), by Woodbury's identity.
        distance = np.maximum(np.einsum("ni,ij,nj->n", difference, inverse, rest), 0)
        weights = (freedom + bands) / (freedom + distance)
        spread = np.einsum("nip,npq,njq->ij", steep, inner, steep, optimize=True) / pixels
        before, shifts = np.diag(covariance), registration
        covariance = _floored((rest * weights[:, None]).T @ rest / pixels + spread)
        registration = float((weights * (shift**2).sum(1) + np.trace(inner, axis1=1, axis2=2)).mean() / 2)
        registration = max(registration, 1e-6)
        gain, offset = _lines(first, second, weights)
        if turn % 5 == 4:
            freedom = _freedom(distance, bands)
        if turn > 10 and abs(registration - shifts) < STILL and (abs(np.diag(covariance) - before) <= SETTLED * before).all():
            break
    return Noise(
        tuple(gain.tolist()), tuple(offset.tolist()), tuple(map(tuple, covariance.tolist())), registration, freedom,
        float(np.sqrt(np.quantile(distance, BODY))), pixels,
    )  # fmt: skip


def _floored(covariance: np.ndarray) -> np.ndarray:
    return covariance + ROUNDING * np.eye(len(covariance)) * (np.diag(covariance).min() < ROUNDING)


def _lines(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reduced major axis of each band: gain and offset.

    Both dates have noise, and so has this line; other than that of the orthogonal regression its gain stays sound where a band of
    the two dates hardly goes together, as in two seasons. Where it does both are the same to a percent.
    """
    share = weights / weights.sum()
    mean_first, mean_second = share @ first, share @ second
    gain = np.sqrt((share @ (second - mean_second) ** 2) / (share @ (first - mean_first) ** 2))
    return gain, mean_second - gain * mean_first


def _freedom(distance: np.ndarray, bands: int) -> float:
    """Degrees of freedom under which distances are likeliest, the covariance kept."""
    tried = np.geomspace(LIGHTEST, HEAVIEST, 25)
    logs = np.log1p(distance[None] / tried[:, None]).mean(1)
    likely = gammaln((tried + bands) / 2) - gammaln(tried / 2) - bands / 2 * np.log(tried) - (tried + bands) / 2 * logs
    return float(tried[likely.argmax()])
