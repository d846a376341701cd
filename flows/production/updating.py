"""The production of the next period, from the last one's file: `imperv update`, by what the product says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imperv.tasks.errors import InputError
from imperv.tasks.families import family
from imperv.tasks.settings.production import Production


def next_production(last: Path, *given: Any, **more: Any) -> tuple[Path, list[str]]:
    """Write the production file of the next period; the file, and the tiles left out (`Family.next_production`).

    InputError if a value is wrong, or the product has no next production.
    """
    product = Production.read(last).product
    write = family(product).next_production
    if write is None:
        raise InputError(f"{last}: {product} has no next production: write a file with other [periods]")
    return write(last, *given, **more)
