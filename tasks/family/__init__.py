"""What a family is: a product with its layers (`imperv.layers.catalogue`), how they are made, delivered and reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imperv.layers.catalogue.node import STAGES
from imperv.layers.reflectance import BANDS
from imperv.tasks.family.form import Form
from imperv.tasks.family.task import Task
from imperv.tasks.family.teaching import Teaching
from imperv.tasks.job import Job
from imperv.tasks.samples import SampleRules
from imperv.tasks.settings.production import Production


@dataclass(frozen=True)
class ReferenceRaster:
    """A reference map that the production file names."""

    key: str
    """Key below ``[references]``."""
    outside: tuple[int, ...] = ()
    """Codes of older editions that mean no information; read as no data."""
    resampling: str = "nearest"
    """How rasterio resamples it where its grid is another: ``nearest`` or ``bilinear``."""


@dataclass(frozen=True)
class Family:
    """A product: everything about it that shared code asks for."""

    name: str
    title: str
    """What is made, in a few words."""
    method: str
    """Title of the document that defines it."""
    method_short: str
    """The same in a word, before a section."""
    tasks: Mapping[str, Task]
    """How each layer is made."""
    form: Form
    """How final layers are delivered."""
    bands: tuple[str, ...] = BANDS
    """Bands of Sentinel-2 that it reads: an item that lacks one is a lost scene, whatever else it lacks."""
    more_bands: tuple[str, ...] = ()
    """Bands that it reads where an item has them."""
    levels: tuple[str, ...] = ("L2A",)
    """Levels of processing that it can read, ``L2A`` and ``L1C``; Level-1C has no scene classification."""
    stages: tuple[str, ...] = tuple(dict.fromkeys(STAGES.values()))
    """Columns of `imperv status` in order, `Layer.column`."""
    references: Mapping[str, ReferenceRaster] = field(default_factory=dict)
    """Reference layers that are read from one raster each."""
    land: tuple[tuple[str, ...], ...] = ()
    """Reference layers that tell land from sea by codes below 253; the next are asked where the first know nothing."""
    report: Callable[[Job], str] | None = None
    """Writes the report of a tile and says where; the report that all families have where there is none of its own."""
    report_production: Callable[..., str] | None = None
    """The same of all tiles: (production, statuses, costs) -> where."""
    outputs: Callable[[Production], Sequence[str]] = lambda production: ()
    """Classes that its networks tell apart, in order; none where they answer with a fraction."""
    samples: Callable[[Production], SampleRules | None] = lambda production: None
    """What a person draws to tune its map; None where it is not tuned."""
    before: Callable[[Production], Sequence[Production]] = lambda production: ()
    """Productions of other products whose layers it reads: a run makes these layers first, a plan shows them."""
    evaluate: Callable[[Sequence[Job], Mapping[str, str], Callable[[str], None]], dict[str, Any]] | None = None
    """Scores finished tiles for `imperv evaluate`: (jobs, truth rasters by key, progress) -> what is printed as JSON."""
    tables: Callable[[Mapping[str, Any]], list[dict[str, Any]]] | None = None
    """The same as tables of text: ``title``, ``columns``, ``rows``."""
    package: Callable[[Job, str, int | None, Path], list[str]] | None = None
    """Writes the package of a coded map (`imperv package`): (job, layer or nothing, round, file) -> names of what it holds; that
    of any delivered map where there is none of its own."""
    teaching: Callable[[], Teaching] | None = None
    """How a person teaches it by polygons; None where nobody can."""
    compared: tuple[tuple[str, str], ...] = ()
    """Layers that people hold against each other, (left, right), the best pair first."""
    starting_file: str = ""
    """Text of a production file to begin with (`imperv init`), a `string.Template`; empty where there is none."""
    next_production: Callable[..., tuple[Path, list[str]]] | None = None
    """Writes the production file of the next period (`imperv update`)."""
    features_first: Callable[[Job], bool] = lambda job: False
    """Whether the models of a tile need features of its neighbours: a pass before that of the models."""
