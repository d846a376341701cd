"""Which looks there are of an area and time, on which native grid they lie, and the one line where there are none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import shapely
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, box
from shapely.geometry import shape
from shapely.ops import unary_union

from imperv.grids import Bounds, snap_utm, utm_code, utm_geobox
from imperv.layers.reflectance import REFLECTANCE_10M, REFLECTANCE_20M, SCL
from imperv.tasks.errors import InputError
from imperv.tasks.native.looks import Look, data_band
from imperv.tasks.native.pixels import Place, place_of
from imperv.tasks.scenes.access import LOCAL
from imperv.tasks.scenes.catalogues import open_source
from imperv.tasks.scenes.items import time_of
from imperv.tasks.scenes.scenes import Level, SceneCatalogue, SceneList, select_scenes
from imperv.tasks.settings.periods import Period
from imperv.tasks.settings.scenes import SceneAccess

NEEDED = (*REFLECTANCE_10M, *REFLECTANCE_20M)
"""Bands without which nothing is sharpened."""

OPTIONAL = ("B01", "B09", SCL)
"""Bands that are taken where a scene has them; B10 of Level-1C may be asked for."""

COLLECTIONS = {"L2A": "sentinel-2-l2a", "L1C": "sentinel-2-l1c", "auto": "sentinel-2-l2a"}
"""Collection that a STAC API is asked for."""

EVERYWHERE: Bounds = (-180.0, -90.0, 180.0, 90.0)
ALWAYS = Period(dt.date(1, 1, 1), dt.date(9999, 12, 31))

AROUND = 60
"""Days before and after a period in which a STAC API is asked for other dates."""

ALIKE = 0.001
"""Share of an area by which two zones may differ and still show the same; our choice."""

NAMED = 4
"""Dates, or reasons, that a message names."""


def find_scenes(
    source: str | Path,
    bounds: Bounds | None = None,
    period: Period | None = None,
    level: Level = "auto",
    bands: Collection[str] = NEEDED,
    optional: Collection[str] = OPTIONAL,
    collection: str | None = None,
    keys: Mapping[str, str] | None = None,
    boa_offset: str = "auto",
) -> SceneList:
    """Scenes of an area in a period, from one item, a product or any catalogue (`open_source`).

    `bounds` are (west, south, east, north) in degrees, west > east across the antimeridian; None is everywhere, as a period of
    None is always: not for a STAC API. `bands` are needed, `optional` ones taken where they are there. `collection` is that of
    `COLLECTIONS` for an API, and any in files. InputError, in one line, where nothing is found: with the reason why items
    cannot be used, or the nearest dates, or where the scenes lie.
    """
    remote = str(source).startswith(("http://", "https://")) and not str(source).partition("?")[0].endswith(".json")
    if remote and (bounds is None or period is None):
        raise InputError(f"{source}: a STAC API is asked for an area and a date or span; name both")
    if collection is None:
        collection = COLLECTIONS[level] if remote else ""
    try:
        catalogue = open_source(source, collection, bands, level)
        items = catalogue.search(bounds or EVERYWHERE, period or ALWAYS)
        found = select_scenes(items, boa_offset=boa_offset, bands=keys, needed=bands, optional=optional, level=level)
        if not found.scenes:
            raise InputError(_nothing(source, found, catalogue, bounds, period, remote))
    except InputError as error:
        # Without a production file there are no such settings.
        raise InputError(str(error).removeprefix("scenes.catalogue: ").replace("scenes.collection", "the collection")) from None
    return found


def _nothing(
    source: str | Path, found: SceneList, catalogue: SceneCatalogue, bounds: Bounds | None, period: Period | None, remote: bool
) -> str:
    """Why there are no scenes."""
    if found.dropped:
        reasons = [f"{name} {why}" for name, why in found.dropped.items() if not why.startswith("duplicate of")]
        return f"{source}: no scene can be used: {'; '.join(reasons[:NAMED])}{'; ...' if len(reasons) > NAMED else ''}"
    when = f" in {period}" if period and period.start != period.end else f" on {period}" if period else ""
    if period is not None:
        wide = Period(_moved(period.start, -AROUND), _moved(period.end, AROUND)) if remote else ALWAYS
        items = catalogue.search(bounds or EVERYWHERE, wide)
        if days := nearest_days((time_of(item).date() for item in items if "unusable" not in item), period):
            return f"{source}: no scene{when}; the nearest date{'s are' if len(days) > 1 else ' is'} {', '.join(map(str, days))}"
        if remote:
            return f"{source}: no scene{when}, nor within {AROUND} days of it; correct the area or the date"
    items = [item for item in catalogue.search(EVERYWHERE, ALWAYS) if "unusable" not in item]
    if not items:
        return f"{source}: holds no scene of Sentinel-2; name a SAFE product, a STAC item or a catalogue of them"
    west, south, east, north = unary_union([shape(item["geometry"]) for item in items]).bounds
    return (
        f"{source}: the area lies outside of {'the scene' if len(items) == 1 else f'its {len(items)} scenes'}, which "
        f"{'lies' if len(items) == 1 else 'lie'} within {west:.3f} {south:.3f} {east:.3f} {north:.3f} (west south east north)"
    )


def _moved(day: dt.date, days: int) -> dt.date:
    return day + dt.timedelta(days=days)


def nearest_days(days: Iterable[dt.date], period: Period) -> list[dt.date]:
    """The days that are nearest to a period, `NAMED` at most, in order of time."""

    def distance(day: dt.date) -> int:
        return max((period.start - day).days, (day - period.end).days, 0)

    return sorted(sorted(set(days), key=lambda d: (distance(d), d))[:NAMED])


def require_clear(ranked: Sequence[tuple[Look, float, float]], where: str) -> Look:
    """The first of `rank_looks`; InputError where no look has data in the area, or none shows the ground."""
    if not any(data for _, data, _ in ranked):
        raise InputError(
            f"{where}: no scene of {_named(ranked)} has a pixel in the area: it lies beside the swath, outside of the granule, "
            "or in the open sea; choose another area or date"
        )
    if not any(clear for _, _, clear in ranked):
        raise InputError(f"{where}: all of the area lies under cloud, shadow or snow on {_named(ranked)}; choose another date")
    return ranked[0][0]


def _named(ranked: Sequence[tuple[Look, float, float]]) -> str:
    days = sorted({look.day for look, _, _ in ranked})
    return ", ".join(map(str, days[:NAMED])) + (f" and {len(days) - NAMED} other dates" if len(days) > NAMED else "")


def native_grid(
    looks: Sequence[Look], bounds: Bounds | None = None, resolution: float = 10, access: SceneAccess = LOCAL
) -> GeoBox:
    """Native grid of an area in degrees, or of all that looks cover, in the UTM zone whose granules show most of it.

    Nothing is resampled of granules of that zone. Of equal zones it is that of the middle of the area. InputError where no
    granule reaches into the area.
    """
    places = {
        scene.id: place_of(scene.bands[band], scene.id, band, access)
        for look in looks
        for scene in look.scenes
        for band in [data_band(scene)]
    }
    zones: dict[int, list[Place]] = {}
    for place in places.values():
        zones.setdefault(place.epsg, []).append(place)
    if bounds is None:
        epsg = max(sorted(zones), key=lambda zone: _covered(zones[zone], None))
        left, bottom, right, top = zip(*(place.bounds for place in zones[epsg]), strict=True)
        return snap_utm((min(left), min(bottom), max(right), max(top)), epsg, resolution)
    west, south, east, north = bounds
    bounds = (west, south, east + 360 * (east < west), north)
    area = box(*bounds, "EPSG:4326")
    shown = {zone: _covered(found, area) for zone, found in zones.items()}
    if not any(shown.values()):
        raise InputError(
            f"the area {west:g} {south:g} {east:g} {north:g} (west south east north) lies outside of {', '.join(places)}"
        )
    middle = area.centroid.coords[0]
    home = utm_code((middle[0] + 180) % 360 - 180, middle[1])
    most = max(shown.values())
    epsg = max(sorted(zones), key=lambda zone: (shown[zone] > most - ALIKE, zone == home, shown[zone]))
    return utm_geobox(bounds, "EPSG:4326", resolution, epsg)


def _covered(places: Sequence[Place], area: Geometry | None) -> float:
    """Share of an area that granules of one zone show, or square metres of all that they show."""
    ground = unary_union([shapely.box(*place.bounds) for place in places])
    if area is None:
        return float(ground.area)
    span = max(area.boundingbox.span_x, area.boundingbox.span_y)
    outline = area.segmented(span / 32).to_crs(f"EPSG:{places[0].epsg}").geom
    return float((ground & outline).area / outline.area)
