"""What a portal shows: the store, production or folder that it was started on, and projects, opened when they are asked for."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from imperv.flows.portal import teaching
from imperv.flows.portal.jobs import KINDS, Jobs
from imperv.flows.portal.projects import MissingError, Project, Projects, projects_in, shown_as
from imperv.flows.portal.site import NoSource, Site, site_of_production
from imperv.tasks.maps.tiles import MapTiles

IDLE = 600.0
"""Seconds after which a project that nobody looks at is not watched any more."""


@dataclass
class Opened:
    """A project that somebody looks at."""

    site: Site
    stamp: int
    """Of its production file."""
    asked: float


@dataclass
class Sites:
    """Sites of a portal."""

    main: Site
    """What it was started on; one without layers where that is a folder of projects."""
    projects: Projects | None = None
    jobs: Jobs | None = None
    """Of the projects."""
    tiles: MapTiles = field(default_factory=MapTiles)
    """Shared by all projects, so that their memory is bounded together."""
    opened: dict[str, Opened] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def kind(self, name: str) -> str:
        """What a page is of: ``viewer``, ``projects``, or a ``project``."""
        return "project" if name else "viewer" if self.projects is None else "projects"

    def project(self, name: str) -> Project:
        """A project by its id; MissingError if there is none."""
        if self.projects is None:
            raise MissingError("this portal has no projects; start it with --projects FOLDER")
        return self.projects.find(name)

    def of(self, name: str) -> Site:
        """The main site, or that of a project, watched from now on.

        MissingError if there is no such project, InputError if its file is wrong.
        """
        if not name:
            return self.main
        project = self.project(name)
        stamp = project.config.stat().st_mtime_ns
        with self.lock:
            self._forget()
            found = self.opened.get(name)
            if found is None or found.stamp != stamp:
                if found is not None:
                    found.site.ended.set()
                found = self.opened[name] = Opened(self._open(project.config, project.about["label"]), stamp, 0)
            found.asked = time.monotonic()
            return found.site

    def end(self) -> None:
        """Stop watching everything; jobs go on."""
        if self.jobs is not None:
            self.jobs.close()
        with self.lock:
            for one in [self.main, *(found.site for found in self.opened.values())]:
                one.ended.set()

    def _open(self, config: Path, label: str) -> Site:
        with shown_as(config, config.name):
            site = site_of_production(config, label, self.tiles)
        threading.Thread(target=site.watch, name="project", daemon=True).start()
        return site

    def _forget(self) -> None:
        now = time.monotonic()
        for name, found in list(self.opened.items()):
            if now - found.asked > IDLE:
                found.site.ended.set()
                del self.opened[name]


def open_projects(folder: Path) -> Sites:
    """The sites of a folder of projects, whose jobs are watched; InputError where it cannot be made, or another portal has it."""
    found = projects_in(folder)
    jobs = Jobs(found, {**KINDS, **teaching.KINDS})
    jobs.begin()
    return Sites(Site(NoSource(), found.folder.name), found, jobs)
