"""QGIS style of a product, loaded with its GeoTIFF: classes by their names, quantities as a ramp through the anchors."""

from __future__ import annotations

from imperv.layers.palette import OUTSIDE, Palette
from imperv.tasks.delivery.templating import fill


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


def grey_qml(low: float, high: float) -> str:
    """Style of a quantity that is not coded: its first band from black to white."""
    return fill("grey.qml", low=low, high=high)
