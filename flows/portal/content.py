"""What the page is told of layers, legends and tiles, as plain tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from imperv.grids.tiles import NEWEST, Tile, countries_of, official_tiles
from imperv.layers.catalogue import CATALOGUE, Kind
from imperv.layers.colouring import TOP, colour_table
from imperv.layers.palette import OUTSIDE, Palette
from imperv.tasks.families import family
from imperv.tasks.maps.layers import MapLayer
from imperv.tasks.maps.tiles import MapTiles

GROUPS: dict[Kind, str] = {
    "final": "Maps",
    "reference": "Reference layers",
    "interim": "Intermediate layers",
    "feature": "Features",
}
"""Groups of layers as the page names them, in its order."""

STEPS = 16
"""Colours of the bar of a quantity without anchors."""


def layer_table(layer: MapLayer) -> dict[str, Any]:
    """What the page knows of a layer."""
    bounds = [part.bounds for part in layer.parts.values()]
    node = layer.layer
    return {
        "id": layer.id, "key": layer.key, "symbol": node.stem, "title": layer.title, "view": layer.view.name,
        "period": layer.period, "family": family(layer.family).title, "group": GROUPS.get(node.kind, node.kind),
        "resolution": node.resolution, "tiles": sorted(layer.parts),
        "bounds": [min(b[0] for b in bounds), min(b[1] for b in bounds), max(b[2] for b in bounds), max(b[3] for b in bounds)],
    }  # fmt: skip


def compared(layers: Iterable[MapLayer]) -> list[dict[str, str]]:
    """Pairs of layers that people hold against each other, as far as they are there: the first views of both."""
    held: dict[str, dict[str, MapLayer]] = {}
    for layer in layers:
        held.setdefault(layer.layer.stem, {}).setdefault(layer.period, layer)
    found = []
    for name in dict.fromkeys(layer.family for by_period in held.values() for layer in by_period.values()):
        for first, second in family(name).compared:
            for period, right in held.get(CATALOGUE[second].stem, {}).items():
                before = held.get(CATALOGUE[first].stem, {})
                # A reference of 2018 belongs to what is made of 2018 and 2021.
                left = before.get(period) or next((layer for own, layer in before.items() if own in period), None)
                if left is not None:
                    found.append({"left": left.id, "right": right.id})
    return found


def first_shown(layers: Sequence[MapLayer], product: str) -> str | None:
    """The layer that a page begins with: of its own product the one that is held against another, or else the first map."""
    own = [layer for layer in layers if layer.family == product] or layers
    for pair in compared(own):
        return pair["right"]
    maps = [layer for layer in own if layer.layer.kind == "final"] or own
    return maps[0].id if maps else None


def legend_of(layer: MapLayer, tiles: MapTiles) -> dict[str, Any]:
    """Colours of a layer: classes, a bar of colours with its ends, or three bands."""
    view = layer.view
    if view.is_composite:
        ends = [[value * view.scale for value in pair] for pair in tiles.limits_of(layer)]
        labels = [view.variable.labels[band] for band in view.bands]
        return {
            "kind": "bands",
            "units": layer.units,
            "bands": [{"label": la, "low": lo, "high": hi} for la, (lo, hi) in zip(labels, ends, strict=True)],
        }
    if view.palette is None:
        low, high = (value * view.scale for value in tiles.limits_of(layer)[0])
        table = colour_table(None, view.variable.nodata)
        colours = [table[round(k * TOP / (STEPS - 1)), :3].tolist() for k in range(STEPS)]
        label = tiles.label_of(layer)
        return {"kind": "scale", "bars": [{"colours": colours, "low": low, "high": high}], "label": label,
                "units": layer.units, "classes": []}  # fmt: skip
    return _of_palette(view.palette, view.variable.nodata)


def _of_palette(palette: Palette, nodata: float) -> dict[str, Any]:
    codes = [code for code in palette.codes if code not in (nodata, OUTSIDE)]
    if not palette.anchors:
        return {"kind": "classes", "bars": [], "classes": [_class(palette, code) for code in codes]}
    bars: list[list[int]] = []
    for code in sorted(palette.anchors):
        # A straight line of colours between two anchors is told from a step by the colour halfway.
        if bars and _is_line(palette, bars[-1][-1], code):
            bars[-1].append(code)
        else:
            bars.append([code])
    return {
        "kind": "scale", "label": "", "units": "",
        "bars": [
            {"colours": [palette.colours[c] for c in bar], "low": palette.meaning(bar[0]), "high": palette.meaning(bar[-1])}
            for bar in bars if len(bar) > 1
        ],
        "classes": [_class(palette, bar[0]) for bar in bars if len(bar) == 1],
    }  # fmt: skip


def _is_line(palette: Palette, low: int, high: int) -> bool:
    middle = (low + high) // 2
    a, b, found = (palette.colours[code] for code in (low, high, middle))
    share = (middle - low) / (high - low)
    return high - low > 1 and all(abs(p + share * (q - p) - v) <= 1 for p, q, v in zip(a, b, found, strict=True))


def _class(palette: Palette, code: int) -> dict[str, Any]:
    return {"code": code, "colour": palette.colours[code], "text": palette.meaning(code)}


@cache
def lists() -> dict[str, Any]:
    """Official tiles with their rectangles and countries."""
    return {
        "tiles": [
            {"tile": name, "bounds": Tile(name).bounds, "countries": countries_of(Tile(name))} for name in official_tiles(NEWEST)
        ]
    }
