"""Cloud-optimised GeoTIFFs of bands of Sentinel-2, written block by block; nothing has its name before all are finished."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from imperv.grids import Block
from imperv.layers.reflectance import SPECTRAL
from imperv.tasks.delivery.cog import Summary, copy_as_cog, draft_form
from imperv.tasks.errors import WorkError, writing
from imperv.tasks.files import draft_folder
from imperv.tasks.scenes.bands import PIXEL

COLOURS = {"B04": ColorInterp.red, "B03": ColorInterp.green, "B02": ColorInterp.blue}
"""What programs show at first: natural colour."""

SCALE = 1e-4
"""Reflectance of a digital number."""

WITH_OVERVIEWS = 4 / 3
"""Pixels of a file with its overviews, to one of its own."""


class Draft:
    """One file that grows block by block; from several threads."""

    def __init__(self, path: Path, grid: GeoBox, names: Sequence[str], nodata: int) -> None:
        form = draft_form(grid, len(names), "uint16", nodata)
        self.path, self.names = path, tuple(names)
        self.out, self.lock = rasterio.open(path.with_suffix(".draft"), "w", **form), Lock()
        self.found = [Summary(nodata, False) for _ in names]

    def write(self, block: Block, pixels: np.ndarray, bands: Sequence[int] | None = None) -> None:
        """Pixels of a block, (band, y, x) uint16: of all bands, or of those with some numbers, from 0 on."""
        (rows, columns), numbers = block.shape, range(len(self.names)) if bands is None else bands
        with self.lock:
            self.out.write(pixels, [n + 1 for n in numbers], window=Window(block.x0, block.y0, columns, rows))
            for number, values in zip(numbers, pixels, strict=True):
                self.found[number].add(values)

    def finish(self, tags: Mapping[str, str], threads: int) -> None:
        """Make the cloud-optimised file of it."""
        with self.out as out:
            out.update_tags(**tags)
            out.descriptions, out.scales = self.names, (SCALE,) * len(self.names)
            out.units = ("reflectance",) * len(self.names)
            out.colorinterp = [COLOURS.get(name, ColorInterp.undefined) for name in self.names]
            for number, (name, band) in enumerate(zip(self.names, self.found, strict=True), 1):
                _, centre, _ = SPECTRAL[name]
                out.update_tags(number, **band.tags, wavelength=f"{round(centre, 3)} micrometres", measured_at=f"{PIXEL[name]} m")
        copy_as_cog(Path(self.out.name), self.path, Resampling.average, NUM_THREADS=threads)
        Path(self.out.name).unlink()


@contextmanager
def drafts(out: Path, grid: GeoBox, files: Mapping[Path, tuple[Sequence[str], int]]) -> Iterator[dict[Path, Draft]]:
    """Drafts of files beside each other, by path: (bands, no data) of each; named at the end, the last one last.

    They lie in a hidden folder beside `out`, which a run that was killed leaves and the next one takes away. InputError if the
    folder cannot be written, WorkError if GDAL cannot write.
    """
    open_ones: dict[Path, Draft] = {}
    with ExitStack() as stack:
        with writing(out, "--output"):
            folder = stack.enter_context(draft_folder(out))
        try:
            for path, (names, nodata) in files.items():
                open_ones[path] = Draft(folder / path.name, grid, names, nodata)
            yield open_ones
            for path, draft in open_ones.items():
                draft.path.replace(path)
        except RasterioError as error:
            raise WorkError(f"{out}: GDAL cannot write it ({' '.join(str(error).split())})") from None
        finally:
            for draft in open_ones.values():
                with draft.lock:  # threads of a run that is stopped may still be writing
                    draft.out.close()


def require_room(folder: Path, size: float) -> None:
    """WorkError where a disk lacks room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise WorkError(f"{folder}: {size / 1e9:.1f} GB are needed while the file is made, {free / 1e9:.1f} GB are free")
