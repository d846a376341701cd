"""Crops from months to delivered maps, on a made-up map of fields; nothing is known of real fields, so that truth is made up too.

The months are simulated: every field shows the series of one sample, of made-up crops or of a real parcel that the model has
not learnt from.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from imperv.flows.cli.commands import main
from imperv.layers.catalogue.crops import MONTHLY
from imperv.layers.crops.maps import majority
from imperv.layers.crops.models import Learner
from imperv.layers.crops.parameters import TrainingParameters
from imperv.layers.crops.series import Calendar, Series
from imperv.layers.features import QUANTILE_BANDS
from imperv.tasks.crops.direct import Request as Direct
from imperv.tasks.crops.direct import classify_folder
from imperv.tasks.crops.model_files import Told, load_model, save_model
from imperv.tasks.crops.samples import Request, check_for_training, read_samples
from imperv.tasks.delivery.delivery import deliver
from imperv.tasks.errors import InputError
from imperv.tasks.families import family
from imperv.tasks.job import Job
from imperv.tasks.nodes import make_node, standing
from imperv.tasks.settings.production import Production
from tests.support.crops import made_up
from tests.support.stored_layers import put

BOX = (4_420_000, 2_598_000, 4_422_000, 2_599_000)
TILE = "E44N25"
FIELD = 20
"""Edge of a field, pixels."""
NODES = ("CR_mask", "CR_probability", "CR_map", "CR_confidence")


def fields(shape: tuple[int, int], count: int, seed: int = 1) -> np.ndarray:
    """Number of the sample of each pixel: square fields, all samples in turn."""
    rows, columns = (-(-n // FIELD) for n in shape)
    number = np.random.default_rng(seed).permutation(rows * columns).reshape(rows, columns) % count
    return np.kron(number, np.ones((FIELD, FIELD), int))[: shape[0], : shape[1]]


def months_of(series: Series, place: np.ndarray) -> np.ndarray:
    """(month, band, y, x) uint16 of fields of samples; bands that the samples lack show something."""
    out = np.full((12, len(QUANTILE_BANDS), *place.shape), 1234, "uint16")
    numbers = np.rint(np.nan_to_num(series.values) * 1e4).astype("uint16")
    for k, band in enumerate(series.bands):
        out[:, QUANTILE_BANDS.index(band)] = np.moveaxis(numbers[place, :, k], -1, 0)
    out[:, :, :5, :5] = 0  # never seen
    return np.where((out == 0).any(axis=1, keepdims=True), 0, out).astype("uint16")


def production(folder: Path, model: Path, more: str = "") -> Path:
    file = folder / "crops.toml"
    file.write_text(
        f'product = "crops"\ntiles = ["{TILE}"]\nstore = "store"\n[periods]\nspan = "2022-09-01/2023-08-31"\n'
        f'[area]\nbbox = {list(BOX)}\n[scenes]\ncatalogue = "items.json"\n[references]\nmodel = "{model}"\n{more}'
        "[engine]\nworkers = 2\n"
    )
    return file


def job_of(file: Path) -> Job:
    return Job.of(Production.read(file), TILE)


def run(job: Job) -> dict[str, bool]:
    """Make and deliver what is not up to date."""
    ran = {symbol: make_node(job, symbol)[1] for symbol in NODES}
    return ran | {f"deliver {symbol}": deliver(job, symbol)[1] for symbol in ("CR_map", "CR_confidence")}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder with a model, samples that it does not know, the truth, and a finished production."""
    folder = tmp_path_factory.mktemp("crops")
    series, others = made_up(25), made_up(20, seed=8)
    model = folder / "forest.npz"
    scores = {"left out": {"forest": _scores(series)}}
    save_model(Learner(TrainingParameters(kind="forest"), series).learn(series, 1), model, Told(scores=scores))
    file = production(folder, model, 'mask = "mask.tif"\n')
    job = job_of(file)
    place = fields((100, 200), len(others.labels))
    months = months_of(others, place)
    for symbol, month in zip(MONTHLY, months, strict=True):
        looks = np.where(month[0] > 0, 3, 255).astype("uint8")
        put(job, symbol, month, looks, **{symbol: {"pixels": 20000, "outside": 100}})
    mask = np.zeros((100, 200), "u1")
    mask[:, 190:] = 7
    write(folder / "mask.tif", mask[None], BOX, "EPSG:3035")
    run(job)
    return file, others, place, months


