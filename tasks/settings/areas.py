"""Which tiles an area of interest touches."""

from __future__ import annotations

from collections.abc import Sequence

from pyproj.exceptions import CRSError

from imperv.grids import Tile
from imperv.grids.tiles import CRS
from imperv.tasks.errors import InputError


def tiles_touched(path: str, names: Sequence[str]) -> tuple[str, ...]:
    """Those of some tiles that the features of a vector file touch.

    Parameters
    ----------
    path : str
        Any vector file that GDAL reads, in any reference system.
    names : sequence of str
        Tiles to choose from.

    Raises
    ------
    InputError
        If the file cannot be read, or touches none of them.
    """
    import pyogrio  # takes a second to import, and every command reads production files
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError

    from imperv.tasks.vectors.batches import ogr_name

    try:
        found = pyogrio.read_dataframe(ogr_name(path), columns=[], force_2d=True, use_arrow=False)
        if found.crs is None:
            raise InputError(f"aoi: {path} has no reference system; write it with one")
        shapes = found.to_crs(CRS).geometry
    except (DataSourceError, DataLayerError, CRSError, OSError) as error:
        raise InputError(f"aoi: {path} cannot be read ({str(error).splitlines()[0]}); name a vector file") from None
    tree = shapely.STRtree([shape for shape in shapes if shape is not None and not shape.is_empty])
    touched = tuple(name for name in names if len(tree.query(shapely.box(*Tile(name).bounds), predicate="intersects")))
    if not touched:
        raise InputError(f"aoi: {path} touches none of the {len(names)} tiles to choose from; check its position")
    return touched
