"""Projects of a portal: folders with a production file, a store, and what a person drew; made from templates.

A folder of projects has ``templates/NAME.toml``, production files without place and period that its owner wrote: catalogue and
references come from there, never from a page. A project is ``<id>/`` with ``production.toml``, which every command of `imperv`
reads, and ``project.json``, its label. Ids are made here. What is put in the trash is moved to ``trash/<id>``.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from imperv.grids.tiles import NEWEST, Tile, official_tiles
from imperv.grids.windows import snap_outward
from imperv.tasks.errors import InputError
from imperv.tasks.families import family
from imperv.tasks.files import write_whole
from imperv.tasks.job import Job, utc_now
from imperv.tasks.settings.files import write_production
from imperv.tasks.settings.paths import resolve_paths
from imperv.tasks.settings.production import Production, product_of, production_class
from imperv.tasks.settings.toml_files import read_toml

TEMPLATES, TRASH = "templates", "trash"
"""Folders beside the projects."""

ID = r"^[0-9a-f]{12}$"
"""Pattern of the id of a project."""

TEMPLATE = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$"
"""Pattern of the name of a template."""

MOST_PROJECTS = 500
"""In a folder."""

MOST_AREA = 10_000
"""Of a project, km2: a whole tile."""

LABEL = 80
"""Most characters of a label."""

SOMEWHERE = (4_321_000, 3_210_000, 4_322_000, 3_211_000)
"""On land, EPSG:3035: where templates are tried."""

FREE = 2 * 2**30
"""Bytes of the disk that stay free."""


class MissingError(Exception):
    """There is no such project."""


@dataclass(frozen=True)
class Template:
    """A production file without place and period."""

    name: str
    file: Path
    product: str

    @property
    def title(self) -> str:
        """Title of its product."""
        return family(self.product).title

    @property
    def takes_span(self) -> bool:
        """Whether a project has one span; else its periods are the template's."""
        return "span" in production_class(self.product, str(self.file)).model_fields["periods"].annotation.model_fields  # type: ignore[union-attr]

    @property
    def span(self) -> str:
        """Span that its file names, which the form begins with; empty where it names none."""
        periods = read_toml(self.file).get("periods")
        return str(periods.get("span", "")) if isinstance(periods, dict) else ""

    def table(
        self, bbox: Sequence[float], span: str, more: Mapping[str, Any] | None = None, beside: bool = False
    ) -> dict[str, Any]:
        """Table of a production file for a place and period; InputError if the template cannot be read.

        Its paths are absolute; those that the template has from its own folder go from a project `beside` that on request, so
        that the folder of projects can be moved.
        """
        table = read_toml(self.file)
        kind = production_class(self.product, str(self.file))
        resolved = resolve_paths(table, kind, self._from_project if beside else self._path)
        area = tuple(float(v) for v in bbox)
        found = resolved | {"store": "store", "tiles": tiles_of(area), "area": {"bbox": list(area)}}
        found.pop("aoi", None)
        found.pop("countries", None)
        if self.takes_span:
            found["periods"] = {"span": span}
        return merged(found, more or {})

    def check(self) -> None:
        """InputError if it would be wrong wherever a project is."""
        with shown_as(self.file, f"template {self.name}"):
            Production.of(self.table(SOMEWHERE, "2021"), self.file)

    def _path(self, text: str) -> str:
        return text if "://" in text or text.startswith("/vsi") else str((self.file.parent / text).absolute())

    def _from_project(self, text: str) -> str:
        elsewhere = "://" in text or text.startswith("/")
        return text if elsewhere else os.path.normpath(Path("..", self.file.parent.name, text))


