"""How a report writes numbers, and what it must not tell."""

from __future__ import annotations

import pytest

from imperv.tasks.report.page import area, breakable, duration, flat, locator, number, percent, public, signed, size


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/anna/data/B04.tif is damaged", "B04.tif is damaged"),
        ("s3://key:secret@bucket/a/b.tif", "s3://bucket/a/b.tif"),
        ("https://x.org/a.tif?X-Amz-Signature=abc&Expires=1 refused", "https://x.org/a.tif refused"),
        ("https://user:pw@x.org/stac", "https://x.org/stac"),
        ("aws_secret_access_key=AAAA/BBB, region=x", "aws_secret_access_key=..., region=x"),
        ("reference/imd_then.tif covers 73 % of the area", "reference/imd_then.tif covers 73 % of the area"),
        ("(/var/lib/x/y.tif: no room)", "(y.tif: no room)"),
        ("/vsizip//home/anna/S2A.SAFE.zip/B04.jp2", "B04.jp2"),
        ("5 m/s and 3/4", "5 m/s and 3/4"),
    ],
)
def test_neither_paths_nor_credentials_leave_the_house(text, shown):
    assert public(text) == shown


def test_numbers_for_people():
    assert number(1234567) == "1\u202f234\u202f567"
    assert number(-2.5, 1) == "\u22122.5"
    assert area(0.0123) == "1.23\u202fha" and area(12.345) == "12.35\u202fkm²" and area(9876.5) == "9\u202f876\u202fkm²"
    assert percent(0.0567) == "5.7\u202f%" and percent(None) == "–"
    assert signed(area(1.0)).startswith("+1") and signed(area(-1.0)).startswith("\u2212")
    assert duration(3.21) == "3.2\u202fs" and duration(600) == "10\u202fmin" and duration(9000) == "2.5\u202fh"
    assert size(1536) == "1.5\u202fKiB" and size(5 * 2**30) == "5.0\u202fGiB"


def test_what_differs_from_the_defaults_is_marked():
    assert flat({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "y": 3}}) == [("a", "x", 1, False), ("a", "y", 2, True)]


def test_the_locator_marks_the_tile():
    assert 'class="here"' in locator("E44N26") and "E44N26" in locator("E44N26")


def test_a_table_of_areas_has_one_unit():
    assert [area(v, 0.4) for v in (0.4, 0.0012, 0.0)] == ["40.00\u202fha", "0.12\u202fha", "0.00\u202fha"]
    assert [area(v, 30.0) for v in (30.0, 0.0012)] == ["3\u202f000.0\u202fha", "0.1\u202fha"]
    assert [area(v, 9000.0) for v in (9000.0, 0.0312, None)] == ["9\u202f000.00\u202fkm²", "0.03\u202fkm²", "–"]


def test_file_names_break_at_underscores():
    assert breakable("A_<b>_C.tif") == "A_<wbr>&lt;b&gt;_<wbr>C.tif"
