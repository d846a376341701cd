"""Training the model of a tile from its store: after a kill, after a divergence, and where there is nothing to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import imperv.tasks.imperviousness.nodes.models
from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import WorkError
from imperv.tasks.imperviousness.nodes.models import make_model
from imperv.tasks.job import Job, attributes
from imperv.tasks.networks.checkpoints import checkpoint_path, load_checkpoint, save_checkpoint
from imperv.tasks.networks.starting import starting_model
from imperv.tasks.nodes import make_node, standing
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record
from tests.support.killed import killed_after

UNET = """
[parameters.unet]
base_filters = 4
depth = 1
crop = 16
epochs = 3
steps_per_epoch = 4
members = 1
split_block = 16
learning_rate = 0.01
"""


def job_of(folder: Path, tile: str = "E38N31") -> Job:
    west, south = int(tile[1:3]) * 100_000, int(tile[4:6]) * 100_000
    folder.mkdir(exist_ok=True)
    (folder / "production.toml").write_text(
        f'tiles = ["{tile}"]\nstore = "{folder.parent / "store"}"\n[periods]\nthen = "2018"\nnow = "2021"\n'
        f'[scenes]\ncatalogue = "items.json"\n[area]\nbbox = [{west}, {south}, {west + 1000}, {south + 1000}]\n' + UNET
    )
    return Job.of(Production.read(folder), tile)


def put(job: Job, symbol: str, **arrays: np.ndarray) -> None:
    layer, place = CATALOGUE[symbol], job.place(symbol)
    with job.store.writing_arrays(place, job.grid(10), 10, layer.variables, attributes(job, layer)) as out:
        for name, array in arrays.items():
            out[name][:] = array
    files, size = job.store.measure(place.data)
    record = Record(
        layer.stem, str(job.tile), "key", digest="d", href=place.data, files=files, size=size, bbox=job.bounds,
        start="2018-01-01", end="2018-12-31",
    )  # fmt: skip
    job.store.write_record(place.record, record)


def site(job: Job, built: bool = True, seed: int = 0) -> Job:
    """Features and references of 100 x 100 pixels; houses are bright in the red band."""
    rng = np.random.default_rng(seed)
    density = np.kron(rng.random((20, 20)) < 0.3 * built, np.ones((5, 5), "f4")).astype("f4")
    quantiles = rng.integers(300, 600, (10, 100, 100)).astype("u2")
    quantiles[2] += (1500 * density).astype("u2")
    harmonics = 0.1 * rng.standard_normal((7, 100, 100)).astype("f4")
    put(job, "PP_then", quantiles=quantiles, ndvi_q90=harmonics[0], harmonics=harmonics)
    put(job, "IBUD_ref", IBUD_ref=density)
    put(job, "IMD_then", IMD_then=(100 * density).astype("u1"))
    put(job, "CLCP_then", CLCP_then=np.where(density > 0, 1, 6).astype("u1"))
    return job


def with_unet(job: Job, **changes) -> Job:
    """The same tile with other parameters of the network."""
    parameters = job.production.parameters
    parameters = parameters.model_copy(update={"unet": parameters.unet.model_copy(update=changes)})
    return Job.of(job.production.model_copy(update={"parameters": parameters}), str(job.tile))


@pytest.fixture
def job(tmp_path):
    return site(job_of(tmp_path / "a"))


IBUD = CATALOGUE["IBUD_model"]


@pytest.mark.slow
def test_a_killed_training_goes_on(job, monkeypatch):
    job = with_unet(job, members=2)
    whole = make_model(job, IBUD)

    with killed_after(3, monkeypatch):
        make_model(job, IBUD)
    assert job.store.fs.exists(job.store.full(checkpoint_path(job, "IBUD_model")))
    told = []
    job = Job.of(job.production, "E38N31", lambda done, total: told.append(done))
    again = make_model(job, IBUD)
    assert (again.digest, again.statistics["history"]) == (whole.digest, whole.statistics["history"])
    assert len(told) < 6  # of two members with three epochs
    assert not job.store.fs.exists(job.store.full(checkpoint_path(job, "IBUD_model")))


def test_a_damaged_checkpoint_or_one_of_another_training_is_no_use(job):
    state = {"finished": [([np.ones(2)], {"seed": 1})], "member": {"variable_0": np.arange(3.0), "loss": [0.5]}}
    save_checkpoint(job, "IBUD_model", "one", state)
    found = load_checkpoint(job, "IBUD_model", "one")
    assert found["member"]["loss"] == [0.5] and np.array_equal(found["member"]["variable_0"], [0, 1, 2])
    assert found["finished"][0][1] == {"seed": 1} and np.array_equal(found["finished"][0][0][0], [1, 1])
    assert load_checkpoint(job, "IBUD_model", "two") is None
    path = Path(job.store.full(checkpoint_path(job, "IBUD_model")))
    path.write_bytes(path.read_bytes()[:200])
    assert load_checkpoint(job, "IBUD_model", "one") is None
    path.unlink()
    assert load_checkpoint(job, "IBUD_model", "one") is None


def test_a_tile_without_buildings_gets_no_model_and_says_why(tmp_path):
    job = site(job_of(tmp_path / "a"), built=False)
    record, ran = make_node(job, "IBUD_model")
    assert ran and not record.made
    assert "0 pixels of built-up land in tile E38N31" in record.reason
    assert standing(job, "IBUD_model").state == "up to date"


def test_the_open_sea_gets_no_model(tmp_path):
    job = site(job_of(tmp_path / "a"))
    put(job, "IMD_then", IMD_then=np.full((100, 100), 255, "u1"))
    put(job, "CLCP_then", CLCP_then=np.full((100, 100), 253, "u1"))
    record, _ = make_node(job, "IMD_model")
    assert not record.made and "no pixel of tile E38N31 has both features and a reference" in record.reason


@pytest.mark.slow
def test_a_training_that_diverges_is_tried_once_more_and_then_fails_clearly(tmp_path):
    job = site(job_of(tmp_path / "a"))
    job = with_unet(job, learning_rate=1e30)
    with pytest.raises(
        WorkError, match=r"IBUD_model of tile E38N31: the training diverged .*so did another.*learning_rate"
    ) as caught:
        make_model(job, IBUD)
    assert "\n" not in str(caught.value)
    assert job.record("IBUD_model") is None


@pytest.mark.slow
def test_the_second_seed_is_noted(job, monkeypatch):
    from imperv.layers.network.fitting import DivergenceError

    real, seeds = imperv.tasks.networks.making.train, []

    def train(regions, parameters, *rest):
        seeds.append(parameters.seed)
        if len(seeds) == 1:
            raise DivergenceError("the loss of epoch 1 is not finite")
        return real(regions, parameters, *rest)

    monkeypatch.setattr(imperv.tasks.networks.making, "train", train)
    made = make_model(job, IBUD)
    assert seeds == [1, 101]
    assert "repeated from another seed" in made.warnings[0]


@pytest.mark.slow
def test_a_training_starts_from_the_neighbour_and_stays_up_to_date(tmp_path):
    first = site(job_of(tmp_path / "a", "E38N32"))
    assert starting_model(first, "IBUD_model") is None
    make_node(first, "IBUD_model")
    second = site(job_of(tmp_path / "b", "E39N32"), seed=1)
    start = starting_model(second, "IBUD_model")
    assert start is not None and start.tile == "E38N32"
    record, _ = make_node(second, "IBUD_model")
    assert record.statistics["start"] == "E38N32" and record.statistics["transfer"]
    assert all(len(h["validation"]) <= 2 for h in record.statistics["history"])  # half of three, rounded
    assert record.ingredients["start"] == start.version
    # Whatever becomes of the neighbour, what was trained stays.
    make_node(first, "IBUD_model", force=True)
    first.store.remove_record(first.place("IBUD_model").record)
    assert standing(second, "IBUD_model").state == "up to date"
    assert starting_model(second, "IBUD_model") is None


@pytest.mark.slow
def test_what_a_training_starts_from_does_not_hang_on_which_was_first(tmp_path):
    """Of every other tile each way from nothing; between them never from one that started from another."""
    between = site(job_of(tmp_path / "a", "E39N32"))
    make_node(between, "IBUD_model")
    for name in ("E38N32", "E39N31", "E40N32"):
        assert starting_model(job_of(tmp_path / name, name), "IBUD_model") is None, name


@pytest.mark.slow
def test_another_architecture_is_no_start(tmp_path):
    make_node(site(job_of(tmp_path / "a", "E38N32")), "IBUD_model")
    other = site(job_of(tmp_path / "b", "E39N32"))
    assert starting_model(with_unet(other, base_filters=8), "IBUD_model") is None


@pytest.mark.slow
def test_the_whole_ground_is_read_in_pieces_and_is_the_same(tmp_path, monkeypatch):
    """Reading a block takes three times what it holds: a window that fits as a region would not fit while it is read."""
    from imperv.tasks.imperviousness.nodes.features import read_features
    from imperv.tasks.imperviousness.nodes.models import REGION, training_regions

    job = job_of(tmp_path / "a")
    file = tmp_path / "a" / "production.toml"
    before, after = "3100000, 3801000, 3101000]", "3100000, 3811000, 3107000]"
    file.write_text(file.read_text().replace(before, after))
    job, rng = Job.of(Production.read(file), "E38N31"), np.random.default_rng(0)
    shape = job.grid(10).shape
    assert shape == (700, 1100)
    harmonics = rng.standard_normal((7, *shape), dtype="f4")
    harmonics[:, 100:130] = np.nan
    put(job, "PP_then", quantiles=rng.integers(0, 9000, (10, *shape)).astype("u2"), ndvi_q90=harmonics[0], harmonics=harmonics)
    put(job, "IBUD_ref", IBUD_ref=rng.random(shape, dtype="f4"))
    names = job.production.parameters.unet.names
    whole = read_features(job, "then", Block(0, 0, *shape), names)
    asked = []

    def spy(job, period, block, names):
        asked.append(block.shape)
        return read_features(job, period, block, names)

    monkeypatch.setattr(imperv.tasks.imperviousness.nodes.models, "read_features", spy)
    [region] = training_regions(job, IBUD, job.production.parameters.unet)
    np.testing.assert_array_equal(region.features, whole)
    np.testing.assert_array_equal(region.target, job.array("IBUD_ref")[:])
    assert len(asked) == 6 and max(rows * columns for rows, columns in asked) == REGION**2
