"""From patches to maps: training that is cut off, Keras and ONNX alike, maps, and what does not fit."""

import json
import shutil

import numpy as np
import pytest
import rasterio

from imperv.flows.cli.commands import main
from imperv.layers.patches.pretraining import PretrainingParameters
from imperv.layers.patches.training import TrainingParameters
from imperv.tasks.errors import InputError
from imperv.tasks.patches.extraction import extract
from imperv.tasks.patches.images import find_images, open_image
from imperv.tasks.patches.models import load_model
from imperv.tasks.patches.prediction import image_for, predict_image
from imperv.tasks.patches.training import pretrain_patches, train_patches
from tests.tasks.patches.site import BANDS, classes, image_of, make_site, write

PARAMETERS = TrainingParameters(stages=2, batch=4, epochs=3, learning_rate=5e-3)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images, a patch set, and a model that was cut off in its first training and finished by the second."""
    place = tmp_path_factory.mktemp("patches")
    patches, _ = extract(find_images(make_site(place / "site"), None), place / "set", 64)

    def stop(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        # The line comes before the state is kept: nothing is lost but the epoch at work.
        train_patches(patches, place / "m.keras", PARAMETERS, [1, 2, 3], line=lambda text: stop(text) if "2 of" in text else None)
    assert not (place / "m.keras").exists() and not (place / "m.json").exists()
    lines: list[str] = []
    onnx = pytest.importorskip("tf2onnx", reason="group onnx") is not None
    record, new = train_patches(patches, place / "m.keras", PARAMETERS, [1, 2, 3], onnx=onnx, line=lines.append)
    assert new and [line.partition(":")[0] for line in lines] == ["epoch 2 of 3", "epoch 3 of 3"]
    assert record["history"]["scores"]["f1"]["value"] > 0.5
    assert sorted(p.name for p in place.iterdir()) == ["m.json", "m.keras", "m.onnx", "set", "site"]
    return place


@pytest.mark.slow
def test_the_same_model_is_not_trained_again(place):
    from imperv.tasks.patches.extraction import open_patches

    record, new = train_patches(open_patches(place / "set"), place / "m.keras", PARAMETERS, [1, 2, 3], onnx=True)
    assert not new and record["patches"]["learning"] + record["patches"]["judging"] == 18
    assert record["bands"] == ["B02", "B03", "B04", "B08"] and len(record["history"]["loss"]) == 3


@pytest.mark.slow
def test_maps_of_keras_and_onnx_agree_and_hold_what_the_model_says(place, tmp_path):
    found, models = {}, {}
    for ending in (".keras", ".onnx"):
        model = load_model((place / "m.keras").with_suffix(ending))
        models[ending], image = model, image_for(model, place / "site" / "a0.tif")
        out = tmp_path / f"map{ending}.tif"
        mapped = predict_image(model, image, out, probabilities=True)
        assert mapped.made and not predict_image(model, image, out, probabilities=True).made
        with rasterio.open(out) as source, rasterio.open(out.with_name(f"{out.stem}_probability.tif")) as second:
            assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and source.nodata == 0
            assert source.transform == image.grid.affine and source.crs.to_epsg() == 32632
            found[ending] = source.read(1), second.read()
    x = np.random.default_rng(3).uniform(0, 4000, (3, 32, 96, 4)).astype("f4")  # any number and size
    np.testing.assert_allclose(models[".keras"].predict(x), models[".onnx"].predict(x), atol=1e-4)
    keras, onnx = found[".keras"], found[".onnx"]
    assert (keras[0] != onnx[0]).mean() < 0.001 and np.abs(keras[1].astype(int) - onnx[1]).max() <= 1
    codes, percent = keras
    lacking = np.zeros(codes.shape, bool)
    lacking[:6, :9] = True
    np.testing.assert_array_equal(codes == 0, lacking)
    np.testing.assert_array_equal((percent == 255).all(0), lacking)
    np.testing.assert_array_equal((percent.argmax(0) + 1)[~lacking & (np.sort(percent, 0)[-2] < percent.max(0))],
                                  codes[~lacking & (np.sort(percent, 0)[-2] < percent.max(0))])  # fmt: skip
    assert np.abs(percent.sum(0)[~lacking].astype(int) - 100).max() <= 2
    assert (codes == classes((140, 128), 1))[~lacking].mean() > 0.7
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".qml", ".qml", ".tif", ".tif", ".tif", ".tif"]


def test_a_map_that_is_cut_off_is_not_there(place, tmp_path):
    model = load_model(place / "m.keras")

    def stop(what, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_image(model, image_for(model, place / "site" / "a1.tif"), tmp_path / "map.tif", tell=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["map.qml"]


def test_images_that_a_model_does_not_fit_are_refused(place, tmp_path):
    model = load_model(place / "m.keras")
    pixels = image_of(classes((64, 64)))
    with pytest.raises(InputError, match=r"x.tif: lacks B08; it has B02, B03, B04"):
        image_for(model, write(tmp_path / "x.tif", pixels[:3], BANDS[:3]))
    with pytest.raises(InputError, match=r"y.tif: its 3 bands have no names"):
        image_for(model, write(tmp_path / "y.tif", pixels[:3]))
    more = image_for(model, write(tmp_path / "z.tif", pixels[[3, 1, 0, 2]], ("B8", "B3", "B2", "B4")))
    assert more.indexes == (3, 2, 4, 1)


def test_a_model_file_that_is_not_ours_or_was_changed_is_refused(place, tmp_path):
    for name in ("m.keras", "m.json"):
        shutil.copy(place / name, tmp_path)
    with (tmp_path / "m.keras").open("ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match="is not the file that its record"):
        load_model(tmp_path / "m.keras")
    (tmp_path / "m.json").unlink()
    with pytest.raises(InputError, match="is no record of imperv patches train"):
        load_model(tmp_path / "m.keras")
    with pytest.raises(InputError, match="no such model file"):
        load_model(tmp_path / "n.keras")


def run(capsys, *arguments) -> tuple[int, list[str]]:
    code = main(["patches", *map(str, arguments)])
    return code, capsys.readouterr().err.splitlines()


def test_wrong_requests_are_one_line(place, tmp_path, capsys):
    unlabelled = tmp_path / "none"
    shutil.copytree(place / "site", unlabelled)
    for path in unlabelled.glob("*_labels.tif"):
        with rasterio.open(path, "r+") as out:
            out.write(np.zeros(out.shape, "u1"), 1)
    assert run(capsys, "extract", unlabelled, "-o", tmp_path / "empty", "--patch-size", 64)[0] == 0
    cases = [
        (("train", tmp_path / "empty", "-o", tmp_path / "x.keras"), "no pixel of the patch set has a label"),
        (("train", place / "set", "-o", tmp_path / "x.keras", "--selected-classes", "1,9"), "has class 9; there are 1, 2, 3"),
        (("train", place / "set", "-o", tmp_path / "x.keras", "--selected-classes", "a"), "--selected-classes: 'a'"),
        (("train", place / "set", "-o", tmp_path / "x.h5"), "the name of a model ends in .keras"),
        (("train", place / "set", "-o", tmp_path / "x.keras", "--lr", "0"), "a learning rate is above 0"),
        (("train", place / "set", "-o", tmp_path / "x.keras", "--pretrained", place / "m.keras"), "no record of imperv patches"),
        (("train", place / "site", "-o", tmp_path / "x.keras"), "is no patch set"),
        (("extract", place / "site", "-o", tmp_path / "s", "--patch-size", 100), "patches have 64 or 256 pixels"),
        (("pretrain", place / "site", "-o", tmp_path / "p.keras"), "no two images share a grid"),
        (("predict", place / "m.keras", place / "site" / "a0.tif", "-o", place / "site" / "a0.tif"), "is the image itself"),
        (("full", place / "site", "-o", tmp_path, "--pretrain", tmp_path, "--pretrained", tmp_path / "p"), "give one of them"),
    ]  # fmt: skip
    for arguments, message in cases:
        code, lines = run(capsys, *arguments)
        own = [line for line in lines if not line.startswith("imperv: patches of 64 pixels")]
        assert code == 2 and len(own) == 1 and message in own[0], (arguments, lines)


@pytest.mark.slow
def test_pretraining_on_dates_starts_a_training_with_its_bands(tmp_path):
    codes = classes((96, 200), 5)
    for date in range(3):
        write(tmp_path / "dates" / f"d{date}.tif", image_of(codes, date) + 100 * date, BANDS)
    images, lines = find_images(tmp_path / "dates", None, labelled=False), []
    parameters = PretrainingParameters(stages=2, steps=2, batch=2)
    record, new = pretrain_patches(images, tmp_path / "p.keras", parameters, 64, line=lines.append)
    assert new and record["history"]["places"] == 3 and record["history"]["patches"] == 9
    assert not pretrain_patches(images, tmp_path / "p.keras", parameters, 64)[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dates", "p.json", "p.keras"]
    patches, _ = extract(find_images(make_site(tmp_path / "site"), None), tmp_path / "set", 64)
    start = tmp_path / "p.keras"
    once = PARAMETERS.model_copy(update={"epochs": 1})
    trained, _ = train_patches(patches, tmp_path / "m.keras", once, [1, 2], pretrained=start)
    assert trained["normalisation"] == record["normalisation"] == json.loads((tmp_path / "p.json").read_text())["normalisation"]
    with pytest.raises(InputError, match="has 2 stages, --stages is 3; give --stages 2"):
        train_patches(patches, tmp_path / "n.keras", TrainingParameters(stages=3), [1, 2], pretrained=start)
    other, _ = extract(find_images(tmp_path / "site", ("B02", "B08")), tmp_path / "other", 64)
    with pytest.raises(InputError, match="was pretrained on bands B02, B03, B04, B08"):
        train_patches(other, tmp_path / "n.keras", PARAMETERS, [1, 2], pretrained=start)
    assert open_image(tmp_path / "dates" / "d0.tif", None).shape == (96, 200)
