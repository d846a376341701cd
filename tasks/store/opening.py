"""Finished layers as lazy xarray objects: one tile, or many as one mosaic; and the list of what a store holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from imperv.grids import Tile
from imperv.layers.attributes import cf_attributes, units_of
from imperv.layers.catalogue import CATALOGUE, Layer, family_of, resolve
from imperv.tasks.errors import InputError
from imperv.tasks.settings.periods import periods_of
from imperv.tasks.settings.production import production_class
from imperv.tasks.store.records import Record

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from imperv.tasks.store.store import Store


def open_layer(store: Store, layer: str, tile: Tile | str, period: str | None, masked: bool) -> xr.DataArray | xr.Dataset:
    """See `Store.open`."""
    import odc.geo.xr  # noqa: F401  (registers the .odc accessor)
    import rioxarray  # noqa: F401  (registers the .rio accessor)
    import xarray as xr  # here: every process would pay a second for it

    entry, name = _entry(store, layer), _tile(tile)
    record = _the_one(store, layer, entry, name, period)
    home = store.home(record.href)
    dataset = xr.open_zarr(
        home.zarr_store(home.full(record.href), read_only=True), consolidated=False, chunks={}, mask_and_scale=False,
        decode_coords="all",
    )  # fmt: skip
    for array, variable in dataset.data_vars.items():
        nodata = variable.attrs.pop("nodata")
        variable.attrs.update(cf_attributes(entry, str(array)))
        variable.attrs |= {"tile": name, "period": PurePosixPath(record.href).parent.name}
        if not masked:
            variable.rio.write_nodata(nodata, inplace=True)
        else:
            # As rioxarray does: NaN in memory, the code in what is written from it.
            values = variable.where(variable != nodata) if nodata == nodata else variable
            dataset[array] = values.rio.write_nodata(nodata, encoded=True)
    if entry.stem not in dataset:
        return dataset
    return dataset[entry.stem].rename(_symbol(layer, entry))


def open_mosaic(
    store: Store, layer: str, tiles: Iterable[Tile | str] | None, period: str | None, masked: bool
) -> xr.DataArray | xr.Dataset:
    """See `Store.mosaic`."""
    import xarray as xr

    entry = _entry(store, layer)
    names = list(dict.fromkeys(map(_tile, tiles))) if tiles is not None else _tiles_with(store, entry)
    if not names:
        raise InputError(f"{layer} is not done for any tile in {store.url}")
    parts = [open_layer(store, layer, name, period, masked) for name in names]
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    if isinstance(first, xr.Dataset):
        arrays = {name: _pasted([part[name] for part in parts]) for name in first.data_vars}
        return xr.Dataset(arrays)
    return _pasted(parts)


def _pasted(parts: Sequence[Any]) -> Any:
    """Arrays of tiles or windows on one grid as one array; lazy, every part keeps its chunks."""
    import dask.array as da
    import xarray as xr

    boxes = [part.odc.geobox for part in parts]
    if len(systems := sorted({str(box.crs) for box in boxes})) > 1:
        raise InputError(
            f"{parts[0].name}: tiles lie in several reference systems ({', '.join(systems)}); mosaic those of one zone"
        )
    step = boxes[0].resolution.x
    bounds = [box.boundingbox for box in boxes]
    # Every edge of a part cuts the mosaic: in a cell between two cuts lies one part, or none.
    xs = sorted({edge for box in bounds for edge in (box.left, box.right)})
    ys = sorted({edge for box in bounds for edge in (box.bottom, box.top)}, reverse=True)
    fill = parts[0].rio.nodata
    lead, dtype = parts[0].shape[:-2], parts[0].dtype
    rows = []
    for top, bottom in zip(ys, ys[1:], strict=False):
        row = []
        for left, right in zip(xs, xs[1:], strict=False):
            k = next((k for k, b in enumerate(bounds) if _inside((left, bottom, right, top), b)), None)
            shape = round((top - bottom) / step), round((right - left) / step)
            if k is None:
                row.append(da.full((*lead, *shape), fill, dtype=dtype, chunks=(*lead, *(min(n, 1000) for n in shape))))
                continue
            y, x = round((bounds[k].top - top) / step), round((left - bounds[k].left) / step)
            row.append(parts[k].data[..., y : y + shape[0], x : x + shape[1]])
        rows.append(row)
    data = da.block(rows)
    first = parts[0]
    coords = {name: first[name] for name in first.coords if name not in ("y", "x")}
    coords["y"] = ("y", ys[0] - step * (np.arange(data.shape[-2]) + 0.5), first["y"].attrs)
    coords["x"] = ("x", xs[0] + step * (np.arange(data.shape[-1]) + 0.5), first["x"].attrs)
    attributes = {key: value for key, value in first.attrs.items() if key != "tile"}
    mosaic = xr.DataArray(data, coords, first.dims, first.name, attributes)
    mosaic.encoding = {key: first.encoding[key] for key in ("grid_mapping", "_FillValue") if key in first.encoding}
    return mosaic.rio.write_transform()


def _inside(cell: tuple[float, float, float, float], box: Any) -> bool:
    left, bottom, right, top = cell
    return box.left <= left and right <= box.right and box.bottom <= bottom and top <= box.top


def list_layers(store: Store, tile: Tile | str | None) -> pd.DataFrame:
    """See `Store.layers`."""
    import pandas as pd

    names = [_tile(tile)] if tile is not None else store.tiles()
    rows = []
    for name in names:
        for path, record in store.records(name).items():
            entry = _of_stem(record.symbol)
            if entry is None or not path.startswith("tiles/"):
                continue
            rows.append({
                "layer": record.symbol, "tile": name, "period": PurePosixPath(path).parent.name, "made": record.made,
                "description": entry.description if entry.stem == entry.symbol else entry.description.rpartition(", ")[0],
                "kind": entry.kind, "resolution": entry.resolution, "units": units_of(entry) if entry.resolution else "",
                "created": record.created, "reason": record.reason,
            })  # fmt: skip
    order = {symbol: k for k, symbol in enumerate(dict.fromkeys(layer.stem for layer in CATALOGUE.values()))}
    rows.sort(key=lambda row: (row["tile"], order[str(row["layer"])], row["period"]))
    columns = ["layer", "tile", "period", "made", "description", "kind", "resolution", "units", "created", "reason"]
    return pd.DataFrame(rows, columns=columns)


def _tile(tile: Tile | str) -> str:
    try:
        return str(Tile(str(tile).upper()))
    except ValueError as error:
        raise InputError(str(error)) from None


def _entry(store: Store, layer: str) -> Layer:
    """The node of a name: any spelling of a layer, or the stem of a feature of a year."""
    entry = _of_stem(layer)
    if entry is None:
        try:
            entry = CATALOGUE[resolve(layer)]
        except ValueError as error:
            raise InputError(str(error)) from None
    if not entry.resolution:
        raise InputError(f"{layer} is not a raster: read its record or file in {store.url}")
    return entry


def _of_stem(name: str) -> Layer | None:
    """The node that is stored under a name; of features of a year, which are stored without it, that of `now`."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    return next((layer for layer in reversed(CATALOGUE.values()) if layer.stem == name), None)


