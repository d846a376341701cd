"""Graph of change: from two dates to change vectors and classes of change (docs/change.md)."""

from __future__ import annotations

from imperv.layers.catalogue.node import Delivery, Layer, Variable
from imperv.layers.cva.classes import MOST_CLASSES
from imperv.layers.palette import Palette
from imperv.layers.reflectance import REFLECTANCE_10M

AMPLITUDE, ANGLE = "amplitude", "angle"
"""Bands of the change vectors."""

COLOURS = (
    (214, 47, 39), (33, 102, 172), (26, 152, 80), (255, 191, 0), (123, 50, 148), (230, 120, 40), (90, 200, 220), (200, 90, 160),
    (120, 80, 40), (150, 190, 60), (70, 70, 160), (90, 90, 90),
)  # fmt: skip
"""Of the classes 1 to 12."""


def palette_of(number: int) -> Palette:
    """Codes of so many classes of change."""
    colours = [(0, 0, 0)] * 256
    colours[0] = (240, 240, 240)
    colours[1 : number + 1] = COLOURS[:number]
    names = ((0, "No change"), *((k, f"Change {k}") for k in range(1, number + 1)), (255, "Cloud or no data"))
    return Palette((*range(number + 1), 255), tuple(colours), names)


CHANGES = palette_of(MOST_CLASSES)

_NAN = float("nan")
_VECTORS = (Variable("CH_CVA", "float32", _NAN, "band", (AMPLITUDE, ANGLE)),)
_READING = ("vectors.bands", "vectors.cloud_edge")
_QUIET = (*_READING, "threshold.method", "threshold.confidence", "threshold.days", "threshold.gap")


def _date(symbol: str, which: str) -> Layer:
    return Layer(
        f"CH_{symbol}", "", f"Bands of the {which} date where the ground is seen", "Dates", (f"CH_S2_{symbol}",), "feature",
        symbol, 10, "uint16", 0,
        arrays=(Variable(f"CH_{symbol}", "uint16", 0, "band", REFLECTANCE_10M, units="1e-4"),), parameters=_READING,
    )  # fmt: skip


LAYERS = (
    Layer("CH_S2_first", "", "Frozen list of Sentinel-2 L2A scenes of the first date", "Dates", (), "source", "first"),
    Layer("CH_S2_second", "", "Frozen list of Sentinel-2 L2A scenes of the second date", "Dates", (), "source", "second"),
    Layer("CH_S2_before", "", "Frozen list of scenes around the first date", "Thresholds", (), "source", "around_first"),
    Layer("CH_S2_after", "", "Frozen list of scenes around the second date", "Thresholds", (), "source", "around_second"),
    _date("first", "first"),
    _date("second", "second"),
    Layer("CH_noise", "", "What the dates differ by where nothing changed", "Noise", ("CH_first", "CH_second"), "interim", "pair",
          stage="models"),
    Layer("CH_threshold", "", "Threshold, and false alarms nominal and measured", "Thresholds",
          ("CH_S2_first", "CH_S2_second", "CH_S2_before", "CH_S2_after", "CH_noise"), "interim", "pair", parameters=_QUIET,
          stage="models"),
    Layer("CH_CVA", "", "Change vectors: amplitude and angle", "Change vectors", ("CH_first", "CH_second", "CH_noise"), "final",
          "pair", 10, "float32", _NAN, arrays=_VECTORS, parameters=("vectors.reference",),
          delivery=Delivery(title="Change vectors: amplitude in units of the noise, angle in degrees", limits=(0, 1e7),
                            shown=((AMPLITUDE, (AMPLITUDE,)), (ANGLE, (ANGLE,))))),
    Layer("CH_classes", "", "Classes of change", "Classes", ("CH_CVA", "CH_threshold"), "final", "pair", 10, "uint8", 255,
          codes=CHANGES.codes, parameters=("classes.number",),
          delivery=Delivery(CHANGES, title="Classes of change", own_classes=True)),
)  # fmt: skip
