"""The graphs as data: every node of every family, declared once.

From these tables come the order of work, the plan, what is run again, the drawing, and the form of delivered files. How a layer
is computed does not belong here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from importlib import import_module

from imperv.grids.specs import UTM_STEP, spec_of
from imperv.layers.catalogue.node import Delivery, Kind, Layer, Variable
from imperv.layers.families import BUILT_IN, DEFAULT, packages

__all__ = [
    "CATALOGUE", "DEFAULT", "Delivery", "GraphError", "Kind", "Layer", "Variable", "downstream", "edges", "family_of",
    "layers_of", "load", "register", "resolve", "topological_order", "upstream",
]  # fmt: skip


class GraphError(ValueError):
    """A family whose graph cannot be: one line."""


CATALOGUE: dict[str, Layer] = {}
"""Every node of the families that are loaded, by its symbol: ours at once, others when they are asked for (`load`)."""

_FAMILY: dict[str, str] = {}
_SPELLINGS: dict[str, str] = {}


def register(family: str, layers: Sequence[Layer], waiting: frozenset[str] = frozenset()) -> None:
    """Add the nodes of a family; families whose nodes it reads are loaded first, but not those that wait for this one.

    Raises
    ------
    GraphError
        If two nodes have one name, an input is unknown, or the graph has a loop; then nothing is added.
    """
    found = {layer.symbol: layer for layer in layers}
    twice = sorted({layer.symbol for layer in layers if sum(other.symbol == layer.symbol for other in layers) > 1})
    if twice := twice or sorted(found.keys() & CATALOGUE.keys()):
        owner = f", which {_FAMILY[twice[0]]} has" if twice[0] in _FAMILY else ""
        raise GraphError(f"family {family}: two nodes are called {twice[0]}{owner}; rename one")
    if wanted := {name for layer in layers for name in layer.inputs} - CATALOGUE.keys() - found.keys():
        waiting |= {family}
        for other in _not_loaded():
            if other not in waiting and wanted & {layer.symbol for layer in _layers_in(other)}:
                load(other, waiting)
    known = CATALOGUE | found
    for layer in layers:
        if trouble := _trouble(layer):
            raise GraphError(f"family {family}: {layer.symbol} {trouble}")
        for name in layer.inputs:
            if name not in known:
                raise GraphError(f"family {family}: {layer.symbol} is made from {name}, which is no layer{_close(name, known)}")
    places = {layer.model_folder or layer.stem: layer.symbol for layer in CATALOGUE.values()}
    for layer in layers:
        if taken := places.get(layer.model_folder or layer.stem):
            raise GraphError(f"family {family}: {layer.symbol} would be kept where {taken} of {_FAMILY[taken]} is; rename it")
        for name in (*layer.aliases, layer.atbd, layer.symbol):
            if name and (taken := _SPELLINGS.get(name.lower())):
                raise GraphError(
                    f"family {family}: {layer.symbol} is also called {name}, as {taken} of {_FAMILY[taken]} is; rename it"
                )
    try:
        TopologicalSorter({layer.symbol: layer.inputs for layer in layers}).prepare()
    except CycleError as error:
        raise GraphError(f"family {family}: its graph has a loop, {' -> '.join(error.args[1])}; remove one input") from None
    CATALOGUE.update(found)
    _FAMILY.update(dict.fromkeys(found, family))
    _SPELLINGS.update({name.lower(): la.symbol for la in layers for name in (*la.aliases, la.atbd, la.symbol) if name})


def _trouble(layer: Layer) -> str:
    """Why a layer cannot be stored or delivered; empty if it can."""
    try:
        spec = spec_of(layer.resolution) if layer.resolution else None
    except ValueError as error:
        return f"has a {error}"
    if spec is not None and layer.grid == "eea" and not spec.tiles:
        return f"has pixels of {layer.resolution:g} m, which do not divide a tile; give it grid='utm'"
    if spec is not None and layer.grid == "utm" and UTM_STEP % layer.resolution:
        return f"has pixels of {layer.resolution:g} m, which do not divide {UTM_STEP} m; it cannot lie on a UTM grid"
    if layer.model_file == "model.json":
        return "is a model in model.json, which is the name of its record; choose another model_file"
    if layer.delivery and layer.delivery.palette and layer.variables[0].dtype != "uint8":
        return f"is delivered with colours, but stored as {layer.variables[0].dtype}; colours are for uint8"
    return ""


def load(family: str, waiting: frozenset[str] = frozenset()) -> None:
    """Register a family that another distribution brings; nothing where it is known already.

    Raises
    ------
    GraphError
        If its layers cannot be imported, and as `register`.
    KeyError
        If there is none of the name.
    """
    if family not in _FAMILY.values():
        register(family, _layers_in(family), waiting)


def _layers_in(family: str) -> Sequence[Layer]:
    """Nodes that the distribution of a family declares."""
    place = packages()[family]
    try:
        layers: Sequence[Layer] = import_module(f"{place}.catalogue").LAYERS
    except ImportError as error:
        raise GraphError(f"family {family}: {error}; mend or uninstall its distribution") from None
    return layers


def _not_loaded() -> list[str]:
    """Families of other distributions that nobody has asked for yet."""
    return sorted(set(packages()) - set(_FAMILY.values()))


def family_of(symbol: str) -> str:
    """Name of the family that a node belongs to."""
    return _FAMILY[symbol]


def layers_of(family: str) -> dict[str, Layer]:
    """Nodes of a family by symbol, in its order."""
    return {symbol: layer for symbol, layer in CATALOGUE.items() if _FAMILY[symbol] == family}


def resolve(name: str) -> str:
    """Symbol of a layer from any of its spellings, such as ``RIMD_now``, ``RIMD_21`` or ``rimd``.

    Raises
    ------
    ValueError
        If no layer is called so; the text names the closest ones.
    """
    if name.lower() not in _SPELLINGS:  # it may be a layer of a family that is not loaded yet
        for other in _not_loaded():
            load(other)
    if name in CATALOGUE:
        return name
    if name.lower() in _SPELLINGS:
        return _SPELLINGS[name.lower()]
    spellings = difflib.get_close_matches(name.lower(), _SPELLINGS, n=6, cutoff=0.4)
    close = list(dict.fromkeys(_SPELLINGS[spelling] for spelling in spellings))[:3]
    hint = f": did you mean {', '.join(close)}?" if close else "; `imperv graph` shows all"
    raise ValueError(f"no layer is called {name!r}{hint}")


def _close(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def topological_order(targets: Iterable[str] | None = None, family: str = DEFAULT, *, across: bool = False) -> list[str]:
    """Symbols needed for the targets, or of all nodes of a family: inputs first, catalogue order otherwise.

    Of the targets' families only, as layers of others that they read are made by those; of all with `across`.
    """
    needed = set(layers_of(family)) if targets is None else upstream(targets) if across else _own(targets)
    position = {symbol: k for k, symbol in enumerate(CATALOGUE)}
    sorter: TopologicalSorter[str] = TopologicalSorter({s: [i for i in CATALOGUE[s].inputs if i in needed] for s in needed})
    sorter.prepare()
    order: list[str] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=position.__getitem__)
        node = ready.pop(0)
        order.append(node)
        sorter.done(node)
    return order


def _own(targets: Iterable[str]) -> set[str]:
    """The targets and what they are made from in their own families."""
    symbols = [resolve(name) for name in targets]
    asked = {_FAMILY[symbol] for symbol in symbols}
    return {symbol for symbol in upstream(symbols) if _FAMILY[symbol] in asked}


def upstream(targets: Iterable[str]) -> set[str]:
    """The targets and everything that they are made from."""
    found: set[str] = set()
    stack = [resolve(t) for t in targets]
    while stack:
        symbol = stack.pop()
        if symbol not in found:
            found.add(symbol)
            stack.extend(CATALOGUE[symbol].inputs)
    return found


def downstream(symbol: str) -> set[str]:
    """Everything that is made from a node, the node left out."""
    found: set[str] = set()
    while more := {n for n, layer in CATALOGUE.items() if {symbol, *found} & set(layer.inputs)} - found:
        found |= more
    return found


def edges(family: str = DEFAULT) -> set[tuple[str, str]]:
    """All (input, output) pairs of a family."""
    return {(name, layer.symbol) for layer in layers_of(family).values() for name in layer.inputs}


for _name in BUILT_IN:
    register(_name, import_module(f"{__name__}.{_name}").LAYERS)
