"""Parts of a report: one that cannot be drawn is named with the reason, and the rest is shown."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from imperv.tasks.errors import ImpervError

log = logging.getLogger(__name__)


@dataclass
class Parts:
    """Makes the parts of one report."""

    tile: str
    """Name of the tile, for the log."""
    troubles: list[tuple[str, str]] = field(default_factory=list)
    """Parts that are missing, and why."""

    def __call__(self, what: str, make: Callable[[], Any], otherwise: Any = None) -> Any:
        """What `make` gives, or `otherwise` if that fails in whatever way: a report is needed most where something is damaged."""
        try:
            return make()
        except Exception as error:
            log.warning("report of tile %s: %s: %s", self.tile, what, error)
            why = " ".join(str(error).split())
            self.troubles.append((what, why if why and isinstance(error, ImpervError) else f"{type(error).__name__}: {why}"))
            return otherwise
