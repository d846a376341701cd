"""Sampling of a mirrored landscape: its sky, its bands and its scene classification at the pixels of a granule.

`x` and `y` are local coordinates of pixel centres, metres; a landscape of n pixels each way is folded at its edges.
"""

from __future__ import annotations

import numba
import numpy as np

from imperv.tasks.simulator.scenes import NOISE


@numba.njit(cache=True, nogil=True)
def sample_sky(fields, cell, x, y, extent, margin, a, b, c):  # type: ignore[no-untyped-def]
    """Opacity, light, brightness and haze of pixels of 20 m, (4, rows, columns); opacity below 0 where there are no data."""
    rows, columns = x.shape
    n = fields.shape[1]
    out = np.empty((4, rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            px, py = x[i, j], y[i, j]
            if px < -margin or py < -margin or px > extent + margin or py > extent + margin or a * px + b * py > c:
                out[0, i, j] = -1
                continue
            u, v = px / cell - 0.5, py / cell - 0.5
            fu, fv = np.floor(u), np.floor(v)
            s, t = np.float32(u - fu), np.float32(v - fv)
            p, q = int(fu) % n, int(fv) % n
            p1, q1 = (p + 1) % n, (q + 1) % n
            for k in range(4):
                f = fields[k]
                upper = f[q, p] * (1 - s) + f[q, p1] * s
                lower = f[q1, p] * (1 - s) + f[q1, p1] * s
                out[k, i, j] = upper * (1 - t) + lower * t
            out[1, i, j] = 1 - out[1, i, j] * (1 - out[0, i, j])
    return out


@numba.njit(cache=True, nogil=True)
def fold(along, pixel, n):  # type: ignore[no-untyped-def]
    """Pixel numbers, float, in a landscape that goes on in mirrors; whole numbers are centres."""
    out = np.empty(along.shape, np.float32)
    period = np.float32(2 * n)
    for i in range(along.shape[0]):
        for j in range(along.shape[1]):
            u = along[i, j] / pixel % period
            u = (period - u if u > n else u) - 0.5
            out[i, j] = min(max(u, 0.0), n - 1.001)
    return out


@numba.njit(cache=True, nogil=True)
def sample_band(base, u, v, sky, step, opaque, haze, cloud, shift, seed, row, column):  # type: ignore[no-untyped-def]
    """A band of a strip: the landscape, bilinear, under its sky, with noise; 0 without data.

    `u` and `v` are folded coordinates, `step` pixels of the band along one of the sky, `shift` is added to digital numbers; noise
    is a hash of `seed` and of the pixel, whose row and column begin at `row` and `column`.
    """
    rows, columns = u.shape
    out = np.zeros((rows, columns), np.uint16)
    one, opaque = np.float32(1), np.float32(opaque)
    veil, bright = np.float32(1e4 * haze), np.float32(1e4 * cloud)
    floor, share, unit = np.float32(1e4 * NOISE), np.float32(0.008), np.float32(1 / 26755.0)
    key = np.uint64(seed) * np.uint64(0x165667B19E3779F9)
    for i in range(rows):
        line = np.uint64(row + i) * np.uint64(0x9E3779B97F4A7C15) ^ key
        for j in range(columns):
            alpha = sky[0, i // step, j // step]
            if alpha < 0:
                continue
            p, q = int(u[i, j]), int(v[i, j])
            s, t = u[i, j] - np.float32(p), v[i, j] - np.float32(q)
            upper = np.float32(base[q, p]) * (one - s) + np.float32(base[q, p + 1]) * s
            lower = np.float32(base[q + 1, p]) * (one - s) + np.float32(base[q + 1, p + 1]) * s
            value = upper * (one - t) + lower * t
            hidden = alpha * opaque
            value = (value * sky[1, i // step, j // step] + veil * sky[3, i // step, j // step]) * (one - hidden)
            value += bright * sky[2, i // step, j // step] * hidden
            h = (line ^ (np.uint64(column + j) * np.uint64(0xC2B2AE3D27D4EB4F))) * np.uint64(0xFF51AFD7ED558CCD)
            h = (h ^ (h >> np.uint64(32))) * np.uint64(0xC4CEB9FE1A85EC53)
            # Two numbers of 16 bits, even: their sum has a deviation of 26 755.
            chance = np.float32(int((h >> np.uint64(32)) & np.uint64(0xFFFF)) + int(h >> np.uint64(48)) - 65535) * unit
            value += chance * (floor + share * value) + np.float32(0.5)
            out[i, j] = np.uint16(min(max(value, one), np.float32(60000))) + shift
    return out


@numba.njit(cache=True, nogil=True)
def sample_classes(base, u, v, sky, thin):  # type: ignore[no-untyped-def]
    """Scene classification of a strip at 20 m, the nearest pixel of the landscape under its sky; 0 without data."""
    rows, columns = u.shape
    out = np.zeros((rows, columns), np.uint8)
    for i in range(rows):
        for j in range(columns):
            alpha = sky[0, i, j]
            if alpha < 0:
                continue
            found = base[int(v[i, j] + 0.5), int(u[i, j] + 0.5)]
            if sky[1, i, j] < 0.8:
                found = 3
            if thin:
                if alpha > 0.07:
                    found = 10
            elif alpha > 0.45:
                found = 9
            elif alpha > 0.12:
                found = 8
            out[i, j] = found
    return out
