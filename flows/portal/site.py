"""What a portal shows, kept up to date by one thread: layers of a store or folder, and the state of a production."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from imperv.layers.catalogue import Layer, family_of
from imperv.layers.colouring import load_kernels, without_own_classes
from imperv.layers.families import packages
from imperv.tasks.addresses import shown
from imperv.tasks.errors import ImpervError, InputError
from imperv.tasks.families import family, loaded_families
from imperv.tasks.family.teaching import Taught, Teaching
from imperv.tasks.maps.layers import FolderSource, Holdings, MapLayer, StoreSource, source_of, with_rounds
from imperv.tasks.maps.tiles import MapTiles
from imperv.tasks.settings.files import label_of
from imperv.tasks.settings.production import Production
from imperv.tasks.store.overlay import store_of
from imperv.tasks.store.records import digest_of
from imperv.tasks.store.store import Store

log = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two looks at the store."""

PATIENCE = 5.0
"""A look rests for so many times what it took, so that a large store is not read without end."""


class NoSource:
    """Nothing to show."""

    def scan(self) -> Iterator[tuple[int, int, Holdings]]:
        """As `StoreSource.scan`."""
        yield 1, 1, Holdings({})


@dataclass
class Site:
    """A store or a folder of products, maybe with its production file."""

    source: StoreSource | FolderSource | NoSource
    name: str
    """What a person called it."""
    config: Path | None = None
    production: Production | None = None
    tiles: MapTiles = field(default_factory=MapTiles)
    holdings: Holdings = field(default_factory=lambda: Holdings({}))
    progress: tuple[int, int] | None = None
    """(tiles read, tiles in all) of the first look, None when it is done."""
    trouble: str = ""
    """Why the store cannot be read just now."""
    state: dict[str, Any] = field(default_factory=dict)
    """Of the production: `production_state`."""
    reports: frozenset[str] = frozenset()
    """Tiles that have a report."""
    version: str = ""
    """Changes with the state and the reports."""
    ended: threading.Event = field(default_factory=threading.Event)
    looking: threading.Lock = field(default_factory=threading.Lock)
    """One look at a time."""

    @property
    def store(self) -> Store | None:
        """The store; None for a folder of products."""
        return self.source.store if isinstance(self.source, StoreSource) else None

    def watch(self) -> None:
        """Look at the store again and again, until `ended`."""
        self.progress = (0, 0)
        while not self.ended.is_set():
            began = time.monotonic()
            self.look()
            if not self.ended.wait(max(INTERVAL, PATIENCE * (time.monotonic() - began))):
                load_kernels()  # not before the first map is drawn

    def look(self) -> None:
        """Look at the store once, whatever it holds."""
        with self.looking:
            self._look()

    def _look(self) -> None:
        try:
            for done, total, found in self.source.scan():
                if done < total and self.progress is not None:
                    self.progress = done, total
                elif done >= total:
                    self.holdings, self.trouble, self.progress = with_rounds(found, self._rounds()), "", None
            if self.production is not None and self.config is not None:
                self.state = production_state(self.production, self.config)
            self.reports = self._reports()
            self.version = digest_of([self.state, sorted(self.reports)])[:16]
        except Exception as error:  # the thread that looks must go on, whatever a store holds
            if not isinstance(error, (ImpervError, OSError)):
                log.exception("the store cannot be read")
            self.trouble, self.progress = shown(" ".join(str(error).split()) or type(error).__name__), None

    @property
    def teaching(self) -> Teaching | None:
        """How a person teaches the product; None where nobody can."""
        found = family(self.production.product).teaching if self.production is not None else None
        return found() if found is not None else None

    def _rounds(self) -> list[Taught]:
        teaching = self.teaching
        return teaching.taught(self.production) if teaching is not None and self.production is not None else []

    def layer(self, name: str) -> MapLayer | None:
        """A layer by its identifier."""
        return self.holdings.layers.get(name)

    def report(self, tile: str) -> str | None:
        """The report of a tile, HTML; None where there is none."""
        store = self.store
        if store is None:
            return None
        every = (store.read_text(f"{folder}/{tile}.report.html") for folder in self._runs())
        return next((text for text in every if text is not None), None)

    def _reports(self) -> frozenset[str]:
        store, ending = self.store, ".report.html"
        if store is None:
            return frozenset()
        names = (name for folder in self._runs() for name in store.entries(folder))
        return frozenset(name.removesuffix(ending) for name in names if name.endswith(ending))

    def _runs(self) -> list[str]:
        """Folders of what runs have told."""
        return [self.production.runs] if self.production else ["runs", *(f"runs/{name}" for name in packages())]


def production_state(production: Production, config: Path) -> dict[str, Any]:
    """State of a production and of its tiles, in the words of `imperv status`."""
    # Here: the first map need not wait for what plans.
    from imperv.flows.production.status import going, production_lines, statuses, troubles

    run = going(config, production)
    found = statuses(production, costs=False)
    tiles = [{name: entry[name] for name in ("tile", "state", "why", "stages", "when")} for entry in found]
    return {
        "lines": production_lines(run), "life": run["life"]["state"] if run else "", "tiles": tiles,
        "troubles": [trouble.text for trouble in troubles(found, run)],
    }  # fmt: skip


def open_site(place: str | None, config: Path | None) -> Site:
    """The site of a command line: a store or folder, or a production file.

    Raises
    ------
    InputError
        If both are named, or nothing is there to be shown.
    """
    for name, trouble in loaded_families().items():
        if trouble:  # of another distribution: its layers are not known, those of the others are shown
            log.warning("product %s is not shown: %s", name, trouble)
    if place is not None and config is not None:
        raise InputError("name a store or folder, or give --config; not both")
    file = config or _production_file(place)
    if file is not None:
        return site_of_production(file, label_of(file), MapTiles())
    if place is None:
        raise InputError(
            "production.toml is not here; name a store, a folder of products or a production file: imperv portal PLACE"
        )
    return Site(source_of(Store(place).with_base()), shown(place))


def site_of_production(file: Path, name: str, tiles: MapTiles) -> Site:
    """The site of a production file; InputError if it is wrong."""
    production = Production.read(file)
    return Site(StoreSource(store_of(production), partial(_as_delivered, production)), name, file, production, tiles)


def _as_delivered(production: Production, layer: Layer) -> Layer:
    """A layer with the classes of the production, where it is of its product."""
    if family_of(layer.symbol) != production.product:
        return without_own_classes(layer)
    return family(production.product).form.layer(production, layer)


def _production_file(place: str | None) -> Path | None:
    """The production file that is meant, if any."""
    named = Path(place) if place is not None else Path()
    if place is not None and named.suffix == ".toml":
        return named
    return named / "production.toml" if (named / "production.toml").is_file() else None


def tile_rows(site: Site) -> Sequence[dict[str, Any]]:
    """Tiles with their layers, state and report, by name."""
    states = {entry["tile"]: entry for entry in site.state.get("tiles", ())}
    held = site.holdings.tiles
    return [
        {
            "tile": tile, "layers": sum(tile in layer.parts for layer in site.holdings.layers.values()),
            "report": tile in site.reports, **{key: states.get(tile, {}).get(key, "") for key in ("state", "why", "when")},
            "stages": states.get(tile, {}).get("stages", {}),
        }
        for tile in sorted({*held, *states})
    ]  # fmt: skip
