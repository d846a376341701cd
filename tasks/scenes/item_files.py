"""STAC items in files: items and ItemCollections, folders of them, and static catalogues that are followed by their links."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from imperv.grids import Bounds
from imperv.tasks.errors import InputError
from imperv.tasks.scenes.items import (
    REMEDY,
    is_debris,
    items_in,
    name_of,
    parsed,
    refuse_flood,
    trouble_with,
    unusable,
    unwanted,
    with_absolute_hrefs,
)  # fmt: skip
from imperv.tasks.scenes.stac_api import PATIENCE, Connection, Patience
from imperv.tasks.settings.periods import Period
from imperv.tasks.store.hrefs import absolute, is_href

CATALOGUES = ("catalog.json", "collection.json")
"""Names of the files that a static catalogue begins with."""


class ItemFiles:
    """STAC items in a file (item, ItemCollection, static catalogue), in a folder of such files, or behind the URL of one.

    A folder is read in this order: its ``items.json``; what its ``catalog.json`` or ``collection.json`` links to; all JSON files
    in it. A catalogue without links stands for its folder.
    """

    def __init__(self, path: str | Path, collection: str = "", patience: Patience = PATIENCE) -> None:
        self.path, self.collection = path, collection
        self._connection = Connection(patience) if "://" in str(path) else None

    @staticmethod
    def are_in(path: str | Path) -> bool:
        """True for a JSON file, and for a folder that begins with one of items or of a static catalogue."""
        path = Path(path)
        return path.suffix == ".json" or any((path / name).is_file() for name in ("items.json", *CATALOGUES))

    def search(self, bounds: Bounds, period: Period) -> list[Mapping[str, Any]]:
        """Items that touch the bounds in the period, broken ones as unusable; InputError if all are of other collections."""
        found: list[Mapping[str, Any]] = []
        others: set[str] = set()
        for source, place, item in self._items():
            wrong = trouble_with(item)
            if not isinstance(item, dict) or not unwanted(item, bounds, period, self.collection):
                name = name_of(item, f"feature {place} of {source}")
                found.append(unusable(name, f"{wrong} ({source})") if wrong else with_absolute_hrefs(item, source))
                refuse_flood(len(found), self.path)
            elif not wrong and not unwanted(item, bounds, period):
                others.add(str(item["collection"]))
        if others and not found:
            raise InputError(
                f"scenes.catalogue: {self.path}: has no items of the collection {self.collection} in {period}, "
                f"but of {', '.join(sorted(others))}; correct scenes.collection"
            )
        return found

    def _items(self) -> Iterator[tuple[str, int, Any]]:
        """All features with the file or URL that holds each, and the place in it."""
        waiting = self._first()
        seen = set(waiting)
        while waiting:
            source = waiting.pop()
            table = parsed(self._read(source), source)
            for place, item in enumerate(items_in(table, source), 1):
                yield source, place, item
            if table["type"] in ("Catalog", "Collection"):
                # Trees may link to what is above or beside them: each file counts once.
                linked = [href for href in _links(table, source) if href not in seen]
                seen.update(linked)
                waiting += reversed(linked)

    def _first(self) -> list[str]:
        """Files to begin with."""
        path = Path(self.path)
        if self._connection or path.is_file() and not self._is_bare(path):
            return [str(self.path)]
        path = path.parent if path.is_file() else path
        if path.is_dir():
            if (path / "items.json").is_file():
                return [str(path / "items.json")]
            for name in CATALOGUES:
                if (path / name).is_file() and _links(parsed(self._read(str(path / name)), path / name), str(path / name)):
                    return [str(path / name)]
            found = (f for f in path.rglob("*.json") if f.name not in CATALOGUES and not is_debris(f.relative_to(path)))
            files = sorted(map(str, found), reverse=True)
            if files:
                return files
        raise InputError(
            f"scenes.catalogue: {path}: there is no STAC item file or folder of items; "
            "correct the path, or begin a URL with https://"
        )

    def _is_bare(self, path: Path) -> bool:
        """True for a static catalogue that links to nothing: what lies in its folder is its own."""
        table = parsed(self._read(str(path)), path) if path.name in CATALOGUES else None
        return isinstance(table, dict) and table.get("type") in ("Catalog", "Collection") and not _links(table, str(path))

    def _read(self, source: str) -> str | bytes:
        if "://" in source:
            return (self._connection or Connection(PATIENCE)).text(source)
        try:
            return Path(source).read_bytes()
        except OSError as error:
            raise InputError(
                f"scenes.catalogue: {source}: cannot be read ({error.strerror}); correct the path or the link to it"
            ) from None


def _links(table: Any, source: str) -> list[str]:
    """Files that a catalogue or collection links to as its parts and items; InputError if such a link leads nowhere."""
    links = table.get("links") if isinstance(table, dict) else None
    found = []
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") in ("child", "item", "items"):
            if not is_href(href := link.get("href")):
                raise InputError(f"scenes.catalogue: {source}: has a link to its {link['rel']} without href; {REMEDY}")
            found.append(absolute(href, source))
    return found
