"""Attributes of layers by the CF Conventions: long_name, units, flags (sections 3.1, 3.2 and 3.5).

Codes, class names and colours of delivered layers are in `layers.palette`.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from imperv.layers.catalogue import Layer
from imperv.layers.catalogue.node import Meanings
from imperv.layers.palette import CHANGE, DENSITY

_CHANGE_NOTE = "change in percent is the code minus 100; 201 is unchanged at degree 0"


def units_of(layer: Layer) -> str:
    """Units of a raster layer, as UDUNITS writes them; empty for codes and classes, which have none."""
    if layer.codes:
        return "%" if layer.codes == DENSITY.codes else ""
    return layer.units


def cf_attributes(layer: Layer, array: str = "") -> dict[str, Any]:
    """Attributes of an array of a raster layer; `array` names one of several.

    ``long_name``; ``units``, but for classes; ``flag_values`` (uint8) and ``flag_meanings`` for classes, without no data;
    ``comment`` where codes stand for a quantity.
    """
    if part := next((v for v in layer.variables if v.name == array and v.title), None):
        return {"long_name": part.title, "units": part.units}
    found: dict[str, Any] = {"long_name": layer.description}
    if units := units_of(layer):
        found["units"] = units
    if layer.codes == CHANGE.codes:
        found["comment"] = _CHANGE_NOTE
    elif meanings := _meanings(layer):
        found["flag_values"] = np.array([code for code, _ in meanings], np.uint8)
        found["flag_meanings"] = " ".join(_word(text) for _, text in meanings)
    return found


def _meanings(layer: Layer) -> Meanings:
    """Classes of a layer; none where its codes are a quantity."""
    palette = layer.delivery.palette if layer.delivery else None
    if palette is not None and palette.overview != "nearest":
        return ()
    named = palette.class_names if palette else layer.meanings
    return tuple((code, text) for code, text in named if code != layer.nodata)


def _word(text: str) -> str:
    """A meaning as one word (CF 3.5: separated by blanks)."""
    return re.sub(r"[^0-9A-Za-z+-]+", "_", text).strip("_").lower()
