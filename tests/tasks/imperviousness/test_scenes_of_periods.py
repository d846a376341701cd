"""Which sensor sees which period: what a production file may say, what is refused, and that nothing changes without Landsat."""

from __future__ import annotations

import pytest

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.features import ATBD12, FULL18
from imperv.tasks.errors import InputError
from imperv.tasks.families import task_of
from imperv.tasks.imperviousness.next_years import next_production
from imperv.tasks.imperviousness.nodes.alignment import names_of
from imperv.tasks.imperviousness.settings import LACKING
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.yearly.freezing import scenes_ingredients
from imperv.tasks.yearly.landsat import features_external, partner

FILE = """
tiles = ["E38N31"]
store = "{store}"
[periods]
then = "{then}"
now = "{now}"
[scenes]
catalogue = "items.json"
{more}
"""


@pytest.fixture
def read(tmp_path):
    def go(more: str = "", then: str = "2005", now: str = "2021") -> Production:
        path = tmp_path / "production.toml"
        path.write_text(FILE.format(store=tmp_path / "store", then=then, now=now, more=more))
        return Production.read(path)

    return go


def refusal(read, *how) -> str:
    with pytest.raises(InputError) as error:
        read(*how)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value).partition("production.toml: ")[2]


def test_a_period_takes_what_it_does_not_say_from_all(read):
    scenes = read(
        '[scenes.access]\nunsigned = true\n[scenes.then]\nsensor = "landsat"\n[scenes.then.access]\nrequester_pays = true'
    ).scenes
    then, now = scenes.of("then"), scenes.of("now")
    assert (then.sensor, then.catalogue, then.collection) == ("landsat", "items.json", "landsat-c2-l2")
    assert then.access.requester_pays and not then.access.unsigned
    assert (now.sensor, now.catalogue, now.collection) == ("sentinel-2", "items.json", "sentinel-2-l2a")
    assert now.access.unsigned and not now.access.requester_pays


@pytest.mark.parametrize(
    ("more", "then", "now"),
    [
        ('sensor = "landsat"', "landsat-c2-l2", "landsat-c2-l2"),
        ('sensor = "landsat"\ncollection = "mine"', "mine", "mine"),
        ('collection = "s2"\n[scenes.then]\nsensor = "landsat"', "landsat-c2-l2", "s2"),
        ('collection = "s2"\n[scenes.then]\nsensor = "landsat"\ncollection = "c2"', "c2", "s2"),
        ('sensor = "landsat"\ncollection = "c2"\n[scenes.now]\nsensor = "sentinel-2"', "c2", "sentinel-2-l2a"),
        ('collection = "s2"\n[scenes.then]\ncatalogue = "other.json"', "s2", "s2"),
    ],
)
def test_a_sensor_has_its_own_collection(read, more, then, now):
    scenes = read(more).scenes
    assert (scenes.of("then").collection, scenes.of("now").collection) == (then, now)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (('[scenes.then]\nsensor = "landset"',), "scenes.then.sensor: there is no sensor 'landset'; did you mean landsat?"),
        (('sensor = "S2"',), "scenes.sensor: there is no sensor 'S2'; "),
        (('[scenes.before]\nsensor = "landsat"',), "scenes.before: unknown key"),
        (('[scenes.then]\nsensr = "landsat"',), "scenes.then.sensr: unknown key (did you mean sensor?)"),
        (
            ('[scenes.then]\nsensor = "landsat"\n[parameters.unet]\nfeatures = "full18"',),
            "parameters.unet.features: full18 needs the red edge, which Landsat does not see (scenes, then); choose atbd12",
        ),
        (
            ('sensor = "landsat"\n[parameters.proxy]\nfeatures = "full18"',),
            "parameters.proxy.features: full18 needs the red edge",
        ),
        (("", "2021", "2005"), "periods: then (2021) must begin before now (2005)"),
        (('[scenes.then]\nsensor = "landsat"', "2021", "2005"), "periods: then (2021) must begin before now (2005)"),
        (('sensor = "landsat"', "2005", "2005"), "periods: then (2005) must begin before now (2005)"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(read, how, expected):
    assert refusal(read, *how).startswith(expected)


def test_a_year_of_landsat_may_lie_before_the_references(read):
    back = Job.of(read('[scenes.now]\nsensor = "landsat"', "2021", "2005"), "E38N31")
    forth = Job.of(read('[scenes.then]\nsensor = "landsat"'), "E38N31")
    for symbol in ("RMSD", "CHM_raw", "CHM"):
        assert "now (2005) lies before then (2021)" in task_of(symbol).not_needed(back, symbol)
        assert not task_of(symbol).not_needed(forth, symbol)


def test_nothing_is_in_the_keys_of_sentinel2(read):
    job = Job.of(read(), "E38N31")
    for role in ("then", "now"):
        assert features_external(job, CATALOGUE[f"PP_{role}"]) == {}
        assert set(scenes_ingredients(job, CATALOGUE[f"S2_{role}"])) == {"catalogue", "collection", "boa_offset", "bands"}
    assert names_of(job) == FULL18


def test_the_key_of_landsat_holds_what_it_is_brought_to(read):
    job = Job.of(read('[scenes.then]\nsensor = "landsat"'), "E38N31")
    then, now = CATALOGUE["PP_then"], CATALOGUE["PP_now"]
    assert (partner(job, then), features_external(job, now)) == ("S2_now", {})
    assert features_external(job, then) == {"landsat": {"version": 1, "dates": 16}, "harmonised on": None}
    assert scenes_ingredients(job, CATALOGUE["S2_then"])["sensor"] == "landsat"
    assert "B05_q20" in LACKING and not LACKING & set(ATBD12) and not LACKING & set(names_of(job))
    both = Job.of(read('sensor = "landsat"'), "E38N31")
    assert partner(both, then) == "" and "harmonised on" not in features_external(both, then)


def test_names_of_what_saw_a_period(read):
    scenes = read('[scenes.then]\nsensor = "landsat"').scenes
    assert [scenes.seen_by(), scenes.seen_by("then"), scenes.seen_by("now")] == [
        "Sentinel-2 and Landsat",
        "Landsat",
        "Sentinel-2",
    ]


def test_an_update_moves_the_table_of_a_period(read, tmp_path, monkeypatch):
    from imperv.tasks.imperviousness import next_years

    read('[scenes.then]\nsensor = "sentinel-2"\n[scenes.now]\nsensor = "landsat"\ncatalogue = "c.json"', "2000", "2005")
    monkeypatch.setattr(next_years, "_delivered", lambda production, tile: True)
    next_production(tmp_path / "production.toml", "2021", tmp_path / "next.toml")
    scenes = Production.read(tmp_path / "next.toml").scenes
    assert scenes.of("then").sensor == "landsat" and scenes.of("then").catalogue.endswith("c.json")
    assert scenes.of("now").sensor == "sentinel-2" and scenes.of("now").catalogue.endswith("items.json")
