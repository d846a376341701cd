"""Productions of other products, made of the production file at hand: what a family reads of them is made first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imperv.tasks.settings.production import Production, production_class

SHARED = (
    "tiles", "countries", "aoi", "store", "store_options", "base", "base_options", "area", "scenes", "engine",
    "delivery", "prices",
)  # fmt: skip
"""Settings that both productions have."""


def beside(production: Production, product: str, periods: Mapping[str, Any], parameters: Mapping[str, Any]) -> Production:
    """The production of another product on the same tiles, scenes and store."""
    kind = production_class(product, "product")
    table = {name: getattr(production, name) for name in SHARED}
    of_periods, of_parameters = (kind.model_fields[name].annotation for name in ("periods", "parameters"))
    assert of_periods is not None and of_parameters is not None
    # Everything is validated already; of the environment nothing is asked again, as IMPERV_PRODUCT would name this product.
    return kind.model_construct(
        **table, product=product, root=production.root, periods=of_periods(**periods), parameters=of_parameters(**parameters)
    )
