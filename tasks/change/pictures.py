"""Pictures and tables of a change report: the two dates, the classes, the polar plane, rates of false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from imperv.layers.catalogue.change import palette_of
from imperv.layers.cva.classes import Centre
from imperv.layers.cva.noise import Noise
from imperv.tasks.change.quiet import Calibration
from imperv.tasks.delivery.quicklooks import draw_bands
from imperv.tasks.report.charts import INK, LINE, MUTED, Canvas, Chart
from imperv.tasks.report.page import css
from imperv.tasks.report.pictures import Bounds, Legend, Map, data_uri, enlarge, indexed_png, scale_bar

LONGEST = 800
"""Most pixels of a picture each way; every n-th is shown."""

CUT = (2, 98)
"""Percentiles of a band that are black and white, of both dates together."""

POINTS = 3000
"""Most points of the polar plane that are drawn."""

NAMES = {"quiet": "quiet pairs", "student": "Student", "chi-squared": "chi-squared"}


def step_of(shape: Sequence[int]) -> int:
    """Every n-th pixel is shown of a large map."""
    return max(1, -(-max(shape[-2:]) // LONGEST))


def shown_bands(bands: Sequence[str]) -> tuple[tuple[int, ...], str]:
    """Places of the bands that are shown as colours, and what that is called: natural colour where it can be had."""
    for names, what in (
        (("B04", "B03", "B02"), "natural colour"),
        (("B08", "B04", "B03"), "infrared"),
        (("B11", "B8A", "B04"), "short-wave infrared"),
    ):
        if set(names) <= set(bands):
            return tuple(bands.index(name) for name in names), what
    return (0, 1, 2) if len(bands) > 2 else (0,), f"{', '.join(bands[:3] if len(bands) > 2 else bands[:1])}"


def date_maps(dates: Sequence[np.ndarray], titles: Sequence[str], what: str, bounds: Bounds, note: str) -> list[Map]:
    """Both dates in one stretch; bands (band, y, x) with 0 for no data."""
    known = [pixels.astype("f4") for pixels in dates]
    for pixels in known:
        pixels[:, (pixels == 0).any(0)] = np.nan
    limits = []
    for band in range(len(known[0])):
        both = np.concatenate([pixels[band][np.isfinite(pixels[band])] for pixels in known])
        limits.append(tuple(np.percentile(both, CUT)) if both.size else (0.0, 1.0))
    share, text = scale_bar(bounds)
    found = []
    for pixels, title in zip(known, titles, strict=True):
        image = data_uri(draw_bands(enlarge(pixels), None, limits), "png", compress_level=9)
        height, width = pixels.shape[1:]
        found.append(Map(title, image, f"{title}, {what}", None, note, width, height, share, text, "", True))
    return found


def class_map(codes: np.ndarray, number: int, bounds: Bounds, note: str) -> Map:
    """Classes of change, `number` of which were found."""
    palette = palette_of(max(number, 1))
    legend = Legend(classes=tuple((css(palette.colours[k]), palette.meaning(k)) for k in range(number + 1)))
    share, text = scale_bar(bounds)
    height, width = codes.shape
    return Map(
        "Classes of change", indexed_png(codes, palette.colours), "Classes of change", legend, note, width, height, share, text
    )


def thinned_classes(codes: np.ndarray, step: int) -> np.ndarray:
    """A smaller map that loses no change: of each square of pixels the most frequent class, 0 only where none has changed."""
    if step == 1:
        return codes
    rows, columns = (size // step * step for size in codes.shape)
    parts = (
        codes[:rows, :columns]
        .reshape(rows // step, step, columns // step, step)
        .swapaxes(1, 2)
        .reshape(rows // step, columns // step, -1)
    )
    out = parts[..., 0].copy()
    changed = ((parts > 0) & (parts < 255)).any(-1)
    out[(parts == 0).any(-1)] = 0
    counts = np.stack([(parts[changed] == k).sum(-1) for k in range(1, 255) if (codes == k).any()], -1) if changed.any() else None
    if counts is not None:
        present = np.array([k for k in range(1, 255) if (codes == k).any()])
        out[changed] = present[counts.argmax(-1)]
    return out


def polar_chart(
    amplitude: np.ndarray, angle: np.ndarray, codes: np.ndarray, centres: Sequence[Centre], threshold: float
) -> Chart:
    """Changed pixels in the polar plane, in the colours of their classes; amplitude on a logarithmic radius."""
    step = max(1, -(-len(amplitude) // POINTS))
    amplitude, angle, codes = amplitude[::step], angle[::step], codes[::step]
    palette = palette_of(max(len(centres), 1))
    radius, radians = 1 + np.log(np.maximum(amplitude / threshold, 1)), np.radians(angle)
    most = float(np.ceil(max(radius.max(), 2) * 10) / 10) if len(radius) else 2.0
    canvas = Canvas(width=5.0, height=3.1, bottom=0.35, top=0.15)
    axes = canvas.axes[0]
    axes.set_position((0.03, 0.06, 0.94, 0.9))
    axes.set_aspect("equal")
    axes.axis("off")
    arc = np.radians(np.linspace(0, 180, 181))
    levels = [threshold * factor for factor in (1, 2, 5, 10, 20, 50, 100, 200, 500) if 1 + np.log(factor) <= most]
    for level in levels:
        r = 1 + np.log(level / threshold)
        axes.plot(
            r * np.cos(arc),
            r * np.sin(arc),
            color=INK if level == threshold else LINE,
            linewidth=1 if level == threshold else 0.7,
        )
        axes.annotate(
            f"{level:.3g}", (r, 0), xytext=(0, -3), textcoords="offset points", ha="center", va="top", fontsize=7, color=MUTED
        )
    for degrees in range(0, 181, 30):
        x, y = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        axes.plot([x, most * x], [y, most * y], color=LINE, linewidth=0.7, zorder=0)
        axes.annotate(
            f"{degrees}°",
            (most * x, most * y),
            xytext=(7 * x, 7 * y),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=7,
            color=MUTED,
        )
    for k in range(1, len(centres) + 1):
        own = codes == k
        colour = css(palette.colours[k])
        axes.scatter(
            radius[own] * np.cos(radians[own]),
            radius[own] * np.sin(radians[own]),
            s=2,
            color=colour,
            linewidths=0,
            rasterized=True,
        )
    for k, centre in enumerate(centres, 1):
        r, t = 1 + np.log(max(centre.amplitude / threshold, 1)), np.radians(centre.angle)
        axes.annotate(
            str(k),
            (r * np.cos(t), r * np.sin(t)),
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold",
            color=INK,
            bbox={"boxstyle": "circle,pad=0.2", "fc": "white", "ec": css(palette.colours[k]), "lw": 1.5},
        )
    axes.set_xlim(-1.08 * most, 1.08 * most)
    axes.set_ylim(-0.05 * most, 1.08 * most)
    thinning = f"; every {step}th pixel is drawn" if step > 1 else ""
    return canvas.finish(
        "Changed pixels in the polar plane", f"Amplitude and angle of changed pixels, {len(centres)} classes",
        f"Angle to the reference vector; amplitude outward, logarithmic, from the threshold {threshold:.3g}{thinning}",
    )  # fmt: skip


def rates(found: Calibration) -> list[dict[str, Any]]:
    """False alarms of each method, nominal beside measured."""
    rows = []
    for name in ("quiet", "student", "chi-squared"):
        if name in found.thresholds:
            rate = found.measured.get(name)
            rows.append({
                "name": NAMES[name], "used": name == found.method, "threshold": found.thresholds[name], "nominal": found.nominal,
                "measured": rate.value if rate else None, "low": rate.low if rate else None, "high": rate.high if rate else None,
                "found": rate.found if rate else None,
            })  # fmt: skip
    return rows


def class_rows(histogram: dict[str, int], centres: Sequence[dict[str, float]], pixel_km2: float) -> list[dict[str, Any]]:
    """Area, share, and middle of each class."""
    palette = palette_of(max(len(centres), 1))
    seen = sum(count for code, count in histogram.items() if code != "255")
    rows = []
    for k, centre in enumerate([None, *centres]):
        count = int(histogram.get(str(k), 0))
        rows.append({
            "name": palette.meaning(k), "colour": css(palette.colours[k]), "km2": count * pixel_km2,
            "share": count / max(seen, 1),
            "amplitude": centre["amplitude"] if centre else None, "angle": centre["angle"] if centre else None,
        })  # fmt: skip
    return rows


def noise_rows(noise: Noise, bands: Sequence[str]) -> list[dict[str, Any]]:
    """Line and scatter of each band."""
    return [
        {"band": band, "gain": gain, "offset": offset, "sd": noise.covariance[k][k] ** 0.5}
        for k, (band, gain, offset) in enumerate(zip(bands, noise.gain, noise.offset, strict=True))
    ]
