"""Which models take part, and the reason for each that does not; how much of the store a search reads."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from imperv.grids import Tile, nearest_tiles, official_tiles
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.networks.registry import (
    Wanted,
    describe_period,
    ensemble_models,
    ensemble_versions,
    find,
    imported_reason,
    list_models,
    members_of,
    read_records,
    trouble,
)
from imperv.tasks.nodes import standing
from imperv.tasks.store.records import Record
from tests.support.small_models import ALGORITHM, TILE, production, put_model, record_of

NEAREST = [t.name for t in nearest_tiles(Tile(TILE), [Tile(n) for n in official_tiles("eea38-2024")], 40)]


@pytest.fixture
def found(tmp_path):
    return production(tmp_path)


@pytest.fixture
def job(found):
    return Job.of(found, TILE)


def search(job, members=10, reach=300, **changes):
    return find(job.store, "IMD_model", job.tile, replace(Wanted.of(job.production, "IMD_model"), **changes), members, reach)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"made": False, "reason": "no footprints"}, "not trained: no footprints"),
        ({"unet.features": "full18"}, "other features: full18, expected atbd12"),
        ({"unet.epochs": 3}, "other parameters: unet.epochs is 3, expected 20"),
        ({"unet.epochs": 3, "unet.seed": 2}, "other parameters: unet.epochs is 3, expected 20; unet.seed is 2, expected 1"),
        ({"start": "2015-01-01", "end": "2015-12-31"}, "another year: 2015, expected 2018"),
        ({"start": "2017-08-01", "end": "2018-07-31"}, "another year: 2017-08-01/2018-07-31, expected 2018"),
        ({"windowed": True}, ""),
        (
            {"windowed": True, "bbox": (4_400_000.0, 2_700_000.0, 4_401_000.0, 2_701_000.0)},
            "trained on another window of its tile",
        ),
        ({"ingredients": {}}, f"another version: unknown, expected {ALGORITHM}"),
        ({"statistics": {}}, "its normalisation is not that of its features"),
    ],
)
def test_reasons(found, changes, reason):
    assert trouble(record_of(found, TILE, **changes), Wanted.of(found, "IMD_model")) == reason


def test_another_version(found):
    record = record_of(found, TILE)
    newer = replace(Wanted.of(found, "IMD_model"), algorithm="IMD_model 99")
    assert trouble(record, newer) == f"another version: {ALGORITHM}, expected IMD_model 99"


def test_compatible_models_may_have_other_parameters_but_nothing_else(tmp_path):
    open_minded = production(tmp_path, "[parameters.ensemble]\naccept = 'compatible'")
    wanted = Wanted.of(open_minded, "IMD_model")
    assert trouble(record_of(open_minded, TILE, **{"unet.epochs": 3, "unet.members": 1}), wanted) == ""
    assert trouble(record_of(open_minded, TILE, windowed=True, bbox=(0, 0, 1, 1)), wanted) == ""
    assert trouble(record_of(open_minded, TILE, **{"unet.features": "full18"}), wanted).startswith("other features")
    assert trouble(record_of(open_minded, TILE, start="2015-01-01", end="2015-12-31"), wanted).startswith("another year")
    assert trouble(record_of(open_minded, TILE, **{"unet.depth": 5}), wanted) == ""


def test_the_nearest_take_part_and_the_others_are_explained(found, job):
    nearer = NEAREST[:6]
    changes = [{}, {"unet.features": "full18"}, {"made": False, "reason": "no footprints"}, {}, {"unet.seed": 7}, {}]
    for name, change in zip(nearer, changes, strict=True):
        put_model(job.store, record_of(found, name, **change))
    far = next(n for n in official_tiles("eea38-2024") if job.tile.distance(Tile(n)) > 300_000)
    put_model(job.store, record_of(found, far))
    put_model(job.store, record_of(found, TILE))  # the tile's own is not looked at
    result = search(job)
    assert [r.tile for r in result.models] == [nearer[0], nearer[3], nearer[5]]
    assert result.left_out == {
        nearer[1]: "other features: full18, expected atbd12",
        nearer[2]: "not trained: no footprints",
        nearer[4]: "other parameters: unet.seed is 7, expected 1",
    }
    assert (result.farther, result.beyond, result.members) == (0, 1, 6)
    few = search(job, members=4)
    assert [r.tile for r in few.models] == [nearer[0], nearer[3]] and few.farther == 2
    assert search(job, members=5).left_out[nearer[5]] == "it has 2 members, 1 more are wanted"
    assert search(job, reach=0).models == () and search(job, reach=0).beyond == 7


def test_damaged_models_are_left_out(found, job):
    names = NEAREST[:5]
    for name in names:
        put_model(job.store, record_of(found, name))
    folder = f"{job.store.root}/models/IMD"
    shutil.rmtree(f"{folder}/{names[0]}")  # gone altogether
    job.store.write_text(f"models/IMD/{names[0]}/training.npz", "a training has begun")
    job.store.fs.rm_file(f"{folder}/{names[1]}/model.json")
    job.store.fs.rm_file(f"{folder}/{names[2]}/model.keras")
    job.store.write_text(f"models/IMD/{names[3]}/model.json", "{")
    shutil.copyfile(f"{folder}/{names[4]}/model.json", f"{folder}/{names[1]}/model.json")  # of another tile
    assert search(job).left_out == {
        names[1]: "its data are gone or damaged",
        names[2]: "its data are gone or damaged",
        names[3]: "its record is missing or cannot be read",
    }
    assert [r.tile for r in search(job).models] == [names[4]]


def test_a_search_among_all_tiles_of_europe_is_one_listing_and_ten_records(found, job, monkeypatch):
    one = record_of(found, TILE)
    for name in official_tiles("eea38-2024"):
        folder = f"models/IMD/{name}"
        job.store.write_text(f"{folder}/model.keras", "weights")
        record = replace(one, tile=name, href=f"{folder}/model.keras", files=1, size=7)
        job.store.write_text(f"{folder}/model.json", _template(one, record))
    calls = {"find": 0, "read": 0}
    fs = job.store.fs
    finds, reads = fs.find, fs.cat_file

    def find_(*a, **k):
        calls["find"] += 1
        return finds(*a, **k)

    def cat_file(*a, **k):
        calls["read"] += 1
        return reads(*a, **k)

    monkeypatch.setattr(fs, "find", find_)
    monkeypatch.setattr(fs, "cat_file", cat_file)
    result = search(job, members=10)
    assert [r.tile for r in result.models] == [n for n in NEAREST if n != TILE][:5]
    assert calls == {"find": 1, "read": 10}
    within = sum(0 < Tile(TILE).distance(Tile(n)) <= 300_000 for n in official_tiles("eea38-2024"))
    assert (result.farther, result.beyond) == (within - 5, 974 - 1 - within)


def _template(one: Record, record: Record, _texts: dict = {}) -> str:  # noqa: B006
    """JSON of a record by replacing names in that of another: a thousand STAC items take a while to make."""
    if "text" not in _texts:
        _texts["text"] = replace(record, tile=TILE, href=f"models/IMD/{TILE}/model.keras").to_json()
    return _texts["text"].replace(TILE, record.tile)


def test_own_model_first_and_neighbours_alone_without_it(found, job):
    for name in NEAREST[:2]:
        put_model(job.store, record_of(found, name))
    put_model(job.store, record_of(found, TILE))
    result = ensemble_models(job, "IMD_model")
    assert [r.tile for r in result.models] == [TILE, *NEAREST[:2]]
    versions = ensemble_versions(job, "IMD_model")
    assert set(versions) == set(NEAREST[:2]) and all(":" in v for v in versions.values())
    put_model(job.store, record_of(found, TILE, made=False, reason="no footprints", digest=""))
    alone = ensemble_models(job, "IMD_model")
    assert [r.tile for r in alone.models] == NEAREST[:2]
    assert alone.left_out == {TILE: "not trained: no footprints"}
    assert alone.to_json()["models_left_out"] == {TILE: "not trained: no footprints"}


def test_a_store_without_models(job):
    assert list_models(job.store, "IMD") == {} and read_records(job.store, "IMD", []) == {}
    assert search(job).models == ()
    assert ensemble_models(job, "IBUD_model").models == ()


def test_an_imported_model_of_the_tile_is_up_to_date_while_it_is_of_use(tmp_path, found, job):
    record = record_of(found, TILE, **{"unet.epochs": 3})
    made_of = {**record.ingredients, "imported": {"tile": "E45N27", "file": "a.zip"}}
    put_model(job.store, replace(record, ingredients=made_of))
    entry = standing(job, "IMD_model")
    assert entry.state == "up to date" and "imported from a.zip" in entry.reason
    other = production(tmp_path, "features = 'full18'")
    with pytest.raises(InputError, match=r"IMD_model of tile E44N27 was imported .*other features: atbd12, expected full18"):
        standing(Job.of(other, TILE), "IMD_model")
    job.store.fs.rm_file(job.store.full(job.place("IMD_model").data))
    with pytest.raises(InputError, match="data are gone or damaged; import another one with --replace"):
        imported_reason(job, "IMD_model", job.record("IMD_model"))


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [("2018-01-01", "2018-12-31", "2018"), ("2017-08-01", "2018-07-31", "2017-08-01/2018-07-31")],
)
def test_periods_for_people(start, end, text):
    assert describe_period(start, end) == text


@pytest.mark.parametrize(("statistics", "members"), [({"members": 3}, 3), ({}, 1), ({"members": "x"}, 1), ({"members": 0}, 1)])
def test_members(found, statistics, members):
    assert members_of(record_of(found, TILE, statistics=statistics)) == members
