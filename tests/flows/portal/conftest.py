"""One portal on a finished production, for all tests that only look."""

from __future__ import annotations

from pathlib import Path

import pytest

from imperv.tasks.imperviousness.report.tile import write_tile_report
from tests.support.portal import Portal, portal_on
from tests.support.report_store import copied


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
