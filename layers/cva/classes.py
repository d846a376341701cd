"""Classes of change: k-means of amplitude and angle in the polar plane (AI4Copernicus, 4.2.5, step 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NO_CHANGE, NO_DATA = 0, 255
"""Codes beside those of the classes, 1 to n."""

MOST_CLASSES = 12
"""Classes that still have a colour each."""

MOST_PIXELS = 100_000
"""Changed pixels that classes are fitted to; our choice."""


@dataclass(frozen=True)
class Centre:
    """Middle of a class."""

    amplitude: float
    angle: float
    """Degrees."""


def polar(amplitude: np.ndarray, angle: np.ndarray, threshold: float) -> np.ndarray:
    """Points of the polar plane (pixel, 2).

    The radius is 1 + ln(amplitude / threshold): amplitudes reach over orders of magnitude, and classes by the amplitude itself
    would be those of a few extreme pixels.
    """
    radius = 1 + np.log(np.maximum(amplitude / threshold, 1))
    radians = np.radians(angle)
    return np.stack([radius * np.cos(radians), radius * np.sin(radians)], -1)


def fit_classes(amplitude: np.ndarray, angle: np.ndarray, threshold: float, number: int) -> tuple[Centre, ...]:
    """Centres of at most `number` classes of changed pixels, by angle, then by amplitude; none without pixels.

    K-means begins at pixels that part the angles into equal shares, so that the same pixels give the same classes.
    """
    from sklearn.cluster import KMeans  # takes a second to import

    points = np.unique(polar(amplitude, angle, threshold), axis=0)
    number = min(number, len(points))
    if not number:
        return ()
    order = points[np.argsort(np.arctan2(points[:, 1], points[:, 0]), kind="stable")]
    start = order[((np.arange(number) + 0.5) / number * len(order)).astype(int)]
    model = KMeans(number, init=start, n_init=1, max_iter=300).fit(polar(amplitude, angle, threshold))
    radius, radians = np.hypot(*model.cluster_centers_.T), np.arctan2(*model.cluster_centers_.T[::-1])
    found = [Centre(float(threshold * np.exp(max(r - 1, 0))), float(np.degrees(t))) for r, t in zip(radius, radians, strict=True)]
    return tuple(sorted(found, key=lambda c: (round(c.angle, 6), c.amplitude)))


def assign(amplitude: np.ndarray, angle: np.ndarray, threshold: float, centres: tuple[Centre, ...]) -> np.ndarray:
    """Class of every pixel, uint8 of the shape of `amplitude`: 0 below the threshold, 1 to n, 255 where it is NaN."""
    out = np.full(amplitude.shape, NO_DATA, "uint8")
    known = np.isfinite(amplitude)
    out[known] = NO_CHANGE
    changed = known & (np.nan_to_num(amplitude) >= threshold)
    if centres and changed.any():
        middles = polar(np.array([c.amplitude for c in centres]), np.array([c.angle for c in centres]), threshold)
        points = polar(amplitude[changed], angle[changed], threshold)
        distance = ((points[:, None].astype("f4") - middles[None].astype("f4")) ** 2).sum(-1)
        out[changed] = distance.argmin(1) + 1
    return out
