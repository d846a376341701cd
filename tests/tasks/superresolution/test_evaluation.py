"""Scores of a finished tile, against numbers computed from its delivered files."""

import json

import numpy as np
import pytest
import rasterio

from imperv.flows.cli.commands import main
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.superresolution.evaluation import PRODUCT
from tests.support.sharpened import TILE, small_production


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    file = small_production(tmp_path_factory.mktemp("scored") / "p")
    assert main(["run", TILE, "--config", str(file), "--target", "SR10"]) == 0
    return file


@pytest.fixture(scope="module")
def truth(finished, tmp_path_factory):
    """The product itself, every band 30 brighter."""
    path = tmp_path_factory.mktemp("truth") / "truth.tif"
    with rasterio.open(finished.parent / f"store/products/{TILE}/SR10_2021-06_{TILE}_R10m.tif") as source:
        pixels = source.read()
        with rasterio.open(path, "w", **(source.profile | {"driver": "GTiff"})) as out:
            out.write(np.where(pixels > 0, pixels + 30, 0).astype("uint16"))
            out.descriptions = source.descriptions
    return path


@pytest.mark.slow
def test_scores_with_a_truth(finished, truth, capsys):
    assert main(["evaluate", TILE, "--config", str(finished), "--truth-raster", f"10={truth}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    fine = found["truth"]["10"]["20 m bands at 10 m"]
    assert fine[PRODUCT]["rmse"]["value"] == pytest.approx(30, abs=1e-3)
    assert fine["cubic"]["rmse"]["value"] > fine["cubic, back-projected"]["rmse"]["value"] > 30
    assert set(fine) >= {"Lanczos", "Lanczos, back-projected"} and 0 <= fine[PRODUCT]["hallucination"]["value"] <= 1
    lower = found["degraded"]["20to10"]
    assert lower["regression"]["rmse"]["value"] < lower["cubic"]["rmse"]["value"]
    assert "boosted trees" in lower and found["tiles"] == [TILE]


@pytest.mark.slow
def test_tables(finished, capsys):
    assert main(["evaluate", TILE, "--config", str(finished)]) == 0
    out = capsys.readouterr().out
    assert "20to10, an octave lower on the scene itself" in out and "regression" in out and "RMSE" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--truth-raster", "10"], "write KEY=FILE"),
        (["--truth-raster", "10=nowhere.tif"], "cannot be read"),
        (["--truth-raster", "5=x.tif"], "SR5 of tile E44N25 is not made"),
        (["--only", "IMD"], "are not of product superresolution"),
    ],
)
def test_wrong_requests(finished, capsys, options, said):
    capsys.readouterr()
    assert main(["evaluate", TILE, "--config", str(finished), *options]) == 2
    assert said in capsys.readouterr().err


def test_a_truth_on_another_grid(finished, truth, tmp_path, capsys):
    from imperv.tasks.superresolution.evaluation import evaluate

    path = tmp_path / "moved.tif"
    with rasterio.open(truth) as source, rasterio.open(path, "w", **(source.profile | {"driver": "GTiff"})) as out:
        out.transform = source.transform.translation(3, 0) * source.transform
        out.write(source.read())
        out.descriptions = source.descriptions
    with pytest.raises(Exception, match="its pixels are not those"):
        evaluate([Job.of(Production.read(finished), TILE)], {"10": str(path)})