def _scores(series: Series) -> dict:
    from imperv.layers.crops.scores import cross_validate

    return cross_validate({"forest": TrainingParameters(kind="forest")}, series, 2, 1)["forest"].to_json()


def write(path: Path, pixels: np.ndarray, box, crs, **more) -> None:
    count, rows, columns = pixels.shape
    form = {"driver": "GTiff", "width": columns, "height": rows, "count": count, "dtype": pixels.dtype, "crs": crs} | more
    with rasterio.open(path, "w", transform=from_origin(box[0], box[3], 10, 10), **form) as out:
        out.write(pixels)


def delivered(file: Path, symbol: str) -> Path:
    return file.parent / f"store/products/{TILE}/{symbol}_2022-09-01_2023-08-31_{TILE}_R10m.tif"


def test_the_map_is_what_the_model_says_of_each_field(site):
    file, others, place, _ = site
    model = load_model(file.parent / "forest.npz").model
    stored = np.rint(others.values * 1e4).astype("f4") * np.float32(1e-4)
    said = model.probabilities(stored)
    with rasterio.open(delivered(file, "CR_map")) as source:
        codes = source.read(1)
        assert source.nodata == 255 and source.dtypes == ("uint8",) and source.crs.to_epsg() == 3035
    outside = np.zeros(codes.shape, bool)
    outside[:, 190:], outside[:5, :5] = True, True
    assert np.array_equal(codes, np.where(outside, 255, said.argmax(axis=1)[place]))
    assert (codes == others.labels[place])[~outside].mean() > 0.95  # and it is right
    with rasterio.open(delivered(file, "CR_confidence")) as source:
        percent = source.read(1)
    assert np.abs(percent.astype(int) - np.where(outside, 255, 100 * said.max(axis=1)[place])).max() <= 1


def test_what_is_delivered_and_reported(site, capsys):
    file, *_ = site
    assert main(["verify", "--config", str(file)]) == 0
    assert "2 of 2 files pass" in capsys.readouterr().out
    item = json.loads(delivered(file, "CR_map").with_suffix(".stac.json").read_text())
    assert item["properties"]["crops:model"] == "forest.npz" and 0.5 < item["properties"]["crops:mean_f1"]["value"] <= 1
    classes = item["assets"]["data"]["classification:classes"]
    assert [(c["value"], c["title"]) for c in classes[:3]] == [(0, "wheat"), (1, "maize"), (2, "no crop")]
    style = delivered(file, "CR_map").with_suffix(".qml").read_text()
    assert "maize" in style and "Sunflower" not in style
    job = job_of(file)
    write_report = family("crops").report
    assert write_report is not None
    text = (file.parent / "store" / write_report(job)).read_text()
    assert (
        text.count("data:image/png") == 2
        and "overall accuracy" in text
        and "2022-09" in text
        and "Could not be shown" not in text
    )
    table = delivered(file, "CR_map")
    with rasterio.open(table) as source:
        pixels, profile = source.read(), source.profile
    before = table.read_bytes()
    pixels[0, 50, :50] = 9
    with rasterio.open(table, "w", **profile | {"driver": "GTiff"}) as out:
        out.write(pixels)
    assert main(["verify", "--config", str(file)]) == 1
    assert "codes that the model does not have: [9]" in capsys.readouterr().out
    table.write_bytes(before)


