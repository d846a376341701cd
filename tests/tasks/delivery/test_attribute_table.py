"""The attribute table, read by another driver and byte by byte."""

import struct

import pyogrio
import pytest

from imperv.layers.palette import CHANGE, CLASSES
from imperv.tasks.delivery.attribute_table import table_rows, write_table
from imperv.tasks.errors import WorkError

pytest.importorskip("osgeo.ogr")

COUNTS = {255: 50, 1: 25, 0: 75}


def test_rows_by_hand():
    rows = table_rows(COUNTS, CLASSES, 20)
    assert [(r.value, r.count, r.area, r.share) for r in rows] == [(0, 75, 0.03, 75.0), (1, 25, 0.01, 25.0)]
    assert [r.name for r in rows] == ["Unchanged non-impervious areas", "New cover, impervious at the second date only"]
    assert table_rows({255: 9}, CLASSES, 20) == []


def test_another_driver_reads_it(tmp_path):
    path = tmp_path / "map.tif.vat.dbf"
    counts = {code: 1000 + code for code in CHANGE.codes}
    write_table(path, table_rows(counts, CHANGE, 100), "2026-01-02")
    table = pyogrio.read_dataframe(path)
    assert list(table.columns) == ["Value", "Count", "Area_km2", "Area_perc", "Class_Name"]
    assert table["Value"].tolist() == list(range(202))
    assert table["Count"].tolist() == [1000 + code for code in range(202)]
    assert table["Area_km2"].tolist() == pytest.approx([10 + code / 100 for code in range(202)], abs=1e-9)
    assert table["Area_perc"].sum() == pytest.approx(100, abs=1e-4)
    assert table["Class_Name"][201] == "Unchanged, degree 0"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_form_of_the_file(tmp_path):
    path = tmp_path / "map.tif.vat.dbf"
    write_table(path, table_rows({0: 100_000_000}, CLASSES, 10), "2026-01-02")
    data = path.read_bytes()
    version, year, month, day, records, header, length = struct.unpack("<4BIHH", data[:12])
    assert (version, 1900 + year, month, day, records) == (3, 2026, 1, 2, 1)
    assert (header, length) == (33 + 32 * 5, 1 + 10 + 19 + 19 + 19 + 100)
    fields = [struct.unpack("<11sc4xBB14x", data[k : k + 32]) for k in range(32, header - 1, 32)]
    assert [(n.rstrip(b"\0"), t, w, d) for n, t, w, d in fields] == [
        (b"Value", b"N", 10, 0), (b"Count", b"N", 19, 0), (b"Area_km2", b"N", 19, 6), (b"Area_perc", b"N", 19, 6),
        (b"Class_Name", b"C", 100, 0),
    ]  # fmt: skip
    assert data[header:].startswith(b"          0          100000000       10000.000000         100.000000Unchanged")
    write_table(tmp_path / "again.dbf", table_rows({0: 100_000_000}, CLASSES, 10), "2026-01-02")
    assert (tmp_path / "again.dbf").read_bytes() == data


def test_a_file_without_a_mapped_pixel_has_an_empty_table(tmp_path):
    write_table(tmp_path / "map.tif.vat.dbf", [], "2026-01-02")
    table = pyogrio.read_dataframe(tmp_path / "map.tif.vat.dbf")
    assert (len(table), list(table.columns)[0]) == (0, "Value")


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(WorkError, match=r"^map.tif.vat.dbf: GDAL cannot write it"):
        write_table(tmp_path / "nowhere" / "map.tif.vat.dbf", [], "2026-01-02")
