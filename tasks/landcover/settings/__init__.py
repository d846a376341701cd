"""What a production file of land cover says."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from imperv.layers.landcover.classes import FRAME, LandClass
from imperv.layers.landcover.network import ClassNetworkParameters
from imperv.layers.landcover.patches import PatchParameters
from imperv.layers.landcover.tuning import TuningParameters
from imperv.layers.network.precision import Precision
from imperv.tasks.settings.frozen import Frozen
from imperv.tasks.settings.parameters import EnsembleParameters, ParameterGroups, PreprocessingParameters
from imperv.tasks.settings.paths import PathText
from imperv.tasks.settings.periods import OneSpan, Period
from imperv.tasks.settings.production import Production


class SpanAround(OneSpan):
    """One span; what stays cloudy may be filled from the months around, and seasons are those of its year."""

    roles: ClassVar[dict[str, tuple[str, str]]] = {"around": ("span", "span"), "year": ("span", "span")}

    def of(self, role: str) -> tuple[Period, Period]:
        """As `Periods.of`; `around` is the span with the month before and the month after, `year` its calendar year."""
        if role == "year":
            year = Period.parse(str(self.span.year))
            return year, year
        if role != "around":
            return super().of(role)
        first = (self.span.start.replace(day=1) - dt.timedelta(days=1)).replace(day=1)
        last = self.span.end
        for _ in range(2):
            last = (last.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
        wide = Period(first, last - dt.timedelta(days=1))
        return wide, wide


class MosaicParameters(Frozen):
    """The mosaic."""

    fill: bool = True
    """Fill what no look of the span shows clear from the months around, and mark it."""


class SharpeningParameters(Frozen):
    """How the product superresolution sharpens the bands to 5 m."""

    method: Literal["network", "regression"] = "network"
    """Networks that correct the regression, or the regression alone: the fast way."""
    tune: bool = False
    """Train the networks on with the scene itself."""
    precision: Precision = "float32"
    """Numbers in the layers of networks that predict, as of `ensemble`."""


def _colour(text: str) -> str:
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ValueError(f"{text!r} is not a colour like '#d62f27'")
    return text.lower()


class ClassSetting(Frozen):
    """A class."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    """Name, such as ``"green roof"``."""
    code: Annotated[int, Field(ge=1, le=254)]
    """Code in maps."""
    colour: Annotated[str, AfterValidator(_colour)]
    """Red, green and blue, such as ``"#d62f27"``."""


def _frame() -> tuple[ClassSetting, ...]:
    return tuple(ClassSetting(name=c.name, code=c.code, colour="#{:02x}{:02x}{:02x}".format(*c.colour)) for c in FRAME)


class ClassesParameters(Frozen):
    """The classes of the map."""

    list: Annotated[tuple[ClassSetting, ...], Field(min_length=2, max_length=40)] = Field(default_factory=_frame)
    """Name, code and colour of each; FRAME's seven by default."""

    @model_validator(mode="after")
    def _apart(self) -> ClassesParameters:
        for what, values in (("name", [c.name.lower() for c in self.list]), ("code", [str(c.code) for c in self.list])):
            if twice := sorted({v for v in values if values.count(v) > 1}):
                raise ValueError(f"two classes have the {what} {twice[0]}; give each its own")
        return self

    @property
    def classes(self) -> tuple[LandClass, ...]:
        """Classes in the order of the list, as the science has them."""
        return tuple(
            LandClass(c.code, c.name, (int(c.colour[1:3], 16), int(c.colour[3:5], 16), int(c.colour[5:], 16))) for c in self.list
        )

    @property
    def frames(self) -> tuple[int, ...]:
        """Codes of those that are FRAME's, whatever their colours: CLC+ Backbone has labels of them."""
        known = {(one.code, one.name) for one in FRAME}
        return tuple(c.code for c in self.classes if (c.code, c.name) in known)


class LabelParameters(Frozen):
    """Labels made of CLC+ Backbone, footprints and density."""

    green_ndvi: Annotated[float, Field(ge=-1, le=1)] = 0.5
    """NDVI of the mosaic from which ground is green: fields are grass, below it bare soil; sealed ground of CLC+ is grass."""


class MapParameters(Frozen):
    """From probabilities to maps."""

    sieve: Annotated[int, Field(ge=0, le=400)] = 0
    """Patches of fewer pixels take the class that most of their neighbours have; 0 for none."""


class References(Frozen):
    """What the base model learns from, and what maps are compared with."""

    clcplus: PathText | None = None
    """CLC+ Backbone."""
    density: PathText | None = None
    """Imperviousness density of any production, 0 to 100 percent."""
    footprints: tuple[PathText, ...] = ()
    """Building footprints: files, patterns and folders (docs/references.md); their union is used."""
    footprint_confidence: Annotated[float, Field(ge=0, le=1)] = 0
    """Lowest confidence of footprints that have one, such as those of Google."""
    labels: PathText | None = None
    """A raster of codes of `parameters.classes`, in place of CLC+; 0 and no data teach nothing."""
    polygons: PathText | None = None
    """Polygons with a `class`, laid over the other labels."""
    points: PathText | None = None
    """Points of built-up types with a `class`: CSV with x and y in EPSG:3035, or a vector file."""
    sample: PathText | None = None
    """Reference points with a `class` of the map, drawn by chance: areas of classes get intervals from them."""
    auxiliary: dict[str, PathText] = Field(default_factory=dict)
    """Maps to compare with, by name: rasters, or vector files such as Urban Atlas."""


class Parameters(ParameterGroups):
    """Parameters of every algorithm."""

    mosaic: MosaicParameters = MosaicParameters()
    preprocessing: PreprocessingParameters = PreprocessingParameters()
    sharpening: SharpeningParameters = SharpeningParameters()
    classes: ClassesParameters = ClassesParameters()
    labels: LabelParameters = LabelParameters()
    unet: ClassNetworkParameters = ClassNetworkParameters()
    ensemble: EnsembleParameters = EnsembleParameters(members=2)
    map: MapParameters = MapParameters()
    tuning: TuningParameters = TuningParameters()
    types: PatchParameters = PatchParameters()

    def pick(self, names: tuple[str, ...]) -> dict[str, Any]:
        """As of all families; of classes without their colours, which only delivered files have."""
        found = super().pick(names)
        if "classes.list" in found:
            found["classes.list"] = [{key: one[key] for key in ("name", "code")} for one in found["classes.list"]]
        return found


class LandCoverProduction(Production):
    """One production of land cover."""

    product: Literal["landcover"] = "landcover"
    """What is made."""
    periods: SpanAround
    references: References = References()
    parameters: Parameters = Parameters()


PRODUCTION = LandCoverProduction
