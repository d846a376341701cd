"""Patch sets hold what the images hold, and are whole or not there."""

import numpy as np
import pytest
import rasterio

from imperv.tasks.errors import InputError
from imperv.tasks.patches.extraction import extract, open_patches
from imperv.tasks.patches.images import find_images
from tests.tasks.patches.site import BANDS, classes, image_of, make_site, write


def test_patches_hold_the_pixels_and_labels_of_their_ground(tmp_path):
    site = make_site(tmp_path / "site", 2)
    made, new = extract(find_images(site, ("B08", "B02")), tmp_path / "set", 64)
    assert new and made.size == 64 and made.nodata == 0 and made.bands == ("B08", "B02")
    assert made.images.shape == (12, 2, 64, 64) and made.images.dtype == np.uint16  # 3 x 2 of each, the last row mostly beyond
    for k, ground in enumerate(made.grounds):
        number = int((ground.bounds[0] - 600000) // 2000)
        column, row = round((ground.bounds[0] - 600000 - 2000 * number) / 10), round((5000000 - ground.bounds[3]) / 10)
        with rasterio.open(site / f"a{number}.tif") as image, rasterio.open(site / f"a{number}_labels.tif") as annotated:
            pixels, labels = image.read([4, 1]), annotated.read(1)
        part = np.s_[row : row + 64, column : column + 64]
        rows = labels[part].shape[0]
        labels = np.where((pixels == 0).any(0), 0, labels)
        np.testing.assert_array_equal(made.images[k][:, :rows], pixels[:, *part])
        np.testing.assert_array_equal(made.labels[k][:rows], labels[part])
        assert not made.images[k][:, rows:].any() and not made.labels[k][rows:].any()
        np.testing.assert_array_equal(made.counts[k][1:], np.bincount(labels[part].ravel(), minlength=256)[1:])


def test_the_same_is_not_cut_again_and_other_settings_replace_it(tmp_path):
    images, folder = find_images(make_site(tmp_path / "site", 1), None), tmp_path / "set"
    first, _ = extract(images, folder, 64)
    assert extract(images, folder, 64)[1] is False
    second, new = extract(images, folder, 128)
    assert new and second.size == 128 and open_patches(folder).record["key"] != first.record["key"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set", "site"]


def test_a_set_that_is_cut_off_is_not_there_and_the_old_one_stays(tmp_path):
    images, folder = find_images(make_site(tmp_path / "site", 1), None), tmp_path / "set"

    def stop(what, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(images, folder, 64, tell=stop)
    assert not folder.exists()
    kept, _ = extract(images, folder, 64)
    with pytest.raises(KeyboardInterrupt):
        extract(images, folder, 128, tell=stop)
    assert open_patches(folder).record == kept.record
    (tmp_path / ".set.draft").mkdir()  # as a killed run leaves it
    (tmp_path / ".set.draft" / "images").write_text("half")
    assert extract(images, folder, 128)[0].size == 128


def test_groups_of_sen12ms(tmp_path):
    codes = np.kron([[1, 13], [17, 12]], np.ones((32, 32), "i8")).astype("u1")
    write(tmp_path / "s" / "x.tif", image_of(classes((64, 64))), BANDS)
    write(tmp_path / "s" / "x_labels.tif", codes[None])
    made, _ = extract(find_images(tmp_path / "s", None), tmp_path / "set", 64, sen12ms=True)
    assert np.unique(made.labels[0]).tolist() == [1, 6, 7, 10]


def test_fractions_and_their_own_no_data_become_nan(tmp_path):
    pixels = image_of(classes((64, 64))).astype("f4") / 1e4
    pixels[1, 5, 5], pixels[0, 9, 9] = -1, 0
    write(tmp_path / "s" / "x.tif", pixels, BANDS, nodata=-1)
    write(tmp_path / "s" / "x_labels.tif", classes((64, 64))[None])
    made, _ = extract(find_images(tmp_path / "s", None), tmp_path / "set", 64)
    assert np.isnan(made.nodata) and np.isnan(made.images[0][:, 5, 5]).all() and made.images[0][0, 9, 9] == 0
    assert made.labels[0][5, 5] == 0


def test_other_folders_are_left_alone(tmp_path):
    images = find_images(make_site(tmp_path / "site", 1), None)
    with pytest.raises(InputError, match="holds something else"):
        extract(images, tmp_path / "site", 64)
    with pytest.raises(InputError, match="is no patch set"):
        open_patches(tmp_path / "site")
    empty = [write(tmp_path / "e" / "x.tif", np.zeros((4, 64, 64), "u2"), BANDS)]
    write(tmp_path / "e" / "x_labels.tif", classes((64, 64))[None])
    with pytest.raises(InputError, match="no image has a pixel with data"):
        extract(find_images(empty[0].parent, None), tmp_path / "set", 64)
    assert not (tmp_path / "set").exists()
