"""The products that are made here, each a family of layers: the one table that names them.

A family ``name`` is `imperv.layers.catalogue.<name>` (``LAYERS``), and the package that stands here: ``<package>.settings``
(``PRODUCTION``, the models of its production file), ``<package>.family`` (``FAMILY``, how its layers are made), and the flow
`imperv.flows.<name>`. Families of other distributions are found by their entry point, group ``imperv.families``; their layers are
in ``<package>.catalogue`` and their flow in ``<package>.flow``.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import entry_points

BUILT_IN: dict[str, str] = {
    "imperviousness": "imperv.tasks.imperviousness",
    "superresolution": "imperv.tasks.superresolution",
    "landcover": "imperv.tasks.landcover",
    "composites": "imperv.tasks.composites",
    "crops": "imperv.tasks.crops",
    "change": "imperv.tasks.change",
}
"""Package of the tasks of each family, by its name."""

DEFAULT = next(iter(BUILT_IN))
"""Product of a production file that names none."""

GROUP = "imperv.families"
"""Entry points of families that other distributions bring."""


def packages() -> dict[str, str]:
    """Package of every family by name, those of other distributions after ours."""
    return BUILT_IN | _others(tuple(sys.path))


@cache
def _others(path: tuple[str, ...]) -> dict[str, str]:
    """Those of distributions on `sys.path`; to look through all that are installed takes tens of milliseconds."""
    return {point.name: point.value for point in sorted(entry_points(group=GROUP)) if point.name not in BUILT_IN}
