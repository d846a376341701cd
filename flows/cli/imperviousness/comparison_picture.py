"""The picture of `imperv compare`: A, B and their difference side by side, with legends and a scale bar.

Maps are thinned block by block while they are read, by the rule of their codes: a tile takes no more memory than a block.
The largest difference of each cell is shown, so that single buildings stay visible.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imperv.layers.catalogue import Layer
from imperv.layers.palette import BUILT_UP, CHANGE, CONFIDENCE, DENSITY, OUTSIDE, Palette
from imperv.tasks.errors import InputError, writing
from imperv.tasks.imperviousness.assessment.codes import meant, reading_of
from imperv.tasks.imperviousness.assessment.comparing import Pair, Tally, both_blocks, valid_values
from imperv.tasks.imperviousness.assessment.comparison_sides import Side
from imperv.tasks.imperviousness.report.thinning import mean_share, mean_values, prevailing_class, share_of_ones, strongest_change
from imperv.tasks.report.pictures import grades, scale_bar

FORMS = (".png", ".svg", ".pdf")

LONGEST = 700
"""Most pixels of a map each way."""

BLOCK = 1000
"""Edge of the blocks that are read at once, about, pixels."""

DPI = 200
"""Of the picture: a map gets more than `LONGEST` pixels each way, so that none of its own is left out."""

ROWS = 6
"""Maps below each other at most."""

NONE = 100
"""Code of no difference: codes are B - A plus this."""

LEAST = 5
"""Percent: smallest end of the scale of differences."""

GROUND = "#d9dee2"
"""Where there is no data."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Two maps and their difference, thinned."""

    a: np.ndarray
    """(y, x) codes, or float32 with NaN."""
    b: np.ndarray
    difference: np.ndarray
    """(y, x) codes: 100 + B - A, 255 where either has no data; or float32 with NaN."""
    factor: int
    """Pixels of the layer that one pixel shows, each way."""


def check_name(path: Path) -> None:
    """Raise InputError, before anything is computed, if a file's ending is none of `FORMS`."""
    if path.suffix.lower() not in FORMS:
        raise InputError(f"--picture: {path}: name a file that ends in {', '.join(FORMS)}")