def _symbol(asked: str, entry: Layer) -> str:
    return entry.stem if asked == entry.stem else entry.symbol


def _the_one(store: Store, layer: str, entry: Layer, tile: str, period: str | None) -> Record:
    """The only finished record that is meant."""
    done = {
        PurePosixPath(path).parent.name: record
        for path, record in store.records(tile).items()
        if PurePosixPath(path).stem == entry.stem and path.startswith("tiles/") and record.made
    }
    by_year = entry.stem != entry.symbol
    if by_year and layer != entry.stem and period is None:
        # Features of a year are stored by year: find the years that are then, or now.
        labels = {_member(folder, entry) for folder in store.folders(tile)} - {""}
        done = {folder: record for folder, record in done.items() if not labels or folder in labels}
    symbol = _symbol(layer, entry)
    if period is not None:
        wanted = {str(period), _member(str(period), entry)}
        done = {folder: record for folder, record in done.items() if folder in wanted}
    if not done:
        raise InputError(f"{symbol} of tile {tile}{f', {period},' if period else ''} is not done in {store.url}")
    if len(done) > 1:
        raise InputError(f"{symbol} of tile {tile} is there for several periods ({', '.join(done)}): say which with period=")
    return next(iter(done.values()))


def _tiles_with(store: Store, entry: Layer) -> list[str]:
    """Tiles of which a layer is made, for whatever period."""
    made: Callable[[Record], bool] = lambda record: record.symbol == entry.stem and record.made  # noqa: E731
    return [name for name in store.tiles() if any(map(made, store.records(name).values()))]


def _member(pair: str, entry: Layer) -> str:
    """The folder of a layer's role in the name of a pair's folder; empty for the folder of a single period."""
    roles = list(production_class(family_of(entry.symbol), "store").model_fields["periods"].annotation.model_fields)  # type: ignore[union-attr]
    try:
        found = periods_of(pair)
    except ValueError:
        return ""
    return found[roles.index(entry.role)].label if len(found) == len(roles) > 1 and entry.role in roles else ""
