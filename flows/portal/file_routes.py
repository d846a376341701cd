"""Delivered files of a layer: which there are, and the GeoTIFF of a tile as a download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import FileResponse, StreamingResponse

from imperv.flows.portal.map_routes import LayerId, SiteOf, TileId, layer_of
from imperv.flows.portal.site import Site
from imperv.layers.catalogue import family_of
from imperv.tasks.delivery.delivery import product_paths
from imperv.tasks.job import Job
from imperv.tasks.maps.layers import MapLayer, Part
from imperv.tasks.store.store import Store

CHUNK = 2**20
"""Bytes that are sent at once of a file in an object store."""

router = APIRouter()


@router.get("/api/layers/{name}/files")
def files(name: LayerId, site: SiteOf) -> list[dict[str, Any]]:
    """GeoTIFFs of a layer by tile, with their sizes; those of a store are known with its production file."""
    layer = layer_of(site, name)
    found = []
    for tile, part in sorted(layer.parts.items()):
        if (file := _file(site, layer, part)) is not None:
            store, path = file
            size = store.fs.size(store.full(path)) if store is not None else Path(path).stat().st_size
            found.append({"tile": tile, "name": PurePosixPath(path).name, "bytes": size})
    return found


@router.get("/file/{name}/{tile}.tif")
def file(name: LayerId, tile: TileId, site: SiteOf) -> Response:
    """The GeoTIFF of a tile."""
    layer = layer_of(site, name)
    found = _file(site, layer, layer.parts[tile]) if tile in layer.parts else None
    if found is None:
        raise HTTPException(404, f"{layer.layer.symbol} of {tile} is not delivered here; imperv run delivers it")
    store, path = found
    called = PurePosixPath(path).name
    if store is None or store.is_local:
        return FileResponse(path if store is None else store.full(path), media_type="image/tiff", filename=called)
    headers = {"content-disposition": f'attachment; filename="{called}"'}
    return StreamingResponse(_chunks(store, path), media_type="image/tiff", headers=headers)


def _file(site: Site, layer: MapLayer, part: Part) -> tuple[Store | None, str] | None:
    """Where the GeoTIFF of a part is: the part itself, or a product of its production; None where it is not delivered."""
    if part.store is None:
        return None, part.path
    symbol, production = layer.layer.symbol, site.production
    if production is None or layer.layer.delivery is None or family_of(symbol) != production.product:
        return None
    job = Job.of(production, part.tile)
    made, (path, record) = job.record(symbol), product_paths(job, symbol)
    # Of features of a year the store has one layer for two roles; another period is no product of this production.
    if made is None or part.record is None or made.href != part.record.href or job.store.read_record(record) is None:
        return None
    return (job.store, path) if job.store.measure(path)[0] else None


def _chunks(store: Store, path: str) -> Iterator[bytes]:
    with store.fs.open(store.full(path), "rb") as source:
        while data := source.read(CHUNK):
            yield data
