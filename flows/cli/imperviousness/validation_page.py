"""Results of `imperv validate`: as text, as tables in HTML, and as a scatter plot."""

from __future__ import annotations

import base64
import io
import math
from html import escape

import numpy as np
import pandas as pd

from imperv.layers.statistics.accuracy import Estimate
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.assessment.estimators import DensityResult, PlaceResult, Validation
from imperv.tasks.imperviousness.report.thinning import sums

CLASS_COLUMNS = ("class", "user's", "producer's", "F1", "mapped km2", "area km2", "mapped", "reference")


def lines(validation: Validation) -> list[str]:
    """The result as text."""
    v = validation
    words = {"density": f", sealed from {v.threshold:g} %", "change": f", change from {v.threshold:g} %"}
    found = [f"{v.layer} against {v.reference}{words.get(v.kind, '')}"]
    for place in v.places:
        found += ["", _title(place), *(f"  note: {note}" for note in place.notes)]
        found += [f"  {name:<18} {text}" for name, text in _figures(place)]
        rows = [CLASS_COLUMNS, *_class_rows(place)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        found += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        width = len(str(place.matrix.max()))
        found.append("  rows map, columns reference:")
        found += ["    " + "  ".join(str(n).rjust(width) for n in row) for row in place.matrix]
    return found


def html_fragment(validation: Validation) -> str:
    """Tables of all places, with the scatter plot of the total as an embedded PNG; a part of a page, without a style."""
    v = validation
    parts = [f'<section class="validation"><h2>{escape(v.layer)} against {escape(v.reference)}</h2>']
    if v.total.density is not None:
        image = base64.b64encode(plot_scatter(v)).decode()
        parts.append(f'<img alt="map against reference" src="data:image/png;base64,{image}">')
    for place in reversed(v.places):
        parts += [f"<h3>{escape(_title(place))}</h3>", *(f"<p>{escape(note)}</p>" for note in place.notes)]
        parts.append(pd.DataFrame(_figures(place)).to_html(header=False, index=False, border=0))
        parts.append(pd.DataFrame(_class_rows(place), columns=CLASS_COLUMNS).to_html(index=False, border=0))
    return "\n".join([*parts, "</section>"])


def _title(place: PlaceResult) -> str:
    return f"{place.place}: {place.units} {place.unit}s, {place.design}"


def _figures(place: PlaceResult) -> list[tuple[str, str]]:
    """(name, text) of the figures of all classes together."""
    found = [("overall accuracy", _percent(place.overall))]
    if place.density is not None:
        d, e = place.density, place.density.error
        area = f"map {d.mapped_km2:.3f} km2 ({d.mapped_mean:.2f} %), reference {_plain(d.area_km2, 3)} km2"
        found += [
            ("bias, RMSE, MAE", f"{_plain(e.bias)}, {_plain(e.rmse)}, {_plain(e.mae)} percent"),
            ("R2, correlation", f"{e.r2:.3f}, {e.correlation:.3f}"),
            ("area by density", area),
        ]
    return found


def _class_rows(place: PlaceResult) -> list[tuple[str, ...]]:
    return [
        (
            c.name, _percent(c.accuracy.users), _percent(c.accuracy.producers), f"{c.accuracy.f1:.3f}",
            f"{c.mapped_km2:.3f}", _plain(c.area_km2, 3), str(c.mapped_units), str(c.reference_units),
        )
        for c in place.classes
    ]  # fmt: skip


def _percent(estimate: Estimate) -> str:
    return f"{_plain(estimate.times(100))} %" if math.isfinite(estimate.value) else "none"


def _plain(estimate: Estimate, digits: int = 2) -> str:
    return f"{estimate.value:.{digits}f} ± {estimate.high - estimate.value:.{digits}f}"


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
    """Pairs in cells of 1 percent where there are many, else of 4."""
    step = 1 if density.scatter.sum() > 20_000 else 4
    return sums(np.pad(density.scatter, (0, -len(density.scatter) % step)), step), step
