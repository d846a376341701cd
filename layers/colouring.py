"""How layers are shown on a map: their views, each codes with colours, a quantity on a scale of colours, or three bands.

Colours of delivered layers are their palettes' (`layers.palette`); the others here are our choice. No picture is written here.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from imperv.layers.catalogue import Layer, Variable
from imperv.layers.features import REFLECTANCE_SCALE
from imperv.layers.palette import CHANGE, DENSITY, OUTSIDE, Palette, Rgb

SCALE: tuple[Rgb, ...] = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
    (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
)  # fmt: skip
"""Viridis at nine equal steps (Smith and van der Walt, 2015; CC0): for quantities without colours of their own."""

TOP = 254
"""Highest byte of a quantity on its scale; 255 is no data."""

COLOURS = ("B04", "B03", "B02")
"""Bands shown as red, green and blue where a layer does not say which."""


@dataclass(frozen=True)
class View:
    """One way to show a layer."""

    name: str
    """Such as ``natural colour``; empty where a layer has one view only."""
    variable: Variable
    """Stored array that is shown."""
    bands: tuple[int, ...] = (0,)
    """Images of the array that are shown: one, or three as red, green and blue."""
    palette: Palette | None = None
    """Colours of codes; None for quantities and bands."""
    scale: float = 1.0
    """Factor from stored values to the quantity."""

    @property
    def is_reflectance(self) -> bool:
        """True for what is stored as reflectance x 10 000: nothing else has its factor."""
        return self.scale == REFLECTANCE_SCALE

    @property
    def is_composite(self) -> bool:
        """True for three bands as colours."""
        return len(self.bands) == 3


def views_of(layer: Layer) -> tuple[View, ...]:
    """Views of a raster layer, the best first: those of its delivery, or one of each of its arrays.

    One image of bytes without units is of classes, which have no mean; where nothing says which, they are shown without names.
    """
    shown = layer.delivery.shown if layer.delivery else ()
    scale = layer.delivery.scale if layer.delivery else 1.0
    if shown:
        first = layer.variables[0]
        return tuple(View(name, first, tuple(map(first.labels.index, bands)), scale=scale) for name, bands in shown)
    found = []
    for variable in layer.variables:
        name = "" if variable.name == layer.stem else variable.title or variable.name
        palette = None
        if variable.palette is not None:
            palette = variable.palette
        elif variable == layer.variables[0] and (layer.codes or layer.delivery and layer.delivery.palette):
            palette = palette_of(layer)
        elif _is_of_classes(layer, variable):
            palette = _nameless(variable.nodata)
        found.append(View(name, variable, _as_colours(variable), palette, _factor(variable) or scale))
    return tuple(found)


def without_own_classes(layer: Layer) -> Layer:
    """The layer as it is known without a production file: of classes that the file may name, none are known."""
    if layer.delivery is None or not layer.delivery.own_classes:
        return layer
    return replace(layer, codes=(), delivery=replace(layer.delivery, palette=None))


def is_nameless(view: View) -> bool:
    """True for classes that nothing says the codes and names of: any byte may be one."""
    return view.palette is not None and view.palette is _nameless(view.variable.nodata)


def with_codes(view: View, codes: Iterable[int]) -> View:
    """A view of classes without names with the codes that occur; each keeps its colour."""
    palette = _nameless(view.variable.nodata)
    return replace(view, palette=replace(palette, codes=(*(code for code in codes if code != OUTSIDE), OUTSIDE)))


def _is_of_classes(layer: Layer, variable: Variable) -> bool:
    return variable.dtype == "uint8" and not variable.axis and {variable.units, layer.units} <= {"", "1"}


@cache
def _nameless(nodata: float) -> Palette:
    """All codes that a byte can hold."""
    return _of_classes([code for code in range(OUTSIDE) if code != nodata], ())


def _factor(variable: Variable) -> float:
    """Factor that units such as ``1e-4`` are; 0 for others."""
    try:
        return float(variable.units or 0)
    except ValueError:
        return 0.0


def _as_colours(variable: Variable) -> tuple[int, ...]:
    """Red, green and blue where an array has them, whatever follows the name of the band; otherwise its first image."""
    bands = [next((k for k, label in enumerate(variable.labels) if label.partition("_")[0] == band), -1) for band in COLOURS]
    return tuple(bands) if min(bands) >= 0 else (0,)


@cache
def palette_of(layer: Layer) -> Palette:
    """Colours of the codes of a coded layer: those of its delivery, of its quantity, or of its classes."""
    if layer.delivery and layer.delivery.palette:
        return layer.delivery.palette
    for palette in (DENSITY, CHANGE):
        if layer.codes == palette.codes:
            return palette
    codes = [code for code in layer.codes if code != layer.nodata]
    return _of_classes(codes, layer.meanings)


def _of_classes(codes: Sequence[int], meanings: Sequence[tuple[int, str]]) -> Palette:
    """Colours that are told apart: grey for 0, then hues in steps of the golden angle, light and dark by turns."""
    colours: dict[int, Rgb] = {}
    for k, code in enumerate(code for code in codes if code):
        red, green, blue = colorsys.hls_to_rgb((0.02 + 0.381966 * k) % 1, (0.45, 0.65)[k % 2], 0.75)
        colours[code] = (round(255 * red), round(255 * green), round(255 * blue))
    table = tuple(colours.get(code, (240, 240, 240) if code == 0 and 0 in codes else (0, 0, 0)) for code in range(256))
    return Palette((*codes, OUTSIDE), table, tuple(meanings), "{0}")


def colour_table(palette: Palette | None, nodata: float) -> np.ndarray:
    """Colours of the 256 bytes, (256, 4) uint8 with opacity last: 0 for no data, and for bytes that are no code.

    Without a palette those of a quantity (`on_scale`).
    """
    table = np.zeros((256, 4), np.uint8)
    if palette is None:
        steps = np.linspace(0, len(SCALE) - 1, TOP + 1)
        bands = [np.interp(steps, range(len(SCALE)), band) for band in zip(*SCALE, strict=True)]
        table[: TOP + 1, :3] = np.rint(np.column_stack(bands))
        table[: TOP + 1, 3] = 255
        return table
    table[:, :3] = palette.colours
    shown = [code for code in palette.codes if code not in (nodata, OUTSIDE)]
    table[shown, 3] = 255
    return table


def on_scale(values: np.ndarray, nodata: float, limits: tuple[float, float]) -> np.ndarray:
    """Bytes of a quantity: 0 to 254 from its lower to its upper limit, beyond them the nearest; 255 for no data."""
    low, high = limits
    missing = ~np.isfinite(values) if nodata != nodata else values == nodata
    share = (np.nan_to_num(values.astype(np.float32)) - low) / ((high - low) or 1)
    return np.where(missing, OUTSIDE, np.rint(TOP * np.clip(share, 0, 1))).astype(np.uint8)


def coarser(view: View, pixels: np.ndarray, factor: int) -> np.ndarray:
    """Pixels (bands, y, x) of a view at 1 / `factor` of their size, by the layer's own aggregation: codes are never averaged.

    Begins with a whole cell of `factor` pixels each way; those at the end may be cut.
    """
    if factor == 1:
        return pixels
    # Here: compiled kernels take a second to load, which the first map need not wait for.
    from imperv.layers.aggregation import aggregate_values
    from imperv.layers.kernels.overviews import overview

    if view.palette is not None:
        return np.stack([overview(band, factor, view.palette) for band in pixels])
    spare = [(0, 0), *((0, -size % factor) for size in pixels.shape[1:])]
    return aggregate_values(np.pad(pixels, spare, constant_values=view.variable.nodata), factor, view.variable.nodata)


@cache
def load_kernels() -> None:
    """Load what `coarser` has compiled, once, so that no map waits for it."""
    from imperv.layers.kernels.overviews import overview

    for palette in (DENSITY, CHANGE):
        overview(np.zeros((2, 2), np.uint8), 2, palette)
