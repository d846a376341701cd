"""Charts of the report of super-resolution: spectra, consistency, and how much of the detail is told."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from imperv.layers.catalogue.superresolution import SHARP
from imperv.layers.reflectance import SPECTRAL
from imperv.tasks.report.charts import ACCENT, INK, MUTED, Canvas, Chart
from imperv.tasks.superresolution.evidence import Point
from imperv.tasks.superresolution.sharpening import CONSISTENT

MEASURED, SHARPENED = "#57748f", "#9c3d22"
"""Colours of before and after: those of the page's handle."""

INFRARED = (1.08, 0.25)
"""Where the axis of wavelength goes on with B11, micrometres, and how much it is compressed from there on."""

NARROW = 0.052
"""Least distance of bands on the axis, micrometres, for their names to be read."""


def _places() -> np.ndarray:
    """Of the bands on an axis of wavelength without the gap before B11."""
    centres = np.array([SPECTRAL[name][1] for name in SHARP])
    first = SPECTRAL["B11"][1]
    places = np.where(centres < first, centres, INFRARED[0] + INFRARED[1] * (centres - first))
    for k in range(1, len(places)):
        places[k] = max(places[k], places[k - 1] + NARROW)
    return places


def spectrum_chart(point: Point, count: int) -> Chart:
    """Twelve bands of a pixel, the `count`-th: as measured, and sharpened with its deviation."""
    canvas = Canvas(width=4.9, height=2.9, top=0.34, bottom=0.62)
    axes, places = canvas.axes[0], _places()
    axes.plot(places, point.measured / 1e4, "s", color=MEASURED, markersize=5.5, markerfacecolor="white", markeredgewidth=1.6,
              label="measured")  # fmt: skip
    axes.errorbar(places, point.sharp / 1e4, point.deviation / 1e4, color=SHARPENED, fmt="o-", markersize=3.6, linewidth=1.4,
                  elinewidth=1.6, capsize=2.5, label="sharpened, deviation")  # fmt: skip
    axes.set_xticks(places, [name.removeprefix("B") for name in SHARP])
    axes.set(ylabel="reflectance", xlabel="band, by wavelength", ylim=(0, None))
    axes.grid(axis="x", visible=False)
    canvas.legend()
    words = ", ".join(f"{n} {m / 1e4:.3f} to {s / 1e4:.3f}" for n, m, s in zip(SHARP, point.measured, point.sharp, strict=True))
    note = f"E {point.x:.0f}, N {point.y:.0f} m"
    return canvas.finish(f"{count}. {point.title}", f"Spectrum of a pixel, measured to sharpened: {words}", note)


def consistency_chart(lacks: Mapping[str, Mapping[str, float]]) -> Chart:
    """By band and layer: root mean square of what the sharpened bands, degraded again, are off the measured ones."""
    canvas = Canvas(height=2.8)
    axes, place = canvas.axes[0], np.arange(len(SHARP))
    width = 0.8 / max(len(lacks), 1)
    for k, (label, found) in enumerate(lacks.items()):
        values = [found.get(name, 0.0) for name in SHARP]
        axes.bar(place + width * (k - (len(lacks) - 1) / 2), values, width, color=(ACCENT, SHARPENED)[k % 2], label=label)
    axes.axhline(CONSISTENT, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label=f"limit {CONSISTENT:g}")
    axes.set_xticks(place, SHARP)
    axes.tick_params(axis="x", labelsize=8.5, length=0)
    axes.set(ylabel="reflectance × 10 000", ylim=(0, None))
    axes.grid(axis="x", visible=False)
    canvas.legend(3)
    words = "; ".join(f"{label}: " + ", ".join(f"{n} {v:.2f}" for n, v in found.items()) for label, found in lacks.items())
    return canvas.finish("Consistency by band", f"Root mean square by band. {words}")


def told_chart(shares: Mapping[str, Mapping[str, float]]) -> Chart:
    """By band: share of the detail's variance that finer bands tell, and the rest."""
    canvas = Canvas(height=2.8)
    axes = canvas.axes[0]
    bands = {band: share for found in shares.values() for band, share in found.items()}
    bands = {name: bands[name] for name in SHARP if name in bands}
    place, values = np.arange(len(bands)), 100 * np.array(list(bands.values()))
    axes.bar(place, values, 0.62, color=ACCENT, label="told by bands of finer pixels")
    axes.bar(place, 100 - values, 0.62, bottom=values, color="#e3b8a5", label="not told: inferred")
    axes.set_xticks(place, list(bands))
    axes.tick_params(axis="x", length=0)
    axes.set(ylabel="variance, %", ylim=(0, 100))
    axes.grid(axis="x", visible=False)
    axes.spines["left"].set_color(MUTED)
    canvas.legend()
    words = ", ".join(f"{name} {value:.0f} percent" for name, value in zip(bands, values, strict=True))
    return canvas.finish("Detail that other bands tell", f"Share of the detail's variance: {words}")
