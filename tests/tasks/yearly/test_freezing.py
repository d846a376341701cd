"""The level of scenes as a setting: nothing changes where it is the usual one, and no product gets what it cannot read."""

from __future__ import annotations

import pytest

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.yearly.freezing import scenes_ingredients, search_scenes


def job_of(file, level: str = "") -> Job:
    if level:
        file.write_text(file.read_text().replace("[scenes]\n", f'[scenes]\nlevel = "{level}"\n'))
    return Job.of(Production.read(file), "E38N31")


@pytest.mark.parametrize("level", ["", "L2A"])
def test_the_usual_level_is_in_no_key(flanders_file, level):
    found = scenes_ingredients(job_of(flanders_file, level), CATALOGUE["S2_then"])
    assert set(found) == {"catalogue", "collection", "boa_offset", "bands"}


@pytest.mark.parametrize("level", ["L1C", "auto"])
def test_another_level_is_in_the_key_and_refused_where_it_cannot_be_read(flanders_file, level):
    job, layer = job_of(flanders_file, level), CATALOGUE["S2_then"]
    assert scenes_ingredients(job, layer)["level"] == level
    with pytest.raises(InputError, match=f'scenes.level: imperviousness reads L2A, not "{level}"; correct it'):
        search_scenes(job, layer)
