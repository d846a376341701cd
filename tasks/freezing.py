"""S2_then and S2_now: the frozen list of scenes of a tile and period.

A run uses the frozen list, whatever the catalogue says later, until it is told to refresh.
"""

from __future__ import annotations

from typing import Any

from layers.catalogue import Layer
from tasks.errors import InputError
from tasks.job import Job, Made
from tasks.preprocessing import scene_list_digest, too_few
from tasks.records import TO_LONLAT
from tasks.scenes import ItemFiles, SceneCatalogue, SceneList, select_scenes


def open_catalogue(job: Job) -> SceneCatalogue:
    """The catalogue that the production names.

    Raises
    ------
    InputError
        If it is of a kind that is not understood.
    """
    settings = job.production.scenes
    path = job.production.path(settings.catalogue)
    if "://" in path:
        raise InputError(f"scenes.catalogue: {path}: only files and folders of STAC items are read by this version")
    return ItemFiles(path, settings.collection)


def search_scenes(job: Job, layer: Layer) -> SceneList:
    """Ask the catalogue for the scenes of a layer's period and decide which to use."""
    settings = job.production.scenes
    bounds = TO_LONLAT.transform_bounds(*job.bounds, densify_pts=21)
    items = open_catalogue(job).search(bounds, job.period(layer)[0])
    return select_scenes(items, boa_offset=settings.boa_offset, bands=settings.bands)


def scenes_ingredients(job: Job, layer: Layer) -> dict[str, Any]:
    """What the frozen list depends on."""
    settings = job.production.scenes
    return {
        "catalogue": job.production.path(settings.catalogue), "collection": settings.collection,
        "boa_offset": settings.boa_offset, "bands": dict(settings.bands),
    }  # fmt: skip


def make_scene_list(job: Job, layer: Layer) -> Made:
    """Freeze the scene list.

    Raises
    ------
    InputError
        If there are no scenes, or fewer overpasses than `min_observations`.
    """
    found, period = search_scenes(job, layer), job.period(layer)[0]
    if not found.scenes:
        raise InputError(
            f"{layer.symbol} of tile {job.tile}: no scenes in {period} in "
            f"{job.production.path(job.production.scenes.catalogue)}"
            f"{f', {len(found.dropped)} items could not be used' if found.dropped else ''}; "
            "correct scenes.catalogue or the periods"
        )
    overpasses = len(found.overpasses)
    if overpasses < job.production.parameters.preprocessing.min_observations:
        raise InputError(too_few(job, layer, overpasses))
    place = job.place(layer.symbol)
    changed = _difference(job.store.read_text(place.data), found)
    job.store.remove_record(place.record)
    job.store.write_text(place.data, found.to_json())
    days = sorted(s.day for s in found.scenes)
    statistics = {
        "scenes": len(found.scenes), "overpasses": overpasses, "dropped": dict(found.dropped),
        "first": str(days[0]), "last": str(days[-1]),
        "offset_subtracted": sum(s.subtract > 0 for s in found.scenes),
    }  # fmt: skip
    return Made(scene_list_digest(found), {**statistics, **changed}, tuple(_in_words(changed)))


def _difference(old: str | None, new: SceneList) -> dict[str, list[str]]:
    """Scenes that a list has gained and lost since it was frozen."""
    if old is None:
        return {}
    before, after = ({s.id for s in scenes.scenes} for scenes in (SceneList.from_json(old), new))
    return {"added": sorted(after - before), "gone": sorted(before - after)}


def _in_words(changed: dict[str, list[str]]) -> list[str]:
    """The difference for people."""
    return [
        f"{len(names)} scenes {what}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
        for what, names in changed.items()
        if names
    ]
