"""`imperv config check`: everything in a production file that can be checked without computing anything."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlparse

from botocore.exceptions import BotoCoreError, ClientError

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.addresses import shown
from imperv.tasks.delivery.geotiff import load_gdal
from imperv.tasks.errors import ImpervError, InputError, WorkError, disk_trouble
from imperv.tasks.imperviousness.nodes.clcplus import clcplus_missing
from imperv.tasks.imperviousness.nodes.distance import shape_files
from imperv.tasks.job import Job
from imperv.tasks.references.footprints import count_footprints
from imperv.tasks.references.references import SETTING, check_reference, open_reference, partly_covered
from imperv.tasks.scenes.access import ask, is_remote
from imperv.tasks.scenes.scenes import SCL, SceneList
from imperv.tasks.settings.production import Production
from imperv.tasks.store.store import Store
from imperv.tasks.vectors.osm import check_shapes
from imperv.tasks.yearly.freezing import require_enough, search_scenes

TRIAL = "runs/check.data.json"
"""Object that is written into an object store, and removed, to see whether it can be."""


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One line of the check."""

    level: Level
    text: str

    def __post_init__(self) -> None:
        """Keep signatures of addresses out of the line."""
        object.__setattr__(self, "text", shown(self.text))


def check_production(production: Production) -> Iterator[Finding]:
    """What is right, doubtful and wrong, each error once, as it is found; nothing is left in the store or elsewhere."""
    if not production.tile_names:
        yield Finding(Level.ERROR, 'tiles: no tile is named; add one such as tiles = ["E43N32"]')
    told: set[str] = set()
    for look in _looks(production):
        try:
            yield from look
        except (ImpervError, OSError, BotoCoreError, ClientError) as error:
            lines = str(error).splitlines() if isinstance(error, ImpervError) else [" ".join(str(error).split())]
            for line in dict.fromkeys(lines):
                if line not in told:
                    told.add(line)
                    yield Finding(Level.ERROR, line)


def _looks(production: Production) -> Iterator[Iterator[Finding]]:
    """All single checks, one after the other."""
    yield _contact(production)
    yield _store(production)
    yield _dask(production)
    yield _gdal()
    for name in production.tile_names:
        try:
            job = Job.of(production, name)
        except ImpervError as error:
            yield iter([Finding(Level.ERROR, str(error))])
            continue
        yield from (_reference(job, symbol) for symbol in SETTING)
        yield _footprints(job)
        yield from (_scenes(job, symbol) for symbol in ("S2_then", "S2_now"))


def _ok(text: str) -> Finding:
    return Finding(Level.OK, text)


def _warning(text: str) -> Finding:
    return Finding(Level.WARNING, text)


def _contact(production: Production) -> Iterator[Finding]:
    if production.delivery.contact is None:
        yield _warning(
            "delivery.contact: nobody is named to ask: the metadata of products will say missing, and there are no packages; "
            "add [delivery.contact] with organisation and email"
        )


def _store(production: Production) -> Iterator[Finding]:
    """Whether the store can be written, which is tried by a file without a name, or in an object store by one that is removed."""
    store = Store(production.store_url, production.store_options)
    if store.is_local:
        _require_writable(Path(store.root))
    else:
        try:
            store.write_text(TRIAL, "{}\n")
            store.fs.rm_file(store.full(TRIAL))
        except (OSError, BotoCoreError, ClientError) as error:
            raise InputError(f"store: {production.store_url}: {' '.join(str(error).split())}") from None
    yield _ok(f"store: {production.store_url} can be written")


def _require_writable(folder: Path) -> None:
    """Raise where a folder, or what it will be made in, cannot be written; the folders in it count."""
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        for place in (there, *(child for child in folder.glob("*") if child.is_dir())):
            with tempfile.TemporaryFile(dir=place):
                pass
    except OSError as error:
        raise disk_trouble(error, str(folder)) from None


def _dask(production: Production) -> Iterator[Finding]:
    address = production.engine.dask_address
    if address:
        parts = urlparse(address)
        try:
            socket.create_connection((parts.hostname or "", parts.port or 8786), timeout=5).close()
        except OSError as error:
            raise InputError(
                f"engine.dask_address: {address} does not answer ({error}); start the scheduler or clear the key"
            ) from None
        yield _ok(f"engine.dask_address: {address} answers")


def _gdal() -> Iterator[Finding]:
    yield _ok(f"GDAL {load_gdal().__version__} writes the maps")


def _reference(job: Job, symbol: str) -> Iterator[Finding]:
    key = f"{job.tile}: references.{SETTING[symbol]}"
    if symbol == "CLCP_now" and (reason := clcplus_missing(job)):
        told = _warning if job.production.references.clcplus_now else _ok
        yield told(f"{key}: {reason}: a proxy takes its place")
        for theme, paths in shape_files(job).items():
            for path in paths:
                yield _ok(f"{job.tile}: references.{theme}: {path}, layers with {theme}: {', '.join(check_shapes(path, theme))}")
        return
    path, source = open_reference(job, symbol)
    with source:
        share = check_reference(job, symbol, source, path)
        yield _ok(f"{key}: {path}, {source.width} x {source.height} px, {source.crs.to_string()}")
        if share < 1:
            yield _warning(f"{key}: {partly_covered(path, share)}")


def _footprints(job: Job) -> Iterator[Finding]:
    key = f"{job.tile}: references.footprints"
    tallies = count_footprints(job)
    for tally in tallies:
        files = "" if tally.files == 1 else f" ({tally.files} files)"
        yield _ok(f"{key}: {tally.entry}{files}, {tally.used} polygons in the area")
        yield from (_warning(f"{key}: {line}") for line in tally.trouble(str(job.tile)))
    if not any(tally.used for tally in tallies):
        yield _warning(f"{key}: 0 usable footprints: no model of built-up can learn from this tile; name files that cover it")


def _scenes(job: Job, symbol: str) -> Iterator[Finding]:
    layer = CATALOGUE[symbol]
    scenes = search_scenes(job, layer)
    require_enough(job, layer, scenes)
    subtract = sum(s.subtract > 0 for s in scenes.scenes)
    yield _ok(
        f"{job.tile}: {symbol}: {len(scenes.overpasses)} overpasses, {len(scenes.scenes)} scenes, "
        f"{len(scenes.dropped)} left out, offset subtracted from {subtract}"
    )
    for name, why in scenes.reasons.items():
        yield _warning(f"{job.tile}: {symbol}: scene {name} left out: {why}")
    if symbol == "S2_now":
        yield from _pixels(job, scenes)


def _pixels(job: Job, scenes: SceneList) -> Iterator[Finding]:
    """Whether a file of a scene can be had, where scenes lie on servers."""
    path = next((scene.bands[SCL] for scene in scenes.scenes if is_remote(scene.bands[SCL])), None)
    if path is not None:
        answer = ask(path, job.production.scenes.access)
        if answer.state != "there":
            raise WorkError(
                f"{job.tile}: scenes: {path} cannot be had ({answer.detail}); correct scenes.access, or wait for the server"
            )
        yield _ok(f"{job.tile}: scenes: {path} can be had")
