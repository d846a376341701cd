"""A part of a layer while it is read: afterwards it must still be what it was, or what was read is thrown away (`GoneError`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterio.errors import RasterioError

from imperv.tasks.errors import ImpervError, InputError
from imperv.tasks.maps.layers import Part, file_stamp
from imperv.tasks.maps.pixels import Pixels
from imperv.tasks.store.records import digest_of


class GoneError(ImpervError):
    """A layer is not there any more as it was: it is made again, or its store has gone."""


@dataclass(frozen=True)
class Opened:
    """The pixels of a part in a block; GoneError at its beginning or end where they are not, or no more, what was listed."""

    part: Part
    open: Callable[[], Pixels]
    """Opens them; OSError, KeyError, ValueError or RasterioError where it cannot."""

    def __enter__(self) -> Pixels:
        try:
            return self.open()
        except (OSError, KeyError, ValueError, RasterioError) as error:
            raise self._gone() from error

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not self._stands():
            raise self._gone() from error
        if isinstance(error, OSError | RasterioError | ValueError | KeyError):
            raise self._gone("cannot be read; run the tile again, or deliver it again") from error

    def _stands(self) -> bool:
        part = self.part
        try:
            if part.taught is not None:
                return part.taught.stands()
            if part.store is not None:
                return digest_of(part.store.read_text(part.path)) == part.version
            return digest_of([part.path, *file_stamp(Path(part.path))]) == part.version
        except (OSError, InputError):
            return False

    def _gone(self, why: str = "has gone or is made again; wait, and load it anew") -> GoneError:
        name = self.part.record.symbol if self.part.record else Path(self.part.path).name
        return GoneError(f"{name} of tile {self.part.tile} {why}")
