"""Graph of crop types: from twelve monthly composites and a model to a map of crops (docs/crops.md)."""

from __future__ import annotations

from imperv.layers.catalogue.node import Delivery, Layer, Variable
from imperv.layers.composites import MONTHS
from imperv.layers.crops.classes import TIMESEN2CROP, palette_of
from imperv.layers.palette import CONFIDENCE, OUTSIDE, PROBABILITY

MONTHLY = tuple(f"CO_{month}" for month in MONTHS)
"""Layers of the product composites that are read: medians of twelve months, in order."""

CROPS = palette_of(TIMESEN2CROP)
"""TimeSen2Crop's classes; a model may have others (`Delivery.own_classes`)."""

LAYERS = (
    Layer("CR_mask", "", "Ground that is not classified, where it is not 0", "Mask", (), "reference", "span", 10,
          codes=tuple(range(256))),
    Layer("CR_probability", "", "Probability of each crop", "Classification", (*MONTHLY, "CR_mask"), "interim", "span", 10,
          arrays=(Variable("CR_probability", "uint8", OUTSIDE, "class", tuple(one.name for one in TIMESEN2CROP),
                           "Probability of each crop", PROBABILITY),)),
    Layer("CR_map", "", "Most probable crop", "Map", ("CR_probability",), "final", "span", 10, parameters=("map",),
          delivery=Delivery(CROPS, title="Crop types", own_classes=True)),
    Layer("CR_confidence", "", "Probability of the crop of the map", "Map", ("CR_probability", "CR_map"), "final", "span", 10,
          codes=CONFIDENCE.codes, delivery=Delivery(CONFIDENCE, title="Crop types, confidence")),
)  # fmt: skip
