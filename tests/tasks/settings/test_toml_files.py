"""TOML as editors save it: marks, encodings and line ends."""

from __future__ import annotations

from typing import Literal

import pytest

from imperv.tasks.errors import InputError
from imperv.tasks.settings.files import table_of
from imperv.tasks.settings.frozen import Frozen
from imperv.tasks.settings.paths import PathText
from imperv.tasks.settings.production import Production
from imperv.tasks.settings.toml_files import read_toml

TEXT = """tiles = ["E38N31"]
store = "Flächen"
[periods]
then = "2018"
now = "2021"
[scenes]
catalogue = "items.json"
"""


@pytest.mark.parametrize(
    "data",
    [TEXT.encode(), TEXT.encode("utf-8-sig"), TEXT.replace("\n", "\r\n").encode("utf-8-sig")],
    ids=["plain", "mark", "mark and CRLF"],
)
def test_a_byte_order_mark_changes_nothing(tmp_path, data):
    file = tmp_path / "production.toml"
    file.write_bytes(data)
    production = Production.read(file)
    assert production.store == "Flächen" and production.tile_names == ("E38N31",)
    assert table_of(file, production)["store"] == str(tmp_path / "Flächen")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(tmp_path, encoding):
    file = tmp_path / "production.toml"
    file.write_bytes(TEXT.encode(encoding))
    with pytest.raises(InputError, match=r"production\.toml: is UTF-16 text, .*; save as UTF-8$"):
        read_toml(file)


def test_other_encodings_are_refused_with_line_and_byte(tmp_path):
    file = tmp_path / "production.toml"
    file.write_bytes(TEXT.encode("latin-1"))
    with pytest.raises(InputError, match=r"production\.toml: line 2 is not UTF-8 text \(byte 0xe4\); save as UTF-8$"):
        read_toml(file)


def test_what_is_no_toml(tmp_path):
    file = tmp_path / "production.toml"
    file.write_text("tiles = [")
    with pytest.raises(InputError, match=r"production\.toml: is not valid TOML: "):
        read_toml(file)
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\); name a production file with --config"):
        read_toml(tmp_path)


def test_paths_are_what_the_settings_say_and_nothing_else(tmp_path):
    """A table for another folder: declared paths are absolute wherever they stand; other texts of the same tables stay."""

    class Source(Frozen):
        place: PathText = ""
        label: str = ""

    class References(Frozen):
        map: PathText | None = None
        outlines: tuple[PathText, ...] = ()
        method: str = ""
        codes: tuple[str, ...] = ()
        maps: dict[str, PathText] = {}
        source: Source | None = None

    class OtherProduction(Production):
        product: Literal["imperviousness"] = "imperviousness"
        references: References = References()

    file = tmp_path / "production.toml"
    file.write_text(
        'aoi = "area.gpkg"\n[periods]\n[scenes]\ncatalogue = "https://a.org/stac"\ncollection = "s2"\n[watch]\n'
        'metrics = "m.prom"\n[references]\nmap = "{tile}.tif"\n'
        'outlines = ["a.gpkg", "s3://b/c.gpkg", ""]\nmethod = "nearest"\ncodes = ["1"]\n'
        '[references.maps]\nold = "old.tif"\n[references.source]\nplace = "here"\nlabel = "x"\n'
    )
    production = OtherProduction(**read_toml(file), root=tmp_path)
    assert table_of(file, production) == {
        "store": str(tmp_path / "store"),
        "aoi": str(tmp_path / "area.gpkg"),
        "periods": {},
        "scenes": {"catalogue": "https://a.org/stac", "collection": "s2"},
        "watch": {"metrics": str(tmp_path / "m.prom")},
        "references": {
            "map": str(tmp_path / "{tile}.tif"),
            "outlines": [str(tmp_path / "a.gpkg"), "s3://b/c.gpkg", ""],
            "method": "nearest",
            "codes": ["1"],
            "maps": {"old": str(tmp_path / "old.tif")},
            "source": {"place": str(tmp_path / "here"), "label": "x"},
        },
    }
