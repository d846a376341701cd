"""The toy product (`tests/support/toy`) as an installed distribution, for this process and for those that it starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imperv.layers import catalogue
from imperv.tasks.families import family

TOY = Path(__file__).parent / "toy"

BOX = (4_499_000, 2_650_000, 4_501_000, 2_651_000)
"""One square kilometre on each side of the border of two tiles."""

TILES = ("E44N26", "E45N26")


@contextmanager
def installed(folder: Path = TOY) -> Iterator[None]:
    """Have the distributions of a folder found; families that were loaded meanwhile are forgotten at the end."""
    held = [(table, dict(table)) for table in (catalogue.CATALOGUE, catalogue._FAMILY, catalogue._SPELLINGS)]
    modules = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder))
        family.cache_clear()
        try:
            yield
        finally:
            for table, before in held:
                table.clear()
                table.update(before)
            family.cache_clear()
            for name in set(sys.modules) - modules:
                if getattr(sys.modules[name], "__file__", None) and str(folder) in str(sys.modules[name].__file__):
                    del sys.modules[name]


def toy_file(folder: Path, items: Path, more: str = "") -> Path:
    """A production file of the toy product for scenes."""
    file = folder / "production.toml"
    file.write_text(
        f'product = "toy"\ntiles = {list(TILES)}\n[periods]\nmonth = "2021-06"\n[area]\nbbox = {list(BOX)}\n'
        f'[scenes]\ncatalogue = "{items}"\n[engine]\nworkers = 2\n{more}'
    )
    return file