@dataclass(frozen=True)
class Project:
    """A project of a folder."""

    id: str
    folder: Path

    @property
    def config(self) -> Path:
        """Its production file."""
        return self.folder / "production.toml"

    @cached_property
    def about(self) -> dict[str, str]:
        """Label, template, and when it was made: texts, whatever its file holds."""
        try:
            found = json.loads((self.folder / "project.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        table = found if isinstance(found, dict) else {}
        kept = {key: table.get(key) for key in ("label", "template", "created")}
        return {"label": self.id, "template": "", "created": ""} | {k: v for k, v in kept.items() if isinstance(v, str)}

    def production(self) -> Production:
        """Its production; InputError if the file is wrong."""
        with shown_as(self.config, self.config.name):
            return Production.read(self.config)

    def jobs(self) -> list[Job]:
        """The job of each of its tiles."""
        production = self.production()
        return [Job.of(production, tile) for tile in production.tile_names]


@dataclass(frozen=True)
class Projects:
    """A folder of projects."""

    folder: Path

    def templates(self) -> dict[str, Template]:
        """Templates by name; those that name no known product are left out."""
        found = {}
        for file in sorted((self.folder / TEMPLATES).glob("*.toml")):
            if not re.match(TEMPLATE, file.stem):
                continue
            try:
                product = str(product_of(read_toml(file)))
                production_class(product, str(file))
            except InputError:
                continue
            found[file.stem] = Template(file.stem, file, product)
        return found

    def every(self) -> list[Project]:
        """All projects, the newest first."""
        folders = self.folder.iterdir() if self.folder.is_dir() else ()
        found = [Project(f.name, f) for f in folders if re.match(ID, f.name) and (f / "production.toml").is_file()]
        return sorted(found, key=lambda project: (project.about["created"], project.id), reverse=True)

    def find(self, name: str) -> Project:
        """The project of an id; MissingError if there is none."""
        project = Project(name, self.folder / name)
        if not re.match(ID, name) or not project.config.is_file():
            raise MissingError(f"there is no project {name} here")
        return project

    def draft(
        self, template: str, bbox: Sequence[float], span: str, more: Mapping[str, Any] | None = None, folder: Path | None = None
    ) -> Production:
        """The production that a project would have, in `folder`; nothing is written. InputError if anything is wrong with it."""
        file = (folder or self.folder / "new") / "production.toml"
        table = self._table(template, bbox, span, more)
        with shown_as(file):
            return Production.of(table, file)

    def create(
        self, label: str, template: str, bbox: Sequence[float], span: str, more: Mapping[str, Any] | None = None
    ) -> Project:
        """Make a project.

        Parameters
        ----------
        label
            What a person calls it.
        template
            Name of a template.
        bbox
            [left, bottom, right, top] in EPSG:3035, snapped outward to whole kilometres.
        span
            Year, month or days; ignored by products that have other periods.
        more
            Further keys of the production file.

        Raises
        ------
        InputError
            If anything is wrong with it, there are too many projects, or the disk is nearly full.
        """
        table = self._table(template, bbox, span, more, beside=True)
        if len(self.every()) >= MOST_PROJECTS:
            raise InputError(f"there are {MOST_PROJECTS} projects here; put some in the trash")
        if free_bytes(self.folder) < FREE:
            raise InputError(f"the disk has less than {FREE // 2**30} GiB free; empty the folder {TRASH}")
        name = secrets.token_hex(6)
        making = self.folder / f".{name}"
        making.mkdir()
        try:
            about = {"label": _label(label), "template": template, "created": utc_now()}
            (making / "project.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
            with shown_as(making / "production.toml"):
                write_production(table, making / "production.toml", f"A project of the portal, from the template {template}.")
            making.rename(self.folder / name)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        return self.find(name)

    def rename(self, name: str, label: str) -> Project:
        """Give a project another label."""
        project = self.find(name)
        write_whole(project.folder / "project.json", json.dumps(project.about | {"label": _label(label)}) + "\n")
        return self.find(name)

    def discard(self, name: str) -> None:
        """Move a project to the trash."""
        project = self.find(name)
        (self.folder / TRASH).mkdir(exist_ok=True)
        project.folder.rename(self.folder / TRASH / f"{name}-{secrets.token_hex(3)}")

    def _table(
        self, template: str, bbox: Sequence[float], span: str, more: Mapping[str, Any] | None, beside: bool = False
    ) -> dict[str, Any]:
        known = self.templates()
        if template not in known:
            raise InputError(f"there is no template {template}; there are {', '.join(known) or 'none'}")
        with shown_as(known[template].file, f"template {template}"):
            return known[template].table(region_of(bbox), span, more, beside)


@contextmanager
def shown_as(file: Path, name: str = "") -> Iterator[None]:
    """In the block, lines about a file name it as people know it: where it lies is the server's affair."""
    try:
        yield
    except InputError as error:
        raise type(error)(str(error).replace(f"{file}: ", f"{name}: " if name else "")) from None


def merged(table: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """A table with further keys, also in the tables of it."""
    found = dict(table)
    for key, value in more.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if both else value
    return found


def free_bytes(folder: Path) -> int:
    """Bytes that the disk of a folder has free."""
    return shutil.disk_usage(folder).free


def region_of(bbox: Sequence[float]) -> tuple[int, int, int, int]:
    """A region snapped outward to whole kilometres; InputError if it is none, or too large."""
    try:
        left, bottom, right, top = snap_outward(bbox)
    except ValueError as error:
        raise InputError(str(error)) from None
    if (area := (right - left) * (top - bottom) / 1e6) > MOST_AREA:
        raise InputError(f"the region has {area:.0f} km2; at most {MOST_AREA} km2")
    return left, bottom, right, top


def tiles_of(bbox: Sequence[float]) -> list[str]:
    """Official tiles that a region touches; InputError if there is none."""
    left, bottom, right, top = bbox
    found = []
    for name in official_tiles(NEWEST):
        a, b, c, d = Tile(name).bounds
        if left < c and a < right and bottom < d and b < top:
            found.append(name)
    if not found:
        raise InputError("the region touches no tile: it lies in the sea, or outside of the 38 countries of the EEA and the UK")
    return found


def projects_in(place: Path) -> Projects:
    """The folder of projects, made if need be; InputError where it cannot be."""
    try:
        (place / TEMPLATES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--projects: {place} cannot be made ({error.strerror}); name another folder") from None
    return Projects(place.absolute())


def _label(text: str) -> str:
    label = " ".join(text.split())
    if not label or len(label) > LABEL or not label.isprintable():
        raise InputError(f"name: give the project a name of 1 to {LABEL} characters")
    return label