def thin(pair: Pair, longest: int = LONGEST) -> Drawn:
    """Both maps and their difference, with at most `longest` pixels each way."""
    rows, columns = pair.ground.grid.shape
    factor = -(-max(rows, columns) // longest)
    edge = factor * max(1, BLOCK // factor)
    coded = pair.a.dtype == pair.b.dtype == np.uint8
    how: Callable[..., tuple[np.ndarray, ...]] = _thin_codes if coded else _thin_values
    shape = -(-rows // factor), -(-columns // factor)
    a, b, difference = out = [np.empty(shape, "u1" if coded else "f4") for _ in range(3)]
    for block, one, two in both_blocks(pair, edge):
        y, x = block.y0 // factor, block.x0 // factor
        for whole, part in zip(out, how(pair, one, two, factor), strict=True):
            whole[y : y + part.shape[0], x : x + part.shape[1]] = part
    return Drawn(a, b, difference, factor)


def _thin_codes(pair: Pair, one: np.ndarray, two: np.ndarray, factor: int) -> tuple[np.ndarray, ...]:
    readings = [reading_of(raster.layer, OUTSIDE if raster.layer else raster.nodata) for raster in (pair.a, pair.b)]
    both = readings[0].valid[one] & readings[1].valid[two]
    kind = readings[0].kind
    if kind in ("classes", "codes"):
        changed = np.where(one == two, 0, 100)
    elif kind == "binary":
        changed = 100 * (two.astype("i2") - one)
    else:
        values = [np.nan_to_num(r.value_of)[codes] for r, codes in zip(readings, (one, two), strict=True)]
        changed = np.clip(values[1] - values[0], -100, 100)
    difference = np.where(both, NONE + changed, OUTSIDE).astype("u1")
    maps = [np.where(r.valid[codes], codes, OUTSIDE).astype("u1") for r, codes in zip(readings, (one, two), strict=True)]
    if factor == 1:
        return maps[0], maps[1], difference
    thinner = _thinner(pair.a.layer, kind)
    more = [(0, -n % factor) for n in one.shape]  # until the factor divides both edges
    a, b, change = (np.pad(array, more, constant_values=OUTSIDE) for array in (*maps, difference))
    return thinner(a, factor), thinner(b, factor), strongest_change(change, factor)


def _thinner(layer: Layer | None, kind: str) -> Callable[[np.ndarray, int], np.ndarray]:
    if kind in ("density", "percent"):
        return mean_share
    if kind == "binary":
        return share_of_ones
    if kind == "change":
        return strongest_change
    if layer is not None and layer.delivery is not None:
        return prevailing_class
    return lambda a, factor: a[factor // 2 :: factor, factor // 2 :: factor]


def _thin_values(pair: Pair, one: np.ndarray, two: np.ndarray, factor: int) -> tuple[np.ndarray, ...]:
    a, b = (
        np.where(valid_values(array, raster.nodata), array, np.nan).astype("f4")
        for array, raster in ((one, pair.a), (two, pair.b))
    )
    return tuple(mean_values(array, factor) for array in (a, b, b - a))


def draw(path: Path, a: Side, b: Side, found: Sequence[tuple[Pair, Tally]], every: bool) -> str:
    """Draw maps below each other; returns what was drawn, in words. InputError if the picture cannot be written.

    With `every` all maps, else imperviousness density, or the first layer, of every tile.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = {pair.name for pair, _ in found}
    only = "IMD_now" if "IMD_now" in names else found[0][0].name
    chosen = [entry for entry in found if every or entry[0].name == only]
    shown = chosen[:ROWS]
    figure = Figure(figsize=(13, 0.7 + 5.0 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(len(shown), 1, squeeze=False)
    for part, (pair, tally) in zip(parts[:, 0], shown, strict=True):
        _draw_row(part, pair, tally, a.label, b.label)
    with writing(path, "--picture"):
        figure.savefig(path, dpi=DPI)
    rest = f"; {len(chosen) - len(shown)} more have no room" if len(chosen) > len(shown) else ""
    other = "" if every or len(names) == 1 else "; --layer draws others"
    return f"{path}: {', '.join(f'{pair.tile} {pair.name}'.strip() for pair, _ in shown)}{rest}{other}"


def _draw_row(figure: Any, pair: Pair, tally: Tally, a: str, b: str) -> None:
    drawn = thin(pair)
    axes = figure.subplots(1, 3)
    layer = pair.a.layer
    what = f"{pair.name}: {layer.description}" if layer else pair.name
    figure.suptitle(f"{pair.tile}  {what}".strip(), fontweight="bold", x=0.01, ha="left", fontsize=11)
    for one in axes:
        one.set(facecolor=GROUND, xticks=(), yticks=(), aspect="equal")
    coded = drawn.a.dtype == np.uint8
    kind = tally.reading.kind
    if coded:
        _coded_maps(figure, axes[:2], drawn, layer, kind)
        _coded_difference(figure, axes[2], drawn.difference, kind)
    else:
        _value_maps(figure, axes, drawn)
    _bar(axes[0], _crop(axes, drawn) * drawn.factor * tally.metres)
    for one, text in zip(axes, (f"A  {_short(a)}", f"B  {_short(b)}", f"B - A  {_said(tally)}"), strict=True):
        one.set_title(text, fontsize=9, loc="left")
    if drawn.factor > 1:
        metres = drawn.factor * tally.metres
        axes[2].set_xlabel(f"a pixel of {metres:g} m shows the largest difference in it", fontsize=7, loc="left", color="0.35")


def _said(tally: Tally) -> str:
    share = 100 * tally.differing / tally.both if tally.both else 0
    parts = [f"{share:.2f} % of pixels differ"]
    if tally.numbers and tally.differing:
        parts.append(f"mean {tally.mean:+.2f}, RMS {tally.rms:.2f}")
    return ", ".join(parts)


def _short(label: str, most: int = 48) -> str:
    return label if len(label) <= most else f"...{label[3 - most :]}"


def _coded_maps(figure: Any, axes: Any, drawn: Drawn, layer: Layer | None, kind: str) -> None:
    from matplotlib.colors import ListedColormap

    colours, palette = _colours(drawn, layer, kind)
    table = np.concatenate([np.array(colours) / 255, np.ones((256, 1))], axis=1)
    table[OUTSIDE] = 0
    for one, codes in zip(axes, (drawn.a, drawn.b), strict=True):
        one.imshow(table[codes], interpolation="nearest")
    present = sorted(set(np.unique(drawn.a)) | set(np.unique(drawn.b)))
    if kind in ("density", "percent"):
        lowest = 50 if palette is CONFIDENCE else 0
        _colourbar(figure, axes, ListedColormap(table[lowest:101]), (lowest, 100), "percent")
    elif kind == "change":
        _colourbar(
            figure, axes, ListedColormap(table[:201]), (-100, 100), "percentage points; grey: unchanged, light: 0 in both years"
        )
    elif kind == "binary" and drawn.factor > 1:
        _colourbar(figure, axes, ListedColormap(table[:101]), (0, 100), "percent of the pixels")
    else:
        own = palette if meant(layer) else None  # a mask is drawn like built-up, and is none
        names = {code: own.meaning(code).split(",")[0] if own else "" for code in present if code != OUTSIDE}
        entries = [(f"{code} {name}".strip(), table[code]) for code, name in names.items()]
        _patches(figure, "left", entries[:12])


def _colours(drawn: Drawn, layer: Layer | None, kind: str) -> tuple[Sequence[Sequence[float]], Palette | None]:
    """256 colours of a map, and its palette where it has one."""
    palette = layer.delivery.palette if layer is not None and layer.delivery else None
    if palette is None:
        palette = {"density": DENSITY, "binary": BUILT_UP, "change": CHANGE}.get(kind)
    if palette is None:
        return _any_colours(), None
    colours: list[Sequence[float]] = list(palette.colours)
    if kind == "binary" and drawn.factor > 1:
        colours[:101] = grades(palette.colours[:2], 101)
    return colours, palette


def _any_colours() -> list[Sequence[float]]:
    """Colours for codes of unknown meaning: neighbouring codes differ."""
    from matplotlib import colormaps

    return [tuple(255 * v for v in colormaps["tab20"](code % 20)[:3]) for code in range(256)]


def _coded_difference(figure: Any, axes: Any, codes: np.ndarray, kind: str) -> None:
    from matplotlib import colormaps

    valid = codes != OUTSIDE
    change = np.where(valid, codes.astype("f4") - NONE, np.nan)
    map_of = colormaps["RdBu_r"]
    if kind in ("classes", "codes", "binary"):
        table = {0: (0.95, 0.95, 0.95, 1), 100: (*map_of(0.92)[:3], 1), -100: (*map_of(0.08)[:3], 1)}
        image = np.zeros((*codes.shape, 4))
        for value, colour in table.items():
            image[change == value] = colour
        axes.imshow(image, interpolation="nearest")
        words = {0: "the same", 100: "another class"}
        if kind == "binary":
            words |= {100: "only in B", -100: "only in A"}
        _patches(figure, "right", [(text, table[value]) for value, text in words.items()])
        return
    limit = _limit(change)
    axes.imshow(change, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    _colourbar(figure, axes, map_of, (-limit, limit), "percentage points, red: more in B", beyond=limit < 100)


def _limit(change: np.ndarray) -> float:
    """End of the scale: nearly the largest difference."""
    some = np.abs(change[np.isfinite(change) & (change != 0)])
    return float(max(LEAST, math.ceil(np.percentile(some, 99)))) if some.size else LEAST


def _value_maps(figure: Any, axes: Any, drawn: Drawn) -> None:
    from matplotlib import colormaps

    some = np.concatenate([array[np.isfinite(array)] for array in (drawn.a, drawn.b)] or [np.zeros(1)])
    low, high = np.percentile(some, (1, 99)) if some.size else (0, 1)
    for one, array in zip(axes[:2], (drawn.a, drawn.b), strict=True):
        one.imshow(array, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    _colourbar(figure, axes[:2], colormaps["viridis"], (low, high), "value", beyond=True)
    change = np.abs(drawn.difference[np.isfinite(drawn.difference)])
    limit = float(np.percentile(change, 99)) if change.size else 0
    limit = limit or float(change.max(initial=0)) or 1e-6
    axes[2].imshow(drawn.difference, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    _colourbar(figure, axes[2], colormaps["RdBu_r"], (-limit, limit), "difference, red: more in B", beyond=True)


def _colourbar(figure: Any, axes: Any, colours: Any, ends: tuple[float, float], label: str, beyond: bool = False) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    several = isinstance(axes, np.ndarray)
    bar = figure.colorbar(
        ScalarMappable(Normalize(*ends), colours), ax=list(axes) if several else axes, orientation="horizontal",
        fraction=0.04, pad=0.02, aspect=50 if several else 25, shrink=0.6 if several else 0.9,
        extend="both" if beyond else "neither",
    )  # fmt: skip
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)


def _patches(figure: Any, where: str, entries: Sequence[tuple[str, Any]]) -> None:
    """Legend of classes below the maps, where constrained layout finds room for it."""
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colour, edgecolor="0.5", linewidth=0.5, label=text) for text, colour in entries]
    figure.legend(handles=handles, loc=f"outside lower {where}", ncols=3, frameon=False, fontsize=8, handlelength=1.2)


def _crop(axes: Any, drawn: Drawn) -> float:
    """Crop to the data of either map, with a margin; the width shown, in pixels of the picture."""
    one, two = (pixels != OUTSIDE if pixels.dtype == np.uint8 else np.isfinite(pixels) for pixels in (drawn.a, drawn.b))
    found = [np.flatnonzero((one | two).any(axis=axis)) for axis in (1, 0)]
    rows, columns = one.shape
    ends = [(-0.5, rows - 0.5), (-0.5, columns - 0.5)]
    if found[0].size:
        margin = 0.03 * max(np.ptp(found[0]), np.ptp(found[1])) + 1.5
        ends = [
            (max(where[0] - margin, low), min(where[-1] + margin, high)) for where, (low, high) in zip(found, ends, strict=True)
        ]
    for shown in axes:
        shown.set_ylim(ends[0][1], ends[0][0])
        shown.set_xlim(*ends[1])
    return float(ends[1][1] - ends[1][0])


def _bar(axes: Any, metres: float) -> None:
    """A scale bar in the lower left corner of a map of that width."""
    from matplotlib.font_manager import FontProperties
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    share, text = scale_bar((0, 0, metres, 0))
    bar = AnchoredSizeBar(
        axes.transAxes, share, text, "lower left", label_top=True, size_vertical=0.005, pad=0.3,
        fontproperties=FontProperties(size=8),
    )  # fmt: skip
    bar.patch.set(alpha=0.75, linewidth=0)
    axes.add_artist(bar)
