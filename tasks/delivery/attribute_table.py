"""The attribute table beside a delivered file: one row for each code that occurs, as ``.tif.vat.dbf``.

It is no GDAL raster attribute table: that one lives in ``.tif.aux.xml``, with stored statistics, which the EEA check believes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imperv.layers.palette import OUTSIDE, Palette
from imperv.tasks.delivery.geotiff import load_gdal, raise_error
from imperv.tasks.errors import WorkError

COLUMNS = (("Value", 10, 0), ("Count", 19, 0), ("Area_km2", 19, 6), ("Area_perc", 19, 6), ("Class_Name", 100, 0))
"""Name, width and decimals of the columns that the EEA check asks for."""


@dataclass(frozen=True)
class Row:
    """One code of a file."""

    value: int
    """Code."""
    count: int
    """Pixels."""
    area: float
    """Square kilometres."""
    share: float
    """Percent of the mapped area."""
    name: str
    """Meaning of the code."""


def table_rows(counts: Mapping[int, int], palette: Palette, resolution: float) -> list[Row]:
    """Rows of a file's attribute table, by code; pixels outside the mapped area do not count, nor for the shares."""
    mapped = {code: count for code, count in sorted(counts.items()) if code != OUTSIDE and count}
    total = sum(mapped.values())
    return [
        Row(code, count, count * resolution**2 / 1e6, 100 * count / total, palette.meaning(code))
        for code, count in mapped.items()
    ]


def write_table(path: Path, rows: Sequence[Row], day: str) -> None:
    """Write the rows as a dBASE table (``.dbf``) of a given day, ISO 8601, so that the same rows give the same bytes."""
    gdal = load_gdal()
    from osgeo import ogr

    kinds = {"Value": ogr.OFTInteger64, "Count": ogr.OFTInteger64, "Class_Name": ogr.OFTString}
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    gdal.ErrorReset()
    layer = source = None
    try:
        source = ogr.GetDriverByName("ESRI Shapefile").CreateDataSource(str(path))
        raise_error(gdal)
        layer = source.CreateLayer(path.stem, None, ogr.wkbNone, [f"DBF_DATE_LAST_UPDATE={day}"])
        raise_error(gdal)
        for name, width, decimals in COLUMNS:
            column = ogr.FieldDefn(name, kinds.get(name, ogr.OFTReal))
            column.SetWidth(width)
            column.SetPrecision(decimals)
            layer.CreateField(column)
        for row in rows:
            feature = ogr.Feature(layer.GetLayerDefn())
            for k, value in enumerate((row.value, row.count, row.area, row.share, row.name)):
                feature.SetField(k, value)
            layer.CreateFeature(feature)
            del feature  # before the layer it belongs to
        raise_error(gdal)
        source.FlushCache()
        raise_error(gdal)
    except RuntimeError as error:
        raise WorkError(f"{path.name}: GDAL cannot write it ({' '.join(str(error).split())})") from None
    finally:
        layer = None
        source = None
        gdal.PopErrorHandler()
