"""The offset check on real scenes: right decisions pass, each wrong one stops the tile in one line that names the setting.

Policy: a setting other than "auto" is obeyed; what the check thinks of it is a warning of the record.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from layers.catalogue import CATALOGUE
from tasks.errors import InputError
from tasks.freezing import make_scene_list
from tasks.job import Job
from tasks.offset_check import check_offsets, sample
from tasks.preprocessing import make_pp, read_scene_list
from tasks.production import Production
from tasks.scenes import Scene

SITES = {"flanders": ("E38N31", "2018"), "austria/site_2004": ("E47N26", "2022"), "austria/site_2008": ("E47N26", "2022")}


@pytest.fixture
def job(shared_data, tmp_path):
    """The job of a site, its list frozen; `change` edits its items."""

    def go(site: str, change=lambda k, item: None, boa_offset: str = "auto") -> Job:
        folder = shared_data / site
        table = json.loads((folder / "items.json").read_text())
        for k, item in enumerate(table["features"]):
            for asset in item["assets"].values():
                asset["href"] = str((folder / asset["href"]).resolve())
            change(k, item)
        (tmp_path / "items.json").write_text(json.dumps(table))
        tile, now = SITES[site]
        left, bottom, right, top = area_of(table)
        (tmp_path / "production.toml").write_text(
            f'[periods]\nthen = "2017"\nnow = "{now}"\n[area]\nbbox = {[left, bottom, right, top]}\n'
            f'[scenes]\ncatalogue = "items.json"\nboa_offset = "{boa_offset}"\n'
        )
        found = Job.of(Production.read(tmp_path), tile)
        make_scene_list(found, CATALOGUE["S2_now"])
        return found

    return go


def area_of(table: dict) -> tuple[float, float, float, float]:
    from rasterio.warp import transform_bounds

    box = table["features"][0]["bbox"]
    return transform_bounds("EPSG:4326", "EPSG:3035", *box)


def check(job: Job):
    return check_offsets(job, CATALOGUE["PP_now"], read_scene_list(job, "S2_now"))


@pytest.mark.parametrize(("site", "subtract"), [("flanders", "0"), ("austria/site_2004", "1000"), ("austria/site_2008", "0")])
def test_right_decisions_pass(job, site, subtract):
    found = check(job(site))
    assert list(found["medians"]) == [subtract] and 150 < found["medians"][subtract] < 600
    assert found["scenes"] >= 8 and found["doubt"] == ""


def flag(value: bool, every: int = 1):
    def change(k: int, item: dict) -> None:
        if k % every == 0:
            item["properties"]["earthsearch:boa_offset_applied"] = value

    return change


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
        check(job(site, change))
    text = str(caught.value)
    assert "\n" not in text and text.startswith("PP_now of tile E47N26: the offset of S2_33TW")
    assert f'set scenes.boa_offset = "{setting}"' in text and "flag" in text


def test_a_setting_is_obeyed_and_doubted(job):
    found = job("austria/site_2004", boa_offset="none")
    assert 'set scenes.boa_offset = "subtract"' in check(found)["doubt"]


def test_make_pp_checks_before_it_computes(job):
    found = job("austria/site_2004", flag(True))
    with pytest.raises(InputError, match="does not fit the pixels"):
        make_pp(found, CATALOGUE["PP_now"])
    assert not Path(found.store.full(found.place("PP_now").data)).exists()


def test_both_conventions_give_features_on_one_scale(job, tmp_path):
    """The same pixels written with and without the offset: the same features, and the record tells the dark end."""

    def written_without(k: int, item: dict) -> None:
        item["properties"]["earthsearch:boa_offset_applied"] = True
        for key, asset in item["assets"].items():
            if key != "scl":
                with rasterio.open(asset["href"]) as source:
                    values, profile = source.read(), source.profile
                asset["href"] = str(tmp_path / f"{item['id']}_{key}.tif")
                with rasterio.open(asset["href"], "w", **profile) as target:
                    target.write(np.where(values > 1000, values - 1000, np.minimum(values, 1)))

    found = []
    for change in (lambda k, item: None, written_without):
        here = job("austria/site_2004", change)
        medians = make_pp(here, CATALOGUE["PP_now"]).statistics["offset_check"]["medians"]
        assert list(medians.values()) == [pytest.approx(255.4, abs=5)]
        found.append((set(medians), here.group("PP_now")["quantiles"][:].astype(int)))
    assert [f[0] for f in found] == [{"1000"}, {"0"}]
    assert np.abs(found[0][1] - found[1][1]).max() <= 1 and (found[0][1] > 0).any()


def test_the_sample_is_spread_over_every_kind():
    def scene(k: int, reason: str, cloud: float | None) -> Scene:
        return Scene(f"s{k:03d}", f"2021-01-01T00:{k % 60:02d}:00", "", "", "", cloud, 0, reason, {})

    scenes = [scene(k, "a" if k < 100 else "b", 10.0 if k % 2 else 90.0) for k in range(104)]
    ids = [s.id for s in sample(tuple(scenes))]
    assert len(ids) == 14 and ids[0] == "s001" and ids[11:] == ["s099", "s101", "s103"]
