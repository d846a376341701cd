"""The nodes of imperviousness: ATBD Figure 2 and Table 1.

Symbols are the ATBD's with ``then``/``now`` in place of 18/21; where the ATBD writes one year only, none is written.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from imperv.layers.catalogue.node import MEMBER_SD, Delivery, Kind, Layer, Meanings, Variable
from imperv.layers.catalogue.yearly import YEARLY_FEATURES
from imperv.layers.network.unet import UNetParameters
from imperv.layers.palette import BUILT_UP, BUILT_UP_CLASSES, CHANGE, CLASSES, CONFIDENCE, DENSITY, SHARE, Palette
from imperv.layers.proxy import ProxyParameters

_NAN = float("nan")
_YEARS = (("then", "18"), ("now", "21"))


def _years(symbol: str, atbd: str, text: str, section: str, inputs: tuple[str, ...], kind: Kind, **more: Any) -> list[Layer]:
    """The same node for both years, stored by year: it is the same whether that year is ``then`` or ``now``."""
    return [
        Layer(
            f"{symbol}_{period}",
            f"{atbd}_{year}",
            f"{text}, {period}",
            section,
            tuple(f"{name}_{period}" for name in inputs),
            kind,
            period,
            stored_as=symbol,
            **more,
        )  # fmt: skip
        for period, year in _YEARS
    ]


def _final(symbol: str, atbd: str, text: str, section: str, inputs: tuple[str, ...], resolution: int, part: str,
           timing: Literal["S", "C"], palette: Palette, **more: Any) -> Layer:  # fmt: skip
    return Layer(symbol, atbd, text, section, inputs, "final", "pair", resolution, codes=palette.codes,
                 delivery=Delivery(palette, part, timing), **more)  # fmt: skip


def _predicted(symbol: str) -> tuple[Variable, ...]:
    deviation = Variable(MEMBER_SD, "float32", _NAN, title="Standard deviation of the models, fraction", units="1")
    return Variable(symbol, "uint8", 255), deviation


_PERCENT = DENSITY.codes
_BINARY = BUILT_UP.codes
_CLCP = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 253, 254, 255)
_PREDICTION = ("unet.align_years",)
_MODEL = tuple(f"unet.{name}" for name in UNetParameters.model_fields if f"unet.{name}" not in _PREDICTION)
_BUILT_UP_MODEL = tuple(name for name in _MODEL if name != "unet.reference")
_PROXY = tuple(f"proxy.{name}" for name in ProxyParameters.model_fields if name not in ("reach", "threshold"))
# Whether one network learns to answer for all is part of a key only where it is asked for (`distil_external`).
_PREDICT = (*_PREDICTION, *(f"ensemble.{name}" for name in ("members", "reach", "accept")))

_NODES: tuple[Layer, ...] = (
    *_years("S2", "S2", "Frozen list of Sentinel-2 L2A scenes", "4.1.1", (), "source"),
    *_years("PP", "PP", "Weighted quantiles and NDVI harmonics of a year", "4.2.1", ("S2",), "feature",
            resolution=10, dtype="float32", nodata=_NAN, version=2, arrays=YEARLY_FEATURES),
    *_years("NDVI_p0", "NDVI_p0", "Mean NDVI of a year: constant term of the harmonics", "4.3.2", ("PP",), "feature",
            resolution=10, dtype="float32", nodata=_NAN),
    Layer("IMD_then", "IMD_18", "Imperviousness density of the previous production, percent", "4.1.5", (), "reference", "then", 10, codes=_PERCENT),
    Layer("IBU_then", "IBU_18", "Impervious built-up of the previous production", "4.1.5", (), "reference", "then", 10, codes=_BINARY),
    Layer("CLCP_then", "CLCP_18", "CLCplus Backbone, then", "4.1.5", (), "reference", "then", 10, codes=_CLCP),
    Layer("CLCP_now", "CLCP_21", "CLCplus Backbone, now", "4.1.5", (), "reference", "now", 10, codes=_CLCP),
    Layer("IBUD_ref", "IBUD_21_ref", "Share of a pixel covered by building footprints, 0 to 1", "4.4.1", (), "reference", "then",
          10, "float32", _NAN, version=3, aliases=("IBUD_now_ref", "IBUD_then_ref")),
    Layer("RMSD", "RMSD_18_21", "Root mean squared deviation of the two NDVI curves", "4.2.2", ("PP_then", "PP_now"), "interim", "pair",
          10, "float32", _NAN, aliases=("RMSD_then_now",)),
    Layer("CHM_raw", "CHM_raw", "RMSD above the lower (1) and the upper (2) threshold of the tile", "4.2.5", ("RMSD",), "interim", "pair",
          10, codes=(0, 1, 2, 255), parameters=("change_mask.lower", "change_mask.upper")),
    Layer("CHM", "CHM", "Change mask: sieved patches that pass the upper threshold", "4.2.5", ("CHM_raw",), "interim", "pair",
          10, codes=_BINARY, parameters=("change_mask.sieve",)),
    Layer("CHM_resampled", "CHM_resampled", "Share of a 20 m pixel inside the change mask, 0 to 1", "4.2.5", ("CHM",), "interim", "pair",
          20, "float32", _NAN),
    Layer("PP_shift", "", "Median difference of each feature between the years, taken off those of now", "4.2.3",
          ("PP_then", "PP_now"), "model", "pair"),
    Layer("IMD_model", "IMD_model", "U-Net for imperviousness density", "4.2.3", ("PP_then", "IMD_then", "CLCP_then"), "model", "then",
          parameters=_MODEL, version=7),
    Layer("IBUD_model", "IBUD_model", "U-Net for built-up density", "4.2.3", ("PP_then", "IBUD_ref"), "model", "then",
          parameters=_BUILT_UP_MODEL, version=7),
    Layer("RIMD", "RIMD_21", "Raw imperviousness density, mean of the models, percent", "4.2.3", ("PP_now", "IMD_model", "PP_shift"), "interim", "pair",
          10, codes=_PERCENT, parameters=_PREDICT, version=4, aliases=("RIMD_now",), arrays=_predicted("RIMD")),
    Layer("RIMD_sd", "RIMD_21_sd", "Standard deviation of the models' imperviousness, fraction", "4.7", ("RIMD",), "interim", "pair",
          10, "float32", _NAN, aliases=("RIMD_now_sd",)),
    Layer("RIBUD", "RIBUD_21", "Raw built-up density, mean of the models, percent", "4.2.3", ("PP_now", "IBUD_model", "PP_shift"), "interim", "pair",
          10, codes=_PERCENT, parameters=_PREDICT, version=4, aliases=("RIBUD_now",), arrays=_predicted("RIBUD")),
    Layer("RIBUD_sd", "RIBUD_21_sd", "Standard deviation of the models' built-up density, fraction", "4.7", ("RIBUD",), "interim", "pair",
          10, "float32", _NAN, aliases=("RIBUD_now_sd",)),
    Layer("OSM_distance", "", "Distance to roads and buildings of OpenStreetMap, metres; only where CLC+ of now is missing", "4.3.3",
          ("CLCP_then", "CLCP_now"), "interim", "pair", 10, "float32", _NAN, parameters=("proxy.reach",), version=2),
    Layer("CLCP_proxy_model", "", "Boosted trees that know CLC+ class 1 of then by features and distance", "4.3.3",
          ("PP_then", "CLCP_then", "OSM_distance"), "model", "then", parameters=_PROXY),
    Layer("CLCP_proxy", "", "Proxy of CLC+ class 1 of now", "4.3.3",
          ("PP_now", "CLCP_then", "CLCP_now", "OSM_distance", "CLCP_proxy_model"), "interim", "pair", 10, codes=_BINARY,
          parameters=("proxy.threshold",)),
    Layer("IMD_MSK_then", "IMD_MSK_18", "Sealing mask from IMD and CLC+ of then", "4.3.2", ("IMD_then", "CLCP_then"), "interim", "then",
          10, codes=_BINARY, parameters=("calibration.threshold",)),
    Layer("IMD_MSK_now", "IMD_MSK_21", "Sealing mask from RIMD and CLC+ of now, or its proxy", "4.3.2",
          ("RIMD", "CLCP_now", "CLCP_proxy"), "interim", "pair",
          10, codes=_BINARY, parameters=("calibration.threshold",)),
    Layer("IMD_calibration", "IMD_calibration", "Coefficients that map NDVI to density", "4.3.2",
          ("IMD_then", "NDVI_p0_then", "IMD_MSK_then", "IBU_then"), "model", "then",
          parameters=("calibration.step", "calibration.minimum_samples", "calibration.fallback_samples")),
    _final("IMD_now", "IMD_21", "Imperviousness density, percent", "4.3.2", ("IMD_calibration", "NDVI_p0_now", "IMD_MSK_now"), 10,
           "IMD", "S", DENSITY, aliases=("IMD",)),
    Layer("IBUD_now", "IBUD_21", "Built-up density, percent", "4.4", ("RIBUD",), "interim", "pair", 10, codes=_PERCENT, aliases=("IBUD",)),
    _final("IBU_now", "IBU_21", "Impervious built-up", "4.4.2", ("IBUD_now",), 10, "IBU", "S", BUILT_UP,
           parameters=("built_up",), aliases=("IBU",)),
    Layer("IMD_then_mean", "IMD_18_mean", "Mean of IMD_then at 20 m", "4.2.4", ("IMD_then",), "interim", "pair", 20, codes=_PERCENT,
          aliases=("IMD_then_resampled",)),
    Layer("IMD_now_mean", "IMD_21_mean", "Mean of IMD_now at 20 m", "4.2.4", ("IMD_now",), "interim", "pair", 20, codes=_PERCENT),
    Layer("IBU_then_mean", "IBU_18_mean", "Share of built-up then at 20 m, percent", "4.2.4", ("IBU_then",), "interim", "pair", 20, codes=_PERCENT),
    Layer("IBU_now_mean", "IBU_21_mean", "Share of built-up now at 20 m, percent", "4.2.4", ("IBU_now",), "interim", "pair", 20, codes=_PERCENT),
    Layer("IBUD_now_resampled", "IBUD_21_resampled", "Mean of IBUD_now at 100 m", "4.2.4", ("IBUD_now",), "interim", "pair", 100, codes=_PERCENT,
          aliases=("IBUD_resampled",)),
    _final("IMD_now_resampled", "IMD_21_resampled", "Imperviousness density, 100 m", "4.6.1", ("IMD_now",), 100, "IMD", "S", DENSITY,
           aliases=("IMD_resampled",)),
    Layer("SBU_then", "SBU_18", "Share of built-up then, 100 m", "4.6.1", ("IBU_then",), "interim", "pair", 100, codes=_PERCENT),
    _final("SBU", "SBU_21", "Share of built-up, 100 m", "4.6.1", ("IBU_now",), 100, "SBU", "S", SHARE, aliases=("SBU_now",)),
    _final("IMDC", "IMDC", "Imperviousness change, 20 m", "4.5.1", ("IMD_then", "IMD_now", "CHM_resampled"), 20, "IMDC", "C", CHANGE,
           parameters=("change",)),
    _final("IMDCS", "IMDCS", "Technical change of imperviousness, 20 m", "4.5.1", ("IMD_then", "IMD_now", "CHM_resampled"), 20,
           "IMDCS", "C", CHANGE, parameters=("change",)),
    _final("IMDC_resampled", "IMDC_resampled", "Imperviousness change, 100 m", "4.6.2", ("IMDC",), 100, "IMDC", "C", CHANGE),
    _final("IMDCS_resampled", "IMDCS_resampled", "Technical change of imperviousness, 100 m", "4.6.2", ("IMDCS",), 100, "IMDCS", "C", CHANGE),
    _final("IMCC", "IMCC", "Imperviousness change classified", "4.5.3", ("IMD_then_mean", "IMDC"), 20, "IMCC", "C", CLASSES,
           aliases=("IMCC_resampled",)),
    _final("IMCCS", "IMCCS", "Technical imperviousness change classified", "4.5.3", ("IMD_then_mean", "IMDCS"), 20, "IMCCS", "C", CLASSES,
           aliases=("IMCCS_resampled",)),
    Layer("IBUDC", "IBUDC", "Change of built-up degree, 20 m", "4.5.4", ("IBU_then", "IBU_now", "CHM_resampled"), "interim", "pair",
          20, codes=CHANGE.codes, parameters=("change",), aliases=("IBUDC_resampled",)),
    Layer("IBUDCS", "IBUDCS", "Technical change of built-up degree, 20 m", "4.5.4", ("IBU_then", "IBU_now", "CHM_resampled"), "interim", "pair",
          20, codes=CHANGE.codes, parameters=("change",), aliases=("IBUDCS_resampled",)),
    _final("IBUC", "IBUC", "Impervious built-up change", "4.5.4", ("IBU_then_mean", "IBUDC"), 20, "IBUC", "C", BUILT_UP_CLASSES),
    _final("IBUCS", "IBUCS", "Technical built-up change", "4.5.4", ("IBU_then_mean", "IBUDCS"), 20, "IBUCS", "C", BUILT_UP_CLASSES),
    _final("SBUC", "SBUC", "Change of the share of built-up, 100 m", "4.6.2", ("IBUDC",), 100, "SBUC", "C", CHANGE),
    _final("SBUCS", "SBUCS", "Technical change of the share of built-up, 100 m", "4.6.2", ("IBUDCS",), 100, "SBUCS", "C", CHANGE),
    _final("SBCC", "SBCC", "Share of built-up change classified", "4.6.2", ("SBU_then", "SBUC"), 100, "SBCC", "C", BUILT_UP_CLASSES),
    _final("SBCCS", "SBCCS", "Technical change of the share of built-up classified", "4.6.2", ("SBU_then", "SBUCS"), 100, "SBCCS", "C", BUILT_UP_CLASSES),
    _final("IMDCL", "IMDCL", "Confidence of imperviousness density", "4.7", ("RIMD_sd",), 10, "IMDCL", "S", CONFIDENCE),
    _final("IBUCL", "IBUCL", "Confidence of built-up", "4.7", ("RIBUD_sd",), 10, "IBUCL", "S", CONFIDENCE),
)  # fmt: skip

CLCPLUS: Meanings = (
    (1, "Sealed"), (2, "Woody, needle leaved trees"), (3, "Woody, broadleaved deciduous trees"),
    (4, "Woody, broadleaved evergreen trees"), (5, "Low-growing woody plants"), (6, "Permanent herbaceous"),
    (7, "Periodically herbaceous"), (8, "Lichens and mosses"), (9, "Non- and sparsely vegetated"), (10, "Water"),
    (11, "Snow and ice"), (253, "Coastal seawater buffer"), (254, "Outside area"),
)  # fmt: skip
"""Classes of CLC+ Backbone (product user manual); 255 is no data."""

_SEALED: Meanings = ((0, "not sealed"), (1, "sealed"))
_MEANINGS: dict[str, Meanings] = {
    "IBU_then": BUILT_UP.class_names,
    "CLCP_then": CLCPLUS,
    "CLCP_now": CLCPLUS,
    "CLCP_proxy": _SEALED,
    "IMD_MSK_then": _SEALED,
    "IMD_MSK_now": _SEALED,
    "CHM": ((0, "no change"), (1, "change")),
    "CHM_raw": ((0, "below both thresholds"), (1, "above the lower threshold"), (2, "above the upper threshold")),
}
_MODEL_FILES = {"IMD_model": "model.keras", "IBUD_model": "model.keras", "CLCP_proxy_model": "model.data.json"}


def _stage(layer: Layer) -> str:
    """Column of `imperv status`, by the ATBD's section for what is made of the features."""
    if layer.kind not in ("interim", "final"):
        return layer.column
    if layer.section in ("4.2.2", "4.2.5"):
        return "change mask"
    return "change" if layer.section.startswith("4.5") or layer.section == "4.6.2" else "status"


LAYERS: tuple[Layer, ...] = tuple(
    replace(
        layer, stage=_stage(layer), meanings=_MEANINGS.get(layer.symbol, ()), model_file=_MODEL_FILES.get(layer.symbol, ""),
        units="m" if layer.symbol == "OSM_distance" else "1",
    )
    for layer in _NODES
)  # fmt: skip