def test_a_run_again_makes_nothing_and_changes_run_what_depends_on_them(site):
    file, _, _, _ = site
    assert not any(run(job_of(file)).values())
    text = file.read_text()
    file.write_text(text + "[parameters.map]\nmajority = 3\n")
    job = job_of(file)
    assert [symbol for symbol in NODES if standing(job, symbol).state == "run"] == ["CR_map"]
    before = job.array("CR_map")[:]
    assert [name for name, ran in run(job).items() if ran][0] == "CR_map"
    assert np.array_equal(job.array("CR_map")[:], majority(before, 3))  # across the edges of pieces and blocks, too
    model = file.parent / "forest.npz"
    record = model.with_name("forest.npz.json")
    kept = record.read_text()
    record.write_text(json.dumps(json.loads(kept) | {"classes": ["wheat", "corn", "no crop"]}))
    assert standing(job_of(file), "CR_probability").state == "run"
    record.write_text(kept)
    file.write_text(text)
    run(job_of(file))


def test_a_plan_has_costs_of_months_and_model(site, capsys):
    file, *_ = site
    assert main(["plan", TILE, "--config", str(file), "--json"]) == 0
    steps = {step["node"]: step for step in json.loads(capsys.readouterr().out)}
    assert {"CO_A", "CO_L", "CR_probability", "deliver CR_map"} <= set(steps) and "CO_metrics" not in steps
    assert steps["CR_probability"]["core_seconds"] > 0 and steps["CR_probability"]["memory"] > 2**20


def test_twelve_files_without_a_production_give_the_same_map(site, tmp_path):
    file, _, _, months = site
    folder = tmp_path / "months"
    folder.mkdir()
    for k, month in enumerate(months):
        write(folder / f"month_{'ABCDEFGHIJKL'[k]}.tif", month, BOX, "EPSG:3035", nodata=0)
    request = Direct(folder, file.parent / "forest.npz", tmp_path / "map.tif", file.parent / "mask.tif", 0, True)
    made = classify_folder(request)
    for path, symbol in ((tmp_path / "map.tif", "CR_map"), (tmp_path / "map_confidence.tif", "CR_confidence")):
        with rasterio.open(path) as ours, rasterio.open(delivered(file, symbol)) as theirs:
            assert np.array_equal(ours.read(), theirs.read()) and ours.colormap(1) == theirs.colormap(1)
    assert sum(made.pixels.values()) + made.unclassified == 20000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.tif", "map_confidence.tif", "months"]
    command = [
        "crops",
        "classify",
        str(folder),
        "-m",
        str(request.model),
        "-o",
        str(tmp_path / "filtered.tif"),
        "--majority",
        "3",
    ]
    assert main(command) == 0
    with rasterio.open(tmp_path / "filtered.tif") as source:
        assert not np.array_equal(source.read(1)[:, 190:], np.full((100, 10), 255)) and source.overviews(1) is not None


def test_a_month_that_is_missing_is_a_gap(site, tmp_path):
    file, others, place, months = site
    for k, month in enumerate(months):
        if k != 4:
            write(tmp_path / f"33UVP_{'ABCDEFGHIJKL'[k]}_2022.tif", month, BOX, "EPSG:3035", nodata=0)
    made = classify_folder(Direct(tmp_path, file.parent / "forest.npz", tmp_path / "map.tif"))
    assert made.warnings == ("months E are missing: straight lines from the months around take their place",)
    gone = others.values.copy()
    gone[:, 4] = np.nan
    stored = np.rint(gone * 1e4).astype("f4") * np.float32(1e-4)
    said = load_model(file.parent / "forest.npz").model.probabilities(stored).argmax(axis=1)
    with rasterio.open(tmp_path / "map.tif") as source:
        assert np.array_equal(source.read(1)[5:], said[place][5:])


def refused(request: Direct) -> str:
    with pytest.raises(InputError) as found:
        classify_folder(request)
    assert "\n" not in str(found.value)
    return str(found.value)


