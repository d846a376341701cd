"""The families by name, loaded when they are asked for: shared code reaches what belongs to a product through here only.

Which there are is said in `imperv.layers.families`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from imperv.layers.catalogue import GraphError, family_of, layers_of, load
from imperv.layers.families import packages

if TYPE_CHECKING:
    from imperv.tasks.family import Family
    from imperv.tasks.family.task import Task


@cache
def family(name: str) -> Family:
    """The family of a product.

    Raises
    ------
    GraphError
        If its graph cannot be, or a layer has no task.
    """
    load(name)
    found: Family = import_module(f"{packages()[name]}.family").FAMILY
    if untold := sorted(layers_of(name).keys() ^ found.tasks.keys()):
        raise GraphError(f"family {name}: {untold[0]} is not both a layer and a task; declare it in both")
    if strange := next((layer for layer in layers_of(name).values() if layer.column not in found.stages), None):
        raise GraphError(f"family {name}: {strange.symbol} is of stage {strange.column!r}, which the family does not have")
    return found


def loaded_families() -> dict[str, str]:
    """Families whose layers are known now, loaded if need be -> why not, for those that cannot be; "" for the others."""
    found = {}
    for name in packages():
        try:
            load(name)
            found[name] = ""
        except GraphError as error:
            found[name] = str(error)
    return found


def task_of(symbol: str) -> Task:
    """How a node is made."""
    return family(family_of(symbol)).tasks[symbol]
