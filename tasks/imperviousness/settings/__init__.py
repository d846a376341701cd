"""Settings of a production file of imperviousness, beside those of every product."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from imperv.calibration import CalibrationParameters
from imperv.grids import official_tiles
from imperv.grids.tiles import EDITION_YEARS, NEWEST
from imperv.layers.change import ChangeParameters
from imperv.layers.change_mask import ChangeMaskParameters
from imperv.layers.features import QUANTILE_BANDS
from imperv.layers.landsat import SEEN
from imperv.layers.network.unet import UNetParameters
from imperv.layers.proxy import ProxyParameters
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.settings.scenes import YearScenes
from imperv.tasks.settings.delivery import DeliverySettings
from imperv.tasks.settings.frozen import Frozen, SettingError
from imperv.tasks.settings.parameters import EnsembleParameters, ParameterGroups, PreprocessingParameters
from imperv.tasks.settings.paths import PathText
from imperv.tasks.settings.periods import Periods, TwelveMonths
from imperv.tasks.settings.production import Production
from imperv.tasks.settings.scenes import LANDSAT


class TwoYears(Periods):
    """The two periods."""

    roles: ClassVar[dict[str, tuple[str, str]]] = {"pair": ("then", "now")}

    then: TwelveMonths
    """Twelve months of the previous production; references describe it."""
    now: TwelveMonths
    """Twelve months to be mapped; before `then` only where Landsat sees them."""

    @classmethod
    def assumed(cls, tiles: Sequence[str]) -> dict[str, str]:
        """As `Periods.assumed`: the years of the edition that the tiles are those of."""
        years = EDITION_YEARS["eea38-2021" if tuple(tiles) == official_tiles("eea38-2021") else NEWEST]
        return dict(zip(("then", "now"), years, strict=True))

    @property
    def backward(self) -> bool:
        """True if the year to be mapped lies before the one that references describe."""
        return self.now.start < self.then.start

    @property
    def pair(self) -> str:
        """Name of the pair's folder."""
        return self.label("pair")


class References(Frozen):
    """Reference layers of the previous production and of CLCplus Backbone."""

    imd_then: PathText | None = None
    """Imperviousness density, 0 to 100 percent."""
    ibu_then: PathText | None = None
    """Impervious built-up, 0 and 1."""
    clcplus_then: PathText | None = None
    """CLCplus Backbone of `then`."""
    clcplus_now: PathText | None = None
    """CLCplus Backbone of `now`."""
    footprints: tuple[PathText, ...] = ()
    """Building footprints: files, patterns and folders (docs/references.md); their union is used."""
    footprint_confidence: Annotated[float, Field(ge=0, le=1)] = 0
    """Lowest confidence of footprints that have one, such as those of Google."""
    roads: tuple[PathText, ...] = ()
    """Roads of OpenStreetMap, for a proxy where CLCplus Backbone of `now` is missing (docs/proxy.md)."""
    buildings: tuple[PathText, ...] = ()
    """Buildings for the proxy; default: the footprints."""


LACKING = frozenset(f"{band}_q20" for band in QUANTILE_BANDS if band not in SEEN)
"""Features that a year of Landsat has not."""


class BuiltUpParameters(Frozen):
    """Built-up mask (ATBD 4.4.2)."""

    threshold: Annotated[float, Field(ge=0, le=100)] = 10
    """Built-up density in percent from which a pixel is built-up."""


class DensityEnsembleParameters(EnsembleParameters):
    """Which models take part in a prediction (ATBD 4.7), and whether one network learns to answer for all of them."""

    distil: bool = False
    """Predict a tile by one network that has learnt mean and deviation from the models' answers on a part of it, where that takes
    less time (docs/models.md)."""


class Parameters(ParameterGroups):
    """Parameters of every algorithm."""

    preprocessing: PreprocessingParameters = PreprocessingParameters()
    change_mask: ChangeMaskParameters = ChangeMaskParameters()
    unet: UNetParameters = UNetParameters()
    ensemble: DensityEnsembleParameters = DensityEnsembleParameters()
    proxy: ProxyParameters = ProxyParameters()
    calibration: CalibrationParameters = CalibrationParameters()
    built_up: BuiltUpParameters = BuiltUpParameters()
    change: ChangeParameters = ChangeParameters()


def _edition(text: str) -> str:
    match = re.fullmatch(r"(\d{4})-(\d{4})", text, re.ASCII)
    if text != "auto" and (match is None or match[1] >= match[2]):
        raise ValueError(f"{text!r} is not an edition like '2021-2024'")
    return text


class EEADelivery(DeliverySettings):
    """Names of delivered files, their metadata, and choices where ATBD and EEA check differ."""

    edition: Annotated[str, AfterValidator(_edition)] = "auto"
    """Years in names, such as ``"2021-2024"``; auto: those of the periods."""
    version: Annotated[str, Field(pattern=r"^V\d\d$")] = "V01"
    """Version part of the file name."""
    release: Annotated[str, Field(pattern=r"^R\d\d$")] = "R00"
    """Release part of the file name."""
    theme: Literal["auto", "HRLNVLCC", "NVLCC"] = "auto"
    """Product line in the file name; auto: HRLNVLCC for 2021 and earlier, NVLCC after."""
    fold_built_up_classes: bool = False
    """Write IBUC classes 11 and 12 as 10, as the EEA check of IBUC requires; the ATBD's table has all six."""
    zip: bool = False
    """Write each product's package for the EEA too."""

    @model_validator(mode="after")
    def _with_contact(self) -> EEADelivery:
        if self.zip and self.contact is None:
            raise ValueError("zip needs a contact in its INSPIRE metadata; add [delivery.contact] with organisation and email")
        return self


class ImperviousnessProduction(Production):
    """One production of imperviousness."""

    product: Literal["imperviousness"] = "imperviousness"
    """What is made: a family of layers (`imperv init --product`)."""
    periods: TwoYears
    scenes: YearScenes
    references: References = References()
    parameters: Parameters = Parameters()
    delivery: EEADelivery = EEADelivery()

    @model_validator(mode="after")
    def _seen_by_landsat(self) -> ImperviousnessProduction:
        then, now = self.periods.then, self.periods.now
        landsat = [role for role in ("then", "now") if self.scenes.of(role).sensor == LANDSAT]
        if then.start == now.start or (self.periods.backward and "now" not in landsat):
            raise SettingError("periods", f"then ({then}) must begin before now ({now})")
        for group in ("unet", "proxy"):
            names = set(getattr(self.parameters, group).names)
            if landsat and names & LACKING:
                raise SettingError(
                    f"parameters.{group}.features",
                    f"{getattr(self.parameters, group).features} needs the red edge, which Landsat does not see "
                    f"(scenes, {landsat[0]}); choose atbd12",
                )
        return self

    @property
    def runs(self) -> str:
        """As `Production.runs`: the place from before there were other products."""
        return "runs"


def only_imperviousness(production: Production, file: object) -> Production:
    """The production, if it is one of this product; InputError for another."""
    if not isinstance(production, ImperviousnessProduction):
        raise InputError(f"{file}: makes {production.product}; this command is of product imperviousness only")
    return production


PRODUCTION = ImperviousnessProduction
"""Model of the production files of this product."""