def test_folders_and_masks_that_do_not_fit(site, tmp_path):
    file, _, _, months = site
    folder, model = tmp_path / "months", file.parent / "forest.npz"
    folder.mkdir()
    for k, month in enumerate(months):
        write(folder / f"{k:02d}.tif", month, BOX, "EPSG:3035")
    request = Direct(folder, model, tmp_path / "map.tif")
    write(tmp_path / "mask.tif", months[:1, 0, :50], BOX, "EPSG:3035")
    assert "is not on the grid of the months" in refused(Direct(folder, model, tmp_path / "map.tif", tmp_path / "mask.tif"))
    assert "is even" in refused(Direct(folder, model, tmp_path / "map.tif", None, 4))
    write(folder / "03.tif", months[3], (BOX[0] + 10, *BOX[1:]), "EPSG:3035")
    assert "03.tif: its transform is not that of 00.tif" in refused(request)
    write(folder / "03.tif", months[3, :4], BOX, "EPSG:3035")
    assert "03.tif: its count" in refused(request)
    write(folder / "a_B_c.tif", months[3], BOX, "EPSG:3035")
    write(folder / "B.tif", months[3], BOX, "EPSG:3035")
    assert "are of one month" in refused(request)
    for name in ("a_B_c.tif", "B.tif", "03.tif"):
        (folder / name).unlink()
    assert "holds 11 GeoTIFFs" in refused(request)
    assert "imperv run -c" in refused(Direct(file, model, tmp_path / "map.tif"))
    for k in range(12):
        write(folder / f"{k:02d}.tif", months[k, :4], BOX, "EPSG:3035")
    assert "has no B02, B03" in refused(request)
    assert not (tmp_path / "map.tif").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: Series(s.values, s.labels, s.groups, s.classes, s.bands, Calendar("months", 12, 1)), "begins in month 1"),
        (lambda s: Series(s.values, s.labels, s.groups, s.classes, s.bands, Calendar("decades", 12)), "train it with --monthly"),
        (lambda s: Series(s.values[:, :, :2], s.labels, s.groups, s.classes, ("B01", "B02"), s.calendar), "wants B01"),
    ],
)
def test_a_model_that_does_not_fit_the_months_is_refused_before_anything_is_made(tmp_path, capsys, change, words):
    series = change(made_up(5))
    model = tmp_path / "f.npz"
    save_model(Learner(TrainingParameters(kind="forest"), series).learn(series, 1), model, Told())
    file = production(tmp_path, model)
    assert main(["run", TILE, "--config", str(file)]) == 2
    text = capsys.readouterr().err
    assert words in text and len([line for line in text.splitlines() if "references.model" in line]) == 1
    model.unlink()
    assert main(["run", TILE, "--config", str(file)]) == 2
    assert "no such model" in capsys.readouterr().err


def test_seasons_of_other_lengths_are_refused(tmp_path):
    file = production(tmp_path, tmp_path / "m.keras")
    file.write_text(file.read_text().replace("2023-08-31", "2023-07-31"))
    with pytest.raises(InputError, match="is not twelve months"):
        Production.read(file)
    file.write_text(file.read_text().replace("2023-07-31", "2023-08-31") + "[parameters.map]\nmajority = 4\n")
    with pytest.raises(InputError, match="4 is even"):
        Production.read(file)


@pytest.mark.slow
def test_fields_of_real_parcels_that_the_model_has_not_learnt_from(shared_data, tmp_path):
    """Half of the parcels are learnt from, the others are the fields: as right as parcel by parcel, far above chance."""
    data = Request(shared_data / "crops/2023_FRA_LPIS_POLY_110.geoparquet", Calendar("months", 12), least=10)
    series = check_for_training(read_samples(data), 10).series
    half = np.arange(len(series.labels)) % 2 == 0
    model = tmp_path / "forest.npz"
    save_model(Learner(TrainingParameters(kind="forest"), series).learn(series.part(half), 1), model, Told())
    others = series.part(~half)
    job = job_of(production(tmp_path, model))
    place = fields((100, 200), len(others.labels))
    for symbol, month in zip(MONTHLY, months_of(others, place), strict=True):
        put(job, symbol, month, np.where(month[0] > 0, 1, 255).astype("uint8"))
    run(job)
    codes = job.array("CR_map")[:]
    known = codes != 255
    right = (codes == others.labels[place])[known].mean()
    assert known.mean() > 0.99 and right > 0.6, right
