"""What a map can show of a store or of a folder of products: every layer and view by tile, with the key of its pixels.

Layers in EPSG:3035, and those of a store on native UTM grids. Pixels are read in `tasks.maps.tiles`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import rasterio
from rasterio.errors import RasterioError

from imperv.grids import CRS, Bounds, Tile
from imperv.grids.pyramid import lattice
from imperv.layers.attributes import units_of
from imperv.layers.catalogue import CATALOGUE, Layer, family_of
from imperv.layers.colouring import View, is_nameless, views_of, with_codes, without_own_classes
from imperv.tasks.delivery.cog_check import layer_of_cog
from imperv.tasks.errors import InputError
from imperv.tasks.family.teaching import Taught
from imperv.tasks.store.debris import is_debris
from imperv.tasks.store.overlay import Overlay
from imperv.tasks.store.records import Record, digest_of
from imperv.tasks.store.store import Store

_PRODUCT = re.compile(
    r"\w+_(?P<part>[A-Z]+)_(?P<timing>[SC])(?P<years>\d{4}(?:-\d{4})?)_R(?P<pixel>\d+)m_(?P<tile>E\d\dN\d\d)_03035\w*", re.ASCII
)
"""Name of a product in the EEA's form."""

_PERIOD = re.compile(r"\d{4}(?:-\d\d(?!\d))*(?:(?:-|__?)\d{4}(?:-\d\d(?!\d))*)?", re.ASCII)
"""Period in the name of a product, and of a folder of the store; two underscores are between the dates of a pair."""

DRAWING = 1
"""Version of how pixels are drawn: raised when the same pixels would look different, because browsers keep map tiles."""


@dataclass(frozen=True)
class Part:
    """A layer of one tile."""

    tile: str
    bounds: Bounds
    """(left, bottom, right, top) in EPSG:3035."""
    version: str
    """Hash of what the pixels depend on."""
    record: Record | None = field(default=None, repr=False)
    """What is known of the layer; None for a file without a record."""
    store: Store | None = field(default=None, repr=False)
    """Where the layer is stored; None for a file."""
    path: str = ""
    """Record in the store, or the GeoTIFF."""
    taught: Taught | None = field(default=None, repr=False)
    """A map that no file holds; None for stored ones."""


@dataclass(frozen=True)
class MapLayer:
    """One view of a layer, of all tiles that have it."""

    id: str
    """Such as ``IMD_now.2018-2021.0``: name in the store, period, number of the view."""
    layer: Layer
    view: View
    period: str
    parts: Mapping[str, Part]
    """By tile."""
    like: MapLayer | None = field(default=None, repr=False)
    """Layer of the same bands whose limits it has, so that both can be compared."""
    round: int = 0
    """Round of teaching that it is the map of; 0 for layers of the store."""

    @cached_property
    def key(self) -> str:
        """Changes whenever a pixel may look different."""
        versions = sorted((tile, part.version) for tile, part in self.parts.items())
        return digest_of([DRAWING, repr(self.view), versions, self.like.key if self.like else ""])[:16]

    @property
    def title(self) -> str:
        """Title of the layer, without the year of features that are the same in either role."""
        layer = self.layer
        if self.round:
            return f"Round {self.round}"
        return layer.title if layer.stem == layer.symbol else layer.description.rpartition(", ")[0]

    @property
    def units(self) -> str:
        """Of the quantity that it shows, for people; empty for codes and pure numbers."""
        if self.view.is_reflectance:
            return "reflectance"
        found = "" if self.view.scale != 1 else self.view.variable.units or units_of(self.layer)
        return "" if found == "1" else found

    @property
    def family(self) -> str:
        """Product that it belongs to."""
        return family_of(self.layer.symbol)


@dataclass(frozen=True)
class Holdings:
    """What there is at one moment."""

    layers: Mapping[str, MapLayer]
    """By identifier, in the order of the catalogue."""
    unread: tuple[str, ...] = ()
    """Files that cannot be shown, each with the reason."""

    @cached_property
    def version(self) -> str:
        """Changes with any layer."""
        return digest_of([(layer.id, layer.key) for layer in self.layers.values()])

    @cached_property
    def tiles(self) -> tuple[str, ...]:
        """Tiles that have any layer."""
        return tuple(sorted({tile for layer in self.layers.values() for tile in layer.parts}))


