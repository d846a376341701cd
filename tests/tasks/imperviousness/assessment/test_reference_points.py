"""Points in every form that people have them, and what is said of those that cannot serve."""

import geopandas as gpd
import numpy as np
import pytest
from pyproj import Transformer
from shapely.geometry import Point, box

from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.assessment.reference_points import Columns, read_points

X, Y = np.array([4300105.0, 4300205.0, 4300305.0]), np.array([3299895.0, 3299795.0, 3299695.0])


def frame(**columns):
    return gpd.GeoDataFrame(columns, geometry=[Point(*p) for p in zip(X, Y, strict=True)], crs="EPSG:3035")


@pytest.mark.parametrize("ending", ["gpkg", "geojson", "fgb", "parquet"])
def test_vector_files_in_any_reference_system(tmp_path, ending):
    path = tmp_path / f"points.{ending}"
    table = frame(density=[0.0, 40.0, 100.0], stratum=["a", "a", "b"], w=[1.0, 2.0, 3.0]).to_crs("EPSG:4326")
    table.to_parquet(path) if ending == "parquet" else table.to_file(path)
    found = read_points(path, Columns(strata="stratum", weight="w"))
    order = np.argsort(found.x)  # FlatGeobuf sorts by place
    assert found.x[order] == pytest.approx(X, abs=1e-3) and found.y[order] == pytest.approx(Y, abs=1e-3)
    assert found.density[order].tolist() == [0, 40, 100] and found.classes is None
    assert found.strata[order].tolist() == ["a", "a", "b"] and found.weights[order].tolist() == [1, 2, 3]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv(tmp_path, separator):
    lon, lat = Transformer.from_crs("EPSG:3035", "EPSG:4326", always_xy=True).transform(X, Y)
    path = tmp_path / "points.csv"
    rows = ["id,Lon,Lat,class", *(f"{k},{a},{b},{k % 2}" for k, (a, b) in enumerate(zip(lon, lat, strict=True)))]
    path.write_text("\n".join(rows).replace(",", separator))
    found = read_points(path)
    assert found.x == pytest.approx(X, abs=1e-3) and found.classes.tolist() == [0, 1, 0]
    path.write_text("x,y,density\n" + "\n".join(f"{a},{b},50" for a, b in zip(X, Y, strict=True)))
    assert read_points(path).y == pytest.approx(Y)


def test_points_without_a_value_are_left_out_and_counted(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("x,y,density\n4300105,3299895,10\n4300205,3299795,\n,3299695,30\n")
    found = read_points(path)
    assert len(found) == 1 and found.without == 2


BAD = {
    "no file": (None, Columns(), "", "does not exist"),
    "no coordinates": ("a,density\n1,2\n", Columns(), "", "no columns x and y, or lon and lat; it has a, density"),
    "degrees": ("x,y,density\n10,52,3\n11,53,4\n", Columns(), "", "look like degrees"),
    "no values": ("x,y,a\n4300105,3299895,1\n", Columns(), "", "--column or --class-column; it has x, y, a"),
    "no column": ("x,y,density\n4300105,3299895,1\n", Columns(density="imd"), "", "has no column imd"),
    "text": ("x,y,density\n4300105,3299895,much\n", Columns(), "", "'much', which is not a number"),
    "fractions": ("x,y,density\n4300105,3299895,0.5\n4300205,3299895,1\n", Columns(), "", "fractions of 0 to 1; percent"),
    "beyond": ("x,y,density\n4300105,3299895,140\n", Columns(), "", "percent is needed"),
    "half classes": ("x,y,class\n4300105,3299895,1.5\n", Columns(), "", "whole codes"),
    "weights": ("x,y,class,w\n4300105,3299895,1,0\n", Columns(weight="w"), "", "numbers above 0"),
    "reference system": ("x,y,class\n4300105,3299895,1\n", Columns(), "EPSG:nothing", "is not a coordinate reference system"),
    "empty": ("x,y,class\n", Columns(), "", "holds no points"),
}


@pytest.mark.parametrize(("text", "columns", "crs", "message"), BAD.values(), ids=BAD.keys())
def test_points_that_cannot_serve(tmp_path, text, columns, crs, message):
    path = tmp_path / "points.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError) as raised:
        read_points(path, columns, crs)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_geometries_that_are_no_points(tmp_path):
    path = tmp_path / "areas.gpkg"
    gpd.GeoDataFrame({"density": [1.0]}, geometry=[box(0, 0, 1, 1)], crs="EPSG:3035").to_file(path)
    with pytest.raises(InputError, match="holds Polygon; points are needed, or a raster"):
        read_points(path)
    (tmp_path / "x.gpkg").write_text("nothing")
    with pytest.raises(InputError, match="cannot be read"):
        read_points(tmp_path / "x.gpkg")


def test_a_file_without_a_reference_system(tmp_path):
    path = tmp_path / "points.gpkg"
    frame(density=[1.0, 2.0, 3.0]).set_crs(None, allow_override=True).to_file(path)
    with pytest.raises(InputError, match="give --crs"):
        read_points(path)
    assert read_points(path, crs="EPSG:3035").x == pytest.approx(X)
