"""Dates of one ground."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.quiet_dates import write_dates


@pytest.fixture(scope="session")
def items(tmp_path_factory) -> Path:
    """Items of the two dates and of quiet ones around them."""
    return write_dates(tmp_path_factory.mktemp("quiet-dates"))
