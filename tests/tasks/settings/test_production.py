"""Production files: what is understood, what is refused and how that is said, and what beats what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imperv.grids import official_tiles
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.settings import Parameters
from imperv.tasks.settings.production import Production, describe_bytes

SMALL = """
tiles = ["E38N31"]
[periods]
then = "2018"
now = "2021"
[scenes]
catalogue = "scenes/items.json"
"""

WHOLE = """
tiles = ["E38N31", "E39N31"]
store = "store"
[periods]
then = "2017-08-01/2018-07-31"
now  = "2021"
[area]
bbox = [3829820, 3101310, 3830570, 3102040]
[scenes]
catalogue = "items.json"
collection = "sentinel-2-c1-l2a"
boa_offset = "subtract"
bands = {B02 = "image_blue"}
[references]
imd_then = "reference/imd_then.tif"
ibu_then = "/somewhere/ibu.tif"
clcplus_then = "s3://bucket/clcplus.tif"
clcplus_now = "reference/clcplus_now.tif"
footprints = ["reference/footprints.geojson"]
[engine]
memory = "2 GiB"
workers = 3
dask_address = "tcp://127.0.0.1:8786"
[parameters.unet]
epochs = 3
[parameters.change_mask]
sieve = 12
[delivery]
fold_built_up_classes = true
"""


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in os.environ:
        if name.startswith("IMPERV_"):
            monkeypatch.delenv(name)


@pytest.fixture
def read(tmp_path):
    """Reads a text as a production file."""

    def go(text: str) -> Production:
        (tmp_path / "production.toml").write_text(text, encoding="utf-8")
        return Production.read(tmp_path / "production.toml")

    return go


def refusal(read, text: str) -> str:
    """The message, checked to be one line a fault that names the file, without the jargon of the validator."""
    with pytest.raises(InputError) as caught:
        read(text)
    message = str(caught.value)
    for line in message.splitlines():
        assert "production.toml: " in line
        assert "Traceback" not in line and "pydantic" not in line and "https://" not in line
    return message


def test_everything_in_a_file_arrives(read, tmp_path):
    found = read(WHOLE)
    assert found.tile_names == ("E38N31", "E39N31")
    assert (str(found.periods.then), str(found.periods.now)) == ("2017-08-01/2018-07-31", "2021")
    assert found.periods.pair == "2017-08-01_2018-07-31__2021"
    assert found.area.bbox == (3_829_000, 3_101_000, 3_831_000, 3_103_000)
    assert (found.scenes.collection, found.scenes.boa_offset) == ("sentinel-2-c1-l2a", "subtract")
    assert found.scenes.bands == {"B02": "image_blue"}
    assert found.references.footprints == ("reference/footprints.geojson",)
    assert (found.engine.memory, found.engine.workers) == (2 * 2**30, 3)
    assert found.engine.dask_address == "tcp://127.0.0.1:8786"
    assert (found.parameters.unet.epochs, found.parameters.change_mask.sieve) == (3, 12)
    assert found.parameters.change_mask.lower == Parameters().change_mask.lower
    assert found.delivery.fold_built_up_classes is True
    assert found.store_url == str(tmp_path / "store")


def test_defaults(read):
    found = read(SMALL)
    assert found.area is None
    assert (found.scenes.collection, found.scenes.boa_offset) == ("sentinel-2-l2a", "auto")
    assert found.references.imd_then is None
    assert found.references.footprints == ()
    assert found.engine.memory == 8 * 2**30
    assert found.parameters == Parameters()
    assert (found.delivery.version, found.delivery.release, found.delivery.theme) == ("V01", "R00", "auto")


def test_defaults_of_the_algorithms_are_those_of_the_atbd():
    parameters = Parameters()
    assert (parameters.change_mask.lower, parameters.change_mask.upper, parameters.change_mask.sieve) == (97.5, 99, 8)
    assert parameters.built_up.threshold == 10
    assert parameters.calibration.threshold == 90
    assert parameters.calibration.step == 6
    assert (parameters.calibration.minimum_samples, parameters.calibration.fallback_samples) == (200, 20)
    assert (parameters.change.loss_sensitivity, parameters.change.minimum) == (0.1, 1)
    assert (parameters.ensemble.members, parameters.unet.dropout) == (10, 0.1)


def test_a_folder_stands_for_the_file_in_it(tmp_path, read):
    read(SMALL)
    assert Production.read(tmp_path).root == tmp_path.resolve()


@pytest.mark.parametrize(("name", "count"), [("eea38-2021", 845), ("eea38-2024", 974)])
def test_an_official_list_for_tiles(read, name, count):
    names = read(SMALL.replace('["E38N31"]', f'"{name}"')).tile_names
    assert names == official_tiles(name)
    assert len(names) == count


def test_paths_are_relative_to_the_file(read, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    found = read(SMALL)
    assert found.path("a/b.tif") == str(tmp_path / "a" / "b.tif")
    for absolute in ("/a/b.tif", "s3://bucket/b.tif", "https://host/b.tif", "/vsizip/a.zip/b.tif"):
        assert found.path(absolute) == absolute


def test_a_production_is_frozen(read):
    found = read(SMALL)
    with pytest.raises(ValueError, match="frozen"):
        found.store = "elsewhere"
    with pytest.raises(ValueError, match="frozen"):
        found.engine.workers = 1
    with pytest.raises(ValueError, match="frozen"):
        found.parameters.change_mask.sieve = 1


# refusals: (addition or (old, new), what the message must hold) ---------------------------------------------------

UNKNOWN = [
    ("[engin]\nworkers = 2", "engin: unknown key (did you mean engine?)"),
    ("[engine]\nworkrs = 2", "engine.workrs: unknown key (did you mean workers?)"),
    ("[parameters.unet]\nepoch = 3", "parameters.unet.epoch: unknown key of product imperviousness (did you mean epochs?)"),
    ("[parameters.unett]\nepochs = 3", "parameters.unett: unknown key of product imperviousness (did you mean unet?)"),
    (
        "[parameters.change_mask]\nsive = 3",
        "parameters.change_mask.sive: unknown key of product imperviousness (did you mean sieve?)",
    ),
    ("[area]\nbox = [1, 2, 3, 4]", "area.box: unknown key (did you mean bbox?)"),
    ("[references]\nimd_tehn = 'a.tif'", "references.imd_tehn: unknown key of product imperviousness (did you mean imd_then?)"),
    ("[delivery]\nzzzzz = 1", "delivery.zzzzz: unknown key of product imperviousness; remove it or correct its name"),
]


@pytest.mark.parametrize(("more", "expected"), UNKNOWN)
def test_unknown_keys_are_refused_with_the_closest(read, more, expected):
    message = refusal(read, SMALL + more)
    assert expected in message
    assert "remove it or correct its name" in message


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("[engine]\nworkers = 'many'", "engine.workers: "),
        ("[engine]\nworkers = 0", "engine.workers: "),
        ("[engine]\nworkers = 1.5", "engine.workers: "),
        ("[engine]\nmemory = 'lots'", "engine.memory: 'lots' is not an amount of memory like '8 GiB'"),
        ("[engine]\nmemory = '1 MB'", "engine.memory: "),
        ("[engine]\nmemory = []", "engine.memory: [] is not an amount of memory"),
        ("[area]\nbbox = [1, 2, 3]", "area.bbox"),
        ("[area]\nbbox = [1, 2, 3, 'x']", "area.bbox"),
        ("[area]\nbbox = [3, 2, 1, 4]", "area.bbox: bbox [3.0, 2.0, 1.0, 4.0] is not [left, bottom, right, top]"),
        ("[area]\nbbox = [1, 2, nan, 4]", "area.bbox: "),
        ("[parameters.change_mask]\nsieve = -1", "parameters.change_mask.sieve: "),
        ("[parameters.change_mask]\nlower = 100.5", "parameters.change_mask.lower: "),
        ("[parameters.built_up]\nthreshold = 101", "parameters.built_up.threshold: "),
        ("[parameters.preprocessing]\nmax_lost_share = 2", "parameters.preprocessing.max_lost_share: "),
        ("[parameters.ensemble]\nmembers = 0", "parameters.ensemble.members: "),
        ("[parameters.unet]\nfeatures = 'all'", "parameters.unet.features: "),
        ("[parameters]\nunet = 3", "parameters.unet: "),
        ("[delivery]\nversion = '1'", "delivery.version: "),
        ("[delivery]\ntheme = 'HRL'", "delivery.theme: "),
        ("[references]\nfootprints = 'a.geojson'", "references.footprints: "),
        ("[references]\nimd_then = 3", "references.imd_then: "),
    ],
)
def test_wrong_values_are_refused_by_key(read, more, expected):
    assert expected in refusal(read, SMALL + more)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('then = "2018"', "", "periods.then: is missing; add it"),
        ('then = "2018"', 'then = "2018-01-01"', "periods.then: '2018-01-01' is not a year"),
        ('then = "2018"', 'then = "2017-08-01/2018-07-30"', "periods.then: 2017-08-01/2018-07-30 is not twelve months"),
        ('then = "2018"', 'then = "2021"', "periods: then (2021) must begin before now (2021)"),
        ('then = "2018"', 'then = "2024"', "periods: then (2024) must begin before now (2021)"),
        ('catalogue = "scenes/items.json"', "", "scenes.catalogue: is missing; add it"),
        ('catalogue = "scenes/items.json"', "catalogue = 3", "scenes.catalogue: "),
        (
            "[scenes]\n",
            '[scenes]\nboa_offset = "maybe"\n',
            "scenes.boa_offset: Input should be 'auto', 'none' or 'subtract'",
        ),
        ('tiles = ["E38N31"]', "", ""),
    ],
)
def test_wrong_requests_are_refused_by_key(read, old, new, expected):
    text = SMALL.replace(old, new)
    assert text != SMALL
    if not expected:  # tiles may be named on the command line instead
        assert read(text).tile_names == ()
        return
    message = refusal(read, text)
    assert expected in message
    assert len(message.splitlines()) == 1


def test_every_fault_has_its_line(read):
    lines = refusal(read, SMALL + "[engine]\nworkers = 0\nmemory = 'x'\nfast = true").splitlines()
    assert sorted(line.split(": ")[1] for line in lines) == ["engine.fast", "engine.memory", "engine.workers"]


@pytest.mark.parametrize(
    ("tiles", "fault"),
    [('["E99N99"]', "E99N99"), ('"eea38-2020"', "eea38-2020"), ("[43]", "43"), ('["e99n99"]', "E99N99")],
)
def test_wrong_tiles_are_refused(read, tiles, fault):
    message = refusal(read, SMALL.replace('["E38N31"]', tiles))
    assert fault in message


def test_tiles_in_any_case(read):
    assert read(SMALL.replace('["E38N31"]', '["e38n31", "E44n27"]')).tile_names == ("E38N31", "E44N27")


@pytest.mark.parametrize("tiles", ['["E99N99"]', '"eea38-2020"', "[43]"])
def test_wrong_tiles_are_refused_in_one_line_by_key(read, tiles):
    (line,) = refusal(read, SMALL.replace('["E38N31"]', tiles)).splitlines()
    assert "production.toml: tiles: " in line or "production.toml: tiles.0: " in line


def test_no_toml(read):
    assert "is not valid TOML" in refusal(read, "tiles = [")
    assert "scenes.root: unknown key" in refusal(read, SMALL + "root = '/'")
    assert "root: unknown key; remove it" in refusal(read, "root = '/'\n" + SMALL)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.toml: cannot be read \(No such file or directory\); name a production file"):
        Production.read(tmp_path / "nothing.toml")
    with pytest.raises(InputError, match=r"production\.toml: cannot be read"):
        Production.read(tmp_path)


# environment ------------------------------------------------------------------------------------------------------


def test_environment_beats_the_file_key_by_key(read, monkeypatch):
    monkeypatch.setenv("IMPERV_ENGINE__WORKERS", "7")
    monkeypatch.setenv("IMPERV_PERIODS__THEN", "2015")
    monkeypatch.setenv("IMPERV_PARAMETERS__UNET__EPOCHS", "5")
    monkeypatch.setenv("IMPERV_STORE", "elsewhere")
    found = read(WHOLE)
    assert (found.engine.workers, found.engine.memory) == (7, 2 * 2**30)
    assert (str(found.periods.then), str(found.periods.now)) == ("2015", "2021")
    assert (found.parameters.unet.epochs, found.parameters.change_mask.sieve) == (5, 12)
    assert found.store == "elsewhere"


def test_other_variables_are_none_of_ours(read, monkeypatch):
    monkeypatch.setenv("WORKERS", "7")
    monkeypatch.setenv("ENGINE__WORKERS", "7")
    assert read(WHOLE).engine.workers == 3


# parameters -------------------------------------------------------------------------------------------------------


def test_pick_names_parameters_by_dotted_name():
    parameters = Parameters.model_validate({"change_mask": {"sieve": 3}})
    assert parameters.pick(("change_mask.sieve", "built_up.threshold")) == {
        "change_mask.sieve": 3, "built_up.threshold": 10,
    }  # fmt: skip


def test_pick_of_a_group_is_the_whole_group():
    picked = Parameters().pick(("preprocessing",))
    assert picked == {
        "preprocessing.min_observations": 7, "preprocessing.max_gap_days": 120, "preprocessing.min_clear": 3,
        "preprocessing.min_valid_share": 0.5, "preprocessing.min_observed_share": None, "preprocessing.max_lost_share": 0.1,
        "preprocessing.landsat_dates": 16,
    }  # fmt: skip
    assert Parameters().pick(()) == {}


def test_pick_of_what_is_not_there():
    with pytest.raises(KeyError):
        Parameters().pick(("change_mask.sive",))
    with pytest.raises(KeyError):
        Parameters().pick(("nothing",))


def test_pick_is_plain_json():
    import json

    picked = Parameters().pick(tuple(Parameters.model_fields))
    assert json.loads(json.dumps(picked)) == picked
    assert len(picked) > 15


def test_bytes_for_people():
    assert describe_bytes(8 * 2**30) == "8.00 GiB"


def test_a_production_beside_others_keeps_its_root(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "production.toml").write_text(SMALL)
    roots = [Production.read(tmp_path / name).path("x.tif") for name in ("a", "b")]
    assert [Path(r).parent.name for r in roots] == ["a", "b"]
