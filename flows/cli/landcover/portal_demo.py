"""The folder of projects that `imperv portal --demo` opens: a simulated town, two templates, and one project that is ready.

What is there already is kept, so that a second start takes no longer than that of any folder.
"""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console

from imperv.flows.cli.landcover.demo import PRODUCTION as TOWN
from imperv.flows.cli.landcover.demo import SMALLEST, simulated_town
from imperv.flows.cli.parts.demos import run_shown
from imperv.flows.portal import samples
from imperv.flows.portal.jobs import LOCK, locked
from imperv.flows.portal.projects import TEMPLATES, Project, Projects, projects_in
from imperv.tasks.errors import InputError
from imperv.tasks.settings.production import Production

LABEL = "Demo town"

READY = ".demo"
"""File that says that all is there."""

SCENE = """\
# Sharpened Sentinel-2 of the simulated town, beside what was measured.
product = "superresolution"

[periods]
span = "2021-06"

[scenes]
catalogue = "../simulation/items.json"

# The quick way for a demo. Remove this line for networks.
[parameters.sharpening]
method = "regression"
to = 5
"""


def make_demo(folder: Path, err: Console) -> None:
    """Make what is not there yet.

    Raises
    ------
    InputError
        If the folder holds something else, or another portal works on it.
    ImpervError
        If a layer of the ready project cannot be made.
    """
    simulation = folder / "simulation"
    if folder.exists() and not simulation.exists() and _others(folder):
        raise InputError(f"--projects: {folder} is no demo; name an empty folder, or one that is not there")
    projects = projects_in(folder)
    with locked(folder / LOCK):  # two starts at once would write the same files
        config = simulated_town(simulation, SMALLEST, err)
        if not (folder / READY).exists():
            _fill(projects, config, simulation, err)


def _others(folder: Path) -> bool:
    """Whether a folder holds more than a start that was cut off leaves."""
    return any(file.name not in (LOCK, TEMPLATES) for file in folder.iterdir()) or any((folder / TEMPLATES).glob("*"))


def _fill(projects: Projects, config: Path, simulation: Path, err: Console) -> None:
    town = Production.read(config)
    _write_templates(projects.folder / TEMPLATES)
    assert town.area is not None and town.area.bbox is not None
    found = next((p for p in projects.every() if p.about["label"] == LABEL), None)
    project = found or projects.create(LABEL, "town", town.area.bbox, str(town.periods.span))  # type: ignore[attr-defined]
    _map(project, simulation / "training/polygons.geojson", err)
    (projects.folder / READY).touch()


def _write_templates(folder: Path) -> None:
    lines = TOWN.splitlines()
    # A template names no tile; the form begins with its span. Paths start from its own folder.
    kept = [line for line in lines if not line.startswith(("tiles", "store", "bbox", "[area]"))]
    text = re.sub(r'"(items\.json|reference/)', r'"../simulation/\1', "\n".join(kept))
    (folder / "town.toml").write_text(f"# Land cover of the simulated town.\n{text}\n", encoding="utf-8")
    (folder / "scene.toml").write_text(SCENE, encoding="utf-8")


def _map(project: Project, polygons: Path, err: Console) -> None:
    """Base map, polygons as if a person had drawn them, and a round of tuning."""
    from imperv.tasks.landcover import session

    [job] = project.jobs()
    for error in run_shown(str(job.tile), project.config, err).values():
        raise error
    drawn = session.read_polygons(job, polygons)
    if not samples.read(project)["version"]:
        features = [samples.feature_of(s.shape, s.class_name, s.name, s.weight, f"{s.number:08x}") for s in drawn]
        samples.save(project, 0, samples.check(project, features), "demo")
    if not session.rounds(job):
        session.tune_tile(job, drawn)
