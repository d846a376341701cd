"""Which layers are models of tiles, and how they are named on the command line: by their folder in the store, or by symbol."""

from __future__ import annotations

import difflib

from imperv.layers.catalogue import CATALOGUE, DEFAULT, layers_of, resolve
from imperv.tasks.errors import InputError
from imperv.tasks.families import loaded_families

KERAS = "model.keras"
"""File of a network."""


def models_of(product: str) -> dict[str, str]:
    """Symbols of a product's models by the name of their folder, such as ``IMD``."""
    return {layer.model_folder.rpartition("/")[2]: symbol for symbol, layer in layers_of(product).items() if layer.model_file}


def networks(product: str = DEFAULT) -> dict[str, str]:
    """The same of density networks alone."""
    return {name: symbol for name, symbol in models_of(product).items() if is_network(symbol)}


def is_network(symbol: str) -> bool:
    """True for a U-Net of densities, which `tasks.networks` finds, exports and imports."""
    layer = CATALOGUE[symbol]
    return layer.model_file == KERAS and any(name.startswith("unet.") for name in layer.parameters)


def model_symbol(product: str, name: str) -> str:
    """Symbol of a model of a product by the name of its folder in any case, of any product by its symbol.

    InputError if there is none.
    """
    own = models_of(product)
    for folder, symbol in own.items():
        if name.lower() in (folder.lower(), symbol.lower()):
            return symbol
    try:
        symbol = resolve(name)
    except ValueError:
        symbol = ""
    if symbol and CATALOGUE[symbol].model_file:
        return symbol
    close = difflib.get_close_matches(name.upper(), own, n=1)
    hint = f"did you mean {close[0]}?" if close else "name a model of another product by its symbol (`imperv graph --product`)"
    raise InputError(f"{name} is no model of product {product}, which has {', '.join(own) or 'none'}; {hint}")


def named_models() -> dict[str, list[str]]:
    """Names of the models of every product that has any."""
    found = {}
    for product, trouble in loaded_families().items():
        if not trouble and (names := list(models_of(product))):
            found[product] = names
    return found
