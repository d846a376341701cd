"""The two sides of `imperv compare`: maps of a production, a store, or GeoTIFFs, by tile and layer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.windows import Window

from imperv.grids import Block, Tile
from imperv.grids.tiles import CRS
from imperv.layers.catalogue import CATALOGUE, DEFAULT, Layer, layers_of
from imperv.tasks.delivery.delivery import delivered_symbols
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.assessment.comparing import Pair, Raster, common_ground
from imperv.tasks.imperviousness.assessment.comparison_records import outdated
from imperv.tasks.imperviousness.checks.delivery_check import check_name, check_paths
from imperv.tasks.imperviousness.checks.layer_sources import SYMBOLS
from imperv.tasks.imperviousness.settings import TwoYears, only_imperviousness
from imperv.tasks.job import Job
from imperv.tasks.scenes.reading import open_full_resolution
from imperv.tasks.settings.periods import Period, pair_label
from imperv.tasks.settings.production import Production
from imperv.tasks.store.overlay import over_base, store_of
from imperv.tasks.store.records import Record
from imperv.tasks.store.store import Store

Key = tuple[str, str]
"""Tile and layer; for files without a product name an empty tile and the file's name."""

PRODUCTION = "production.toml"

SHOWN = 6
"""Names that a message lists."""


@dataclass(frozen=True)
class Side:
    """One side of the comparison."""

    label: str
    """As the user wrote it."""
    rasters: Mapping[Key, Raster]
    """Maps by tile and layer."""
    production: Production | None = None
    records: Mapping[str, Mapping[str, Record]] = field(default_factory=dict)
    """Of every tile, the records by symbol, also of nodes that are no maps."""
    notes: tuple[str, ...] = ()
    """Warnings."""
    delivered: bool = False
    """True for files: their records are of the delivery, not of the computation."""

    def holds(self) -> str:
        """Maps of this side, in words."""
        tiles = sorted({tile for tile, _ in self.rasters} - {""}) or sorted(self.records)
        names = list(dict.fromkeys(name for _, name in self.rasters))
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        where = f" of tile{'s' * (len(tiles) > 1)} {', '.join(tiles[:SHOWN])}" if tiles else ""
        return f"{self.label} has {', '.join(names[:SHOWN]) or 'no such map'}{more}{where}"


def open_sides(a: str, b: str, layers: Collection[str] | None = None, tiles: Collection[str] | None = None) -> tuple[Side, Side]:
    """The two sides of a comparison, each a production file or its folder, a store, a GeoTIFF, or a folder of GeoTIFFs.

    `layers` and `tiles` limit it; by default the final layers, files without a product's name, and all tiles. InputError if a
    side is none of these, or a store holds several pairs of years and the other side does not settle which.
    """
    chosen = _Chosen(frozenset(layers or delivered_symbols()), tiles, named=bool(layers))
    places = _place(a), _place(b)
    pairs = [_pairs(place, chosen) if isinstance(place, Store) else _pair_of(place) for place in places]
    sides = []
    for text, place, own, others in zip((a, b), places, pairs, reversed(pairs), strict=True):
        if isinstance(place, list):
            sides.append(_files(text, place, chosen))
        elif isinstance(place, Production):
            periods = place.periods.then, place.periods.now
            sides.append(_stored(text, store_of(place), periods, place.tile_names, chosen, place))
        else:
            sides.append(_stored(text, place, _the_pair(text, own, others), place.tiles(), chosen))
    one, two = sides
    if all(isinstance(place, list) and len(place) == 1 for place in places):
        return _two_files(one, two, layers)
    return one, two


@dataclass(frozen=True)
class _Chosen:
    layers: frozenset[str]
    tiles: Collection[str] | None
    named: bool
    """True where the user has named the layers."""

    def of(self, tiles: Collection[str]) -> list[str]:
        return [tile for tile in tiles if not self.tiles or tile in self.tiles]


def _place(text: str) -> Production | Store | list[Path]:
    """Production, store or files of an argument."""
    path = Path(text)
    if "://" in text:
        return over_base(Store(text))
    if path.suffix.lower() == ".toml" or (path / PRODUCTION).is_file():
        return only_imperviousness(Production.read(path), path)
    if (path / "tiles").is_dir():
        return over_base(Store(str(path.absolute())))
    if not path.exists():
        raise InputError(f"{text}: does not exist; name a production file, a store, a GeoTIFF or a folder of such")
    try:
        return check_paths([path])
    except InputError:
        raise InputError(f"{text}: is not a production file, a store or a folder with .tif files; name one of these") from None


