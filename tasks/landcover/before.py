"""What land cover reads of super-resolution: the production that makes it, from the same file."""

from __future__ import annotations

from collections.abc import Sequence

from imperv.tasks.family.before import beside
from imperv.tasks.settings.production import Production


def sharpening_before(production: Production) -> Sequence[Production]:
    """The production of superresolution whose bands at 5 m are read: the median of the clear looks of the same span."""
    own = production.parameters.sharpening
    sharpening = {"to": 5, "method": own.method, "tune": own.tune, "precision": own.precision}
    parameters = {"input": {"kind": "mosaic"}, "sharpening": sharpening}
    return (beside(production, "superresolution", {"span": str(production.periods.span)}, parameters),)
