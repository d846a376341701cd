"""`imperv scenes` on real items: what it prints, that it freezes nothing, and how it refuses."""

from __future__ import annotations

import json
import struct

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.tile.scenes import months_of
from imperv.tasks.job import Job
from imperv.tasks.nodes import make_node
from imperv.tasks.settings.periods import Period
from imperv.tasks.settings.production import Production
from tests.support.objections import nothing_but_objections


@pytest.fixture
def config(shared_data, tmp_path):
    path = tmp_path / "production.toml"
    path.write_text(
        f'tiles = ["E38N31"]\n[periods]\nthen = "2017-08-01/2018-07-31"\nnow = "2017-12-01/2018-11-30"\n'
        f'[area]\nbbox = [3829000, 3101000, 3831000, 3103000]\n[scenes]\ncatalogue = "{shared_data / "flanders"}"\n'
    )
    return path


def test_the_table_and_the_calendar(config, capsys):
    assert main(["scenes", "E38N31", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if line.startswith("S2_")]
    assert len(heads) == 2 and all("(catalogue, not frozen yet)" in line for line in heads)
    assert heads[0].startswith("S2_then  2017-08-01/2018-07-31  ")
    scene = next(line for line in lines if "S2_31UDS_20180713T110521_L2A" in line)
    assert scene.split()[0] == "2018-07-13" and scene.endswith("raster offset 0") and "%" in scene
    months = [line for line in lines if " clear" in line and " of " in line]
    assert len(months) == 24 and months[0].startswith("  2017 Aug") and months[-1].startswith("  2018 Nov")
    counted = sum(int(line.split(" of ")[1].split()[0]) for line in months[:12])
    assert f" {counted} overpasses" in heads[0]
    assert not (config.parent / "store").exists(), "nothing is frozen"


@pytest.mark.slow
def test_as_json_with_a_plot(config, capsys, tmp_path):
    picture = tmp_path / "plots" / "calendar.png"
    assert main(["scenes", "E38N31", "--config", str(config), "--json", "--plot", str(picture)]) == 0
    then, now = json.loads(capsys.readouterr().out)
    assert (then["symbol"], now["symbol"]) == ("S2_then", "S2_now") and not then["frozen"]
    assert {"date", "id", "cloud", "baseline", "subtract", "reason"} <= then["scenes"][0].keys()
    head = picture.read_bytes()[:24]
    assert head[1:4] == b"PNG" and min(struct.unpack(">II", head[16:])) > 300


def test_duplicates_are_listed_with_their_reason(config, capsys, shared_data, tmp_path):
    items = json.loads((shared_data / "flanders" / "items.json").read_text())["features"][:30]
    for item in items:
        item["properties"]["s2:datatake_id"] = item["id"]
        item["properties"]["grid:code"] = "MGRS-31UDS"
    copy = json.loads(json.dumps(items[3])) | {"id": "again"}
    copy["properties"]["s2:generation_time"] = "2030-01-01"
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [*items, copy]}))
    config.write_text(config.read_text().replace(str(shared_data / "flanders"), "items.json"))
    assert main(["scenes", "E38N31", "--config", str(config)]) == 2
    printed = capsys.readouterr()
    assert f"  left out  {items[3]['id']}  duplicate of again" in printed.out
    first, second = nothing_but_objections(printed.err)
    assert first.startswith("imperv: S2_then of tile E38N31: no scenes for ") and "max_gap_days" in first
    assert second.startswith("imperv: S2_now of tile E38N31: ")


def test_items_of_another_collection(config, capsys):
    config.write_text(f'{config.read_text()}collection = "sentinel-2-c1-l2a"\n')
    assert main(["scenes", "E38N31", "--config", str(config)]) == 2
    (line,) = nothing_but_objections(capsys.readouterr().err)
    assert "has no items of the collection sentinel-2-c1-l2a in 2017-08-01/2018-07-31, but of sentinel-2-l2a; correct" in line


def test_the_frozen_list_is_shown(config, capsys, shared_data, tmp_path):
    job = Job.of(Production.read(config), "E38N31")
    make_node(job, "S2_then")
    assert main(["scenes", "E38N31", "--config", str(config)]) == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if line.startswith("S2_")]
    assert [line.endswith("(frozen list)") for line in heads] == [True, False]
    config.write_text(config.read_text().replace(str(shared_data / "flanders"), "gone.json"))
    assert main(["scenes", "E38N31", "--config", str(config)]) == 2  # the other period has none
    (line,) = nothing_but_objections(capsys.readouterr().err)
    assert line.startswith("imperv: scenes.catalogue: ") and "gone.json" in line


def test_what_is_refused(config, capsys, tmp_path):
    assert main(["scenes", "E99N99", "--config", str(config)]) == 2
    assert main(["scenes", "E38N31", "--config", str(tmp_path / "none.toml")]) == 2
    (tmp_path / "file").write_text("")
    assert main(["scenes", "E38N31", "--config", str(config), "--plot", str(tmp_path / "file" / "a.png")]) == 2
    assert len(nothing_but_objections(capsys.readouterr().err)) == 3


def test_months_of_a_period():
    assert months_of(Period.parse("2021"))[::11] == [(2021, 1), (2021, 12)]
    assert months_of(Period.parse("2017-08-01/2018-07-31"))[4:6] == [(2017, 12), (2018, 1)]


@pytest.mark.parametrize("name", ["calendar.csv", "calendar"])
def test_a_plot_with_another_ending_is_refused_before_anything_is_read(name, tmp_path, capsys):
    assert main(["scenes", "E38N31", "--config", str(tmp_path / "none.toml"), "--plot", str(tmp_path / name)]) == 2
    (line,) = nothing_but_objections(capsys.readouterr().err)
    assert line.endswith(f"{name}: name a file that ends in .png, .svg, .pdf")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "start"), [("a.svg", b"<?xml"), ("a.pdf", b"%PDF"), ("a.PNG", b"\x89PNG")])
def test_the_ending_of_a_plot_is_its_form(name, start, config, tmp_path):
    assert main(["scenes", "E38N31", "--config", str(config), "--plot", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(start)
