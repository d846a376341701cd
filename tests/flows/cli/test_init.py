"""`imperv init`: a production file that can be read, explains itself, and never replaces one."""

from __future__ import annotations

import re
import tomllib

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.cli.init import starting_file
from imperv.grids import Tile, country_tiles, official_tiles
from imperv.grids.tiles import countries_of
from imperv.layers.families import BUILT_IN
from imperv.tasks.imperviousness.starting import STARTING_FILE
from imperv.tasks.settings.production import Production
from tests.support.objections import nothing_but_objections

SUGGESTION = re.compile(r"^#(?=\[|\w+ = )", re.MULTILINE)


def test_it_writes_a_file_that_can_be_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "e38n31"]) == 0
    assert "edit what is marked EDIT, then: imperv config check production.toml" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["production.toml"]
    production = Production.read("production.toml")
    assert production.tile_names == ("E38N31",)
    assert (production.periods.then.label, production.periods.now.label) == ("2018", "2021")
    assert production.area is None


def test_every_suggestion_in_it_is_right(tmp_path):
    """With all # removed it says more, and can still be read: no key of it is misspelt or gone."""
    text = starting_file("E38N31", tmp_path / "production.toml", STARTING_FILE)
    assert len(SUGGESTION.findall(text)) >= 10
    file = tmp_path / "all.toml"
    file.write_text(SUGGESTION.sub("", text))
    production = Production.read(file)
    left, bottom, right, top = production.window(Tile("E38N31"))
    assert (right - left, top - bottom) == (10_000, 10_000)
    assert Tile("E38N31").bounds[0] < left < right < Tile("E38N31").bounds[2]
    assert production.countries == ("BE",)
    assert production.tile_names == ("E38N31",)
    assert production.delivery.contact.email == "maps@example.org"
    assert len(tomllib.loads(file.read_text())) >= 8


def test_every_key_is_explained_and_what_must_be_edited_is_marked():
    text = starting_file("E43N32", "production.toml", STARTING_FILE)
    keys = [line for line in text.splitlines() if re.match(r"\w+ = ", line)]
    assert [line for line in keys if "#" not in line and not line.startswith("collection")] == []
    marked = {line.split(" = ")[0] for line in keys if "EDIT" in line}
    assert marked == {"then", "now", "imd_then", "ibu_then", "clcplus_then", "clcplus_now", "footprints"}


@pytest.mark.parametrize("tile", official_tiles("eea38-2024")[::50])
def test_any_tile_can_be_begun(tile, tmp_path):
    (tmp_path / "p.toml").write_text(starting_file(tile, tmp_path / "p.toml", STARTING_FILE))
    assert Production.read(tmp_path / "p.toml").tile_names == (tile,)
    assert all(tile in country_tiles(code) for code in countries_of(Tile(tile)))


def test_filled_in_it_passes_the_check(flanders_file, shared_data, tmp_path, capsys):
    """As a new user does it: begin, fill in, check."""
    mine = tmp_path / "mine.toml"
    assert main(["init", "E38N31", "-o", str(mine)]) == 0
    real, data = tomllib.loads(flanders_file.read_text()), shared_data / "flanders"
    text = (
        SUGGESTION.sub("", mine.read_text()).replace("[scenes.access]", "#").replace("profile", "#").replace("endpoint_url", "#")
    )
    text = text.replace('"2018"', f'"{real["periods"]["then"]}"').replace('"2021"', f'"{real["periods"]["now"]}"')
    text = re.sub(r"bbox = \[.*?\]", f"bbox = {real['area']['bbox']}", text)
    text = re.sub('catalogue = ".*?"', f'catalogue = "{data}/items.json"', text).replace("footprints.gpkg", "footprints.geojson")
    text = text.replace('"reference/', f'"{data}/reference/')
    mine.write_text(text)
    capsys.readouterr()
    assert main(["config", "check", str(mine)]) == 0, capsys.readouterr().err


def test_an_existing_file_is_never_changed(tmp_path, capsys):
    file = tmp_path / "production.toml"
    file.write_text("mine")
    for place in (file, tmp_path):
        assert main(["init", "E38N31", "-o", str(place)]) == 2
        (line,) = nothing_but_objections(capsys.readouterr().err)
        assert "production.toml is there already" in line
    assert file.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["production.toml"]


@pytest.mark.parametrize("product", ["forests", "nonsense"])
def test_other_products_are_refused_in_one_line(product, tmp_path, capsys):
    assert main(["init", "E38N31", "-o", str(tmp_path / "p.toml"), "--product", product]) == 2
    (line,) = nothing_but_objections(capsys.readouterr().err)
    assert f"--product: there is no product '{product}'; there are {', '.join(BUILT_IN)}" in line
    assert list(tmp_path.iterdir()) == []


def test_imperviousness_may_be_named(tmp_path):
    assert main(["init", "E38N31", "-o", str(tmp_path / "new" / "p.toml"), "--product", "imperviousness"]) == 0
    assert Production.read(tmp_path / "new" / "p.toml").tile_names == ("E38N31",)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["init", "E38N31", "-o", str(tmp_path / "file" / "p.toml")]) == 2
    (line,) = nothing_but_objections(capsys.readouterr().err)
    assert "cannot be written" in line
