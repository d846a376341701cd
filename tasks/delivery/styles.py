"""QGIS style of a product, loaded with its GeoTIFF: classes by name, percentages as a ramp, bands in grey or as colours."""

from __future__ import annotations

from collections.abc import Sequence

from imperv.layers.palette import OUTSIDE, Palette
from imperv.tasks.delivery.templating import fill

Shown = tuple[int, float, float]
"""A band, counted from 1, and its values that are black and white."""


def style_qml(palette: Palette, nodata: int = OUTSIDE) -> str:
    """Style of codes, as QGIS 3 writes it.

    Pixels without data are left to the no-data tag, which makes them transparent. Colours of quantities are straight lines
    between the palette's anchors, as is QGIS's linear interpolation.
    """
    shown = palette.anchors or tuple(code for code in palette.codes if code != nodata)
    entries = [
        {"code": code, "colour": "#{:02x}{:02x}{:02x}".format(*palette.colours[code]), "label": palette.meaning(code)}
        for code in shown
    ]
    return fill("style.qml", palette=palette, entries=entries)


def grey_qml(low: float, high: float, band: int = 1) -> str:
    """Style of a quantity that is not coded: one of its bands, counted from 1, from black to white."""
    return fill("grey.qml", low=low, high=high, band=band)


def bands_qml(bands: Sequence[Shown]) -> str:
    """Style of a quantity that is not coded: one of its bands in grey, or three as red, green and blue.

    QGIS reads one style from a file; the style manager's others are kept in projects only.
    """
    if len(bands) == 1:
        ((band, low, high),) = bands
        return grey_qml(low, high, band)
    return fill("bands.qml", bands=bands)