@dataclass
class StoreSource:
    """Layers of a store, read again only where its folders have changed."""

    store: Store
    resolve: Callable[[Layer], Layer] = without_own_classes
    """A layer as it is here: with the classes of a production, where that is known."""
    _known: dict[str, tuple[Any, dict[str, tuple[Record, str]]]] = field(default_factory=dict)
    """Folder of a period -> what its list of files was, and its records by path with their digests."""

    def scan(self) -> Iterator[tuple[int, int, Holdings]]:
        """After each tile: (tiles read, tiles in all, what is known so far)."""
        # A scratch store lies over its base, whose layers its records replace: also by saying that one is not made.
        stores = [self.store.base, self.store] if isinstance(self.store, Overlay) else [self.store]
        found: dict[tuple[str, str, str], Part] = {}
        tiles = [tile for tile in self.store.tiles() if _is_tile(tile)]
        for number, tile in enumerate(tiles, 1):
            places = [(store, f"tiles/{tile}/{folder}") for folder in self.store.folders(tile) for store in stores]
            records = {path: (store, *known) for store, folder in places for path, known in self._records(store, folder).items()}
            for path, (store, record, digest) in records.items():
                if record.made and record.href:
                    part = Part(tile, record.bbox, digest, record, store, path)
                    found[record.symbol, PurePosixPath(path).parent.name, tile] = part
            if number < len(tiles):
                yield number, len(tiles), Holdings({})
        yield len(tiles), len(tiles), _holdings(found, self.resolve)

    def _records(self, store: Store, folder: str) -> dict[str, tuple[Record, str]]:
        """Records of a period of a tile."""
        store.fs.invalidate_cache()
        try:
            entries = store.fs.ls(store.full(folder), detail=True)
        except (FileNotFoundError, NotADirectoryError):  # it went a moment ago
            return {}
        files = [
            e for e in entries if str(e["name"]).endswith(".json") and not str(e["name"]).endswith((".data.json", ".stac.json"))
        ]
        stamp = sorted((str(e["name"]), e["size"], str(e.get("mtime", e.get("LastModified", e.get("ETag"))))) for e in files)
        known = self._known.get(f"{store.url}/{folder}")
        if known is None or known[0] != stamp:
            found = {}
            for name, _, _ in stamp:
                path = f"{folder}/{PurePosixPath(name).name}"
                text = store.read_text(path)
                try:
                    found[path] = (Record.from_json(text or ""), digest_of(text))
                except ValueError:
                    continue
            known = self._known[f"{store.url}/{folder}"] = stamp, found
        return known[1]


@dataclass
class FolderSource:
    """Delivered GeoTIFFs in EPSG:3035 below a folder, whoever delivered them; layers are known by records or names."""

    folder: Path
    _known: dict[Path, tuple[Any, tuple[Layer, str, Part] | str]] = field(default_factory=dict)

    def scan(self) -> Iterator[tuple[int, int, Holdings]]:
        """As `StoreSource.scan`."""
        found: dict[tuple[str, str, str], Part] = {}
        unread: list[str] = []
        files = sorted(path for path in self.folder.rglob("*.tif") if not is_debris(path.relative_to(self.folder)))
        for path in files:
            try:
                stamp = file_stamp(path)
            except OSError:
                continue
            known = self._known.get(path)
            if known is None or known[0] != stamp:
                known = self._known[path] = stamp, product_part(path, stamp)
            if isinstance(known[1], str):
                unread.append(f"{path.name}: {known[1]}")
                continue
            layer, period, part = known[1]
            found[layer.stem, period, part.tile] = part
        yield len(files), len(files), replace(_holdings(found), unread=tuple(unread))


def file_stamp(path: Path) -> tuple[int, int]:
    """Size and time of change of a file."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def product_part(path: Path, stamp: tuple[int, int]) -> tuple[Layer, str, Part] | str:
    """Layer, period and tile of a delivered GeoTIFF, or why it is not shown."""
    name, record = path.stem, _record_beside(path)
    match = _PRODUCT.fullmatch(name)
    layer = _by_stem(record.symbol) if record else layer_of_cog(path) or (_eea_layer(match) if match else None)
    place = re.search(r"_(E\d\dN\d\d)(?=_)", name)
    if layer is None or place is None:
        return "its name is that of no product; name a folder of delivered files"
    if not layer.resolution:
        return f"the record beside it is of {layer.symbol}, which is no raster; remove the record, or deliver the file again"
    period = _PERIOD.search(match["years"] if match else name.removeprefix(layer.symbol))
    if period is None:
        return "its name has no period"
    try:
        tile = Tile(place[1])
        with rasterio.open(path, driver="GTiff") as source:
            if source.crs is None or source.crs.to_string() != CRS:
                return f"it lies in {source.crs}; the map shows {CRS}"
            box, resolution, bands, dtype = source.bounds, source.res, source.count, source.dtypes[0]
        lattice(tuple(box), layer.resolution)
    except (RasterioError, ValueError) as error:
        return " ".join(str(error).split())
    variable = layer.variables[0]
    if resolution != (layer.resolution, layer.resolution) or bands != variable.bands or dtype != variable.dtype:
        asked = f"{variable.bands} of {variable.dtype}, {layer.resolution:g} m"
        return f"it holds {bands} bands of {dtype}, {resolution[0]:g} m; {layer.symbol} has {asked}"
    version = digest_of([str(path), *stamp])
    return layer, period[0], Part(str(tile), tuple(box), version, record, None, str(path))


def _eea_layer(match: re.Match[str]) -> Layer | None:
    """The layer of a product in the EEA's form."""
    asked = match["part"], match["timing"], float(match["pixel"])
    every = (layer for layer in CATALOGUE.values() if layer.delivery)
    return next(
        (la for la in every if la.delivery and (la.delivery.part, la.delivery.timing, float(la.resolution)) == asked), None
    )


