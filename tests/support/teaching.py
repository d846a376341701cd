"""A project with a base map and polygons of all classes, to be taught."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imperv.flows.portal.projects import Project
from imperv.flows.portal.samples import check, read, save
from tests.support.portal import Portal

PATIENCE = 600
"""Seconds that a job may take on a machine that is busy."""


def polygons_of(town: Path) -> list[dict[str, Any]]:
    """Polygons of all classes of the site of `town`, as a page sends them."""
    table = json.loads((town.parent / "site/training/polygons.geojson").read_text())
    about = [
        {"id": f"{k:012x}", "class": f["properties"]["class"].lower(), "name": "", "weight": 1.0}
        for k, f in enumerate(table["features"])
    ]
    return [
        {"type": "Feature", "properties": known, "geometry": f["geometry"]}
        for known, f in zip(about, table["features"], strict=True)
    ]  # fmt: skip


def draw(project: Project, features: list[dict[str, Any]]) -> int:
    """Save polygons as the next version."""
    version: int = save(project, read(project)["version"], check(project, features), "drawn")["version"]
    return version


@dataclass(frozen=True)
class Pupil:
    """A project in a running portal."""

    portal: Portal
    project: Project

    def ask(self, path: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
        """Status and JSON of an answer of the project's, asked for as a script does."""
        headers = {"Authorization": f"Bearer {self.portal.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        status, _, answer = self.portal.ask(f"/projects/{self.project.id}{path}", headers, method, data)
        return status, json.loads(answer)

    def bytes_of(self, path: str) -> bytes:
        """What a file of the project's holds."""
        headers = {"Authorization": f"Bearer {self.portal.token}"}
        status, _, answer = self.portal.ask(f"/projects/{self.project.id}{path}", headers)
        assert status == 200, answer
        return answer

    def done(self, kind: str, body: Any) -> dict[str, Any]:
        """A job of teaching when it has ended well."""
        status, job = self.ask(f"/api/teach/{kind}", "POST", body)
        assert status == 201, job
        end = time.monotonic() + PATIENCE
        while job["active"] and time.monotonic() < end:
            time.sleep(0.2)
            job = self.ask(f"/api/jobs/{job['number']}")[1]
        assert job["state"] == "done", (job, self.bytes_of(f"/api/jobs/{job['number']}/log").decode())
        return dict(job)

    @property
    def rounds(self) -> list[dict[str, Any]]:
        """Of its only tile, at this moment."""
        found: list[dict[str, Any]] = self.ask("/api/teach?fresh=true")[1]["tiles"][0]["rounds"]
        return found
