"""What land cover reads of super-resolution: the production that makes it, from the same file."""

from __future__ import annotations

from collections.abc import Sequence

from imperv.tasks.settings.production import Production, production_class

SHARED = (
    "tiles", "countries", "aoi", "store", "store_options", "base", "base_options", "area", "scenes", "engine",
    "delivery", "prices",
)  # fmt: skip
"""Settings that both productions have."""


def sharpening_before(production: Production) -> Sequence[Production]:
    """The production of superresolution whose bands at 5 m are read: the median of the clear looks of the same span."""
    kind = production_class("superresolution", "product")
    own = production.parameters.sharpening
    table = {name: getattr(production, name) for name in SHARED}
    periods, parameters = (kind.model_fields[name].annotation for name in ("periods", "parameters"))
    assert periods is not None and parameters is not None
    # Everything is validated already; of the environment nothing is asked again, as IMPERV_PRODUCT would name this product.
    made = kind.model_construct(
        **table, product="superresolution", root=production.root, periods=periods(span=str(production.periods.span)),
        parameters=parameters(
            input={"kind": "mosaic"}, sharpening={"to": 5, "method": own.method, "tune": own.tune}
        ),
    )  # fmt: skip
    return (made,)
