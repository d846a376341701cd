"""Land of a tile, from references that are whole, partial, broken or not there; and what lies inside of the extents of scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from imperv.grids import Block
from imperv.tasks.job import Job
from imperv.tasks.references.land import Land
from imperv.tasks.settings.production import Production

LEFT, TOP = 3_829_000, 3_103_000
SHAPE = (200, 300)
WINDOW = (LEFT, TOP - 2000, LEFT + 3000, TOP)


@pytest.fixture
def land(tmp_path):
    """Land of a window as rasters on its grid tell, by key of ``[references]``."""

    def go(**rasters: np.ndarray | str) -> Land:
        lines = []
        for key, array in rasters.items():
            lines.append(f'{key} = "{key}.tif"')
            if isinstance(array, str):
                (tmp_path / f"{key}.tif").write_text(array)
                continue
            with rasterio.open(
                tmp_path / f"{key}.tif", "w", driver="GTiff", height=array.shape[0], width=array.shape[1], count=1, dtype="uint8",
                crs="EPSG:3035", transform=Affine(10, 0, LEFT, 0, -10, TOP),
            ) as target:  # fmt: skip
                target.write(array.astype("uint8"), 1)
        return Land.of(job_of(tmp_path, "\n".join(lines)))

    return go


def job_of(folder: Path, references: str = "") -> Job:
    (folder / "production.toml").write_text(
        f'tiles = ["E38N31"]\n[periods]\nthen = "2018"\nnow = "2021"\n[area]\nbbox = {list(WINDOW)}\n'
        f'[scenes]\ncatalogue = "items.json"\n[references]\n{references}\n'
    )
    return Job.of(Production.read(folder), "E38N31")


WHOLE = Block(0, 0, *SHAPE)
RNG = np.random.default_rng(1)


def test_where_nothing_is_known_all_counts(land):
    found = land()
    assert (found.known_by, found.pixels, found.words) == ((), 60_000, "area") and found(WHOLE).all()


def test_sea_and_outside_of_clcplus_are_no_land(land):
    """Inland water is; and either year may know what the other does not."""
    then, now = (RNG.choice([1, 7, 10, 11, 253, 254, 255], SHAPE) for _ in range(2))
    found = land(clcplus_then=then)
    np.testing.assert_array_equal(found(WHOLE), then < 253)
    assert (found.known_by, found.pixels, found.words) == (("CLCP_then",), (then < 253).sum(), "land")
    found = land(clcplus_then=then, clcplus_now=now[:120], imd_then=np.zeros(SHAPE))
    expected = then < 253
    expected[:120] |= now[:120] < 253
    np.testing.assert_array_equal(found(WHOLE), expected)
    assert found.known_by == ("CLCP_then", "CLCP_now")


def test_densities_tell_where_clcplus_does_not(land):
    density = RNG.choice([0, 1, 100, 254, 255], SHAPE)
    for clcplus in ({}, {"clcplus_then": "no raster"}, {"clcplus_then": np.full(SHAPE, 255)}):
        found = land(imd_then=density, **clcplus)
        np.testing.assert_array_equal(found(WHOLE), density <= 100)
        assert found.known_by == ("IMD_then",)


@pytest.mark.parametrize("block", [Block(0, 0, 10, 8), Block(3, 5, 50, 61), Block(7, 16, 8, 300), Block(199, 299, 200, 300)])
def test_a_block_is_that_part(land, block):
    codes = RNG.choice([3, 253], SHAPE)
    np.testing.assert_array_equal(land(clcplus_now=codes)(block), codes[block.slices] == 3)
    assert land()(block).shape == block.shape


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("known", [False, True])
def test_land_inside_of_boxes(land, tmp_path, seed, known):
    rng = np.random.default_rng(seed)
    codes = rng.choice([3, 253], SHAPE) if known else np.full(SHAPE, 3)
    boxes = []
    for _ in range(4):
        x, y = rng.uniform(-100, 400, 2), rng.uniform(-100, 300, 2)
        boxes.append((LEFT + 10 * x.min(), TOP - 10 * y.max(), LEFT + 10 * x.max(), TOP - 10 * y.min()))
    boxes += [(LEFT - 900, TOP - 500, LEFT - 100, TOP), (LEFT + 9000, TOP - 500, LEFT + 9100, TOP)]  # beside it
    inside = np.zeros(SHAPE, bool)
    for row, column in np.ndindex(*SHAPE):
        x, y = LEFT + 10 * column, TOP - 10 * row  # a pixel counts that a box touches
        inside[row, column] = any(b[0] < x + 10 and b[2] > x and b[1] < y and b[3] > y - 10 for b in boxes)
    found = land(clcplus_now=codes) if known else land()
    assert found.inside(job_of(tmp_path), boxes) == (inside & (codes == 3)).sum()
    assert found.inside(job_of(tmp_path), []) == 0
