"""Productions of many tiles in seconds: official tiles with one small raster each, tiny networks, and what was delivered."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import rasterio

from imperv.grids import Tile, official_tiles

TINY = """
[engine]
workers = 1
memory = "1 GiB"
[parameters.preprocessing]
min_valid_share = 0
[parameters.unet]
base_filters = 2
depth = 1
crop = 16
epochs = 1
steps_per_epoch = 2
members = 1
split_block = 16
"""
"""Networks of seconds: this is about the machinery."""


def flat(folder: Path, count: int) -> Path:
    """Production file of official tiles with an old density of 100 x 100 pixels each, and nothing else."""
    place = folder / f"flat-{count}"
    tiles = official_tiles("eea38-2024")[:count]
    for name in tiles:
        path = place / "imd" / f"{name}.tif"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        left, bottom = Tile(name).bounds[:2]
        with rasterio.open(
            path, "w", driver="GTiff", width=100, height=100, count=1, dtype="uint8", crs="EPSG:3035", nodata=255,
            transform=rasterio.transform.from_origin(left, bottom + 1000, 10, 10),
        ) as target:  # fmt: skip
            target.write(np.full((1, 100, 100), int(name[1:3]), "u1"))
    file = place / "production.toml"
    file.write_text(
        f'tiles = {json.dumps(list(tiles))}\nstore = "store"\n[periods]\nthen = "2018"\nnow = "2021"\n'
        "[area]\neach = [0, 0, 1000, 1000]\n"
        '[scenes]\ncatalogue = "items.json"\n[references]\nimd_then = "imd/{tile}.tif"\n[engine]\nworkers = 1\nmemory = "1 GiB"\n'
    )
    (place / "items.json").write_text('{"type": "FeatureCollection", "features": []}')
    return file


def with_store(file: Path, name: str) -> Path:
    """A copy of a production file with an empty store of its own."""
    copy = file.with_name(f"{name}.toml")
    copy.write_text(file.read_text().replace('store = "store"', f'store = "store-{name}"'))
    shutil.rmtree(file.parent / f"store-{name}", ignore_errors=True)
    return copy


def delivered(store: Path) -> dict[str, str]:
    """Digest of the pixels of every delivered map, by path."""
    found = {}
    for path in (store / "products").rglob("*.tif"):
        with rasterio.open(path) as source:
            found[str(path.relative_to(store))] = hashlib.sha256(source.read().tobytes()).hexdigest()
    return found
