"""Attributes of layers by the CF Conventions: long_name, units, flags (sections 3.1, 3.2 and 3.5).

Codes, class names and colours of delivered layers are in `layers.palette`.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from imperv.layers.catalogue import Layer
from imperv.layers.palette import BUILT_UP, CHANGE, DENSITY, OUTSIDE

Meanings = tuple[tuple[int, str], ...]

_CHANGED: Meanings = ((0, "no change"), (1, "change"))
_SEALED: Meanings = ((0, "not sealed"), (1, "sealed"))

CLCPLUS: Meanings = (
    (1, "Sealed"), (2, "Woody, needle leaved trees"), (3, "Woody, broadleaved deciduous trees"),
    (4, "Woody, broadleaved evergreen trees"), (5, "Low-growing woody plants"), (6, "Permanent herbaceous"),
    (7, "Periodically herbaceous"), (8, "Lichens and mosses"), (9, "Non- and sparsely vegetated"), (10, "Water"),
    (11, "Snow and ice"), (253, "Coastal seawater buffer"), (254, "Outside area"),
)  # fmt: skip
"""Classes of CLC+ Backbone (product user manual); 255 is no data."""

_INTERIM: dict[str, Meanings] = {
    "IBU_then": BUILT_UP.class_names,
    "CLCP_then": CLCPLUS,
    "CLCP_now": CLCPLUS,
    "CLCP_proxy": _SEALED,
    "IMD_MSK_then": _SEALED,
    "IMD_MSK_now": _SEALED,
    "CHM": _CHANGED,
    "CHM_raw": ((0, "below both thresholds"), (1, "above the lower threshold"), (2, "above the upper threshold")),
}
"""Meaning of the codes of coded layers that are not delivered."""

_CHANGE_NOTE = "change in percent is the code minus 100; 201 is unchanged at degree 0"

PARTS: dict[str, tuple[str, str]] = {
    "quantiles": ("20 % quantile of surface reflectance", "1e-4"),
    "ndvi_q90": ("90 % quantile of NDVI", "1"),
    "harmonics": ("Coefficients of the NDVI harmonics", "1"),
    "observations": ("Clear observations", "1"),
    "sd": ("Standard deviation of the models, fraction", "1"),
}
"""Long name and units of arrays of layers that are stored as several (`Layer.variables`)."""


def units_of(layer: Layer) -> str:
    """Units of a raster layer, as UDUNITS writes them; empty for codes and classes, which have none."""
    if layer.codes:
        return "%" if layer.codes == DENSITY.codes else ""
    return "m" if layer.symbol == "OSM_distance" else "1"


def cf_attributes(layer: Layer, array: str = "") -> dict[str, Any]:
    """Attributes of an array of a raster layer; `array` names one of several.

    ``long_name``; ``units``, but for classes; ``flag_values`` (uint8) and ``flag_meanings`` for classes, without no data;
    ``comment`` where codes stand for a quantity.
    """
    if array in PARTS:
        long_name, units = PARTS[array]
        return {"long_name": long_name, "units": units}
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
    if layer.delivery is not None and layer.delivery.palette.overview != "nearest":
        return ()
    named = layer.delivery.palette.class_names if layer.delivery else _INTERIM.get(layer.symbol, ())
    return tuple((code, text) for code, text in named if code != OUTSIDE)


def _word(text: str) -> str:
    """A meaning as one word (CF 3.5: separated by blanks)."""
    return re.sub(r"[^0-9A-Za-z+-]+", "_", text).strip("_").lower()
