"""Width of the edge response on straight borders of roofs and fields: from 10 to 90 % of the step, the same places in all images.

Places are found in the truth, or in the sharpest image where there is none. Images are (band, y, x) float32, NaN without data.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

REACH = 6.0
"""Pixels on each side of an edge that its profile covers; the outer two fifths are the plateaus."""

ALONG = 2
"""Pixels on each side along an edge that its profile is averaged over."""

STEP = 0.1
"""Distance between points of a profile, pixels."""

COHERENT = 0.75
"""Least coherence of the gradient around an edge that counts as straight: 1 where all gradients point one way."""

CONTRAST = 300.0
"""Least step between the plateaus, reflectance x 10 000."""

FLAT = 0.15
"""Largest standard deviation within a plateau, share of the step."""

APART = 5
"""Pixels between two places."""


@dataclass(frozen=True)
class Edges:
    """Straight edges, arrays of one length."""

    place: np.ndarray
    """(n, 2) rows and columns of pixel centres."""
    normal: np.ndarray
    """(n, 2) unit vectors from the dark to the bright side."""
    band: np.ndarray
    """(n,) band with the clearest step."""
    low: np.ndarray
    """(n,) level of the dark plateau in the image that they were found in."""
    high: np.ndarray
    """(n,) level of the bright one."""

    def __len__(self) -> int:
        return len(self.band)


def find_edges(image: np.ndarray, most: int = 5000) -> Edges:
    """Straight edges between flat plateaus in an image (band, y, x), clearest first; none within reach of a pixel without data.

    Candidates are ridges of the gradient whose structure tensor has one direction (Bigun and Granlund 1987); those stay whose
    profile rises from one flat plateau to the other and crosses the middle near its centre.
    """
    empty = np.isnan(image).any(0)
    filled = np.where(empty, 0, image).astype(np.float32)
    spread = filled[:, ~empty].std(1) if (~empty).any() else np.ones(len(image))
    smooth = np.stack([cv2.GaussianBlur(b, (0, 0), 0.7) for b in filled])
    down, right = (np.stack([cv2.Sobel(b, cv2.CV_32F, *way, scale=1 / 8) for b in smooth]) for way in ((0, 1), (1, 0)))
    unit = np.maximum(spread, CONTRAST / 3)[:, None, None]
    tensor = [
        cv2.GaussianBlur(((a / unit) * (b / unit)).sum(0), (0, 0), 2.0) for a, b in ((down, down), (right, right), (down, right))
    ]
    total = tensor[0] + tensor[1]
    coherence = np.hypot(tensor[0] - tensor[1], 2 * tensor[2]) / np.maximum(total, 1e-9)
    turn = 0.5 * np.arctan2(2 * tensor[2], tensor[1] - tensor[0])
    normal = np.stack([np.sin(turn), np.cos(turn)])
    best = (np.abs(normal[0] * down + normal[1] * right) / unit).argmax(0)
    steep = np.abs(normal[0] * down + normal[1] * right).max(0)
    rows, columns = np.indices(steep.shape)
    sides = [
        ndimage.map_coordinates(steep, (rows + k * normal[0], columns + k * normal[1]), order=1, mode="nearest") for k in (-1, 1)
    ]
    margin = int(np.ceil(np.hypot(REACH, ALONG))) + 1
    inside = cv2.erode((~empty).astype(np.uint8), np.ones((2 * margin + 1,) * 2, np.uint8), borderValue=0).astype(bool)
    keep = inside & (coherence > COHERENT) & (steep >= sides[0]) & (steep >= sides[1]) & (steep > CONTRAST / 10)
    places = np.argwhere(keep)
    places = places[np.argsort(-steep[keep], kind="stable")]
    found = _of(places, normal[:, places[:, 0], places[:, 1]].T, best[places[:, 0], places[:, 1]])
    profile = _profiles(filled, found)
    at = _distances()
    outer = at < -0.6 * REACH, at > 0.6 * REACH
    levels = np.stack([profile[:, side].mean(1) for side in outer])
    flip = levels[0] > levels[1]
    profile[flip] = profile[flip, ::-1]
    levels[:, flip] = levels[::-1, flip]
    step = levels[1] - levels[0]
    rough = np.maximum(*(profile[:, side].std(1) for side in outer))
    middle = _crossing(profile, levels[0] + 0.5 * step)
    good = (step > CONTRAST) & (rough < FLAT * step) & (np.abs(middle) < 1)
    chosen, taken = [], np.zeros(empty.shape, bool)
    for k in np.flatnonzero(good):
        y, x = places[k]
        if not taken[y, x]:
            taken[max(0, y - APART) : y + APART + 1, max(0, x - APART) : x + APART + 1] = True
            chosen.append(k)
    pick = np.array(chosen[:most], dtype=int)
    normals = np.where(flip[:, None], -found.normal, found.normal)
    return Edges(places[pick].astype(float), normals[pick], found.band[pick], levels[0][pick], levels[1][pick])


def edge_widths(image: np.ndarray, edges: Edges) -> np.ndarray:
    """(n,) float64: pixels from 10 to 90 % of each step in an image; NaN where a pixel without data is near.

    The step is that between the plateaus where the edges were found. What does not reach a level within the profile has the
    profile's half length on that side.
    """
    profile = _profiles(np.where(np.isnan(image), np.nan, image).astype(np.float32), edges)
    step = edges.high - edges.low
    width = _crossing(profile, edges.low + 0.9 * step) - _crossing(profile, edges.low + 0.1 * step, last=True)
    return np.where(np.isnan(profile).any(1), np.nan, np.maximum(width, 0))


def _of(places: np.ndarray, normal: np.ndarray, band: np.ndarray) -> Edges:
    nothing = np.zeros(len(places))
    return Edges(places.astype(float), normal, band, nothing, nothing)


def _distances() -> np.ndarray:
    """Of the points of a profile from the edge, pixels."""
    count = round(REACH / STEP)
    return np.arange(-count, count + 1) * STEP


def _profiles(image: np.ndarray, edges: Edges) -> np.ndarray:
    """(n, point) values across each edge, mean along it, cubic between pixels."""
    across, along = _distances(), np.arange(-ALONG, ALONG + 1)
    tangent = np.stack([-edges.normal[:, 1], edges.normal[:, 0]], -1)
    result = np.full((len(edges), len(across)), np.nan)
    for band in np.unique(edges.band):
        of = np.flatnonzero(edges.band == band)
        coefficients = image[band]
        empty = np.isnan(coefficients)
        coefficients = ndimage.spline_filter(np.where(empty, 0, coefficients).astype("f8"), order=3, mode="mirror")
        point = (
            edges.place[of, None, None]
            + edges.normal[of, None, None] * across[:, None, None]
            + tangent[of, None, None] * along[:, None]
        )
        at = np.moveaxis(point, -1, 0)
        values = ndimage.map_coordinates(coefficients, at, order=3, mode="mirror", prefilter=False)
        if empty.any():
            near = ndimage.binary_dilation(empty, iterations=2)
            values[ndimage.map_coordinates(near.astype("f4"), at, order=0, mode="nearest") > 0] = np.nan
        result[of] = values.mean(-1)
    return result


def _crossing(profile: np.ndarray, level: np.ndarray, last: bool = False) -> np.ndarray:
    """(n,) distance at which each profile crosses its level from below: the crossing that is nearest to the centre.

    Where it does not, the end of the profile: that before the edge if it is to be the `last` one below, otherwise that behind it.
    """
    at = _distances()
    below = profile <= level[:, None]
    rise = below[:, :-1] & ~below[:, 1:]
    distance = np.where(rise, np.abs(at[:-1] + STEP / 2), np.inf)
    k = distance.argmin(1)
    row = np.arange(len(profile))
    a, b = profile[row, k], profile[row, k + 1]
    part = np.divide(level - a, b - a, out=np.zeros(len(a)), where=b != a)
    return np.where(np.isfinite(distance[row, k]), at[k] + STEP * part, -REACH if last else REACH)