def _record_beside(path: Path) -> Record | None:
    try:
        return Record.from_json(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _holdings(found: Mapping[tuple[str, str, str], Part], resolve: Callable[[Layer], Layer] = without_own_classes) -> Holdings:
    """Layers from their parts by (name in the store, period, tile)."""
    order = {stem: k for k, stem in enumerate(dict.fromkeys(layer.stem for layer in CATALOGUE.values()))}
    layers: dict[str, MapLayer] = {}
    alike: dict[tuple[str, str, tuple[str, ...]], MapLayer] = {}
    grouped: dict[tuple[str, str], dict[str, Part]] = {}
    for (stem, period, tile), part in found.items():
        grouped.setdefault((stem, period), {})[tile] = part
    for stem, period in sorted(grouped, key=lambda place: (order.get(place[0], -1), place[1])):
        layer = _by_stem(stem)
        if layer is None or not layer.resolution or not _PERIOD.fullmatch(period):
            continue
        layer, parts = resolve(layer), grouped[stem, period]
        for number, view in enumerate(views_of(layer)):
            name = f"{stem}.{period}.{number}"
            if is_nameless(view) and (codes := _codes(view.variable.name, parts)):
                view = with_codes(view, codes)
            bands = family_of(layer.symbol), period, tuple(view.variable.labels[band] for band in view.bands if view.is_composite)
            layers[name] = MapLayer(name, layer, view, period, parts, alike.get(bands))
            if view.is_composite:
                alike.setdefault(bands, layers[name])
    return Holdings(layers)


def with_rounds(held: Holdings, every: Sequence[Taught]) -> Holdings:
    """With the maps of rounds of teaching: one layer a round, of all tiles that have it."""
    grouped: dict[tuple[int, str], list[Taught]] = {}
    for one in every:
        grouped.setdefault((one.number, one.period), []).append(one)
    layers = dict(held.layers)
    for (number, period), found in sorted(grouped.items()):
        layer = found[0].layer
        name = f"{layer.stem}_round_{number}.{period}.0"
        parts = {one.tile: Part(one.tile, one.bounds, one.version, path=name, taught=one) for one in found}
        layers[name] = MapLayer(name, layer, views_of(layer)[0], period, parts, round=number)
    return replace(held, layers=layers)


def _codes(array: str, parts: Mapping[str, Part]) -> list[int]:
    """Codes that occur in any tile, by the records; none where one does not say."""
    codes: set[int] = set()
    for part in parts.values():
        told = part.record.statistics if part.record else {}
        histogram = (told.get(array) or told).get("histogram")
        if histogram is None:
            return []
        codes |= {int(code) for code in histogram}
    return sorted(codes)


def _by_stem(stem: str) -> Layer | None:
    """The node that is stored under a name; of features of a year that of either role."""
    return next((layer for layer in CATALOGUE.values() if layer.stem == stem or layer.symbol == stem), None)


def _is_tile(name: str) -> bool:
    try:
        Tile(name)
    except ValueError:
        return False
    return True


def source_of(store: Store) -> StoreSource | FolderSource:
    """What is to be shown of a place: a store that has layers, or a folder with delivered files.

    Raises
    ------
    InputError
        If it is neither.
    """
    if store.layered or store.entries("tiles"):
        return StoreSource(store)
    folder = Path(store.root)
    if store.is_local and folder.is_dir() and any(folder.rglob("*.tif")):
        return FolderSource(folder)
    raise InputError(f"{store.url}: holds neither layers (tiles/) nor delivered GeoTIFFs; name a store, or a folder of products")
