"""Portals on finished productions, for all tests that only look; a browser; and a folder of projects of a town."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from imperv.flows.cli.commands import main
from imperv.flows.portal.projects import Projects, projects_in
from imperv.tasks.imperviousness.report.tile import write_tile_report
from imperv.tasks.settings.files import table_of
from imperv.tasks.settings.production import Production
from imperv.tasks.settings.toml_files import read_toml
from tests.conftest import made_once
from tests.support.browser import chromium
from tests.support.portal import Portal, portal_on
from tests.support.report_store import copied
from tests.support.urban import BBOX, small_production


@pytest.fixture(scope="package")
def production(filled, tmp_path_factory) -> Path:
    """Folder of a finished production of one tile with its report."""
    folder = tmp_path_factory.mktemp("portal") / "Sealing of Vienna"
    write_tile_report(copied(filled, folder))
    return folder


@pytest.fixture(scope="package")
def portal(production) -> Portal:
    with portal_on(production) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def town(tmp_path_factory) -> Path:
    """Folder of projects: the template `town` of land cover (`urban`), and one project whose run is done; nobody changes it."""

    def make(folder: Path) -> None:
        file = small_production(folder / "site")
        table = table_of(file, Production.read(file))
        template = {key: value for key, value in table.items() if key not in ("tiles", "store", "periods", "area")}
        projects = projects_in(folder / "projects")
        (projects.folder / "templates/town.toml").write_text(tomli_w.dumps(template))
        made = projects.create("Town", "town", BBOX, "2021-06")
        assert main(["run", "--config", str(made.config), "--yes"]) == 0

    return made_once(tmp_path_factory, "town", make) / "projects"


@pytest.fixture
def copied_town(town, tmp_path) -> Projects:
    """A copy of `town` that a test may change; new projects of it train a model for a moment only."""
    shutil.copytree(town, tmp_path / "projects")
    file = tmp_path / "projects/templates/town.toml"
    table = read_toml(file)
    table["parameters"]["unet"] |= {"epochs": 1, "steps_per_epoch": 5}
    file.write_text(tomli_w.dumps(table))
    return Projects(tmp_path / "projects")
