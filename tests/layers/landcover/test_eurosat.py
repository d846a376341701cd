"""Centre patches on real ground: EuroSAT tiles of three scenes, each asked of a network that saw others of its class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from imperv.layers.features import URBAN15
from imperv.layers.landcover.features import BANDS, stack_features
from imperv.layers.landcover.patches import PatchParameters, Points, cut_patches, predict_dense, train_patches

SCENES = ("Residential", "Industrial", "Highway")
ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")
"""Bands of a tile."""
EACH, POINTS = 5, 60
"""Tiles of a scene, and points of a tile."""


def tile_features(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        bands = source.read([ORDER.index(band) + 1 for band in BANDS])
    return stack_features(np.clip(bands, 1, 65535).astype("u2"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_scenes_of_eurosat_are_told_apart(shared_data):
    """Every fifth tile of each scene is left out in turn; 12 of 15 is what is asked."""
    tiles = [
        (k, tile_features(path))
        for k, name in enumerate(SCENES)
        for path in sorted((shared_data / "eurosat" / name).glob("*.tif"))
    ]
    assert len(tiles) == EACH * len(SCENES)
    parameters = PatchParameters(members=1, epochs=12, block=1)
    inner, right = slice(parameters.reach, 64 - parameters.reach), 0
    for fold in range(EACH):
        rng, patches, target, block = np.random.default_rng(fold), [], [], []
        for number, (scene, features) in enumerate(tiles):
            if number % EACH != fold:
                rows, columns = rng.integers(inner.start, inner.stop, (2, POINTS))
                patches.append(cut_patches(features, rows, columns, parameters.patch))
                target += [scene] * POINTS
                block += [number] * POINTS
        points = Points(np.concatenate(patches), np.array(target), np.array(block))
        trained = train_patches(points, URBAN15, len(SCENES), parameters)
        for number, (scene, features) in enumerate(tiles):
            if number % EACH == fold:
                answers = predict_dense(trained.model, trained.normalisation, features, parameters.reach)
                right += int(answers[:, inner, inner].mean(axis=(1, 2)).argmax() == scene)
    assert right >= 12
