"""Graph of super-resolution: from scenes to all bands at 10 m and 5 m (docs/superresolution.md)."""

from __future__ import annotations

from imperv.layers.catalogue.node import Delivery, Layer, Variable
from imperv.layers.palette import Palette
from imperv.layers.reflectance import COASTAL, REFLECTANCE_10M, REFLECTANCE_20M

SHARP = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
"""Bands of a sharpened product, by wavelength."""

NO_DEVIATION = 65535
"""Deviation of pixels without data; 0 is that of measured bands."""

MASK_CODES = (0, 1, 2, 3, 4, 5)
MASK = Palette(
    codes=MASK_CODES,
    colours=tuple(
        {1: (120, 170, 90), 2: (235, 235, 235), 3: (70, 70, 80), 4: (150, 220, 240), 5: (230, 170, 60)}.get(code, (0, 0, 0))
        for code in range(256)
    ),
    class_names=(
        (0, "no data"), (1, "clear"), (2, "cloud"), (3, "cloud shadow"), (4, "snow or ice"),
        (5, "resampled from another UTM zone"),
    ),
)  # fmt: skip
"""Codes of the mask that comes along."""

REFLECTANCE = (1, 65535)


def _bands(symbol: str, names: tuple[str, ...]) -> tuple[Variable, ...]:
    return (Variable(symbol, "uint16", 0, "band", names, units="1e-4"),)


def _sharp(symbol: str) -> tuple[Variable, ...]:
    deviation = Variable("sd", "uint16", NO_DEVIATION, "band", SHARP, "deviation of the members, reflectance x 10 000")
    return (Variable(symbol, "uint16", 0, "band", SHARP), deviation)


NATURAL = ("natural colour", ("B04", "B03", "B02"))
FALSE = ("false colour", ("B11", "B8A", "B04"))
"""How reflectance is shown: as the eye sees it, and with short-wave infrared as red, near infrared as green."""

INFERRED = ("deviation of B11", ("B11",))
"""How the deviation is shown: that of a band of 20 m, as measured bands have none."""


def _delivered(title: str) -> Delivery:
    return Delivery(title=title, limits=REFLECTANCE, scale=1e-4, shown=(NATURAL, FALSE))


CHOICE = ("input",)
FITTING = ("sharpening.method", "sharpening.tune", "sharpening.point_spread")
SHARPENING = ("sharpening.point_spread",)

LAYERS = (
    Layer("SR_S2", "", "Frozen list of Sentinel-2 scenes of a span", "Input", (), "source", "span"),
    Layer("SR_dates", "", "Overpasses of the span by the share of clear ground", "Input", ("SR_S2",), "interim", "span",
          parameters=CHOICE, stage="scenes"),
    Layer("SR_B10", "", "Bands of 10 m as measured", "Input", ("SR_S2", "SR_dates"), "feature", "span", 10, "uint16", 0,
          arrays=_bands("SR_B10", REFLECTANCE_10M), parameters=CHOICE, grid="utm"),
    Layer("SR_B20", "", "Bands of 20 m as measured", "Input", ("SR_S2", "SR_dates"), "feature", "span", 20, "uint16", 0,
          arrays=_bands("SR_B20", REFLECTANCE_20M), parameters=CHOICE, grid="utm"),
    Layer("SR_B60", "", "Bands of 60 m as measured", "Input", ("SR_S2", "SR_dates"), "feature", "span", 60, "uint16", 0,
          arrays=_bands("SR_B60", COASTAL), parameters=CHOICE, grid="utm"),
    Layer("SR_mask", "", "Clouds and what else is to be known of the input", "Input", ("SR_S2", "SR_dates"), "final", "span", 20,
          "uint8", 0, codes=MASK_CODES, parameters=CHOICE, grid="utm", delivery=Delivery(MASK, title="Cloud mask")),
    Layer("SR_model", "", "What the scene tells of detail: regressions, and networks where they are tuned", "Models",
          ("SR_B10", "SR_B20", "SR_B60"), "model", "span", parameters=FITTING),
    Layer("SR_shifts", "", "Shifts of further dates against the one that is sharpened", "Several dates",
          ("SR_S2", "SR_dates", "SR_B10"), "interim", "span", parameters=(*CHOICE, "sharpening.dates"), stage="features"),
    Layer("SR10", "", "All bands at 10 m", "20 and 60 m bands at 10 m", ("SR_B10", "SR_B20", "SR_B60", "SR_mask", "SR_model"),
          "final", "span", 10, "uint16", 0, arrays=_sharp("SR10"), parameters=SHARPENING, grid="utm",
          delivery=_delivered("Surface reflectance, all bands at 10 m")),
    Layer("SR10_sd", "", "Deviation of the bands at 10 m", "Deviation", ("SR10",), "final", "span", 10, "uint16", NO_DEVIATION,
          arrays=(Variable("SR10_sd", "uint16", NO_DEVIATION, "band", SHARP),), grid="utm",
          delivery=Delivery(title="Deviation of the bands at 10 m", limits=(0, 65534), scale=1e-4, shown=(INFERRED,))),
    Layer("SR10_laea", "", "All bands at 10 m in EPSG:3035", "Delivery", ("SR10",), "final", "span", 10, "uint16", 0,
          version=2, arrays=_bands("SR10_laea", SHARP), delivery=_delivered("Surface reflectance, all bands at 10 m, EPSG:3035")),
    Layer("SR5", "", "All bands at 5 m", "Bands at 5 m", ("SR10", "SR_B10", "SR_B20", "SR_B60", "SR_model", "SR_shifts"),
          "final", "span", 5, "uint16", 0, arrays=_sharp("SR5"), parameters=SHARPENING, grid="utm",
          delivery=_delivered("Surface reflectance, all bands at 5 m")),
    Layer("SR5_sd", "", "Deviation of the bands at 5 m", "Deviation", ("SR5",), "final", "span", 5, "uint16", NO_DEVIATION,
          arrays=(Variable("SR5_sd", "uint16", NO_DEVIATION, "band", SHARP),), grid="utm",
          delivery=Delivery(title="Deviation of the bands at 5 m", limits=(0, 65534), scale=1e-4, shown=(INFERRED,))),
    Layer("SR5_laea", "", "All bands at 5 m in EPSG:3035", "Delivery", ("SR5",), "final", "span", 5, "uint16", 0,
          version=2, arrays=_bands("SR5_laea", SHARP), delivery=_delivered("Surface reflectance, all bands at 5 m, EPSG:3035")),
)  # fmt: skip
