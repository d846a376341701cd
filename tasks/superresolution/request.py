"""What a person asks `imperv sharpen` for, and what of it cannot be met whatever the scenes are."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from imperv.layers.network.precision import Precision
from imperv.tasks.engine import Engine
from imperv.tasks.errors import InputError
from imperv.tasks.family.costs import TENSORFLOW
from imperv.tasks.scenes.scenes import Level
from imperv.tasks.settings.periods import Period
from imperv.tasks.settings.production import EngineSettings, describe_bytes

LARGEST_BLOCK = 1992
"""Edge of the largest block that is sharpened, pixels of 10 m."""

LEAST_MEMORY = 2 * 2**30
"""Bytes that the largest step takes on small blocks, libraries included."""

Tell = Callable[[str, int, int], None]
"""Gets the step, what of it is done, and all."""


@dataclass(frozen=True)
class Request:
    """What a person asks for."""

    source: str
    """Item, product or catalogue (`find_scenes`)."""
    out: Path
    """File to write."""
    area: Path | None = None
    """Vector file; the whole scene without."""
    period: Period | None = None
    """Date or span; all without."""
    to: int = 10
    """Pixel size to reach, metres: 10 or 5."""
    network: bool = True
    """Whether networks correct the regression."""
    tune: bool = False
    """Whether they are trained on with the scene."""
    precision: Precision = "float32"
    """Numbers in which they predict."""
    dates: int = 1
    """Dates that bands of 10 m are sharpened to 5 m from."""
    level: Level = "auto"
    """Level of processing."""
    mosaic: bool = False
    """The median of all clear looks, in place of the clearest look."""
    raw: bool = False
    """Write the measured bands on the same pixels, too."""
    deviation: bool = False
    """Write the deviation, too."""
    memory: int = 8 * 2**30
    """Bytes to stay within."""
    workers: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    """Blocks at once."""
    block: int = LARGEST_BLOCK
    """Edge of the largest block that is sharpened, pixels of 10 m; whole pixels of 60 m."""

    def beside(self, word: str) -> Path:
        """Path of a file that comes along."""
        return self.out.with_name(f"{self.out.stem}_{word}{self.out.suffix}")


def check_request(request: Request) -> None:
    """InputError where a request cannot be met, whatever the scenes are."""
    if request.out.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"--output: {request.out}: name a file that ends in .tif")
    if not request.out.parent.is_dir():
        raise InputError(f"--output: the folder {request.out.parent} is not there; make it")
    if request.out.is_dir():
        raise InputError(f"--output: {request.out} is a folder; name a file")
    if request.memory < LEAST_MEMORY:
        raise InputError(
            f"--memory: {describe_bytes(request.memory)} are too few; at least {describe_bytes(LEAST_MEMORY)} are needed"
        )
    if request.dates > 1 and (request.to != 5 or request.mosaic):
        why = "a mosaic holds all dates already" if request.mosaic else "several dates tell of 5 m"
        raise InputError(f"--dates {request.dates}: {why}; {'leave one of them out' if request.mosaic else 'add --to 5'}")
    if request.tune and not request.network:
        raise InputError("--tune trains networks, which --method regression does without; leave one of them out")
    if request.precision != "float32" and not request.network:
        raise InputError(
            f"--precision {request.precision} is of networks, which --method regression does without; leave one of them out"
        )


def engine_of(request: Request, step: str, tell: Tell, workers: int = 0) -> Engine:
    """Computes blocks of a step within the memory that networks leave."""
    memory = request.memory - (TENSORFLOW if request.network else 0)
    settings = EngineSettings(memory=memory, workers=workers or request.workers)
    return Engine(settings, lambda done, total: tell(step, done, total))
