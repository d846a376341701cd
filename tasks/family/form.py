"""What a form of delivery is: the EEA's of imperviousness, plain cloud-optimised GeoTIFFs (`tasks.delivery.cog`) of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imperv.layers.catalogue import Layer
from imperv.tasks.family.costs import CostOf
from imperv.tasks.family.findings import Finding, Remark
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record


@dataclass(frozen=True)
class Places:
    """Files of one product, relative to the store."""

    tif: str
    """The GeoTIFF itself."""
    style: str
    """QGIS style, loaded with the GeoTIFF."""
    quicklook: str
    """Picture for catalogues."""
    stac: str
    """STAC Item."""
    record: str
    """Written last: the product is done if and only if it exists."""
    more: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """Further files, by the key of their asset in the STAC Item."""

    @property
    def beside(self) -> tuple[str, ...]:
        """What is written with the GeoTIFF and may be there, the record left out."""
        return self.style, self.quicklook, self.stac, *self.more.values()


@dataclass(frozen=True)
class Written:
    """A product in the folder of drafts."""

    files: Mapping[str, Path]
    """Files by their places; the GeoTIFF's is among them."""
    statistics: Mapping[str, Any]
    """Pixels of it, as in the layer's record."""
    findings: Sequence[Finding] = field(default_factory=tuple)
    """All kept, or it would not be here."""


@dataclass(frozen=True)
class Form:
    """How final layers are delivered."""

    name: str
    version: int
    """Raised when the same layer would give other files."""
    places: Callable[[Job, Layer], Places]
    period: Callable[[Job, Layer], tuple[str, str]]
    """First and last day that a product describes, ISO 8601."""
    settings: Callable[[Job, Layer], Mapping[str, Any]]
    """What a product's key is made of beside its name and its layer."""
    write: Callable[[Job, Layer, Record, Places, Path], Written]
    """Write and check all files of a layer with a record in a folder of drafts; WorkError if a check fails."""
    cost: CostOf
    """Cost of delivering a layer."""
    layer: Callable[[Production, Layer], Layer] = lambda production, layer: layer
    """The layer as it is delivered here: with the production's own classes (`Delivery.own_classes`)."""
    preflight: Callable[[], None] = lambda: None
    """InputError, before anything is made, if products cannot be written here."""
    look: Callable[[Production], Iterator[Remark]] = lambda production: iter(())
    """What `imperv config check` says of it."""
    finish: Callable[[Job], str] = lambda job: ""
    """After the products of a tile: what binds them together; a line of warning, or nothing."""
    strangers: Callable[[Job], Mapping[str, str]] = lambda job: {}
    """GeoTIFFs of a tile under former names -> their places now."""
    owns: Callable[[str], bool] = lambda path: True
    """Whether a path below ``products`` is of this form and family."""
    options: tuple[str, ...] = ()
    """Options of `imperv verify` that it takes."""
    verify: Callable[..., tuple[dict[str, list[Finding]], dict[str, dict[str, Finding]]]] = lambda jobs, products, more: ({}, {})
    """What tiles should have delivered of some layers: (jobs, products, options) -> findings by file, missing files by tile."""
    verify_files: Callable[..., dict[str, list[Finding]]] = lambda paths, jobs, more: {}
    """Findings of files and folders, whoever made them: (paths, jobs, options)."""
