"""The graph as data: every node of ATBD Figure 2 / Table 1, declared once.

From this table come the order of work, the plan, what is run again, the drawing, and the form of delivered files.
Symbols are the ATBD's with ``then``/``now`` in place of 18/21; where the ATBD writes one year only, none is written.
How a layer is computed does not belong here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Literal

from imperv.layers.features import HARMONIC_NAMES, QUANTILE_BANDS
from imperv.layers.network.unet import UNetParameters
from imperv.layers.palette import BUILT_UP, BUILT_UP_CLASSES, CHANGE, CLASSES, CONFIDENCE, DENSITY, SHARE, Palette
from imperv.layers.proxy import ProxyParameters

Kind = Literal["source", "reference", "feature", "model", "interim", "final"]
Period = Literal["then", "now", "pair"]


@dataclass(frozen=True)
class Variable:
    """One stored array of a layer."""

    name: str
    dtype: str
    nodata: float
    axis: str = ""
    """Name of a leading axis, or empty."""
    labels: tuple[str, ...] = ()
    """Labels along that axis."""


@dataclass(frozen=True)
class Delivery:
    """How a final layer is handed over (EEA product definitions)."""

    part: str
    """Layer part of the file name, such as ``IMD``."""
    timing: Literal["S", "C"]
    """Status of one year or change between two."""
    palette: Palette
    """Codes, class names and colours."""


@dataclass(frozen=True)
class Layer:
    """One node of the graph."""

    symbol: str
    """Name used in the store, the plan and on the command line."""
    atbd: str
    """The ATBD's own symbol; empty for a node that the ATBD draws without a name."""
    description: str
    """One line."""
    section: str
    """ATBD section that defines it."""
    inputs: tuple[str, ...]
    """Symbols of the nodes it is made from."""
    kind: Kind
    """Role in the graph."""
    period: Period
    """The year it describes, or the pair of years."""
    resolution: int = 0
    """Pixel size in metres; 0 where the node is not a raster."""
    dtype: str = "uint8"
    """Data type of the stored array."""
    nodata: float = 255
    """Value of pixels without data; NaN for floating point."""
    codes: tuple[int, ...] = ()
    """Valid codes of a coded layer."""
    parameters: tuple[str, ...] = ()
    """Parameters it depends on, as dotted names below ``[parameters]``; a whole group by its name."""
    version: int = 1
    """Algorithm version: raised when the same inputs would give other pixels."""
    delivery: Delivery | None = None
    """Set for final layers."""
    aliases: tuple[str, ...] = field(default=())
    """Other spellings that are understood."""
    arrays: tuple[Variable, ...] = ()
    """What it is stored as, where that is not one array of its own name."""

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The arrays that it is stored as; the first is the layer itself."""
        return self.arrays or (Variable(self.symbol if self.period == "pair" else self.stem, self.dtype, self.nodata),)

    @property
    def stem(self) -> str:
        """File name in the store: features of a year are the same whether that year is ``then`` or ``now``."""
        return self.symbol.rsplit("_", 1)[0] if self.kind in ("source", "feature") and self.period != "pair" else self.symbol


_NAN = float("nan")
_YEARS: tuple[tuple[Period, str], ...] = (("then", "18"), ("now", "21"))


def _years(symbol: str, atbd: str, text: str, section: str, inputs: tuple[str, ...], kind: Kind, **more) -> list[Layer]:
    """The same node for both years."""
    return [
        Layer(
            f"{symbol}_{period}",
            f"{atbd}_{year}",
            f"{text}, {period}",
            section,
            tuple(f"{name}_{period}" for name in inputs),
            kind,
            period,
            **more,
        )  # fmt: skip
        for period, year in _YEARS
    ]


def _final(symbol: str, atbd: str, text: str, section: str, inputs: tuple[str, ...], resolution: int, part: str,
           timing: Literal["S", "C"], palette: Palette, **more) -> Layer:  # fmt: skip
    return Layer(symbol, atbd, text, section, inputs, "final", "pair", resolution, codes=palette.codes,
                 delivery=Delivery(part, timing, palette), **more)  # fmt: skip


MEMBER_SD = "sd"
"""Array of a prediction that holds the deviation of its members: both come from one pass of the models."""

_PP = (
    Variable("quantiles", "uint16", 0, "band", tuple(f"{band}_q20" for band in QUANTILE_BANDS)),
    Variable("ndvi_q90", "float32", _NAN),
    Variable("harmonics", "float32", _NAN, "coefficient", HARMONIC_NAMES),
    Variable("observations", "uint16", 0),
)


def _predicted(symbol: str) -> tuple[Variable, ...]:
    return Variable(symbol, "uint8", 255), Variable(MEMBER_SD, "float32", _NAN)


_PERCENT = DENSITY.codes
_BINARY = BUILT_UP.codes
_CLCP = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 253, 254, 255)
_PREDICTION = ("unet.patch", "unet.overlap", "unet.align_years")
_MODEL = tuple(f"unet.{name}" for name in UNetParameters.model_fields if f"unet.{name}" not in _PREDICTION)
_BUILT_UP_MODEL = tuple(name for name in _MODEL if name != "unet.reference")
_PROXY = tuple(f"proxy.{name}" for name in ProxyParameters.model_fields if name not in ("reach", "threshold"))
_PREDICT = (*_PREDICTION, "ensemble")

LAYERS: tuple[Layer, ...] = (
    *_years("S2", "S2", "Frozen list of Sentinel-2 L2A scenes", "4.1.1", (), "source"),
    *_years("PP", "PP", "Weighted quantiles and NDVI harmonics of a year", "4.2.1", ("S2",), "feature",
            resolution=10, dtype="float32", nodata=_NAN, version=2, arrays=_PP),
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
          parameters=_MODEL, version=6),
    Layer("IBUD_model", "IBUD_model", "U-Net for built-up density", "4.2.3", ("PP_then", "IBUD_ref"), "model", "then",
          parameters=_BUILT_UP_MODEL, version=6),
    Layer("RIMD", "RIMD_21", "Raw imperviousness density, mean of the models, percent", "4.2.3", ("PP_now", "IMD_model", "PP_shift"), "interim", "pair",
          10, codes=_PERCENT, parameters=_PREDICT, version=3, aliases=("RIMD_now",), arrays=_predicted("RIMD")),
    Layer("RIMD_sd", "RIMD_21_sd", "Standard deviation of the models' imperviousness, fraction", "4.7", ("RIMD",), "interim", "pair",
          10, "float32", _NAN, aliases=("RIMD_now_sd",)),
    Layer("RIBUD", "RIBUD_21", "Raw built-up density, mean of the models, percent", "4.2.3", ("PP_now", "IBUD_model", "PP_shift"), "interim", "pair",
          10, codes=_PERCENT, parameters=_PREDICT, version=3, aliases=("RIBUD_now",), arrays=_predicted("RIBUD")),
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

CATALOGUE: dict[str, Layer] = {layer.symbol: layer for layer in LAYERS}
"""Every node by its symbol."""

_SPELLINGS = {name.lower(): layer.symbol for layer in LAYERS for name in (*layer.aliases, layer.atbd, layer.symbol) if name}


def resolve(name: str) -> str:
    """Symbol of a layer from any of its spellings, such as ``RIMD_now``, ``RIMD_21`` or ``rimd``.

    Raises
    ------
    ValueError
        If no layer is called so; the text names the closest ones.
    """
    if name in CATALOGUE:
        return name
    if name.lower() in _SPELLINGS:
        return _SPELLINGS[name.lower()]
    import difflib

    spellings = difflib.get_close_matches(name.lower(), _SPELLINGS, n=6, cutoff=0.4)
    close = list(dict.fromkeys(_SPELLINGS[spelling] for spelling in spellings))[:3]
    hint = f": did you mean {', '.join(close)}?" if close else "; `imperv graph` shows all"
    raise ValueError(f"no layer is called {name!r}{hint}")


def topological_order(targets: Iterable[str] | None = None) -> list[str]:
    """Symbols needed for the targets (all nodes by default), inputs before what is made from them, catalogue order otherwise."""
    needed = set(CATALOGUE) if targets is None else upstream(targets)
    position = {symbol: k for k, symbol in enumerate(CATALOGUE)}
    sorter: TopologicalSorter[str] = TopologicalSorter({s: CATALOGUE[s].inputs for s in needed})
    sorter.prepare()
    order: list[str] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=position.__getitem__)
        node = ready.pop(0)
        order.append(node)
        sorter.done(node)
    return order


def upstream(targets: Iterable[str]) -> set[str]:
    """The targets and everything that they are made from."""
    found: set[str] = set()
    stack = [resolve(t) for t in targets]
    while stack:
        symbol = stack.pop()
        if symbol not in found:
            found.add(symbol)
            stack.extend(CATALOGUE[symbol].inputs)
    return found


def downstream(symbol: str) -> set[str]:
    """Everything that is made from a node, the node left out."""
    found: set[str] = set()
    for name in topological_order():
        if any(i == symbol or i in found for i in CATALOGUE[name].inputs):
            found.add(name)
    return found


def edges() -> set[tuple[str, str]]:
    """All (input, output) pairs."""
    return {(i, layer.symbol) for layer in LAYERS for i in layer.inputs}
