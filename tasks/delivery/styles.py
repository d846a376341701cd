"""QGIS style of a product, loaded with its GeoTIFF: classes by their names, quantities as a ramp through the anchors."""

from __future__ import annotations

from imperv.layers.palette import OUTSIDE, Palette
from imperv.tasks.delivery.templating import fill


def style_qml(palette: Palette) -> str:
    """Style of codes, as QGIS 3 writes it.

    Pixels of 255 are left to the no-data tag, which makes them transparent. Colours of quantities are straight lines between the
    palette's anchors, as is QGIS's linear interpolation.
    """
    shown = palette.anchors or tuple(code for code in palette.codes if code != OUTSIDE)
    entries = [
        {"code": code, "colour": "#{:02x}{:02x}{:02x}".format(*palette.colours[code]), "label": palette.meaning(code)}
        for code in shown
    ]
    return fill("style.qml", palette=palette, entries=entries)