# stores ---------------------------------------------------------------------------------------------------------


def _pair_of(place: Production | list[Path]) -> set[str]:
    return {place.periods.pair} if isinstance(place, Production) else set()


def _pairs(store: Store, chosen: _Chosen) -> set[str]:
    """Names of the folders of pairs of years that a store has."""
    names = {name for tile in chosen.of(store.tiles()) for name in store.folders(tile)}
    return {name for name in names if _periods(name) is not None}


def _periods(pair: str) -> tuple[Period, Period] | None:
    """The two periods of the name of a pair's folder; None for other folders."""
    parts = pair.split("__") if "__" in pair else pair.split("-")
    try:
        then, now = (Period.parse(part.replace("_", "/")) for part in parts)
    except ValueError:
        return None
    return (then, now) if pair_label(then, now) == pair else None


def _the_pair(text: str, own: set[str], others: set[str]) -> tuple[Period, Period]:
    """The only pair of a store, or the only one that the other side has too."""
    candidates = own if len(own) == 1 else own & others or own
    if len(candidates) != 1:
        held = (
            f"holds several pairs of years ({', '.join(sorted(own))})" if own else "holds no finished layers of a pair of years"
        )
        raise InputError(f"{text}: {held}; name a production file instead")
    periods = _periods(next(iter(candidates)))
    assert periods is not None
    return periods


def _stored(
    text: str, store: Store, periods: tuple[Period, Period], tiles: Collection[str], chosen: _Chosen,
    production: Production | None = None,
) -> Side:  # fmt: skip
    rasters: dict[Key, Raster] = {}
    records: dict[str, dict[str, Record]] = {}
    notes: list[str] = []
    years = TwoYears(then=periods[0], now=periods[1])
    for tile in chosen.of(tiles):
        places = {symbol: store.place(layer, Tile(tile), years.label(layer.role)) for symbol, layer in layers_of(DEFAULT).items()}
        found = {symbol: store.read_record(place.record) for symbol, place in places.items()}
        held = records[tile] = {symbol: record for symbol, record in found.items() if record is not None}
        if production is not None and (old := outdated(Job.of(production, tile))):
            # What a scratch run has not made yet is read from the production: it would be compared with itself.
            through = [symbol for symbol in old if store.home(places[symbol].record) is not store]
            for symbol in through:
                del held[symbol]
            notes += _of_other_settings(text, tile, through, [symbol for symbol in old if symbol not in through])
        for symbol, record in held.items():
            layer = CATALOGUE[symbol]
            if symbol in chosen.layers and record.made and record.href and _is_map(layer) and store.data_in_place(record):
                rasters[tile, symbol] = _stored_raster(text, store, layer, record, tile)
    return Side(text, rasters, production, records, tuple(notes))


def _of_other_settings(text: str, tile: str, missing: list[str], old: list[str]) -> Iterator[str]:
    for symbols, words in (
        (missing, "not made yet by this scratch run; not compared"),
        (old, "made with settings other than those of its production file"),
    ):
        if symbols:
            more = f" and {len(symbols) - SHOWN} more" if len(symbols) > SHOWN else ""
            yield f"{text}, tile {tile}: {', '.join(symbols[:SHOWN])}{more}: {words}; run it to the end"


def _is_map(layer: Layer) -> bool:
    """Whether a layer is one band; features have many."""
    return bool(layer.resolution) and layer.stem != "PP"


def _stored_raster(text: str, store: Store, layer: Layer, record: Record, tile: str) -> Raster:
    variable = layer.variables[0]

    def read(block: Block) -> np.ndarray:
        return np.asarray(store.group(record.href)[variable.name][block.slices])  # type: ignore[index]

    grid = GeoBox.from_bbox(record.bbox, crs=CRS, resolution=layer.resolution, tight=True)
    return Raster(
        f"{layer.symbol} of tile {tile} in {text}", grid, np.dtype(variable.dtype), variable.nodata, read, layer, record
    )


# files ----------------------------------------------------------------------------------------------------------


