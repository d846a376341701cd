"""What binds the STAC Items of products, by relative links: a Catalog for every tile, and the Collection of the production.

The catalog of a tile is written by whoever works on the tile; the collection by one process at a time, from the catalogs that it
finds, so that it is right whatever ran before.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pystac

from imperv.grids import Tile, window_geobox
from imperv.tasks.delivery.delivery import delivered_symbols, places_of
from imperv.tasks.delivery.stac import ASSETS, SUFFIX, as_text, link, times_of
from imperv.tasks.job import Job
from imperv.tasks.projections import in_degrees
from imperv.tasks.store.file_systems import tiles_with
from imperv.tasks.store.store import Store


def tile_catalog_json(collection: str, tile: str, items: Iterable[str]) -> str:
    """The STAC Catalog of the products of a tile, links to the items named (without their ending) beside it."""
    catalog = pystac.Catalog(f"{collection}_{tile}", f"Products of EEA tile {tile}", title=tile)
    catalog.add_link(link(pystac.RelType.ROOT, f"../{collection}{SUFFIX}"))
    catalog.add_link(link(pystac.RelType.PARENT, f"../{collection}{SUFFIX}"))
    for name in sorted(items):
        catalog.add_link(link(pystac.RelType.ITEM, f"./{name}{SUFFIX}", pystac.MediaType.GEOJSON))
    return as_text(catalog)


@dataclass(frozen=True)
class Series:
    """All products of a production."""

    name: str
    """Such as ``CLMS_NVLCC_2021-2024_V01_R00``."""
    description: str
    start: dt.date
    end: dt.date
    licence: str
    """SPDX identifier."""
    resolutions: tuple[float, ...]
    keywords: tuple[str, ...] = ()
    codes: tuple[int, ...] = (3035,)
    """EPSG codes of the products' grids."""
    organisation: str = ""
    website: str = ""


def collection_json(series: Series, tiles: Mapping[str, tuple[float, float, float, float]]) -> str:
    """The STAC Collection as JSON, with a link to each tile's catalog; `tiles`, at least one, have bounds in EPSG:3035."""
    boxes = np.array([in_degrees(bounds) for bounds in tiles.values()])
    whole = [*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)]
    roles = [pystac.ProviderRole.PRODUCER, pystac.ProviderRole.PROCESSOR]
    collection = pystac.Collection(
        series.name,
        series.description,
        pystac.Extent(
            pystac.SpatialExtent([[round(float(v), 7) for v in whole]]),
            pystac.TemporalExtent([list(times_of(series.start, series.end))]),
        ),
        title=series.name,
        license=series.licence,
        keywords=[*series.keywords, "Copernicus", "Sentinel-2"],
        providers=[pystac.Provider(series.organisation, roles=roles, url=series.website or None)]
        if series.organisation
        else None,
        summaries=pystac.Summaries({"gsd": list(series.resolutions), "proj:code": [f"EPSG:{code}" for code in series.codes]}),
    )
    collection.extra_fields["item_assets"] = {
        key: {"title": a.title, "type": str(a.media_type), "roles": list(a.roles)} for key, a in ASSETS.items()
    }
    collection.add_link(link(pystac.RelType.ROOT, f"./{series.name}{SUFFIX}"))
    for tile in sorted(tiles):
        collection.add_link(link(pystac.RelType.CHILD, f"./{tile}/{series.name}{SUFFIX}"))
    return as_text(collection)


def refresh_series(job: Job, series: Series) -> None:
    """Bring the tile's catalog, and the collection, in line with its products; nobody else may work on the tile."""
    name, store = series.name, job.store
    records = {symbol: places_of(job, symbol) for symbol in delivered_symbols(job.family)}
    there = [
        PurePosixPath(places.tif).stem
        for places in records.values()
        if (record := store.read_record(places.record)) is not None and places.stac in record.beside
    ]
    place = f"products/{job.tile}/{name}{SUFFIX}"
    if there:
        _write(store, place, tile_catalog_json(name, str(job.tile), there))
    else:
        store.remove_record(place)
    with _alone(store, name):
        _refresh_collection(job, series)


def _refresh_collection(job: Job, series: Series) -> None:
    name, store = series.name, job.store
    found = tiles_with(store, "products", f"{name}{SUFFIX}")
    place = f"products/{name}{SUFFIX}"
    if not found:
        store.remove_record(place)
        return
    _write(store, place, collection_json(series, {tile: _bounds(job, tile) for tile in found}))


def _bounds(job: Job, tile: str) -> tuple[float, float, float, float]:
    """Bounds of what is made of a tile: of all of it where the production's window does not touch it any more."""
    try:
        box = window_geobox(Tile(tile), 100, job.production.window(Tile(tile))).boundingbox
    except ValueError:
        left, bottom, right, top = Tile(tile).bounds
        return left, bottom, right, top
    return box.left, box.bottom, box.right, box.top


def _write(store: Store, place: str, text: str) -> None:
    """Write a text that differs from what is there."""
    if store.read_text(place) != text:
        store.write_text(place, text)


@contextlib.contextmanager
def _alone(store: Store, name: str) -> Iterator[None]:
    """Wait for other processes of this machine that rebuild the same collection; on object stores the last one wins."""
    if not store.is_local:
        yield
        return
    path = Path(store.full(f"{store.runs}/{name}.lock"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
