"""The frozen list of scenes of a tile and period.

A run uses the frozen list, whatever the catalogue says later, until it is told to refresh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from imperv.layers.catalogue import Layer
from imperv.tasks.addresses import identity
from imperv.tasks.errors import InputError
from imperv.tasks.families import family
from imperv.tasks.job import Job, Made
from imperv.tasks.landsat.scenes import LandsatList, LandsatScene, frozen_list, select_landsat
from imperv.tasks.projections import in_degrees
from imperv.tasks.scenes.catalogues import open_source
from imperv.tasks.scenes.scenes import Scene, SceneCatalogue, SceneList, select_scenes
from imperv.tasks.settings.scenes import LANDSAT, Scenes
from imperv.tasks.yearly.lists import scene_list_digest
from imperv.tasks.yearly.preprocessing import too_few


def open_catalogue(job: Job, settings: Scenes | None = None) -> SceneCatalogue:
    """The catalogue that the production names, or that of a period's own settings."""
    settings = settings or job.production.scenes
    return open_source(job.path(settings.catalogue), settings.collection, family(job.family).bands, settings.level)


def search_scenes(job: Job, layer: Layer) -> SceneList | LandsatList:
    """Ask the catalogue for the scenes of a layer's period and decide which to use."""
    settings, product = job.production.scenes.of(layer.role), family(job.family)
    if settings.level not in (*product.levels, *(("auto",) if len(product.levels) > 1 else ())):
        raise InputError(f'scenes.level: {job.family} reads {" or ".join(product.levels)}, not "{settings.level}"; correct it')
    bounds = in_degrees(job.bounds)
    items = list(open_catalogue(job, settings).search(bounds, job.period(layer)[0]))
    if settings.sensor == LANDSAT:
        return select_landsat(items, s3=settings.access.requester_pays)
    keys = {key for item in items for key in item.get("assets", ())}
    for band, key in settings.bands.items():
        if keys and key not in keys:
            raise InputError(f"scenes.bands.{band}: no item has an asset {key}; they have {', '.join(sorted(keys)[:30])}")
    return select_scenes(
        items, boa_offset=settings.boa_offset, bands=settings.bands, needed=product.bands, optional=product.more_bands,
        level=settings.level,
    )  # fmt: skip


def scenes_ingredients(job: Job, layer: Layer) -> dict[str, Any]:
    """What the frozen list depends on."""
    settings = job.production.scenes.of(layer.role)
    if settings.sensor == LANDSAT:
        return {
            "sensor": LANDSAT, "catalogue": identity(job.path(settings.catalogue)), "collection": settings.collection,
            "s3": settings.access.requester_pays,
        }  # fmt: skip
    return {
        "catalogue": identity(job.path(settings.catalogue)), "collection": settings.collection,
        "boa_offset": settings.boa_offset, "bands": dict(settings.bands),
        **({} if settings.level == "L2A" else {"level": settings.level}),
    }  # fmt: skip


def require_enough(job: Job, layer: Layer, found: SceneList | LandsatList) -> None:
    """Raise InputError, before any pixel is read, if scenes cannot describe a year.

    Limits are `max_lost_share` (lost scenes), `min_observations` (overpasses) and `max_gap_days` (time without an overpass).
    """
    settings, period = job.production.parameters.preprocessing, job.period(layer)[0]
    where = job.path(job.production.scenes.of(layer.role).catalogue)
    require_any(job, layer, found)
    in_all = len(found.scenes) + len(found.lost)
    if len(found.lost) > settings.max_lost_share * in_all:
        raise InputError(
            f"{layer.symbol} of tile {job.tile}: {len(found.lost)} of {in_all} scenes cannot be used "
            f"({_some(found.reasons)}); "
            f"mend them in {where} or raise parameters.preprocessing.max_lost_share"
        )
    overpasses = len(found.overpasses)
    if overpasses < settings.min_observations:
        raise InputError(too_few(job, layer, overpasses))
    since, until = found.longest_gap(period)
    if (days := (until - since).days) > settings.max_gap_days:
        raise InputError(
            f"{layer.symbol} of tile {job.tile}: no scenes for {days} days, from {since} to {until}, in {where}, "
            f"{settings.max_gap_days} are allowed; add scenes or raise parameters.preprocessing.max_gap_days"
        )


SHOWN = 5
"""Items that a message names."""


def _some(reasons: Mapping[str, str]) -> str:
    """The first of some items with the reason of each."""
    named = "; ".join(f"{name}: {why}" for name, why in list(reasons.items())[:SHOWN])
    return f"{named}{'; ...' if len(reasons) > SHOWN else ''}"


def require_any(job: Job, layer: Layer, found: SceneList | LandsatList) -> None:
    """Raise InputError where there is no scene at all."""
    if not found.scenes:
        settings = job.production.scenes.of(layer.role)
        sensor = " of Landsat" if settings.sensor == LANDSAT else ""
        left_out = f", {len(found.dropped)} items could not be used ({_some(found.dropped)})" if found.dropped else ""
        raise InputError(
            f"{layer.symbol} of tile {job.tile}: no scenes{sensor} in {job.period(layer)[0]} in "
            f"{job.path(settings.catalogue)}{left_out}; correct scenes.catalogue, scenes.collection or the periods"
        )


def make_scene_list(job: Job, layer: Layer) -> Made:
    """Freeze the scene list of a year; InputError if there are not enough scenes (`require_enough`)."""
    return freeze_scenes(job, layer, require_enough)


def freeze_scenes(job: Job, layer: Layer, require: Callable[[Job, Layer, Any], None] = require_any) -> Made:
    """Freeze the scene list of any period; `require` raises InputError where it does not suffice."""
    found = search_scenes(job, layer)
    require(job, layer, found)
    place = job.place(layer.symbol)
    changed = _difference(job.store.read_text(place.data), found)
    job.store.replace_text(place, found.to_json())
    days = sorted(s.day for s in found.scenes)
    sensors = {"sensors": sorted({s.reason for s in found.scenes})} if isinstance(found, LandsatList) else {}
    statistics = {
        **sensors, "scenes": len(found.scenes), "overpasses": len(found.overpasses), "dropped": dict(found.dropped),
        "first": str(days[0]), "last": str(days[-1]),
        "offset_subtracted": sum(s.subtract > 0 for s in found.scenes),
        "lost_items": found.reasons,
    }  # fmt: skip
    warnings = [f"scene {name} left out: {why}" for name, why in found.reasons.items()]
    return Made(scene_list_digest(found), {**statistics, **changed}, (*warnings, *_in_words(changed)))


def _difference(old: str | None, new: SceneList | LandsatList) -> dict[str, list[str]]:
    """Scenes that a list has gained, lost and sees otherwise since it was frozen."""
    if old is None:
        return {}
    before, after = ({s.id: s for s in scenes.scenes} for scenes in (frozen_list(old), new))
    return {
        "added": sorted(after.keys() - before.keys()),
        "gone": sorted(before.keys() - after.keys()),
        "decided otherwise": sorted(k for k in after.keys() & before.keys() if _decision(after[k]) != _decision(before[k])),
    }


def _decision(scene: Scene | LandsatScene) -> tuple[str, int]:
    """What of a scene changes its pixels under the same id."""
    return scene.baseline, scene.subtract


def _in_words(changed: dict[str, list[str]]) -> list[str]:
    """The difference for people."""
    return [
        f"{len(names)} scenes {what}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
        for what, names in changed.items()
        if names
    ]


def scenes_external(job: Job, layer: Layer) -> dict[str, Any]:
    """What a scene list depends on."""
    return {"scenes": scenes_ingredients(job, layer)}
