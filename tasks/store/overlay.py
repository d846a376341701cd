"""A scratch store over a production's: what is there and right is read there, what is made goes to the scratch store.

Keys decide, as always: a layer of the production whose key fits is up to date, any other is made again, into the scratch store.
The production is never written.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import zarr

from imperv.grids import Tile
from imperv.tasks.errors import InputError
from imperv.tasks.settings.production import Production
from imperv.tasks.store.lease import SECONDS, Lease
from imperv.tasks.store.records import Record
from imperv.tasks.store.store import Store

SHARED = ("tiles", "models")
"""Folders that are looked through to the production; products, runs and leases are each store's own."""

BASE = "base.data.json"
"""File of a scratch store that names its base, for those who open it without a production file."""

SECRET = ("key", "secret", "token", "password", "username", "client_kwargs")
"""Options of file systems that are not written down; a reader has them from elsewhere."""

ENDINGS = (".data.json", ".zarr", ".keras", ".json")


class Overlay(Store):
    """A scratch store whose layers and models may lie in another one, `base`, which is only read."""

    layered = True

    def __init__(self, url: str, base: Store, options: Mapping[str, Any] | None = None, runs: str = "runs") -> None:
        super().__init__(url, options, runs)
        self.base = base

    def home(self, path: str) -> Store:
        """The store that holds a file: the scratch store if it has the record that speaks of it, else the production's."""
        own = path.split("/")[0] not in SHARED or super().read_text(_record_of(path)) is not None
        return self if own else self.base

    def read_text(self, path: str) -> str | None:
        """As `Store.read_text`."""
        home = self.home(path)
        return super().read_text(path) if home is self else home.read_text(path)

    def measure(self, path: str) -> tuple[int, int]:
        """As `Store.measure`; of what was just made, whose record is not there yet, in the scratch store."""
        found = super().measure(path)
        return found if found[0] or self.home(path) is self else self.base.measure(path)

    def group(self, path: str) -> zarr.Group:
        """As `Store.group`."""
        home = self.home(path)
        return super().group(path) if home is self else home.group(path)

    def find(self, folder: str) -> dict[str, int]:
        """As `Store.find`, in both stores."""
        found = super().find(folder)
        return {**self.base.find(folder), **found} if folder.split("/")[0] in SHARED else found

    def tiles(self) -> list[str]:
        """As `Store.tiles`, of both stores."""
        return sorted({*self.base.tiles(), *super().tiles()})

    def folders(self, tile: str) -> list[str]:
        """As `Store.folders`, of both stores."""
        return sorted({*self.base.folders(tile), *super().folders(tile)})

    @contextlib.contextmanager
    def tile_lock(self, tile: Tile, seconds: float = SECONDS) -> Iterator[Lease]:
        """As `Store.tile_lock`; before anything is made, the scratch store says whose it is."""
        with super().tile_lock(tile, seconds) as lease:
            options = {key: value for key, value in self.base.options.items() if key not in SECRET}
            text = json.dumps({"url": self.base.url, "options": options}, default=str) + "\n"
            if super().read_text(BASE) != text:
                self.write_text(BASE, text)
            yield lease

    def records(self, tile: Any) -> dict[str, Record]:
        """As `Store.records`, of both stores."""
        return {**self.base.records(tile), **super().records(tile)}


def over_base(store: Store) -> Store:
    """A store over its base, where a run has noted that it is a scratch store; otherwise the store itself."""
    text = None if store.layered else store.read_text(BASE)
    if text is None:
        return store
    try:
        noted = json.loads(text)
        base = Store(noted["url"], {**noted["options"], **{k: v for k, v in store.options.items() if k in SECRET}})
    except (ValueError, KeyError, TypeError):
        raise InputError(f"store: {store.url}/{BASE} is damaged; run the tile again, which writes it") from None
    return Overlay(store.url, base, store.options, store.runs)


def _record_of(path: str) -> str:
    """Record that speaks of a layer's file or folder."""
    place = PurePosixPath(path)
    if place.parts[0] == "models":
        return str(place.with_name("model.json"))
    ending = next((ending for ending in ENDINGS if place.name.endswith(ending)), "")
    return str(place.with_name(f"{place.name.removesuffix(ending)}.json"))


def store_of(production: Production) -> Store:
    """The store of a production, over that of another one where it names one."""
    if not production.base:
        return Store(production.store_url, production.store_options, production.runs)
    base = Store(production.path(production.base), production.base_options, production.runs)
    return Overlay(production.store_url, base, production.store_options, production.runs)
