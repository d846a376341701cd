"""Numbers of 16 bits in super-resolution: part of a key only where networks take part and they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.sharpening.date_network import shipped as shipped_dates
from imperv.layers.sharpening.scene import SceneModel
from imperv.tasks.families import family, task_of
from imperv.tasks.job import Job
from imperv.tasks.networks import precision
from imperv.tasks.settings.production import Production
from imperv.tasks.superresolution.models import in_precision, shipped_networks
from imperv.tasks.superresolution.sharpening import BFLOAT16_SHARE, REGRESSION_NS, SHARPEN_NS, network_ns


def production(folder, sharpening: str, product: str = "superresolution") -> Production:
    folder.mkdir(exist_ok=True)
    (folder / "production.toml").write_text(
        f'product = "{product}"\ntiles = ["E44N27"]\n[periods]\nspan = "2021-06"\n[scenes]\ncatalogue = "items.json"\n'
        f"[parameters.sharpening]\n{sharpening}\n"
    )
    return Production.read(folder)


@pytest.mark.parametrize(("sharpening", "told"), [
    ("", {}), ('precision = "bfloat16"', {"precision": "bfloat16"}), ('precision = "bfloat16"\nmethod = "regression"', {}),
])  # fmt: skip
def test_keys_tell_numbers_of_networks_where_they_are_not_float32(tmp_path, sharpening, told):
    job = Job.of(production(tmp_path, sharpening), "E44N27")
    for symbol in ("SR10", "SR5"):
        assert task_of(symbol).external(job, CATALOGUE[symbol]) == told
    assert "precision" not in task_of("SR_model").external(job, CATALOGUE["SR_model"])


def test_several_dates_are_told_at_5_m_only(tmp_path):
    job = Job.of(production(tmp_path, 'to = 5\ndates = 3\nprecision = "bfloat16"'), "E44N27")
    assert set(task_of("SR5").external(job, CATALOGUE["SR5"])) == {"dates", "precision"}
    assert set(task_of("SR10").external(job, CATALOGUE["SR10"])) == {"precision"}


def test_land_cover_has_its_bands_sharpened_in_the_numbers_it_asks_for(tmp_path):
    found = production(tmp_path, 'precision = "bfloat16"', "landcover")
    (before,) = family(found.product).before(found)
    assert before.product == "superresolution" and before.parameters.sharpening.precision == "bfloat16"


def test_all_networks_of_a_scene_change_their_numbers_and_nothing_else():
    model = SceneModel({}, shipped_networks(), shipped_dates())
    short = in_precision(model, "bfloat16")
    assert {network.precision for network in (*short.networks.values(), short.several)} == {"bfloat16"}
    for name, network in model.networks.items():
        assert network.precision == "float32"
        assert all(np.array_equal(a, b) for a, b in zip(network.weights, short.networks[name].weights, strict=True))


def test_a_network_of_several_dates_answers_almost_the_same():
    exact = shipped_dates()
    rng = np.random.default_rng(1)
    bands = 1000 + 200 * np.kron(rng.random((4, 16, 16)), np.ones((1, 4, 4))).astype("f4")
    others, shifts = [bands + rng.normal(0, 5, bands.shape).astype("f4")], [(0.4, -0.3)]
    short = in_precision(SceneModel({}, {}, exact), "bfloat16").several
    (first, spread), (second, other) = (model.predict(bands, others, shifts, 1.0) for model in (exact, short))
    assert second.dtype == np.float32 and 0 < np.abs(first - second).max() < 10
    np.testing.assert_allclose(spread, other, rtol=0.05)


def test_the_plan_takes_less_time_for_networks_and_as_much_for_the_rest(monkeypatch, tmp_path):
    for size in (10, 5):
        assert network_ns(size, "float32") == SHARPEN_NS[size]
        rest = REGRESSION_NS[size]
        assert network_ns(size, "bfloat16") - rest == pytest.approx(BFLOAT16_SHARE[size] * (SHARPEN_NS[size] - rest))
    monkeypatch.setattr(precision, "gains_by_bfloat16", lambda: False)
    job = Job.of(production(tmp_path, 'precision = "bfloat16"'), "E44N27")
    assert precision.precision_of(job, "sharpening") == (
        "float32", ("parameters.sharpening.precision: this processor has no AMX; predicted in float32",)
    )  # fmt: skip
