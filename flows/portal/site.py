"""What a portal shows, kept up to date by one thread: layers of a store or folder, and the state of a production."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imperv.layers.catalogue import GraphError, load
from imperv.layers.families import packages
from imperv.tasks.addresses import shown
from imperv.tasks.errors import ImpervError, InputError
from imperv.tasks.map_layers import FolderSource, Holdings, MapLayer, StoreSource, source_of
from imperv.tasks.map_tiles import MapTiles
from imperv.tasks.settings.files import label_of
from imperv.tasks.settings.production import Production
from imperv.tasks.store.overlay import store_of
from imperv.tasks.store.store import Store

INTERVAL = 5.0
"""Seconds between two looks at the store."""

PATIENCE = 5.0
"""A look rests for so many times what it took, so that a large store is not read without end."""


@dataclass
class Site:
    """A store or a folder of products, maybe with its production file."""

    source: StoreSource | FolderSource
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
    ended: threading.Event = field(default_factory=threading.Event)

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
            self.ended.wait(max(INTERVAL, PATIENCE * (time.monotonic() - began)))

    def look(self) -> None:
        """Look at the store once."""
        try:
            for done, total, found in self.source.scan():
                if done < total and self.progress is not None:
                    self.progress = done, total
                elif done >= total:
                    self.holdings, self.trouble, self.progress = found, "", None
            if self.production is not None and self.config is not None:
                self.state = production_state(self.production, self.config)
        except (ImpervError, OSError) as error:
            self.trouble, self.progress = shown(" ".join(str(error).split())), None

    def layer(self, name: str) -> MapLayer | None:
        """A layer by its identifier."""
        return self.holdings.layers.get(name)

    def report(self, tile: str) -> str | None:
        """The report of a tile, HTML; None where there is none."""
        store = self.store
        if store is None:
            return None
        folders = [self.production.runs] if self.production else ["runs", *(f"runs/{family}" for family in packages())]
        every = (store.read_text(f"{folder}/{tile}.report.html") for folder in folders)
        return next((text for text in every if text is not None), None)

    def reports(self) -> set[str]:
        """Tiles that have a report."""
        store = self.store
        if store is None:
            return set()
        folders = [self.production.runs] if self.production else ["runs", *(f"runs/{family}" for family in packages())]
        ending = ".report.html"
        return {name.removesuffix(ending) for folder in folders for name in store.entries(folder) if name.endswith(ending)}


def production_state(production: Production, config: Path) -> dict[str, Any]:
    """State of a production and of its tiles, in the words of `imperv status`."""
    # Here: the first map need not wait for what plans.
    from imperv.flows.production.status import going, production_lines, statuses
    from imperv.tasks.job import utc_now

    run = going(config, production)
    tiles = [
        {"tile": entry["tile"], "state": entry["state"], "why": entry["why"], "stages": entry["stages"]}
        for entry in statuses(production, costs=False)
    ]
    return {"lines": production_lines(run), "life": run["life"]["state"] if run else "", "tiles": tiles, "when": utc_now()}


def open_site(place: str | None, config: Path | None) -> Site:
    """The site of a command line: a store or folder, or a production file.

    Raises
    ------
    InputError
        If both are named, or nothing is there to be shown.
    """
    for family in packages():
        try:
            load(family)
        except GraphError as error:
            raise InputError(str(error)) from None
    if place is not None and config is not None:
        raise InputError("name a store or folder, or give --config; not both")
    file = config or _production_file(place)
    if file is not None:
        production = Production.read(file)
        return Site(StoreSource(store_of(production)), label_of(file), file, production)
    if place is None:
        raise InputError(
            "production.toml is not here; name a store, a folder of products or a production file: imperv portal PLACE"
        )
    return Site(source_of(Store(place).with_base()), shown(place))


def _production_file(place: str | None) -> Path | None:
    """The production file that is meant, if any."""
    named = Path(place) if place is not None else Path()
    if place is not None and named.suffix == ".toml":
        return named
    return named / "production.toml" if (named / "production.toml").is_file() else None


def tile_rows(site: Site) -> Sequence[dict[str, Any]]:
    """Tiles with their layers, state and report, by name."""
    states = {entry["tile"]: entry for entry in site.state.get("tiles", ())}
    reports, held = site.reports(), site.holdings.tiles
    return [
        {
            "tile": tile, "layers": sum(tile in layer.parts for layer in site.holdings.layers.values()),
            "report": tile in reports, **{key: states.get(tile, {}).get(key, "") for key in ("state", "why")},
            "stages": states.get(tile, {}).get("stages", {}),
        }
        for tile in sorted({*held, *states})
    ]  # fmt: skip
