"""Patch sets: images and annotations cut to squares, kept as a Zarr group with a record (`imperv patches extract`).

A set is a folder with ``images`` (patch, band, y, x), ``labels`` (patch, y, x) and ``record.json``; whole or not there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import zarr
from rasterio.errors import RasterioError

from imperv.layers.patches.ground import Ground
from imperv.layers.patches.labels import simplified
from imperv.tasks.errors import InputError, WorkError, writing
from imperv.tasks.files import file_digest, write_whole
from imperv.tasks.patches.images import Image, read_labels, read_pixels
from imperv.tasks.store.records import digest_of

FORM = "imperv patches 1"
"""Of a patch set."""

RECORD = "record.json"

Tell = Callable[[str, int, int], None]
"""Hears of a step, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class PatchSet:
    """A folder of patches."""

    folder: Path
    record: dict[str, Any]

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands."""
        return tuple(self.record["bands"])

    @property
    def size(self) -> int:
        """Edge of a patch, pixels."""
        return int(self.record["patch_size"])

    @property
    def nodata(self) -> float:
        """Value of pixels without data."""
        return float(self.record["nodata"]) if self.record["nodata"] is not None else float("nan")

    @cached_property
    def grounds(self) -> list[Ground]:
        """Where each patch lies."""
        spaces = self.record["spaces"]
        return [Ground(spaces[number], tuple(bounds)) for number, *bounds in self.record["patches"]]

    @cached_property
    def counts(self) -> np.ndarray:
        """Pixels of each code of each patch, (patch, 256)."""
        found = np.zeros((len(self.record["labels"]), 256), "i8")
        for row, codes in zip(found, self.record["labels"], strict=True):
            for code, count in codes.items():
                row[int(code)] = count
        return found

    @cached_property
    def images(self) -> Any:
        """(patch, band, y, x), read patch by patch."""
        return zarr.open_array(self.folder / "images", mode="r")

    @cached_property
    def labels(self) -> Any:
        """(patch, y, x) uint8."""
        return zarr.open_array(self.folder / "labels", mode="r")


def open_patches(folder: Path) -> PatchSet:
    """A finished patch set; InputError if it is none."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = {}
    if record.get("form") != FORM:
        raise InputError(f"{folder}: is no patch set; make one with: imperv patches extract IMAGES -o {folder}")
    return PatchSet(folder, record)


def key_of(images: Sequence[Image], size: int, sen12ms: bool = False) -> str:
    """What a patch set depends on: files by their bytes, bands, settings."""
    files = [[i.path.name, file_digest(i.path), file_digest(i.labels) if i.labels else ""] for i in images]
    return digest_of({"form": FORM, "size": size, "sen12ms": sen12ms, "bands": images[0].bands, "files": files})


def extract(
    images: Sequence[Image], folder: Path, size: int, sen12ms: bool = False, tell: Tell = lambda *_: None
) -> tuple[PatchSet, bool]:
    """Cut images to patches of `size` pixels side by side, those at the right and lower edge filled with no data.

    The patch set, and whether it was made now: the same images and settings are not cut again. Patches without data are left
    out, of annotated images those of other images not. InputError for a folder that holds something else.
    """
    key = key_of(images, size, sen12ms)
    if folder.exists():
        if not (folder / RECORD).exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"--output: {folder}: holds something else than patches; name a new folder")
        if (folder / RECORD).exists() and (old := open_patches(folder)).record["key"] == key:
            return old, False
    draft = folder.with_name(f".{folder.name}.draft")
    with writing(folder, "--output"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
    try:
        record = _cut(images, draft, size, sen12ms, tell)
        write_whole(draft / RECORD, json.dumps({"form": FORM, "key": key, **record}))
        if folder.exists():
            old_place = folder.with_name(f".{folder.name}.old")
            shutil.rmtree(old_place, ignore_errors=True)
            folder.replace(old_place)
            draft.replace(folder)
            shutil.rmtree(old_place, ignore_errors=True)
        else:
            draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return open_patches(folder), True


def _cut(images: Sequence[Image], draft: Path, size: int, sen12ms: bool, tell: Tell) -> dict[str, Any]:
    """Write the arrays; the record without its key."""
    whole = all(image.counts_zero for image in images)
    dtype = np.result_type(*(image.dtype for image in images)) if whole else np.dtype("f4")
    places = [(image, row, column) for image in images for row, column in _corners(image.shape, size)]
    bands = len(images[0].bands)
    shape = (len(places), bands, size, size)
    out = zarr.create_array(draft / "images", shape=shape, chunks=(1, *shape[1:]), dtype=dtype, fill_value=0)
    labels = zarr.create_array(
        draft / "labels", shape=(len(places), size, size), chunks=(1, size, size), dtype="u1", fill_value=0
    )
    patches: list[list[float]] = []
    counts: list[dict[str, int]] = []
    spaces: list[str] = []
    kept, done = 0, 0
    for image in images:
        with _opened(image.path) as source, _opened(image.labels or image.path) as annotated:
            for row, column in _corners(image.shape, size):
                window = (row, column, min(size, image.shape[0] - row), min(size, image.shape[1] - column))
                pixels, codes = _read(source, annotated, image, window)
                tell("patches", done := done + 1, len(places))
                known = np.isfinite(pixels[0])
                if not known.any():
                    continue
                codes = np.where(known, simplified(codes) if sen12ms else codes, 0)
                pixels = np.where(known, pixels, 0 if whole else np.nan).astype(dtype)
                beyond = [(0, size - n) for n in known.shape]
                out[kept] = np.pad(pixels, [(0, 0), *beyond], constant_values=0 if whole else np.nan)
                labels[kept] = np.pad(codes, beyond)
                ground = image.ground(row, column, size)
                if ground.space not in spaces:
                    spaces.append(ground.space)
                patches.append([spaces.index(ground.space), *ground.bounds])
                found = np.bincount(codes.ravel(), minlength=256)
                counts.append({str(code): int(found[code]) for code in np.flatnonzero(found).tolist() if code})
                kept += 1
    if not kept:
        raise InputError(f"{images[0].path.parent}: no image has a pixel with data")
    out.resize((kept, *shape[1:]))
    labels.resize((kept, size, size))
    return {
        "bands": list(images[0].bands), "patch_size": size, "nodata": 0 if whole else None, "sen12ms_groups": sen12ms,
        "images": [image.path.name for image in images], "spaces": spaces, "patches": patches, "labels": counts,
    }  # fmt: skip


def _corners(shape: tuple[int, int], size: int) -> list[tuple[int, int]]:
    """Rows and columns of the patches of an image."""
    return [(row, column) for row in range(0, shape[0], size) for column in range(0, shape[1], size)]


def _opened(path: Path) -> Any:
    try:
        return rasterio.open(path)
    except RasterioError as error:
        raise InputError(f"{path}: cannot be read as a GeoTIFF ({' '.join(str(error).split())})") from None


def _read(source: Any, annotated: Any, image: Image, window: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    try:
        pixels = read_pixels(source, image, window)
        return pixels, read_labels(annotated, window) if image.labels else np.zeros(pixels.shape[1:], "u1")
    except RasterioError as error:
        raise WorkError(f"{image.path}: its pixels cannot be read ({' '.join(str(error).split())})") from None
