"""Land that goes on across an edge is no seam, whatever its texture; a step or a line that an eye sees is one."""

import numpy as np
import pytest
from scipy import ndimage, stats

from imperv.tasks.imperviousness.checks.seams import DEPTH, MINIMUM_SEGMENTS, Seam, seam


def land(seed, length=3000, depth=2 * DEPTH, smooth=3.0):
    """A band of densities with patches of many pixels and open land between them."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(length, depth + 40)), smooth)[:, 20 : 20 + depth]
    field = 60 * field / field.std()
    return np.clip(field, 0, 100).round().astype(np.uint8)


def halves(band):
    return band[:, :DEPTH], band[:, DEPTH:]


def test_jumps_are_those_of_numpy():
    band = land(1, 1000)
    found = seam(*halves(band), 10, coded=False)
    jumps = np.abs(np.diff(band.astype(float), axis=1))
    inside = np.delete(jumps, DEPTH - 1, axis=1)
    assert found.across == pytest.approx(jumps[:, DEPTH - 1].mean()) and found.inside == pytest.approx(inside.mean())
    assert found.segments == 10
    by_segment = (jumps[:, DEPTH - 1] - inside.mean(axis=1)).reshape(10, 100).mean(axis=1)
    assert found.probability == pytest.approx(stats.ttest_1samp(by_segment, 0, alternative="greater").pvalue)


@pytest.mark.slow
@pytest.mark.parametrize("coded", [False, True])
def test_land_without_a_seam_is_none(coded):
    """200 edges, smooth and rough: not one alarm at a significance of 1 in 10 000."""
    for seed in range(200):
        band = land(seed, smooth=1 + seed % 4)
        assert not seam(*halves((band > 50).astype(np.uint8) if coded else band), 10, coded=coded).visible


def test_a_step_of_a_few_percent_is_one():
    band = land(2).astype(int)
    band[:, DEPTH:] = np.where(band[:, DEPTH:] > 0, np.clip(band[:, DEPTH:] + 12, 0, 100), 0)
    found = seam(*halves(band.astype(np.uint8)), 10, coded=False)
    assert found.visible and found.step > 3
    assert not found.finding("E44N32").ok and "edge with E44N32" in found.finding("E44N32").text


def test_a_line_without_a_step_is_one():
    """Tiles that are shuffled against each other: no bias, but jumps."""
    band = land(3)
    other = np.roll(band, 500, axis=0)
    found = seam(band[:, :DEPTH], other[:, DEPTH:], 10, coded=False)
    assert found.visible and abs(found.step) < 3 and found.across > 1.5 * found.inside


def test_a_line_of_classes_is_one():
    band = (land(4) > 50).astype(np.uint8)
    found = seam(band[:, :DEPTH], np.roll(band, 300, axis=0)[:, DEPTH:], 10, coded=True)
    assert found.visible and found.step == 0


def test_never_sealed_and_unchanged_are_no_step():
    change = np.full((3000, 2 * DEPTH), 100, np.uint8)
    change[:, DEPTH:] = 201
    found = seam(*halves(change), 20, coded=False)
    assert found.across == found.step == 0 and not found.visible


def test_outside_is_no_jump_and_too_little_land_is_not_judged():
    band = land(5).astype(int)
    band[:, DEPTH:] = np.clip(band[:, DEPTH:] + 40, 0, 100)
    band = band.astype(np.uint8)
    band[: 3000 - 100 * (MINIMUM_SEGMENTS - 1), DEPTH:] = 255
    found = seam(*halves(band), 10, coded=False)
    assert found.segments == MINIMUM_SEGMENTS - 1 and not found.visible
    assert "too few for a test" in found.finding("E44N32").text
    assert seam(*halves(np.full((500, 2 * DEPTH), 255, np.uint8)), 10, coded=False) == Seam(0, 0, 0, 1, 0, 1, 0)
