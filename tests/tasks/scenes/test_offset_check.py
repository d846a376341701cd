"""The offset check on real scenes: right decisions pass, each wrong one stops the tile in one line that names the setting.

Policy: a setting other than "auto" is obeyed; what the check thinks of it is a warning of the record.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.warp import transform_bounds

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.scenes.offset_check import check_offsets, sample
from imperv.tasks.scenes.scenes import Scene
from imperv.tasks.settings.production import Production
from imperv.tasks.yearly.freezing import make_scene_list
from imperv.tasks.yearly.preprocessing import make_pp, read_scene_list
from tests.support.hidden_pixels import hide

SITES = {"flanders": ("E38N31", "2018"), "austria/site_2004": ("E47N26", "2022"), "austria/site_2008": ("E47N26", "2022")}


@pytest.fixture
def job(shared_data, tmp_path):
    """The job of some sites, its list frozen; `change` edits every one of `every` items."""

    def go(*sites: str, change=lambda k, item: None, boa_offset: str = "auto", every: int = 1) -> Job:
        items = []
        for site in sites:
            folder = shared_data / site
            found = json.loads((folder / "items.json").read_text())["features"][::every]
            for k, item in enumerate(found):
                for asset in item["assets"].values():
                    asset["href"] = str((folder / asset["href"]).resolve())
                change(k, item)
            items += found
        (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
        tile, now = SITES[sites[0]]
        (tmp_path / "production.toml").write_text(
            f'[periods]\nthen = "2017"\nnow = "{now}"\n[area]\nbbox = {area_of(items)}\n'
            f'[scenes]\ncatalogue = "items.json"\nboa_offset = "{boa_offset}"\n'
        )
        made = Job.of(Production.read(tmp_path), tile)
        make_scene_list(made, CATALOGUE["S2_now"])
        return made

    return go


def area_of(items: list[dict]) -> list[float]:
    boxes = np.array([transform_bounds("EPSG:4326", "EPSG:3035", *item["bbox"]) for item in items])
    return [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]


def check(job: Job):
    return check_offsets(job, CATALOGUE["PP_now"], read_scene_list(job, "S2_now"))


@pytest.mark.parametrize(("site", "subtract"), [("flanders", "0"), ("austria/site_2004", "1000"), ("austria/site_2008", "0")])
def test_right_decisions_pass(job, site, subtract):
    found = check(job(site))
    assert list(found["medians"]) == [subtract] and 150 < found["medians"][subtract] < 600
    assert found["scenes"] >= 8 and found["doubt"] == ""


@pytest.mark.slow
@pytest.mark.parametrize("keys", [None, ("blue", "scl")])
def test_scenes_that_begin_in_the_south_are_checked_as_others(job, tmp_path, keys):
    """Whether all bands do, or only some: pixels and their classes lie on each other."""

    def turned(k: int, item: dict) -> None:
        for key in keys or item["assets"]:
            with rasterio.open(item["assets"][key]["href"]) as source:
                path = tmp_path / f"{item['id']}_{key}.tif"
                rasterio.shutil.copy(source, path)
                hide(str(path), np.zeros(source.shape, bool), "zero", south_up=True)
            item["assets"][key]["href"] = str(path)

    usual, found = check(job("austria/site_2004", every=3)), check(job("austria/site_2004", every=3, change=turned))
    assert found["scenes"] == usual["scenes"] >= 4 and found["medians"] == usual["medians"]
    with pytest.raises(InputError, match="does not fit the pixels"):
        check(job("austria/site_2004", every=3, change=lambda k, item: (turned(k, item), flag(True)(k, item))))


@pytest.mark.slow
def test_pixels_that_a_file_hides_are_not_looked_at(job, tmp_path):
    def half_hidden(k: int, item: dict) -> None:
        for key, asset in item["assets"].items():
            with rasterio.open(asset["href"]) as source:
                path = tmp_path / f"{item['id']}_{key}.tif"
                rasterio.shutil.copy(source, path)
                gone = np.zeros(source.shape, bool)
                gone[: len(gone) // 2] = True
                hide(str(path), gone, how)
            asset["href"] = str(path)

    how = "zero"
    expected = check(job("austria/site_2004", every=3, change=half_hidden))
    how = "mask"
    assert check(job("austria/site_2004", every=3, change=half_hidden)) == expected


def flag(value: bool, every: int = 1):
    def change(k: int, item: dict) -> None:
        if k % every == 0:
            item["properties"]["earthsearch:boa_offset_applied"] = value

    return change


@pytest.mark.slow
@pytest.mark.parametrize(
    ("site", "change", "setting"),
    [
        ("austria/site_2008", flag(False), "none"),
        ("austria/site_2008", flag(False, 4), "none"),
        ("austria/site_2004", flag(True), "subtract"),
        ("austria/site_2004", flag(True, 3), "subtract"),
    ],
)
def test_a_wrong_flag_stops_the_tile(job, site, change, setting):
    with pytest.raises(InputError) as caught:
        check(job(site, change=change))
    text = str(caught.value)
    assert "\n" not in text and text.startswith("PP_now of tile E47N26: the offset of S2_33TW")
    assert f'set scenes.boa_offset = "{setting}"' in text and "flag" in text


@pytest.mark.slow
def test_a_setting_is_obeyed_and_doubted(job):
    found = job("austria/site_2004", boa_offset="none")
    assert 'set scenes.boa_offset = "subtract"' in check(found)["doubt"]


@pytest.mark.slow
def test_make_pp_checks_before_it_computes(job):
    found = job("austria/site_2004", change=flag(True))
    with pytest.raises(InputError, match="does not fit the pixels"):
        make_pp(found, CATALOGUE["PP_now"])
    assert not Path(found.store.full(found.place("PP_now").data)).exists()


def in_the_other_convention(folder: Path, subtract: int):
    """Writes the pixels of items with the offset if they have none, or without it, and sets the flag."""

    def change(k: int, item: dict) -> None:
        item["properties"]["earthsearch:boa_offset_applied"] = subtract > 0
        for key, asset in item["assets"].items():
            if key != "scl":
                with rasterio.open(asset["href"]) as source:
                    values, profile = source.read(), source.profile
                asset["href"] = str(folder / f"{item['id']}_{key}.tif")
                other = np.maximum(values, 1001) - 1000 if subtract else values + 1000
                with rasterio.open(asset["href"], "w", **profile) as target:
                    target.write(np.where(values > 0, other, 0))

    return change


@pytest.mark.slow
@pytest.mark.parametrize(("site", "subtract", "every"), [("austria/site_2004", 1000, 3), ("austria/site_2008", 0, 7)])
def test_both_conventions_give_features_on_one_scale(job, tmp_path, site, subtract, every):
    """The same pixels in the other convention give the same features; decided wrongly, they jump by the offset."""

    def features(here: Job) -> tuple[list[str], np.ndarray]:
        found = make_pp(here, CATALOGUE["PP_now"]).statistics["offset_check"]["medians"]
        return list(found), here.group("PP_now")["quantiles"][:].astype(int)

    decided, q20 = features(job(site, every=every))
    change = in_the_other_convention(tmp_path, subtract)
    otherwise, same = features(job(site, change=change, every=every))
    assert (decided, otherwise) == ([str(subtract)], [str(1000 - subtract)])
    assert np.abs(q20 - same).max() <= 1 and (q20 > 0).sum() > 5000
    _, wrong = features(job(site, change=change, every=every, boa_offset="subtract" if subtract else "none"))
    jumped = np.maximum(q20 - 1000, 1) if subtract else q20 + 1000
    assert np.abs(wrong - jumped)[q20 > 0].max() <= 1


@pytest.mark.slow
def test_sites_of_both_conventions_in_one_catalogue(job):
    """Groups of different ground lie on one scale; with a wrong decision about either of them they do not."""
    sites = "austria/site_2004", "austria/site_2008"
    found = check(job(*sites))
    assert found["medians"] == {"0": pytest.approx(465, abs=5), "1000": pytest.approx(255, abs=5)} and found["doubt"] == ""

    def forgotten(k: int, item: dict) -> None:
        if "33TWN" in item["id"]:
            del item["properties"]["earthsearch:boa_offset_applied"]
            for asset in item["assets"].values():
                asset["raster:bands"] = [{"offset": 0}]

    def twice(k: int, item: dict) -> None:
        item["properties"]["earthsearch:boa_offset_applied"] = False

    with pytest.raises(InputError, match=r'the offset of S2_33TWN_.* set scenes\.boa_offset = "subtract"'):
        check(job(*sites, change=forgotten))
    with pytest.raises(InputError, match=r'the offset of S2_33TWM_.* set scenes\.boa_offset = "none"'):
        check(job(*sites, change=twice))


def test_the_sample_is_spread_over_every_kind():
    def scene(k: int, reason: str, cloud: float | None) -> Scene:
        return Scene(f"s{k:03d}", f"2021-01-01T00:{k % 60:02d}:00", "", "", "", cloud, 0, reason, {})

    scenes = [scene(k, "a" if k < 100 else "b", 10.0 if k % 2 else 90.0) for k in range(104)]
    ids = [s.id for s in sample(tuple(scenes))]
    assert len(ids) == 14 and ids[0] == "s001" and ids[11:] == ["s099", "s101", "s103"]
