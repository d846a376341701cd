"""Frozen lists of scenes in the store, of Sentinel-2 or Landsat, and what counts of them in keys."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from imperv.tasks.addresses import identity
from imperv.tasks.errors import WorkError
from imperv.tasks.job import Job
from imperv.tasks.landsat.scenes import BandFile, LandsatList, frozen_list
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.store.records import digest_of


def read_scene_list(job: Job, symbol: str) -> SceneList | LandsatList:
    """The frozen scene list of a period."""
    text = job.store.read_text(job.place(symbol).data)
    if text is None:
        raise WorkError(f"{symbol} of tile {job.tile}: the scene list is gone; run again")
    return frozen_list(text)


def scene_list_digest(scenes: SceneList | LandsatList) -> str:
    """Hash of what is read, wherever it lies and whoever signed for it: ids, times, offsets, overpasses, names and sizes."""
    if isinstance(scenes, LandsatList):
        said = [{band: _said(file) for band, file in s.bands.items()} for s in scenes.scenes]
        return digest_of([(s.id, s.datetime, s.overpass, s.row, f) for s, f in zip(scenes.scenes, said, strict=True)])
    files = [{band: (Path(identity(file)).name, _size(file)) for band, file in s.bands.items()} for s in scenes.scenes]
    return digest_of([(s.id, s.datetime, s.subtract, s.overpass, f) for s, f in zip(scenes.scenes, files, strict=True)])


def _size(path: str) -> int:
    """Bytes of a local file and of a mask beside it; -1 where there is none or it lies elsewhere."""
    try:
        size = Path(path).stat().st_size
    except OSError:
        return -1
    with suppress(OSError):
        size += Path(f"{path}.msk").stat().st_size
    return size


def _said(file: BandFile) -> tuple[Any, ...]:
    """A band of Landsat: name, size, and what its numbers mean."""
    return Path(identity(file.href)).name, _size(file.href), file.scale, file.offset, file.nodata
