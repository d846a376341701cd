"""Scenes of the two periods: by one sensor, or the one by Sentinel-2 and the other by Landsat (docs/landsat.md)."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from imperv.tasks.landsat.scenes import COLLECTION
from imperv.tasks.settings.frozen import Frozen
from imperv.tasks.settings.paths import PathText
from imperv.tasks.settings.scenes import LANDSAT, SENTINEL2, SceneAccess, Scenes


def _known(value: object) -> object:
    """A sensor's name; ValueError with the nearest one for another."""
    if value in (None, SENTINEL2, LANDSAT):
        return value
    close = difflib.get_close_matches(str(value).lower(), (SENTINEL2, LANDSAT), n=1, cutoff=0.3)
    hint = f"did you mean {close[0]}?" if close else f"write {SENTINEL2} or {LANDSAT}"
    raise ValueError(f"there is no sensor {value!r}; {hint}")


Sensor = Annotated[Literal["sentinel-2", "landsat"], BeforeValidator(_known)]


class PeriodScenes(Frozen):
    """Where the scenes of one period come from; what is missing is as in `[scenes]`."""

    sensor: Sensor | None = None
    """What sees the period: ``sentinel-2`` or ``landsat``."""
    catalogue: PathText | None = None
    """STAC API, file or folder of STAC items, or static catalogue; for Sentinel-2 a folder of SAFE products too."""
    collection: str | None = None
    """Collection asked for; of Landsat, where neither this nor `[scenes]` of Landsat names one, ``landsat-c2-l2``."""
    access: SceneAccess | None = None
    """How their files are reached."""


class YearScenes(Scenes):
    """Where scenes come from."""

    sensor: Sensor = SENTINEL2  # type: ignore[assignment]
    """What sees both periods, unless the table of a period says otherwise: ``sentinel-2`` or ``landsat``."""
    then: PeriodScenes = PeriodScenes()
    now: PeriodScenes = PeriodScenes()

    def seen_by(self, *roles: str) -> str:
        """As `Scenes.seen_by`."""
        found = {self.of(role).sensor for role in roles or ("then", "now")}
        return " and ".join(name for key, name in ((SENTINEL2, "Sentinel-2"), (LANDSAT, "Landsat")) if key in found)

    def of(self, role: str) -> Scenes:
        """As `Scenes.of`, with the sensor's usual collection where none is named."""
        own: PeriodScenes = getattr(self, role)
        found: dict[str, Any] = {name: value for name, value in own if value is not None}
        changed = found.get("sensor", self.sensor) != self.sensor
        if "collection" not in found and (changed or "collection" not in self.model_fields_set):
            usual = {SENTINEL2: Scenes.model_fields["collection"].default, LANDSAT: COLLECTION}
            found["collection"] = usual[found.get("sensor", self.sensor)]
        return self.model_copy(update=found)
