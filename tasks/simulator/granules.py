"""Granules of a site: UTM zones, MGRS names and pixel grids, and the scenery each grid sees.

A granule covers its side of the zone border (or of the site's middle) and some hundred metres beyond.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from scipy.sparse import csr_array
from shapely.geometry import Polygon, box

from imperv.tasks.projections import transformer
from imperv.tasks.simulator.shapes import CELL, Drawing

OVERLAP = 300.0
"""Two granules overlap by twice this, metres."""

ZONE_REACH = 15_000.0
"""A zone border this near to the site brings granules of both zones, metres."""

SQUARE, EXTENT = 100_000, 109_800
"""Edges of the squares of MGRS and of the granules named after them, metres."""

PSF_SIGMA = 0.49
"""Blur of the instrument, pixels: the Gaussian whose transfer at the Nyquist frequency is 0.3 (MSI: 0.15 to 0.30)."""

_METRES_PER_DEGREE = 111_320.0


@dataclass(frozen=True)
class Granule:
    """Part of an MGRS tile that holds a part of the site."""

    mgrs: str
    """Name such as 32UQU."""
    epsg: int
    """UTM zone."""
    left: int
    """Left edge, UTM metres."""
    top: int
    """Upper edge, UTM metres."""
    shape: tuple[int, int]
    """Rows and columns of 10 m."""


def mgrs_name(longitude: float, latitude: float) -> str:
    """Name of the MGRS 100 km square of a place (WGS 84, northern hemisphere), such as 32UQU."""
    zone = int((longitude + 180) // 6) + 1
    return _square(zone, latitude, *_to_utm(zone).transform(longitude, latitude))


def _square(zone: int, latitude: float, easting: float, northing: float) -> str:
    band = "CDEFGHJKLMNPQRSTUVWX"[min(19, int((latitude + 80) // 8))]
    column = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")[zone % 3][min(7, max(0, int(easting // 100_000) - 1))]
    rows = "ABCDEFGHJKLMNPQRSTUV"
    row = rows[(int(northing // 100_000) + (0 if zone % 2 else 5)) % 20]
    return f"{zone:02d}{band}{column}{row}"


def _to_utm(zone: int) -> Transformer:
    return transformer("EPSG:4326", f"EPSG:{32600 + zone}")


def granules(bounds: tuple[int, int, int, int]) -> list[Granule]:
    """The two granules of a site (bounds in EPSG:3035), west and east of a near zone border, else north and south in one zone."""
    left, bottom, right, top = bounds
    side = np.linspace(0, 1, 33)
    x = np.r_[left + (right - left) * side, right + 0 * side, right - (right - left) * side, left + 0 * side]
    y = np.r_[bottom + 0 * side, bottom + (top - bottom) * side, top + 0 * side, top - (top - bottom) * side]
    lon, lat = transformer("EPSG:3035", "EPSG:4326").transform(x, y)
    middle, parallel = float((lon.min() + lon.max()) / 2), float((lat.min() + lat.max()) / 2)
    degree = _METRES_PER_DEGREE * math.cos(math.radians(parallel))
    border = 6 * round(middle / 6)
    gap = max(0.0, border - lon.max(), lon.min() - border) * degree
    beyond = OVERLAP / degree
    if gap <= ZONE_REACH:
        quarter = (lon.max() - lon.min()) / 4
        cut = float(np.clip(border, lon.min() + quarter, lon.max() - quarter))
        west, east = border // 6 + 30, border // 6 + 31
        parts = [(west, lon.clip(max=cut + beyond), lat), (east, lon.clip(min=cut - beyond), lat)]
        names = [mgrs_name(border - 1e-6, parallel), mgrs_name(border + 1e-6, parallel)]
    else:
        zone = int((middle + 180) // 6) + 1
        beyond = OVERLAP / _METRES_PER_DEGREE
        parts = [(zone, lon, lat.clip(min=parallel - beyond)), (zone, lon, lat.clip(max=parallel + beyond))]
        easting, northing = _to_utm(zone).transform(middle, parallel)
        names = [_square(zone, parallel, easting, northing + half) for half in (50_000, -50_000)]
    found = []
    for name, (zone, a, b) in zip(names, parts, strict=True):
        e, n = _to_utm(zone).transform(a, b)
        # Grids of real granules are multiples of 60 m, so that 10, 20 and 60 m pixels nest.
        x0, y1 = math.floor((e.min() - 40) / 60) * 60, math.ceil((n.max() + 40) / 60) * 60
        columns, rows = 6 * math.ceil((e.max() + 40 - x0) / 60), 6 * math.ceil((y1 - n.min() + 40) / 60)
        found.append(Granule(name, 32600 + zone, x0, y1, (rows, columns)))
    return found


def real_granules(bounds: tuple[int, int, int, int]) -> list[Granule]:
    """All granules of 109.8 km that a site of one UTM zone touches, as the tiling grid of Sentinel-2 has them.

    `bounds` are EPSG:3035 metres. ValueError for a site that a border of zones crosses.
    """
    left, bottom, right, top = bounds
    x, y = box(left, bottom, right, top).segmentize((right - left) / 32).exterior.coords.xy
    lon, lat = transformer("EPSG:3035", "EPSG:4326").transform(np.asarray(x), np.asarray(y))
    (zone, *others) = {int((value + 180) // 6) + 1 for value in lon}
    if others:
        raise ValueError(f"site {bounds} lies in more than one UTM zone")
    site = Polygon(zip(*_to_utm(zone).transform(lon, lat), strict=True))
    back = transformer(f"EPSG:{32600 + zone}", "EPSG:4326")
    west, south, east, north = (int(value // SQUARE) for value in site.bounds)
    found = []
    for row in range(north, south - 2, -1):
        for column in range(west - 1, east + 1):
            # Corners are those of the squares, drawn out to multiples of 60 m.
            e, n = column * SQUARE // 60 * 60, -(-(row + 1) * SQUARE // 60) * 60
            if box(e, n - EXTENT, e + EXTENT, n).intersection(site).area > 0:
                middle = (column + 0.5) * SQUARE, (row + 0.5) * SQUARE
                name = _square(zone, back.transform(*middle)[1], *middle)
                found.append(Granule(name, 32600 + zone, e, n, (EXTENT // 10, EXTENT // 10)))
    return found


@dataclass(frozen=True)
class Scenery:
    """What the pixels of a grid see: for each pixel, objects and their weights (a sparse matrix by rows)."""

    starts: NDArray[np.int64]
    """First entry of each pixel, and the total."""
    objects: NDArray[np.int32]
    """Rows of the table of `mix`."""
    weights: NDArray[np.float32]
    """Shares; they sum to 1 in a pixel, and there are none where the landscape ends."""
    shape: tuple[int, int]
    """Rows and columns."""

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Pixels that lie wholly on the landscape."""
        return (np.diff(self.starts) > 0).reshape(self.shape)

    def mix(self, table: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values (rows, columns, k) from a table (object, k); 0 where nothing is seen."""
        shares = csr_array((self.weights, self.objects, self.starts), shape=(len(self.starts) - 1, len(table)))
        return (shares @ table).reshape(*self.shape, -1)


def local_coordinates(
    granule: Granule, rows: slice, pixel: float, corner: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Local coordinates (x east, y south) of pixel centres in some rows; interpolated from every 32nd, exact to centimetres."""
    n, columns = rows.stop - rows.start, round(granule.shape[1] * 10 / pixel)
    r = np.unique(np.r_[np.arange(rows.start, rows.stop, 32), rows.stop - 1])
    c = np.unique(np.r_[np.arange(0, columns, 32), columns - 1])
    to_laea = transformer(f"EPSG:{granule.epsg}", "EPSG:3035")
    east, north = np.meshgrid(granule.left + (c + 0.5) * pixel, granule.top - (r + 0.5) * pixel)
    x, y = to_laea.transform(east, north)
    out = []
    for field in (x - corner[0], corner[1] - y):
        along = np.stack([np.interp(np.arange(columns), c, line) for line in field])
        k = np.clip(np.searchsorted(r, np.arange(n) + rows.start, side="right") - 1, 0, max(len(r) - 2, 0))
        t = ((np.arange(n) + rows.start - r[k]) / (r[k + 1] - r[k]))[:, None] if len(r) > 1 else np.zeros((n, 1))
        out.append(along[k] * (1 - t) + along[np.minimum(k + 1, len(r) - 1)] * t)
    return out[0], out[1]


def scenery(
    drawing: Drawing, year: int, x: NDArray, y: NDArray, pixel: float, extent: float, margin: float
) -> tuple[Scenery, NDArray[np.int64]]:
    """What pixels see of a landscape through the instrument's blur, and the numbers of its objects in the drawing.

    The scenery numbers objects 0, 1, ... in that order. `x`, `y` are pixel centres in local metres; the landscape reaches from
    -`margin` to `extent` + `margin`; `year` is 0 for `then`, 1 for `now`.
    """
    reach = 2.0 * pixel
    left, upper = max(-margin, float(x.min()) - reach), max(-margin, float(y.min()) - reach)
    right, lower = min(extent + margin, float(x.max()) + reach), min(extent + margin, float(y.max()) + reach)
    # One lattice of cells for all windows, or the same place would look different from strip to strip.
    left, upper = CELL * math.ceil(left / CELL), CELL * math.ceil(upper / CELL)
    shape = max(0, int((lower - upper) / CELL)), max(0, int((right - left) / CELL))
    ids = drawing.draw(left, upper, shape, year) if min(shape) > 0 else np.zeros((1, 1), np.int32)
    present = np.zeros(len(drawing), bool)
    present[ids] = True
    numbers = np.flatnonzero(present)
    local = (np.cumsum(present, dtype=np.int32) - 1)[ids]
    step_x = np.array([x[0, -1] - x[0, 0], y[0, -1] - y[0, 0]]) / max(x.shape[1] - 1, 1) / pixel
    count, spread = (8 if pixel <= 10 else 10), PSF_SIGMA * pixel
    offset = (np.arange(count) - (count - 1) / 2) * (4.4 * spread / count)
    weight = np.exp(-0.5 * (offset / spread) ** 2)
    starts, objects, weights = _gather(
        local, left, upper, CELL, x.ravel(), y.ravel(), step_x[0], step_x[1],
        offset, weight / weight.sum(),
    )  # fmt: skip
    return Scenery(starts, objects, weights, (x.shape[0], x.shape[1])), numbers.astype(np.int64)


@numba.njit(cache=True, nogil=True)
def _gather(ids, left, upper, cell, x, y, cos, sin, offset, weight):  # type: ignore[no-untyped-def]
    """Objects and weights under each pixel; two passes, first counting."""
    rows, columns = ids.shape
    count = len(offset)
    starts = np.zeros(len(x) + 1, np.int64)
    found = np.empty(count * count, np.int32)
    share = np.empty(count * count, np.float64)
    objects, weights = np.empty(0, np.int32), np.empty(0, np.float32)
    for final in range(2):
        if final:
            objects, weights = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
        for p in range(len(x)):
            n = 0
            for i in range(count):
                for j in range(count):
                    # The granule's axes are turned against the site's by the convergence of the projections.
                    px = x[p] + cos * offset[j] - sin * offset[i]
                    py = y[p] + sin * offset[j] + cos * offset[i]
                    c, r = int(np.floor((px - left) / cell)), int(np.floor((py - upper) / cell))
                    if c < 0 or r < 0 or c >= columns or r >= rows:
                        n = -1
                        break
                    number = ids[r, c]
                    k = 0
                    while k < n and found[k] != number:
                        k += 1
                    if k == n:
                        found[k], share[k] = number, 0.0
                        n += 1
                    share[k] += weight[i] * weight[j]
                if n < 0:
                    break
            n = max(n, 0)
            if final:
                for k in range(n):
                    objects[starts[p] + k], weights[starts[p] + k] = found[k], share[k]
            else:
                starts[p + 1] = starts[p] + n
    return starts, objects, weights
