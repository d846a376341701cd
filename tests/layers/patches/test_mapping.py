"""Maps show no windows: neither their borders nor how the image was read."""

import numpy as np
import pytest

from imperv.layers.patches.mapping import map_strips, starts, taper

WINDOW = 32


def mapped(image: np.ndarray, predict, classes: int) -> tuple[np.ndarray, np.ndarray]:
    read = lambda top, bottom, left, right: image[top:bottom, left:right].astype("f4")  # noqa: E731
    parts = list(map_strips(image.shape[:2], read, predict, WINDOW, classes, np.full(image.shape[-1], 7.0)))
    tops = np.cumsum([0] + [p.shape[1] for _, p, _ in parts])[:-1]
    assert [top for top, _, _ in parts] == tops.tolist()
    return np.concatenate([p for _, p, _ in parts], 1), np.concatenate([k for _, _, k in parts])


@pytest.mark.parametrize("shape", [(100, 83), (32, 32), (20, 45), (33, 31), (64, 96)])
def test_what_depends_on_the_pixel_alone_comes_through(shape):
    image = np.random.default_rng(1).normal(size=(*shape, 2))
    found, known = mapped(image, lambda x: np.stack([x[..., 0], 1 - x[..., 1]], -1), 2)
    assert known.all() and found.shape == (2, *shape)
    np.testing.assert_allclose(found[0], image[..., 0], atol=1e-5)
    np.testing.assert_allclose(found[1], 1 - image[..., 1], atol=1e-5)


def test_a_window_that_errs_at_its_border_leaves_no_seam():
    """The answer is 1 at the border of a window and 0 inside: side by side the map would jump by 1 at every window."""
    answer = np.ones((WINDOW, WINDOW, 1), "f4")
    answer[4:-4, 4:-4] = 0
    found, _ = mapped(np.zeros((160, 160, 1)), lambda x: np.repeat(answer[None], len(x), 0), 1)
    inner = found[0, WINDOW:-WINDOW, WINDOW:-WINDOW]
    assert inner.max() < 0.5
    assert max(np.abs(np.diff(inner, axis=axis)).max() for axis in (0, 1)) < 0.3


def test_sums_of_strips_are_those_of_the_whole_image():
    random = np.random.default_rng(2)
    image = random.normal(size=(77, 90, 1))
    predict = lambda x: np.concatenate([x * 0 + x.mean((1, 2), keepdims=True), x], -1)  # noqa: E731
    found, _ = mapped(image, predict, 2)
    sums, total, weight = np.zeros((77, 90, 2)), np.zeros((77, 90, 1)), taper(WINDOW)
    for top in starts(77, WINDOW):
        for left in starts(90, WINDOW):
            part = np.s_[top : top + WINDOW, left : left + WINDOW]
            w = (weight[:, None] * weight[None, :])[..., None]
            sums[part] += predict(image[part][None])[0] * w
            total[part] += w
    np.testing.assert_allclose(np.moveaxis(found, 0, -1), sums / total, atol=1e-5)


def test_pixels_without_data_are_filled_and_known_as_such():
    image = np.ones((64, 64, 2))
    image[10:20, 5:9, 1] = np.nan
    seen = []
    _, known = mapped(image, lambda x: seen.append(np.unique(x)) or x, 2)
    assert (~known).sum() == 40 and not known[10:20, 5:9].any()
    assert set(np.concatenate(seen)) == {1.0, 7.0}
