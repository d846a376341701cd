"""Charts of a report as SVG: calibration, training, NDVI curves, observations, confidence, areas, scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imperv.tasks.imperviousness.report.facts import DENSITY_GROUPS, Looks, Status, Training
from imperv.tasks.landsat.scenes import LandsatList
from imperv.tasks.report.charts import ACCENT, INK, LINE, MUTED, Canvas, Chart
from imperv.tasks.report.page import FEW_KM2
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.settings.periods import Period

THEN, NOW = "#6f8aa5", "#9c3d22"
"""Colours of the two periods."""

PERIODS = {"then": THEN, "now": NOW}


def _plain(value: float, _: object = None) -> str:
    """Label of a logarithmic axis without powers, which have another font."""
    return f"{value:g}"


def _months(axes: Any, first: int = 1) -> None:
    """A time axis of twelve months."""
    axes.set(xlim=(0, 12))
    axes.set_xticks(np.arange(12) + 0.5, ["JFMAMJJASOND"[(first - 1 + k) % 12] for k in range(12)])
    axes.tick_params(axis="x", length=0)


def calibration_chart(counts: np.ndarray, edges: tuple[np.ndarray, np.ndarray], fitted: Mapping[str, Any]) -> Chart:
    """Samples of the regression by cell (NDVI, density in percent), with the fitted line, minimum and maximum."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    canvas = Canvas(height=3.5, top=0.12, right=1.05)
    axes = canvas.axes[0]
    shades = LinearSegmentedColormap.from_list("samples", ["#dbe7ea", "#7fb0b6", ACCENT, "#0e3238"])
    shown = np.ma.masked_equal(counts.T, 0)
    mesh = axes.pcolormesh(*edges, shown, cmap=shades, norm=LogNorm(1, max(int(counts.max()), 2)), rasterized=True)
    ndvi = np.array([edges[0][0], edges[0][-1]])
    axes.plot(ndvi, fitted["intercept"] + fitted["slope"] * ndvi, color=NOW, linewidth=2)
    for value, text, side in ((fitted["minimum"], "minimum", "top"), (fitted["maximum"], "maximum", "bottom")):
        if -60 < value < 160:
            axes.axhline(value, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
            axes.annotate(
                f"{text} {value:.0f} %", (1, value), xycoords=("axes fraction", "data"), ha="right",
                va=side, xytext=(0, 2 if side == "bottom" else -2), textcoords="offset points", fontsize=9.5,
            )  # fmt: skip
    low, high = sorted((fitted["minimum"], fitted["maximum"]))
    axes.set(
        xlabel="mean NDVI of then", ylabel="density then, %", xlim=ndvi,
        ylim=(max(min(-3, low - 12), -60), min(max(103, high + 12), 160)),
    )  # fmt: skip
    place = axes.get_position()
    bar = canvas.figure.colorbar(mesh, cax=canvas.figure.add_axes((place.x1 + 0.02, place.y0, 0.02, place.height)))
    bar.outline.set_visible(False)
    most = int(counts.max())
    bar.set_ticks([n * 10**k for k in range(7) for n in (1, 2, 5) if n * 10**k <= max(most, 2)], minor=False)
    bar.minorticks_off()
    bar.ax.yaxis.set_major_formatter(_plain)
    bar.set_label("samples")
    line = f"R = {fitted['intercept']:.1f} {'+' if fitted['slope'] >= 0 else '−'} {abs(fitted['slope']):.1f} × NDVI"
    alt = (
        f"Density then against mean NDVI with the fitted line {line}, R squared {fitted['r2']:.2f}, "
        f"minimum {fitted['minimum']:.0f} and maximum {fitted['maximum']:.0f} percent"
    )
    return canvas.finish("Calibration", alt, f"{line},  R² = {fitted['r2']:.2f}")


def training_chart(model: Training) -> Chart:
    """Loss by epoch of every member, and the loss of a constant."""
    canvas = Canvas()
    axes = canvas.axes[0]
    for k, member in enumerate(model.members):
        epochs, best = np.arange(1, len(member["loss"]) + 1), member["best_epoch"]
        shade = 1 - 0.55 * k / max(len(model.members) - 1, 1)
        axes.plot(epochs, member["loss"], color=THEN, alpha=shade, linewidth=1.3, label="" if k else "training")
        axes.plot(epochs, member["validation"], color=NOW, alpha=shade, linewidth=2, label="" if k else "validation")
        axes.plot(best + 1, member["validation"][best], "o", color=NOW, markersize=6, markerfacecolor="white",
                  markeredgewidth=1.8, label="" if k else "kept")  # fmt: skip
    for k, value in enumerate(m["constant_loss"] for m in model.members if m.get("constant_loss")):
        axes.axhline(value, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label="" if k else "constant")
    axes.set(xlabel="epoch", ylabel="cross-entropy", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    canvas.legend(4, columnspacing=1.2, handlelength=1.5)
    what = "density" if model.symbol == "IMD_model" else "built-up"
    alt = f"Training and validation loss of the {what} model by epoch, {len(model.members)} members"
    return canvas.finish(f"Training of the {what} model", alt)


def looks_chart(looks: Mapping[str, Looks], periods: Mapping[str, Period]) -> Chart:
    """Share of the pixels by their number of clear observations."""
    canvas = Canvas()
    axes = canvas.axes[0]
    last = 1
    for period, found in looks.items():
        counts = np.array(found.histogram, float)
        last = max(last, int(np.nonzero(counts)[0].max(initial=1)))
        steps = 100 * counts / max(counts.sum(), 1), np.arange(len(counts) + 1) - 0.5
        axes.stairs(*steps, color=PERIODS[period], fill=True, alpha=0.28)
        axes.stairs(*steps, color=PERIODS[period], linewidth=1.4, label=f"{period}, median {found.median}")
    axes.set(xlim=(-0.5, last + 1), xlabel="clear observations in a year", ylabel="pixels, %")
    axes.xaxis.get_major_locator().set_params(integer=True)
    canvas.legend()
    words = "; ".join(f"{periods[p]}: median {looks[p].median}, least 5 percent up to {looks[p].fewest}" for p in looks)
    return canvas.finish("Clear observations by pixel", f"Histogram of clear observations. {words}")


def scenes_chart(lists: Mapping[str, SceneList | LandsatList], periods: Mapping[str, Period]) -> Chart:
    """Calendar of the overpasses of both periods by cloud cover."""
    canvas = Canvas(len(lists), height=0.4 + 1.4 * len(lists), bottom=0.28)
    words = []
    for axes, (name, scenes) in zip(canvas.axes, lists.items(), strict=True):
        period, colour = periods[name], PERIODS[name]
        length = (period.end - period.start).days + 1
        for group in scenes.overpasses.values():
            clouds = [s.cloud for s in group if s.cloud is not None]
            x = 12 * (group[0].day - period.start).days / length
            axes.vlines(x, 0, 100, color=LINE, linewidth=1.6)
            if clouds:
                axes.vlines(x, 0, 100 - min(clouds), color=colour, linewidth=1.8)
            else:
                axes.vlines(x, 0, 100, color=MUTED, linewidth=1, linestyle=":")
        _months(axes, period.start.month)
        axes.set(ylim=(0, 100), ylabel="clear, %", yticks=(0, 50, 100))
        axes.grid(False)
        axes.set_title(f"{name}: {period}", fontsize=10, loc="left", color=colour, fontweight="bold")
        words.append(f"{len(scenes.overpasses)} overpasses in {period}")
    return canvas.finish("Overpasses and their clear share", f"Calendar of overpasses: {'; '.join(words)}",
                         "Of the clearest granule, by the catalogue")  # fmt: skip


def confidence_chart(confidence: Mapping[str, Mapping[int, int]]) -> Chart:
    """Share of the pixels by confidence."""
    canvas = Canvas()
    axes = canvas.axes[0]
    words = []
    for symbol, found in confidence.items():
        colour, name = {"IMDCL": (NOW, "density"), "IBUCL": (ACCENT, "built-up")}[symbol]
        counts = np.zeros(102)
        counts[list(found)] = list(found.values())
        shares = 100 * counts / counts.sum()
        axes.stairs(shares, np.arange(103) - 0.5, color=colour, linewidth=1.6, label=name)
        words.append(f"{name}: {shares[90:].sum():.0f} percent of the pixels at 90 or more")
    axes.set(xlim=(49.5, 101), yscale="log", xlabel="confidence, %", ylabel="pixels, % (log)")
    axes.yaxis.set_major_formatter(_plain)
    canvas.legend()
    return canvas.finish("Confidence", f"Histogram of confidence. {'; '.join(words)}", "; ".join(words).replace("percent", "%"))


def areas_chart(then: Status | None, now: Status | None) -> Chart:
    """Area of each group of density, then and now, without unsealed ground, which is most of it."""
    canvas = Canvas()
    axes = canvas.axes[0]
    groups = DENSITY_GROUPS[1:]
    place = np.arange(len(groups))
    words = []
    known = {name: status for name, status in (("then", then), ("now", now)) if status is not None}
    unit, factor = ("ha", 100) if known and [*known.values()][-1].valid_km2 < FEW_KM2 else ("km²", 1)
    for name, status in known.items():
        areas = [factor * group for group in status.groups_km2[1:]]
        axes.bar(place + (0.2 if name == "now" else -0.2), areas, 0.38, color=PERIODS[name], label=name)
        words.append(f"{name}: " + ", ".join(f"{a:.2f}" for a in areas))
    axes.set_xticks(place, [f"{low}–{high}" for low, high in groups])
    axes.grid(axis="x", visible=False)
    axes.set(xlabel="density, %", ylabel=unit)
    canvas.legend()
    return canvas.finish("Area by density", f"Area in {unit} by group of density. {'; '.join(words)}")


def ndvi_chart(
    title: str,
    time: np.ndarray,
    curves: Mapping[str, np.ndarray],
    looks: Mapping[str, Sequence[tuple[float, float, bool]]],
    note: str,
) -> Chart:
    """NDVI over a year: the harmonics of both periods, and observations (time, NDVI, clear) where they were read."""
    canvas = Canvas(width=4.1, height=2.4, top=0.1, bottom=0.3)
    axes = canvas.axes[0]
    for period, colour in PERIODS.items():
        seen = looks.get(period, ())
        for clear in (False, True):
            points = [(12 * t, v) for t, v, c in seen if c == clear]
            if points:
                axes.plot(*zip(*points, strict=True), "o" if clear else "x", color=colour, markersize=3.6 if clear else 2.6,
                          alpha=0.75 if clear else 0.3, markeredgewidth=0 if clear else 0.8)  # fmt: skip
        if period in curves:
            axes.plot(12 * time, curves[period], color=colour, linewidth=2.2, label=period)
    _months(axes)
    axes.set(ylim=(-0.25, 1.02), ylabel="NDVI", yticks=(0, 0.5, 1))
    axes.grid(axis="x", visible=False)
    canvas.legend(loc="lower right", bbox_to_anchor=None, borderpad=0.1)
    means = ", ".join(f"{period} {np.mean(curve):.2f}" for period, curve in curves.items())
    return canvas.finish(title, f"NDVI over the year of a pixel: {title}; mean {means}", note)
