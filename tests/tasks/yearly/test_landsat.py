"""A period that Landsat sees: what a list of scenes must have, what is lost, and even pixels under a window of lines.

Policy: a scene that cannot be read costs only itself, once all other damage is known; a list without scenes, with too few, or
with a hole in the year is an error of one line.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import InputError, SceneError
from imperv.tasks.job import Job
from imperv.tasks.landsat.reading import landsat_geobox
from imperv.tasks.landsat.scenes import LandsatList, frozen_list
from imperv.tasks.landsat.sharpening import fine_geobox
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.settings.periods import Period
from imperv.tasks.settings.production import Production
from imperv.tasks.yearly.costs import features_cost
from imperv.tasks.yearly.freezing import make_scene_list, search_scenes
from imperv.tasks.yearly.landsat import without_lost
from imperv.tasks.yearly.landsat_lines import on_even_pixels
from imperv.tasks.yearly.lists import read_scene_list, scene_list_digest
from tests.tasks.landsat.test_scenes import computer, product

FILE = """
tiles = ["E44N25"]
store = "store"
[periods]
then = "2005"
now = "2021"
[area]
bbox = [4422000, 2597000, 4425000, 2600000]
[scenes]
catalogue = "items.json"
[scenes.then]
sensor = "landsat"
catalogue = "landsat.json"
"""


@pytest.fixture
def job_of(tmp_path):
    def go(items, more: str = "") -> Job:
        (tmp_path / "landsat.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
        (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
        (tmp_path / "production.toml").write_text(FILE + more)
        return Job.of(Production.read(tmp_path / "production.toml"), "E44N25")

    return go


def items(days):
    found = []
    for day in days:
        item = computer("etm+", product(7, day, kind="E"))
        found.append(item | {"collection": "landsat-c2-l2"})
    return found


MONTHS = [f"2005{month:02d}15" for month in range(1, 13)]


def test_a_list_is_frozen_and_read_again(job_of):
    job, layer = job_of(items(MONTHS)), CATALOGUE["S2_then"]
    made = make_scene_list(job, layer)
    found = read_scene_list(job, "S2_then")
    assert isinstance(found, LandsatList) and len(found.scenes) == 12 and found == search_scenes(job, layer)
    assert made.statistics["sensors"] == ["Landsat 7, ETM+"] and made.statistics["overpasses"] == 12
    assert made.digest == scene_list_digest(found) != scene_list_digest(replace(found, scenes=found.scenes[1:]))
    assert isinstance(frozen_list(SceneList(()).to_json()), SceneList)
    again = make_scene_list(job_of(items(MONTHS[1:])), layer)
    assert len(again.statistics["gone"]) == 1 and "1 scenes gone" in again.warnings[0]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([], "S2_then of tile E44N25: no scenes of Landsat in 2005 in "),
        (["20210615"], "S2_then of tile E44N25: no scenes of Landsat in 2005 in "),
        (MONTHS[:5], "S2_then of tile E44N25: 5 overpasses in 2005, 7 are needed"),
        (
            [f"2005{m:02d}{d}" for m in (1, 2, 3, 10, 11, 12) for d in ("01", "17")],
            "S2_then of tile E44N25: no scenes for 198 days",
        ),
    ],
)
def test_too_few_scenes_are_refused_in_a_line(job_of, days, expected):
    with pytest.raises(InputError) as error:
        make_scene_list(job_of(items(days)), CATALOGUE["S2_then"])
    assert str(error.value).startswith(expected) and len(str(error.value).splitlines()) == 1


def test_a_catalogue_of_another_sensor_has_no_scenes_of_landsat(job_of):
    (item,) = items(["20050615"])
    item["id"], item["properties"] = "S2A_32TPS_20050615_0_L2A", {"datetime": "2005-06-15T10:00:00Z", "platform": "sentinel-2a"}
    item["assets"] = {"red": {"href": "B04.tif"}}
    with pytest.raises(
        InputError, match=r"no scenes of Landsat in 2005 .* 1 items could not be used .*does not say which Landsat"
    ):
        make_scene_list(job_of([item]), CATALOGUE["S2_then"])


def test_a_plan_counts_dates_and_pixels(job_of):
    job, layer = job_of(items(MONTHS)), CATALOGUE["PP_then"]
    unknown = features_cost(job, layer).core_seconds
    make_scene_list(job, CATALOGUE["S2_then"])
    known = features_cost(job, layer).core_seconds
    without = features_cost(job_of(items(MONTHS), "[parameters.preprocessing]\nlandsat_dates = 0\n"), layer).core_seconds
    assert 0 < without < known < unknown


def test_a_scene_that_cannot_be_read_costs_only_itself(job_of):
    make_scene_list(job_of(items(MONTHS)), CATALOGUE["S2_then"])
    scenes = read_scene_list(job_of(items(MONTHS)), "S2_then")
    first, second, third = (scene.id for scene in scenes.scenes[:3])
    asked, looked, lost = [], [], {}

    def work(kept):
        ids = {scene.id for scene in kept.scenes}
        asked.append(len(ids))
        if first in ids:
            raise SceneError(first, "is cut short")
        return ids

    def look(left):
        looked.extend(scene.id for scene in left)
        return {second: "is gone"}

    assert without_lost(scenes, lost, work, look) == {s.id for s in scenes.scenes} - {first, second}
    assert asked == [12, 10] and lost == {first: "is cut short", second: "is gone"} and third in looked and first not in looked

    def others(kept):
        raise SceneError("of another list", "is cut short")

    with pytest.raises(SceneError, match="of another list"):
        without_lost(scenes, {}, others, look)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_windows_lie_on_even_pixels(row, column):
    grid = landsat_geobox((4_422_000, 2_597_000, 4_425_000, 2_600_000), "EPSG:3035")
    fine = fine_geobox(GeoBox((20, 31), grid.affine * Affine.translation(column, row), grid.crs))
    even, first = on_even_pixels(fine)
    assert (even.affine.c % 20, even.affine.f % 20) == (0, 0) and even.shape.y % 2 == even.shape.x % 2 == 0
    assert even.affine * (first[1], first[0]) == (fine.affine.c, fine.affine.f)
    assert even.shape.y >= first[0] + fine.shape.y and even.shape.x >= first[1] + fine.shape.x


def test_the_sensor_of_most_scenes_and_the_longest_gap(job_of):
    make_scene_list(job_of(items(MONTHS)), CATALOGUE["S2_then"])
    scenes = read_scene_list(job_of(items(MONTHS)), "S2_then")
    assert scenes.sensor == "etm+" and LandsatList(()).sensor == ""
    gap = replace(scenes, scenes=scenes.scenes[:2] + scenes.scenes[9:]).longest_gap(Period.parse(2005))
    assert [str(day) for day in gap] == ["2005-02-15", "2005-10-15"]
