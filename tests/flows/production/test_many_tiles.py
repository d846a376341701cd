"""Choosing tiles, planning them, the order of waves, and what is tried again."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import geopandas as gpd
import pytest
from shapely.geometry import Point, box

from imperv.flows.cli.commands import main
from imperv.flows.cli.plan_map import draw_plans
from imperv.flows.plan.production_plan import TilePlan, plan_production, totals, wall_hours
from imperv.flows.production.producing import produce
from imperv.flows.production.waves import waves
from imperv.flows.runtime.journal import last_run, note_run
from imperv.flows.runtime.outcomes import Ledger, Outcome, failure_limit, try_again
from imperv.flows.runtime.runners import STARTING, Deployments, _never_began
from imperv.flows.tile.run import walk
from imperv.grids import Tile, country_tiles, official_tiles
from imperv.tasks.errors import InputError, TileBusyError, WorkError
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production

FILE = '[periods]\nthen = "2021"\nnow = "2024"\n[scenes]\ncatalogue = "items.json"\n'


def production(folder, head: str = 'tiles = "eea38-2024"', more: str = "") -> Production:
    (folder / "production.toml").write_text(f"{head}\n{FILE}{more}")
    return Production.read(folder)


# tiles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "lon", "lat"),
    [
        ("AT", 16.37, 48.21), ("PT", -25.67, 37.74), ("ES", -15.43, 28.12), ("MT", 14.51, 35.9), ("LI", 9.52, 47.14),
        ("GR", 25.13, 35.34), ("XK", 21.17, 42.67), ("MK", 21.43, 42.0), ("IS", -21.94, 64.15), ("GB", -1.15, 60.15),
        ("NO", 18.96, 69.65), ("CY", 33.38, 35.17),
    ],
)  # fmt: skip
def test_capitals_and_islands_lie_in_their_country(code, lon, lat):
    x, y = gpd.GeoSeries([Point(lon, lat)], crs=4326).to_crs(3035).iloc[0].coords[0]
    assert f"E{int(x // 1e5):02}N{int(y // 1e5):02}" in country_tiles(code)


def test_every_country_has_official_tiles_and_most_tiles_a_country():
    from imperv.grids.tiles import COUNTRIES, resources

    codes = json.loads(resources.files("imperv.grids").joinpath("data", COUNTRIES).read_text())
    assert len(codes) == 39  # EEA38, counted with Kosovo, and the United Kingdom
    known = set(official_tiles("eea38-2021")) | set(official_tiles("eea38-2024"))
    covered = {name for code in codes for name in country_tiles(code)}
    assert covered <= known and len(covered) > 0.9 * len(known)


def test_countries_and_areas_choose_among_the_tiles(tmp_path):
    assert production(tmp_path, 'countries = ["LU", "LI"]').tile_names == tuple(
        name for name in official_tiles("eea38-2024") if name in country_tiles("LU") + country_tiles("LI")
    )
    left, bottom = Tile("E44N27").bounds[:2]
    area = gpd.GeoSeries([box(left + 5000, bottom - 5000, left + 9000, bottom + 5000)], crs=3035).to_crs(4326)
    gpd.GeoDataFrame(geometry=area).to_file(tmp_path / "area.geojson")
    assert production(tmp_path, 'aoi = "area.geojson"').tile_names == ("E44N26", "E44N27")
    assert production(tmp_path, 'aoi = "area.geojson"\ntiles = ["E44N27", "E10N10"]'.replace(', "E10N10"', "")).tile_names == (
        "E44N27",
    )
    with pytest.raises(InputError, match="touches none of the 1 tiles"):
        _ = production(tmp_path, 'aoi = "area.geojson"\ntiles = ["E38N31"]').tile_names
    with pytest.raises(InputError, match="nothing.gpkg cannot be read"):
        _ = production(tmp_path, 'aoi = "nothing.gpkg"').tile_names
    with pytest.raises(InputError, match="no tiles are known of country 'UK': choose among AL AT"):
        production(tmp_path, 'countries = ["UK"]')


def test_a_window_in_each_tile(tmp_path):
    found = production(tmp_path, 'tiles = ["E44N27", "E45N28"]', "[area]\neach = [40000, 30000, 42500, 31000]\n")
    assert Job.of(found, "E44N27").bounds == (4440000, 2730000, 4443000, 2731000)
    assert Job.of(found, "E45N28").bounds == (4540000, 2830000, 4543000, 2831000)
    for wrong in ("each = [0, 0, 100001, 1000]", "each = [0, 0, 1000, 1000]\nbbox = [4440000, 2730000, 4443000, 2731000]", ""):
        with pytest.raises(InputError, match="area"):
            production(tmp_path, 'tiles = ["E44N27"]', f"[area]\n{wrong}\n")


def test_a_tile_in_a_path(tmp_path):
    job = Job.of(production(tmp_path, 'tiles = ["E44N27"]'), "E44N27")
    assert job.path("{tile}/imd_{tile}.tif") == str(tmp_path / "E44N27" / "imd_E44N27.tif")


# plan -----------------------------------------------------------------------------------------------------------


def test_sums_of_a_plan_by_hand(tmp_path):
    found = production(tmp_path, 'tiles = ["E44N26"]', "[engine]\nworkers = 2\n[prices]\ncore_hour = 0.05\ngpu_hour = 2\n")
    plans = [
        TilePlan("E44N26", 10, 0, 2, 3, 1, 2, gigabytes_read=10, gigabytes_stored=1, memory=5, why=""),
        TilePlan("E45N26", 10, 1, 1, 5, 2, 2, gigabytes_read=20, gigabytes_stored=1, memory=9, why=""),
        TilePlan("E45N27", 10, 1, 1, 5, 3, 2, gigabytes_read=20, gigabytes_stored=1, memory=9, why=""),
    ]
    # Waves: E44N26 alone 1 h; then 2 h and 3 h; then 2, 3 and 2 h.
    assert wall_hours(plans, 1) == 13
    assert wall_hours(plans, 2) == 1 + 3 + 3.5
    assert wall_hours(plans, 100) == 1 + 3 + 3
    total = totals(found, plans, 2)
    assert (total["core_hours"], total["to_run"], total["up_to_date"], total["memory"]) == (13, 30, 4, 9)
    assert total["wall_hours"] == pytest.approx(7.5 / 2)
    assert total["money"]["cores only"] == pytest.approx(0.65)
    assert total["money"]["networks on GPUs"] == pytest.approx(7 * 0.05 + 6 / 50 * 2)


@pytest.mark.slow
def test_a_plan_of_europe(tmp_path, capsys):
    production(tmp_path)
    picture = tmp_path / "plan.png"
    assert main(["plan", "--config", str(tmp_path), "--json", "--workers", "20", "--picture", str(picture)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["tiles"]) == found["total"]["tiles"] == 974
    assert found["total"]["core_hours"] == pytest.approx(sum(t["core_hours"] for t in found["tiles"]))
    assert {t["why"] for t in found["tiles"]} == {"not made yet"} or all(t["why"] for t in found["tiles"])
    assert picture.stat().st_size > 10_000
    assert main(["plan", "--config", str(tmp_path), "--country", "LU", "--summary"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:6] for line in lines[1:4]] == list(country_tiles("LU")) and "3 tiles" in lines[4]
    assert main(["plan", "E44N26", "--config", str(tmp_path), "--country", "PT"]) == 2


@pytest.mark.slow
def test_a_list_is_planned_without_any_production_file(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "EEA38-2021", "--json"]) == 0
    said = capsys.readouterr()
    assert "imperv: there is no production.toml: planned for 2018-2021 with 100 looks a year\n" in said.err
    found = json.loads(said.out)
    assert tuple(t["tile"] for t in found["tiles"]) == official_tiles("eea38-2021") and found["total"]["core_hours"] > 1000
    for asked, count in (["--country", "LU"], 3), (["e44n26"], 1):
        assert main(["plan", *asked, "--summary"]) == 0
        said = capsys.readouterr()
        assert f"\n{count} tile" in said.out and "planned for 2021-2024" in said.err
    assert list(tmp_path.iterdir()) == []
    assert main(["plan"]) == 2 and "production.toml: cannot be read" in capsys.readouterr().err
    assert main(["plan", "E44N26", "--config", "other.toml"]) == 2 and "other.toml: cannot be read" in capsys.readouterr().err
    assert main(["plan", "eea38-2025"]) == 2
    assert "'eea38-2025' is no official list: write eea38-2021 or eea38-2024" in capsys.readouterr().err


def test_a_file_that_is_not_complete_is_planned_by_what_it_says(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "production.toml"
    file.write_text('[periods]\nnow = "2024"\n[engine]\nmemory = "2 GiB"\n[prices]\ncore_hour = 0.05\n')
    assert main(["plan", "E44N26", "E45N26", "--json", "--summary"]) == 0
    said = capsys.readouterr()
    assert "does not say periods.then, scenes.catalogue: planned for 2021-2024 with 100 looks a year" in said.err
    total = json.loads(said.out)["total"]
    assert total["money"]["cores only"] == pytest.approx(0.05 * total["core_hours"]) and total["memory"] < 3 * 2**30
    file.write_text('tiles = ["E44N26"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\nbands = {}\n')
    assert main(["plan", "--summary"]) == 0
    said = capsys.readouterr()
    assert said.err == "imperv: production.toml does not say scenes.catalogue: planned for 2018-2021 with 100 looks a year\n"
    for wrong, hint in ("periods = 3", "periods"), ("[scenes]\ncatalog = 'x'", "did you mean catalogue"):
        file.write_text(f'tiles = ["E44N26"]\n{wrong}\n')
        assert main(["plan"]) == 2 and hint in capsys.readouterr().err
    production(tmp_path, 'tiles = ["E44N26"]')
    assert main(["plan", "--summary"]) == 0 and capsys.readouterr().err == ""  # nothing is missing


def test_a_picture_that_cannot_be_written(tmp_path):
    plans = plan_production(production(tmp_path, 'tiles = ["E44N26"]'), ["E44N26"], None)
    with pytest.raises(InputError, match="--picture: .* cannot be written"):
        draw_plans(plans, tmp_path / "no" / "plan.png")


# waves ----------------------------------------------------------------------------------------------------------

SQUARE = [f"E{x}N{y}" for x in (44, 45) for y in (26, 27)]


def test_tiles_that_start_anew_come_first(tmp_path):
    found = list(waves(production(tmp_path, f"tiles = {SQUARE}"), SQUARE, None))
    assert [(w.number, w.until, w.tiles) for w in found] == [
        (1, "models", ("E44N26",)),
        (1, "models", ("E44N27", "E45N26", "E45N27")),
        (2, "all", tuple(SQUARE)),
    ]


def test_small_windows_make_all_features_first(tmp_path):
    small = production(tmp_path, f"tiles = {SQUARE}", "[area]\neach = [0, 0, 1000, 1000]\n")
    assert [w.until for w in waves(small, SQUARE, None)] == ["features", "models", "models", "all"]
    assert [w.until for w in waves(small, SQUARE[:1], None)] == ["all"]
    assert [w.until for w in waves(small, SQUARE, ["IBU_then"])] == ["models", "models", "all"]


# what is tried again --------------------------------------------------------------------------------------------


def end(kind: str, message: str = "m", until: str = "all", tile: str = "E44N26") -> Outcome:
    return Outcome(tile, until, kind, message)


@pytest.mark.parametrize(
    ("past", "again"),
    [
        ([end("input")], False),
        ([end("work")], True),
        ([end("work", "a"), end("work", "a")], False),
        ([end("work", "a"), end("crashed", "b")], True),
        ([end("work", "a"), end("crashed", "b"), end("work", "c")], False),
        ([end("crashed")], True),
        ([end("done", "")], False),
    ],
)
def test_the_same_failure_twice_is_no_accident(past, again):
    assert try_again(past) is again


class Script:
    """Ends runs as it is told, by tile and pass, the last one for ever; it notes what it was asked."""

    def __init__(self, at_once: int = 2, **ends: list[str]) -> None:
        self.at_once, self.ends, self.asked, self.running, self.most = at_once, ends, [], 0, 0
        self.pause = 0.1

    async def run(self, job: Job, until: str, attempt: int) -> Outcome:
        tile = str(job.tile)
        self.asked.append((tile, until, attempt))
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(self.pause)
        self.running -= 1
        left = self.ends.get(f"{tile}_{until}", ["done"])
        kind = left.pop(0) if len(left) > 1 else left[0]
        kind, _, message = kind.partition(":")
        return Outcome(tile, until, kind, message)


def run(tmp_path, script: Script, tiles=SQUARE, limit: int = 3) -> Ledger:
    ledger = Ledger(tuple(tiles), limit)
    asyncio.run(produce(production(tmp_path, f"tiles = {list(tiles)}"), tiles, None, script, ledger))
    return ledger


@pytest.mark.slow
def test_one_poisoned_tile_stops_no_other(tmp_path):
    script = Script(E44N27_models=["input:bad reference"])
    script.pause = 1.0  # longer than planning the next tile takes
    ledger = run(tmp_path, script)
    assert ledger.done == set(SQUARE) - {"E44N27"} and ledger.exit_code == 2
    assert ledger.failed["E44N27"].message == "bad reference"
    assert [a for a in script.asked if a[0] == "E44N27"] == [("E44N27", "models", 0)]
    assert script.most == 2
    assert ledger.summary()["failed"]["E44N27"]["kind"] == "input"


def test_accidents_are_tried_again(tmp_path):
    script = Script(E44N26_all=["crashed:killed", "done"], E45N26_all=["work:disk full"])
    ledger = run(tmp_path, script)
    assert set(ledger.failed) == {"E45N26"} and ledger.exit_code == 1
    assert [a[2] for a in script.asked if a[:2] == ("E44N26", "all")] == [0, 1]
    assert [a[2] for a in script.asked if a[:2] == ("E45N26", "all")] == [0, 1]


def test_a_busy_tile_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("imperv.flows.production.producing.BUSY_PAUSE", 0.0)
    ledger = run(tmp_path, Script(E44N26_all=["busy:held"] * 8 + ["done"]))
    assert ledger.exit_code == 0 and len([o for o in ledger.runs if o.kind == "busy"]) == 8


def test_too_many_failures_stop_it(tmp_path):
    script = Script(1, **{f"{tile}_models": ["input:no catalogue"] for tile in SQUARE})
    ledger = run(tmp_path, script, limit=1)
    assert len(ledger.failed) == 2 and ledger.stopped and len(ledger.not_begun) == 2 and ledger.exit_code == 1
    assert failure_limit(0.1, 974) == 97 and failure_limit(0.1, 4) == 3 and failure_limit(5, 974) == 5


# a server that goes away ----------------------------------------------------------------------------------------


def test_a_parent_waits_for_its_server(monkeypatch):
    from imperv.flows.cli import many

    monkeypatch.setattr(many, "PAUSE", 0.0)
    ends = iter([RuntimeError("Failed to reach API at http://x"), RuntimeError("Failed to reach API at http://x"), "done"])

    def run():
        end = next(ends)
        if isinstance(end, Exception):
            raise end
        return end

    assert many._until_it_ends(run) == "done"
    monkeypatch.setattr(many, "PATIENCE", -1.0)
    ends = iter([RuntimeError("Failed to reach API at http://x")])
    with pytest.raises(WorkError, match="start its server"):
        many._until_it_ends(run)
    ends = iter([RuntimeError("something else")])
    with pytest.raises(RuntimeError, match="something else"):
        many._until_it_ends(run)


# what a run's end means -----------------------------------------------------------------------------------------


def test_an_old_failure_in_the_journal_is_not_this_run_s(tmp_path):
    """A tile failed of wrong input yesterday; today its run ends otherwise."""
    from prefect.states import Completed, Failed

    job = Job.of(production(tmp_path, 'tiles = ["E44N26"]'), "E44N26")
    note_run(job, "failed", "IMD_then: bad.tif is no raster", InputError("x"))
    now = datetime.now(UTC)

    def kind(state, since) -> str:
        return Deployments("c", None, 1, None, "run", "imperviousness/tile")._end(job, "all", state, 1.0, since).kind

    failed = Failed(message="Flow run encountered an exception: WorkError: no room left on the disk")
    assert kind(failed, now - timedelta(hours=1)) == "input"  # said by this run
    assert kind(failed, now + timedelta(hours=1)) == "work"
    busy = Failed(message="Flow run encountered an exception: TileBusyError: another process is working on it")
    assert kind(busy, now - timedelta(hours=1)) == "busy"
    assert kind(Completed(), now) == "done"


def test_a_run_that_a_worker_took_into_its_grave_is_given_up():
    """Prefect leaves it pending for ever; found by killing workers at random moments."""
    from prefect.states import Pending, Running, Scheduled

    now = datetime.now(UTC)
    old, new = now - timedelta(seconds=2 * STARTING), now - timedelta(seconds=STARTING / 2)
    assert _never_began(Pending(timestamp=old), now)
    assert not _never_began(Pending(timestamp=new), now)
    assert not _never_began(Scheduled(timestamp=old), now)  # there may be no worker yet
    assert not _never_began(Running(timestamp=old), now)


@pytest.mark.parametrize(
    ("error", "state"),
    [(WorkError("disk full"), "failed"), (KeyError("defect"), "failed"), (TileBusyError("another one took over"), "running")],
)
def test_the_journal_says_what_ended_a_run_unless_the_tile_is_another_s(tmp_path, error, state):
    job = Job.of(production(tmp_path, 'tiles = ["E44N26"]'), "E44N26")

    def make(node, before, refresh):
        raise error

    ended = []
    with pytest.raises(type(error)):
        walk(job, ["IBU_then"], "all", False, make, ended.append)
    assert last_run(job)["state"] == state
    assert ended == ([False] if state == "failed" else [])
    assert not job.store.is_locked(job.tile)
