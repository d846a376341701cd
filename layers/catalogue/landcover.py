"""Graph of urban land cover: from sharpened bands of a span to classes at 5 m, tuned by polygons (docs/landcover.md)."""

from __future__ import annotations

from imperv.layers.catalogue.node import Delivery, Layer, Variable
from imperv.layers.catalogue.yearly import YEARLY_FEATURES
from imperv.layers.landcover.classes import FRAME, palette_of
from imperv.layers.landcover.features import BANDS
from imperv.layers.landcover.network import ClassNetworkParameters
from imperv.layers.landcover.patches import TYPES, PatchParameters
from imperv.layers.palette import CLEAR_LOOKS, CONFIDENCE, OUTSIDE, PROBABILITY

URBAN = palette_of(FRAME)
"""FRAME's classes; a production file may name others (`Delivery.own_classes`)."""

BUILT_UP = palette_of(TYPES)

NO_LOOK = 255
"""Code of the looks where there is no data."""

LOOKS = "looks"
SHARES = "shares"
SEEN = "seen"
"""Arrays beside a layer: clear looks; probabilities; what the last layer of the networks sees."""

_NAN = float("nan")
_PROBABILITY = (
    Variable("LC_probability", "uint8", 255, "class", tuple(one.name for one in FRAME), "Probability of each class", PROBABILITY),
)
"""Of FRAME's classes; the arrays of a production are by its own (`tasks.landcover.predicting`)."""
_CLCPLUS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, OUTSIDE)
_MODEL = tuple(f"unet.{name}" for name in ClassNetworkParameters.model_fields)
_TYPES = tuple(f"types.{name}" for name in PatchParameters.model_fields)
_MAP = ("classes", "map")

LAYERS = (
    Layer("LC_S2", "", "Frozen list of Sentinel-2 L2A scenes of a span and the months around", "Mosaic", (), "source", "around"),
    Layer("LC_mosaic", "", "Sharpened bands of the span at 5 m, filled from the months around", "Mosaic", ("LC_S2", "SR5_laea"),
          "final", "span", 5, "uint16", 0, parameters=("mosaic",), stage="features",
          arrays=(Variable("LC_mosaic", "uint16", 0, "band", BANDS),
                  Variable(LOOKS, "uint8", NO_LOOK, title="Clear looks; 254 filled from the months around",
                           palette=CLEAR_LOOKS)),
          delivery=Delivery(title="Mosaic of a span at 5 m", limits=(1, 65535), scale=1e-4,
                            shown=(("natural colour", ("B04", "B03", "B02")), ("infrared", ("B08", "B04", "B03"))))),
    Layer("LC_year", "", "Frozen list of Sentinel-2 L2A scenes of the year", "Seasons", (), "source", "year"),
    Layer("LC_season", "", "Quantiles of the year and harmonics of its NDVI, at 10 m", "Seasons", ("LC_year",), "feature",
          "year", 10, "float32", _NAN, arrays=YEARLY_FEATURES),
    Layer("LC_clcplus", "", "CLC+ Backbone", "Labels", (), "reference", "span", 10, codes=_CLCPLUS),
    Layer("LC_density", "", "Imperviousness density of any production", "Labels", (), "reference", "span", 10,
          codes=(*range(101), OUTSIDE)),
    Layer("LC_footprints", "", "Share of each pixel inside of building footprints", "Labels", (), "reference", "span", 5,
          "float32", _NAN),
    Layer("LC_reference", "", "Labels that the base model learns from", "Labels",
          ("LC_mosaic", "LC_clcplus", "LC_density", "LC_footprints"), "reference", "span", 5, parameters=("labels", "classes")),
    Layer("LC_model", "", "Networks that tell classes apart", "Base model", ("LC_mosaic", "LC_season", "LC_reference"), "model",
          "span", parameters=(*_MODEL, "classes"), model_file="model.keras", any_period=True, version=2),
    Layer("LC_probability", "", "Probability of each class, and what the networks see last", "Base model",
          ("LC_mosaic", "LC_season", "LC_model"), "interim", "span", 5, arrays=_PROBABILITY,
          parameters=("ensemble.members", "ensemble.reach", "ensemble.accept", "classes"), version=2),
    Layer("LC_base", "", "Land cover of the base model", "Base model", ("LC_probability",), "final", "span", 5, parameters=_MAP,
          delivery=Delivery(URBAN, title="Urban land cover, base map", own_classes=True)),
    Layer("LC_confidence", "", "Probability of the class of the base map", "Base model", ("LC_probability",), "final", "span", 5,
          codes=CONFIDENCE.codes, parameters=_MAP, delivery=Delivery(CONFIDENCE, title="Urban land cover, confidence")),
    Layer("LC_training", "", "Polygons of the present round", "Tuning", ("LC_probability",), "interim", "span",
          parameters=("classes",)),
    Layer("LC_tuned_model", "", "What the polygons change of the base model's answer", "Tuning",
          ("LC_probability", "LC_base", "LC_training"), "interim", "span", parameters=("tuning",)),
    Layer("LC_tuned", "", "Land cover tuned by polygons", "Tuning", ("LC_probability", "LC_base", "LC_tuned_model"), "final",
          "span", 5, parameters=_MAP, delivery=Delivery(URBAN, title="Urban land cover, tuned map", own_classes=True)),
    Layer("LC_types_model", "", "Network of built-up types", "Built-up types", ("LC_mosaic",), "interim", "span",
          parameters=_TYPES, stage="models", version=3),
    Layer("LC_types", "", "Built-up types", "Built-up types", ("LC_mosaic", "LC_types_model"), "final", "span", 5,
          codes=BUILT_UP.codes, version=2, delivery=Delivery(BUILT_UP, title="Built-up types")),
)  # fmt: skip
