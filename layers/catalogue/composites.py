"""Graph of composites: medians of twelve months, and spectral-temporal metrics of a span (docs/composites.md)."""

from __future__ import annotations

from imperv.layers.catalogue.node import Delivery, Layer, Variable
from imperv.layers.composites import METRICS, MONTHS
from imperv.layers.features import QUANTILE_BANDS
from imperv.layers.palette import CLEAR_LOOKS, FILLED

MONTHLY = tuple(f"CO_{month}" for month in MONTHS)
"""Layers of the months."""

MOST_LOOKS, NO_LOOK = FILLED - 1, 255
"""Codes of the looks: so many or more clear ones, and none, so that there is no data."""

LOOKS = "looks"

METRIC_BANDS = tuple(f"{band}_{name}" for band in QUANTILE_BANDS for name in METRICS)

NATURAL, INFRARED = ("natural colour", ("B04", "B03", "B02")), ("infrared", ("B08", "B04", "B03"))


def _month(month: str) -> Layer:
    symbol = f"CO_{month}"
    return Layer(
        symbol, "", f"Median of the clear looks of month {month}", "Monthly composites", ("CO_S2",), "final", month, 10, "uint16",
        0,
        arrays=(Variable(symbol, "uint16", 0, "band", QUANTILE_BANDS),
                Variable(LOOKS, "uint8", NO_LOOK, title="Clear looks; 254 filled from the months around, 255 none",
                         palette=CLEAR_LOOKS)),
        parameters=("composites.clear_weight", "composites.fill"), stage="months",
        delivery=Delivery(title=f"Composite of month {month}", limits=(1, 65535), scale=1e-4, shown=(NATURAL, INFRARED)),
    )  # fmt: skip


LAYERS = (
    Layer("CO_S2", "", "Frozen list of Sentinel-2 L2A scenes of a span and the months around", "Scenes", (), "source", "around"),
    *(_month(month) for month in MONTHS),
    Layer("CO_looks", "", "Clear looks of each month", "Monthly composites", MONTHLY, "final", "span", 10, "uint8", NO_LOOK,
          arrays=(Variable("CO_looks", "uint8", NO_LOOK, "month", MONTHS, palette=CLEAR_LOOKS),), stage="months",
          delivery=Delivery(title="Clear looks of each month", limits=(0, FILLED))),
    Layer("CO_metrics", "", "Minimum, quartiles and maximum of the clear looks of the span", "Spectral-temporal metrics",
          ("CO_S2",), "final", "span", 10, "uint16", 0,
          arrays=(Variable("CO_metrics", "uint16", 0, "band", METRIC_BANDS),
                  Variable(LOOKS, "uint16", 0, title="Clear looks")),
          parameters=("composites.clear_weight",), stage="metrics",
          delivery=Delivery(title="Spectral-temporal metrics", limits=(1, 65535), scale=1e-4,
                            shown=tuple((name, tuple(f"{b}_median" for b in bands)) for name, bands in (NATURAL, INFRARED)))),
)  # fmt: skip
