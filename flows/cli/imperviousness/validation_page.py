"""Pictures and a page's part of a verification against reference: scatter plot as PNG, tables as HTML."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np

from imperv.layers.statistics.accuracy import Estimate
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.assessment.estimators import DensityResult, PlaceResult, Validation


def plot_scatter(validation: Validation) -> bytes:
    """Pairs of densities by whole percent, line of equality and regression as a PNG; InputError if there are no densities."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm

    density = validation.total.density
    if density is None:
        raise InputError(f"{validation.layer} against {validation.reference}: there are no densities to draw")
    e, low, high = density.error, density.lowest, 100
    counts, step = _coarser(density)
    figure, axes = plt.subplots(figsize=(6.2, 5.4), layout="constrained")
    edges = np.arange(counts.shape[0] + 1) * step + low - 0.5
    image = axes.pcolormesh(
        edges, edges, np.ma.masked_equal(counts.T, 0), norm=LogNorm(1, max(counts.max(), 2)), cmap="viridis_r"
    )
    figure.colorbar(image, label=f"{validation.total.unit}s")
    axes.plot([low, high], [low, high], color="0.4", linewidth=1, linestyle="--", label="map = reference")
    if np.isfinite(e.slope):
        line = np.array([low, high])
        axes.plot(
            line, e.intercept + e.slope * line, color="#b2182b", linewidth=1.5, label=f"{e.intercept:.1f} + {e.slope:.2f} x"
        )
    total = validation.total
    axes.set(xlim=(low - 0.5, high + 0.5), ylim=(low - 0.5, high + 0.5), aspect="equal",
             xlabel="reference, percent", ylabel=f"{validation.layer}, percent",
             title=f"{total.units} {total.unit}s, bias {e.bias.value:+.2f}, RMSE {e.rmse.value:.2f}, R² {e.r2:.2f}")  # fmt: skip
    axes.title.set_fontsize(10)
    axes.legend(loc="upper left", fontsize=9, framealpha=0.9)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120, format="png")
    plt.close(figure)
    return buffer.getvalue()


def _coarser(density: DensityResult) -> tuple[np.ndarray, int]:
    """Pairs in cells of 1 percent where there are many, of 4 where a cell of 1 would be a speck."""
    if density.scatter.sum() > 20_000:
        return density.scatter, 1
    step = 4
    size = -(-len(density.scatter) // step) * step
    padded = np.zeros((size, size), np.int64)
    padded[: len(density.scatter), : len(density.scatter)] = density.scatter
    return padded.reshape(size // step, step, size // step, step).sum(axis=(1, 3)), step


def html_fragment(validation: Validation) -> str:
    """Tables of all places, with the scatter plot of the total as an embedded PNG; a part of a page, without a style."""
    v = validation
    parts = [f'<section class="validation"><h2>{escape(v.layer)} against {escape(v.reference)}</h2>']
    if v.total.density is not None:
        image = base64.b64encode(plot_scatter(v)).decode()
        parts.append(f'<img alt="map against reference" src="data:image/png;base64,{image}">')
    parts += [_place(place) for place in reversed(v.places)]
    return "\n".join([*parts, "</section>"])


def _place(place: PlaceResult) -> str:
    rows = [("overall accuracy", _cell(place.overall.times(100), "%"))]
    if place.density is not None:
        e = place.density.error
        rows += [("bias", _cell(e.bias, "%")), ("RMSE", _cell(e.rmse, "%")), ("MAE", _cell(e.mae, "%")), ("R²", f"{e.r2:.3f}"),
                 ("area by density, map", f"{place.density.mapped_km2:.3f} km²"),
                 ("area by density, reference", _cell(place.density.area_km2, "km²", 3))]  # fmt: skip
    numbers = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows)
    heads = ("class", "user's accuracy", "producer's accuracy", "F1", "mapped", "area by reference")
    classes = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in (
            escape(c.name), _cell(c.accuracy.users.times(100), "%"), _cell(c.accuracy.producers.times(100), "%"),
            f"{c.accuracy.f1:.3f}", f"{c.mapped_km2:.3f} km²", _cell(c.area_km2, "km²", 3),
        )) + "</tr>"
        for c in place.classes
    )  # fmt: skip
    notes = "".join(f"<p>{escape(note)}</p>" for note in place.notes)
    head = "".join(f"<th>{h}</th>" for h in heads)
    return (
        f"<h3>{escape(place.place)}: {place.units} {place.unit}s, {escape(place.design)}</h3>{notes}"
        f"<table>{numbers}</table><table><tr>{head}</tr>{classes}</table>"
    )


def _cell(estimate: Estimate, unit: str, digits: int = 2) -> str:
    if not np.isfinite(estimate.value):
        return "none"
    return f"{estimate.value:.{digits}f} ± {estimate.high - estimate.value:.{digits}f} {unit}"