def _files(text: str, paths: list[Path], chosen: _Chosen) -> Side:
    rasters: dict[Key, Raster] = {}
    records: dict[str, dict[str, Record]] = {}
    for path in paths:
        _, named = check_name(path.name)
        tile, name = ("", path.stem) if named is None else (str(named.tile), SYMBOLS[named.part, named.pixel])
        unasked = chosen.named if named is None else name not in chosen.layers or not chosen.of([tile])
        if unasked and len(paths) > 1:
            continue
        if (tile, name) in rasters:
            raise InputError(f"{text}: holds several files of {name}{f' of tile {tile}' if tile else ''}; name the file to take")
        record = _record_beside(path)
        rasters[tile, name] = _file_raster(path, CATALOGUE.get(name), record)
        if tile and record is not None:
            records.setdefault(tile, {})[name] = record
    return Side(text, rasters, None, records, delivered=True)


def _record_beside(path: Path) -> Record | None:
    """The delivery record beside a product."""
    try:
        return Record.from_json(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _file_raster(path: Path, layer: Layer | None, record: Record | None) -> Raster:
    try:
        source = open_full_resolution(str(path))
    except RasterioError as error:
        raise InputError(f"{path}: cannot be opened ({' '.join(str(error).split())}); name a readable raster") from None
    with source:
        grid, dtype, nodata = GeoBox(source.shape, source.transform, source.crs), np.dtype(source.dtypes[0]), source.nodata
        if source.count != 1 or source.transform.b or source.transform.d:
            what = f"has {source.count} bands" if source.count != 1 else "is rotated"
            raise InputError(f"{path}: {what}; give a raster of one band, north up")

    def read(block: Block) -> np.ndarray:
        with open_full_resolution(str(path)) as opened:
            return np.asarray(opened.read(1, window=Window(block.x0, block.y0, block.shape[1], block.shape[0])))

    return Raster(path.name, grid, dtype, nodata, read, layer, record)


def _two_files(a: Side, b: Side, layers: Collection[str] | None) -> tuple[Side, Side]:
    """Two single files of any name: both are the layer of the name of either, or of --layer."""
    (key, one), (_, two) = next(iter(a.rasters.items())), next(iter(b.rasters.items()))
    known = {raster.layer.symbol: raster.layer for raster in (one, two) if raster.layer} or {
        s: CATALOGUE[s] for s in layers or ()
    }
    if len(known) > 1:
        raise InputError(f"{one.name} and {two.name}: are of several layers ({', '.join(known)}); compare files of one layer")
    layer = next(iter(known.values()), None)
    key = (key[0], layer.symbol) if layer else key
    return replace(a, rasters={key: replace(one, layer=layer)}), replace(b, rasters={key: replace(two, layer=layer)})


# both -----------------------------------------------------------------------------------------------------------


def matched(a: Side, b: Side) -> list[Pair]:
    """Maps that both sides have, by tile and in the order of the catalogue; InputError if there is none, or grids differ."""
    order = {symbol: k for k, symbol in enumerate(CATALOGUE)}
    keys = sorted(a.rasters.keys() & b.rasters.keys(), key=lambda k: (k[0], order.get(k[1], len(order)), k[1]))
    if not keys:
        raise InputError(f"{a.label} and {b.label} have no map in common: {a.holds()}; {b.holds()}{_others(a, b)}")
    found = [(key, a.rasters[key], b.rasters[key]) for key in keys]
    return [Pair(*key, one, two, common_ground(one, two)) for key, one, two in found]


def _others(a: Side, b: Side) -> str:
    """Layers that --layer could name."""
    made = [
        {symbol for records in side.records.values() for symbol, r in records.items() if r.made and _is_map(CATALOGUE[symbol])}
        for side in (a, b)
    ]  # fmt: skip
    names = [symbol for symbol in CATALOGUE if symbol in made[0] & made[1]]
    return f"; --layer can compare {', '.join(names)}" if names else ""


def unmatched(a: Side, b: Side) -> list[str]:
    """Tiles and layers that only one side has, in words."""
    found = []
    for name, one, two in (("A", a, b), ("B", b, a)):
        by_layers: dict[str, list[str]] = {}
        for tile, layer in sorted(one.rasters.keys() - two.rasters.keys()):
            by_layers.setdefault(tile, []).append(layer)
        found += [f"only in {name}: {f'{tile} ' if tile else ''}{', '.join(layers)}" for tile, layers in by_layers.items()]
    return found
