"""Folders of images: what does not fit is refused in one line that names the file."""

import numpy as np
import pytest

from imperv.tasks.errors import InputError
from imperv.tasks.patches.images import band_name, find_images, open_image, wanted_bands
from tests.tasks.patches.site import BANDS, classes, image_of, make_site, write


def test_names_of_bands_in_any_spelling():
    spellings = {"B2": "B02", "b02": "B02", "8A": "B8A", "B8a": "B8A", "12": "B12", "B13": "", "red": "", "": ""}
    assert {text: band_name(text) for text in spellings} == spellings
    assert wanted_bands("B8, b4,2") == ("B08", "B04", "B02")


@pytest.mark.parametrize("text", ["B2,red", "B2,,B3", "B99"])
def test_what_is_no_band_is_refused(text):
    with pytest.raises(InputError, match="--bands"):
        wanted_bands(text)


def test_a_band_that_is_named_twice_is_refused():
    with pytest.raises(InputError, match="twice"):
        wanted_bands("B2,b02")


def test_bands_are_found_by_their_names_or_else_by_their_order(tmp_path):
    pixels = image_of(classes((64, 70)))
    named, plain = write(tmp_path / "n.tif", pixels, BANDS), write(tmp_path / "p.tif", pixels)
    assert open_image(named, ("B08", "B02")).indexes == (4, 1)
    assert open_image(named, None).bands == ("B02", "B03", "B04", "B08")
    assert open_image(plain, ("B08", "B04", "B03", "B02")).indexes == (1, 2, 3, 4)
    assert open_image(plain, None).bands == ("band 1", "band 2", "band 3", "band 4")
    with pytest.raises(InputError, match=r"n.tif: lacks B05; it has B02, B03, B04, B08"):
        open_image(named, ("B05",))
    with pytest.raises(InputError, match=r"p.tif: its 4 bands have no names, --bands has 2"):
        open_image(plain, ("B02", "B03"))


def test_annotations_lie_beside_the_images_or_in_a_folder(tmp_path):
    site = make_site(tmp_path / "site", 2)
    found = find_images(site, None)
    assert [(i.path.name, i.labels.name) for i in found] == [("a0.tif", "a0_labels.tif"), ("a1.tif", "a1_labels.tif")]
    other = tmp_path / "labels"
    other.mkdir()
    (site / "a1_labels.tif").rename(other / "a1.tif")
    (site / "a0_labels.tif").unlink()
    assert [i.path.name for i in find_images(site, None, other)] == ["a1.tif"]
    with pytest.raises(InputError, match="no image has an annotation"):
        find_images(site, None)
    assert len(find_images(site, None, labelled=False)) == 2


def bad_labels(folder, labels, **other):
    make_site(folder, 1)
    write(folder / "a0_labels.tif", labels, **other)
    return folder


@pytest.mark.parametrize(
    ("labels", "other", "message"),
    [
        (np.ones((1, 139, 128), "u1"), {}, r"a0_labels.tif: has 139 x 128 pixels, its image a0.tif 140 x 128"),
        (np.ones((1, 140, 128), "i2"), {}, r"a0_labels.tif: has 1 bands of int16"),
        (np.ones((2, 140, 128), "u1"), {}, r"a0_labels.tif: has 2 bands of uint8"),
        (np.ones((1, 140, 128), "u1"), {"corner": (600010.0, 5000000.0)}, "another grid"),
        (np.ones((1, 140, 128), "u1"), {"crs": "EPSG:32633"}, "another grid"),
    ],
)
def test_an_annotation_that_does_not_fit_is_refused(tmp_path, labels, other, message):
    with pytest.raises(InputError, match=message):
        find_images(bad_labels(tmp_path, labels, **other), None)


def test_images_with_other_bands_small_ones_and_no_images_are_refused(tmp_path):
    site = make_site(tmp_path / "site", 1)
    write(site / "b.tif", image_of(classes((64, 64)))[:3], BANDS[:3])
    with pytest.raises(InputError, match=r"b.tif: has bands B02, B03, B04, a0.tif has B02, B03, B04, B08"):
        find_images(site, None, labelled=False)
    assert len(find_images(site, ("B02", "B03"), labelled=False)) == 2
    write(site / "b.tif", image_of(classes((64, 63))), BANDS)
    with pytest.raises(InputError, match=r"b.tif: has 64 x 63 pixels; images are 64 x 64 at least"):
        find_images(site, None, labelled=False)
    (site / "b.tif").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"b.tif: cannot be read as a GeoTIFF"):
        find_images(site, None, labelled=False)
    with pytest.raises(InputError, match="holds no GeoTIFF"):
        find_images(tmp_path, None)
    with pytest.raises(InputError, match="no such folder"):
        find_images(tmp_path / "nowhere", None)
