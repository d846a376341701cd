"""Layers made block by block: every recipe against its formula in docs/dev/algorithms.md, in NumPy; the checks of a block.

Formulas here are written from the text (sections 4 and 8 to 11), pixel loops and exact fractions where rounding matters.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from imperv.calibration import Calibration
from imperv.layers.catalogue import CATALOGUE, layers_of
from imperv.tasks.errors import WorkError
from imperv.tasks.imperviousness.nodes.recipes import EITHER, RECIPES, Inputs, make_by_recipe
from imperv.tasks.imperviousness.nodes.tasks import TASKS
from imperv.tasks.imperviousness.settings import Parameters
from imperv.tasks.job import Job, Made, attributes
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record

CALIBRATION = Calibration(intercept=110.0, slope=-130.0, minimum=12.0, maximum=95.0, samples=500, r2=0.7, flags=())


def random(symbol: str, shape, seed: int = 0) -> np.ndarray:
    """A block of a layer, a tenth of it without data, all of it at the borders of its range more often than by chance."""
    rng, layer = np.random.default_rng([seed, sorted(CATALOGUE).index(symbol)]), CATALOGUE[symbol]
    if layer.dtype == "uint8":
        codes = np.array([c for c in layer.codes if c != 255], "uint8")
        array = rng.choice(codes, shape)
        array[rng.random(shape) < 0.3] = rng.choice(codes[[0, 0, -1]])
        array[rng.random(shape) < 0.4] = 0 if 0 in codes else codes[0]
        if len(shape) == 2:  # whole coarse pixels without data, and single ones
            array[: shape[0] // 4, : shape[1] // 4] = 255
        array[rng.random(shape) < 0.1] = 255
        return array
    array = rng.uniform(-0.2, 0.9, shape).astype("float32")
    array[..., rng.random(shape[-2:]) < 0.1] = np.nan
    return array


def run(symbol: str, arrays: dict[str, np.ndarray], parameters: Parameters | None = None) -> np.ndarray:
    rasters = {i for i in CATALOGUE[symbol].inputs if CATALOGUE[i].resolution}
    assert rasters - set(EITHER.get(symbol, ())) <= set(arrays) <= rasters
    return RECIPES[symbol](Inputs(arrays, parameters or Parameters(), CALIBRATION))


def blocks(array: np.ndarray, factor: int):
    """((row, column), valid values as whole numbers) of every coarse pixel."""
    for y in range(array.shape[0] // factor):
        for x in range(array.shape[1] // factor):
            part = array[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
            yield (y, x), [int(v) for v in part.ravel()]


def half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def half_away(value: Fraction) -> int:
    return half_up(value) if value >= 0 else -half_up(-value)


def mean_of(array: np.ndarray, factor: int, scale: int = 1) -> np.ndarray:
    out = np.full((array.shape[0] // factor, array.shape[1] // factor), 255, "uint8")
    for at, values in blocks(array, factor):
        valid = [scale * v for v in values if v != 255]
        if valid:
            out[at] = half_up(Fraction(sum(valid), len(valid)))
    return out


def mean_change_of(array: np.ndarray, factor: int) -> np.ndarray:
    out = np.full((array.shape[0] // factor, array.shape[1] // factor), 255, "uint8")
    for at, values in blocks(array, factor):
        valid = [v for v in values if v != 255]
        if valid and all(v == 201 for v in valid):
            out[at] = 201
        elif valid:
            out[at] = half_up(Fraction(sum(100 if v == 201 else v for v in valid), len(valid)))
    return out


def change_of(then, now, changed, scale: int = 1, sensitivity=Fraction(1, 10), minimum: int = 1):
    """Real and technical change at 20 m (docs/dev/algorithms.md, section 10, steps 1 to 3)."""
    shape = (then.shape[0] // 2, then.shape[1] // 2)
    real, technical = np.full(shape, 255, "uint8"), np.full(shape, 255, "uint8")
    for (at, a), (_, b) in zip(blocks(then, 2), blocks(now, 2), strict=True):
        valid = [(scale * p, scale * q) for p, q in zip(a, b, strict=True) if p != 255 and q != 255]
        if not valid:
            continue
        d = half_away(Fraction(sum(q - p for p, q in valid), len(valid)))
        s0, s1 = (half_up(Fraction(sum(pair[k] for pair in valid), len(valid))) for k in (0, 1))
        counts = d >= minimum or -d * sensitivity >= minimum
        r = d if counts and changed[at] > 0 else 0
        real[at], technical[at] = (201, 201) if s0 == s1 == 0 else (100 + r, 100 + d - r)
    return real, technical


def classes_of(status, change) -> np.ndarray:
    """Table 5, with s1 = s0 + change."""
    out = np.full(status.shape, 255, "uint8")
    for at in np.ndindex(status.shape):
        s0, code = int(status[at]), int(change[at])
        if s0 == 255 or code == 255:
            continue
        s1 = max(0, s0 + (0 if code == 201 else code - 100))
        if s0 == 0:
            out[at] = 1 if s1 > 0 else 0
        elif s1 == 0:
            out[at] = 2
        else:
            out[at] = 11 if s1 > s0 else 12 if s1 < s0 else 10
    return out


# every recipe -----------------------------------------------------------------------------------------------------


def expect_ndvi_p0(period):
    return lambda i: i[f"PP_{period}"][0]


def expect_rmsd(i):
    a, b = (i[f"PP_{p}"].astype("f8") for p in ("then", "now"))
    d = (a - b) ** 2
    return np.sqrt(d[0] + d[1:].sum(axis=0) / 2).astype("f4")


def expect_fraction(i):
    out = np.full((20, 20), np.nan, "f4")
    for at, values in blocks(i["CHM"], 2):
        valid = [v for v in values if v != 255]
        if valid:
            out[at] = sum(valid) / len(valid)
    return out


def expect_mask(period, density):
    def expected(i):
        clc, d = i[f"CLCP_{period}"], i[density]
        sealed = np.where((clc == 1) | ((d >= 90) & (d <= 100)), 1, 0)
        return np.where((clc >= 253) | (d > 100), 255, sealed).astype("u1")

    return expected


def expect_mask_now(i):
    """CLC+ of now, and where it is missing, but not sea, its proxy (ATBD 4.3.3; docs/dev/algorithms.md, sections 8 and 13)."""
    out = np.empty((40, 40), "u1")
    for at in np.ndindex(out.shape):
        clc, proxy, density = int(i["CLCP_now"][at]), int(i["CLCP_proxy"][at]), int(i["RIMD"][at])
        sealed = {0: False, 1: True, 255: None}[proxy] if clc > 253 else None if clc == 253 else clc == 1
        out[at] = 255 if sealed is None or density > 100 else sealed or density >= 90
    return out


def expect_imd(i):
    out = np.empty((40, 40), "u1")
    for at in np.ndindex(out.shape):
        ndvi, mask = float(i["NDVI_p0_now"][at]), i["IMD_MSK_now"][at]
        share = (110 - 130 * ndvi - 12) / (95 - 12)
        out[at] = 255 if mask == 255 or np.isnan(ndvi) else max(1, round(100 * min(max(share, 0), 1))) if mask else 0
    return out


def expect_confidence(sd):
    def expected(i):
        level = np.clip(np.round(100 - 100 * i[sd]), 50, 100)
        return np.where(np.isnan(i[sd]), 255, level).astype("u1")

    return expected


EXPECTED = {
    "NDVI_p0_then": expect_ndvi_p0("then"),
    "NDVI_p0_now": expect_ndvi_p0("now"),
    "RMSD": expect_rmsd,
    "CHM_resampled": expect_fraction,
    "RIMD_sd": lambda i: i["RIMD"],
    "RIBUD_sd": lambda i: i["RIBUD"],
    "IMD_MSK_then": expect_mask("then", "IMD_then"),
    "IMD_MSK_now": expect_mask_now,
    "IMD_now": expect_imd,
    "IBUD_now": lambda i: i["RIBUD"],
    "IBU_now": lambda i: np.select([i["IBUD_now"] == 255, i["IBUD_now"] >= 10], [255, 1], 0).astype("u1"),
    "IMD_then_mean": lambda i: mean_of(i["IMD_then"], 2),
    "IMD_now_mean": lambda i: mean_of(i["IMD_now"], 2),
    "IBU_then_mean": lambda i: mean_of(i["IBU_then"], 2, 100),
    "IBU_now_mean": lambda i: mean_of(i["IBU_now"], 2, 100),
    "IBUD_now_resampled": lambda i: mean_of(i["IBUD_now"], 10),
    "IMD_now_resampled": lambda i: mean_of(i["IMD_now"], 10),
    "SBU_then": lambda i: mean_of(i["IBU_then"], 10, 100),
    "SBU": lambda i: mean_of(i["IBU_now"], 10, 100),
    "IMDC": lambda i: change_of(i["IMD_then"], i["IMD_now"], i["CHM_resampled"])[0],
    "IMDCS": lambda i: change_of(i["IMD_then"], i["IMD_now"], i["CHM_resampled"])[1],
    "IBUDC": lambda i: change_of(i["IBU_then"], i["IBU_now"], i["CHM_resampled"], 100)[0],
    "IBUDCS": lambda i: change_of(i["IBU_then"], i["IBU_now"], i["CHM_resampled"], 100)[1],
    "IMDC_resampled": lambda i: mean_change_of(i["IMDC"], 5),
    "IMDCS_resampled": lambda i: mean_change_of(i["IMDCS"], 5),
    "SBUC": lambda i: mean_change_of(i["IBUDC"], 5),
    "SBUCS": lambda i: mean_change_of(i["IBUDCS"], 5),
    "IMCC": lambda i: classes_of(i["IMD_then_mean"], i["IMDC"]),
    "IMCCS": lambda i: classes_of(i["IMD_then_mean"], i["IMDCS"]),
    "IBUC": lambda i: classes_of(i["IBU_then_mean"], i["IBUDC"]),
    "IBUCS": lambda i: classes_of(i["IBU_then_mean"], i["IBUDCS"]),
    "SBCC": lambda i: classes_of(i["SBU_then"], i["SBUC"]),
    "SBCCS": lambda i: classes_of(i["SBU_then"], i["SBUCS"]),
    "IMDCL": expect_confidence("RIMD_sd"),
    "IBUCL": expect_confidence("RIBUD_sd"),
}


def inputs_of(symbol: str, seed: int) -> dict[str, np.ndarray]:
    """Random blocks of 400 x 400 m of all rasters that a layer is made from."""
    found = {}
    for k, name in enumerate(CATALOGUE[symbol].inputs):
        resolution = CATALOGUE[name].resolution
        if not resolution:
            continue
        shape = (400 // resolution, 400 // resolution)
        if name.startswith("PP_"):
            found[name] = random(name, (7, *shape), seed)
        elif symbol in ("RIMD_sd", "RIBUD_sd"):
            found[name] = np.abs(random("RIMD_sd", shape, seed)) / 2
        elif name in ("RIMD_sd", "RIBUD_sd"):
            found[name] = np.random.default_rng(seed).choice(np.float32([0, 0.004, 0.125, 0.25, 0.499, 0.5, np.nan]), shape)
        elif name == "CHM_resampled":
            found[name] = np.random.default_rng(seed).choice(np.float32([0, 0, 0.25, 0.5, 1, np.nan]), shape)
        else:
            found[name] = random(name, shape, seed + 100 * k)
    return found


def test_every_recipe_is_tested():
    assert set(EXPECTED) == set(RECIPES)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("symbol", RECIPES)
def test_recipe(symbol, seed):
    arrays = inputs_of(symbol, seed)
    kept = {name: array.copy() for name, array in arrays.items()}
    found, expected = run(symbol, arrays), EXPECTED[symbol](arrays)
    layer = CATALOGUE[symbol]
    assert found.shape == (400 // layer.resolution,) * 2
    assert found.dtype == layer.dtype
    if layer.dtype == "float32":
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    else:
        np.testing.assert_array_equal(found, expected)
        assert set(np.unique(found)) <= set(layer.codes)
        assert len(np.unique(found)) >= 3
    for name, array in arrays.items():  # pure: other layers are made from the same blocks
        np.testing.assert_array_equal(array, kept[name])


@pytest.mark.parametrize("pair", [("IMDC", "IMDCS", "IMD", 1), ("IBUDC", "IBUDCS", "IBU", 100)])
def test_real_and_technical_change_add_up_to_the_total_in_every_pixel(pair):
    change, support, status, scale = pair
    arrays = inputs_of(change, 3)
    real, technical = run(change, arrays), run(support, arrays)
    np.testing.assert_array_equal(real == 255, technical == 255)
    np.testing.assert_array_equal(real == 201, technical == 201)
    some = (real <= 200) & (technical <= 200)
    then, now = arrays[f"{status}_then"], arrays[f"{status}_now"]
    checked = 0
    for (at, a), (_, b) in zip(blocks(then, 2), blocks(now, 2), strict=True):
        valid = [scale * (q - p) for p, q in zip(a, b, strict=True) if p != 255 and q != 255]
        if some[at]:
            assert int(real[at]) - 100 + int(technical[at]) - 100 == half_away(Fraction(sum(valid), len(valid)))
            assert real[at] == 100 or technical[at] == 100
            checked += 1
    assert checked > 50


def quad(*values: int) -> np.ndarray:
    return np.array(values, "uint8").reshape(2, 2)


@pytest.mark.parametrize(
    ("then", "now", "share", "real", "technical"),
    [
        (quad(0, 0, 0, 0), quad(0, 0, 0, 0), 1.0, 201, 201),
        (quad(10, 10, 10, 10), quad(10, 10, 10, 10), 1.0, 100, 100),
        (quad(0, 0, 0, 0), quad(4, 0, 0, 0), 0.25, 101, 100),
        (quad(0, 0, 0, 0), quad(4, 0, 0, 0), 0.0, 100, 101),
        (quad(0, 0, 0, 0), quad(4, 0, 0, 0), np.nan, 100, 101),
        (quad(0, 0, 0, 0), quad(2, 0, 0, 0), 1.0, 101, 100),  # half a percent, away from zero
        (quad(0, 0, 0, 0), quad(1, 0, 0, 0), 1.0, 201, 201),  # a quarter is 0 in both years
        (quad(50, 50, 50, 50), quad(41, 41, 41, 41), 1.0, 100, 91),  # a loss of 9 is technical
        (quad(50, 50, 50, 50), quad(40, 40, 40, 40), 1.0, 90, 100),  # a loss of 10 is real
        (quad(50, 50, 50, 50), quad(40, 40, 41, 41), 1.0, 90, 100),  # 9.5, away from zero
        (quad(50, 50, 50, 50), quad(40, 41, 41, 41), 1.0, 100, 91),  # 9.25
        (quad(100, 100, 100, 100), quad(0, 0, 0, 0), 1.0, 0, 100),
        (quad(0, 0, 0, 0), quad(100, 100, 100, 100), 1.0, 200, 100),
        (quad(255, 255, 255, 20), quad(30, 30, 30, 60), 1.0, 140, 100),  # only what is valid in both years
        (quad(255, 255, 10, 10), quad(10, 10, 255, 255), 1.0, 255, 255),
    ],
)
def test_change_of_one_pixel(then, now, share, real, technical):
    arrays = {"IMD_then": then, "IMD_now": now, "CHM_resampled": np.array([[share]], "f4")}
    assert run("IMDC", arrays).tolist() == [[real]]
    assert run("IMDCS", arrays).tolist() == [[technical]]


def test_parameters_reach_the_recipes():
    parameters = Parameters.model_validate(
        {"built_up": {"threshold": 25}, "calibration": {"threshold": 50}, "change": {"loss_sensitivity": 0.5, "minimum": 3}}
    )
    density = np.array([[24, 25, 255, 0]], "uint8")
    assert run("IBU_now", {"IBUD_now": density}, parameters).tolist() == [[0, 1, 255, 0]]
    clc = np.full((1, 4), 7, "uint8")
    arrays = {"CLCP_now": clc, "RIMD": np.array([[49, 50, 255, 90]], "uint8")}
    assert run("IMD_MSK_now", arrays, parameters).tolist() == [[0, 1, 255, 1]]
    inputs = inputs_of("IMDC", 4)
    expected = change_of(*(inputs[n] for n in ("IMD_then", "IMD_now", "CHM_resampled")), 1, Fraction(1, 2), 3)
    np.testing.assert_array_equal(run("IMDC", inputs, parameters), expected[0])
    np.testing.assert_array_equal(run("IMDCS", inputs, parameters), expected[1])
    assert (expected[0] != EXPECTED["IMDC"](inputs)).any()


def test_threshold_of_ten_percent():
    density = np.array([[0, 9, 10, 11, 100, 255]], "uint8")
    assert run("IBU_now", {"IBUD_now": density}).tolist() == [[0, 0, 1, 1, 1, 255]]


# a layer of a tile ------------------------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path) -> Job:
    """A window of 2 x 2 km."""
    (tmp_path / "production.toml").write_text(
        'tiles = ["E38N31"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        "[area]\nbbox = [3829000, 3101000, 3831000, 3103000]\n"
    )
    return Job.of(Production.read(tmp_path), "E38N31")


def put(job: Job, symbol: str, *arrays: np.ndarray, made: bool = True, reason: str = "", **statistics) -> None:
    """Store a layer with its record, as the task before would have."""
    layer, place = CATALOGUE[symbol], job.place(symbol)
    if made:
        variables = layer.variables
        with job.store.writing_arrays(
            place, job.grid(layer.resolution), layer.resolution, variables, attributes(job, layer)
        ) as out:
            for variable, array in zip(variables, arrays, strict=True):
                out[variable.name][:] = array
    record = Record(
        symbol, "E38N31", "key", made=made, reason=reason, start="2021-01-01", end="2021-12-31", statistics=statistics
    )
    job.store.write_record(place.record, record)


def test_a_layer_is_made_stored_and_counted(job):
    density = random("RIBUD", (200, 200))
    put(job, "IBUD_now", density)
    made = make_by_recipe(job, CATALOGUE["IBU_now"])
    expected = np.select([density == 255, density >= 10], [255, 1], 0)
    np.testing.assert_array_equal(job.array("IBU_now")[:], expected)
    counts = {str(c): int((expected == c).sum()) for c in (0, 1, 255)}
    assert made.statistics == {"IBU_now": {"pixels": 40_000, "outside": counts["255"], "histogram": counts}}
    assert made.made and made.digest
    put(job, "IBUD_now", np.where(density == 50, 51, density).astype("uint8"))
    assert make_by_recipe(job, CATALOGUE["IBU_now"]).digest == made.digest
    put(job, "IBUD_now", np.where(density == 9, 10, density).astype("uint8"))
    assert make_by_recipe(job, CATALOGUE["IBU_now"]).digest != made.digest


def test_layers_of_three_resolutions_from_one_tile(job):
    then, now = random("IMD_then", (200, 200), 1), random("IMD_now", (200, 200), 2)
    chm = random("CHM", (200, 200), 3)
    for symbol, array in (("IMD_then", then), ("IMD_now", now), ("CHM", chm)):
        put(job, symbol, array)
    for symbol in ("CHM_resampled", "IMD_then_mean", "IMDC", "IMDC_resampled", "IMCC"):
        make_by_recipe(job, CATALOGUE[symbol])
        put_record(job, symbol)
    fraction = run("CHM_resampled", {"CHM": chm})
    real, _ = change_of(then, now, fraction)
    np.testing.assert_array_equal(job.array("IMDC")[:], real)
    np.testing.assert_array_equal(job.array("IMDC_resampled")[:], mean_change_of(real, 5))
    np.testing.assert_array_equal(job.array("IMCC")[:], classes_of(mean_of(then, 2), real))


def put_record(job: Job, symbol: str) -> None:
    record = Record(symbol, "E38N31", "key", start="2018-01-01", end="2021-12-31")
    job.store.write_record(job.place(symbol).record, record)


def test_statistics_of_floating_point_layers(job):
    coefficients = random("PP_now", (7, 200, 200))
    quantiles = np.zeros((10, 200, 200), "uint16")
    put(job, "PP_now", quantiles, coefficients[0], coefficients, np.zeros((200, 200), "uint16"))
    made = make_by_recipe(job, CATALOGUE["NDVI_p0_now"])
    np.testing.assert_array_equal(job.array("NDVI_p0_now")[:], coefficients[0])
    found = made.statistics["NDVI_p0_now"]
    assert (found["pixels"], found["outside"]) == (40_000, int(np.isnan(coefficients[0]).sum()))
    assert found["mean"] == pytest.approx(float(np.nanmean(coefficients[0].astype("f8"))))
    assert (found["minimum"], found["maximum"]) == (np.nanmin(coefficients[0]), np.nanmax(coefficients[0]))


@pytest.mark.parametrize(("symbol", "source"), [("IBU_now", "IBUD_now"), ("SBU", "IBU_now"), ("IMD_now_mean", "IMD_now")])
def test_a_hole_that_no_input_explains_fails(job, monkeypatch, symbol, source):
    array = np.zeros((200, 200), "uint8")
    array[:60, :60] = 255
    put(job, source, array)
    make_by_recipe(job, CATALOGUE[symbol])
    original = RECIPES[symbol]

    def leaky(inputs):
        result = original(inputs).copy()
        result[-1, -2:] = 255
        return result

    monkeypatch.setitem(RECIPES, symbol, leaky)
    with pytest.raises(WorkError, match=f"{symbol}: check failed, 2 pixels without data that its inputs do not explain"):
        make_by_recipe(job, CATALOGUE[symbol])


def test_a_code_that_a_layer_must_not_hold_fails(job, monkeypatch):
    put(job, "IBUD_now", np.full((200, 200), 50, "uint8"))
    monkeypatch.setitem(RECIPES, "IBU_now", lambda i: np.full(i["IBUD_now"].shape, 2, "uint8"))
    with pytest.raises(WorkError, match=r"IBU_now: check failed, it holds the codes \[2\], which it must not"):
        make_by_recipe(job, CATALOGUE["IBU_now"])


@pytest.mark.parametrize("wrong", [np.zeros((200, 199), "uint8"), np.zeros((200, 200), "int16"), np.zeros((1, 1), "uint8")])
def test_a_block_of_another_form_fails(job, monkeypatch, wrong):
    put(job, "IBUD_now", np.full((200, 200), 50, "uint8"))
    monkeypatch.setitem(RECIPES, "IBU_now", lambda i: wrong)
    with pytest.raises(WorkError, match="IBU_now: block of"):
        make_by_recipe(job, CATALOGUE["IBU_now"])


@pytest.mark.parametrize("code", [253, 254])
def test_a_coast_is_no_unexplained_hole(job, code):
    """CLC+ calls the sea 253 where the other layers have numbers."""
    clc = np.full((200, 200), 7, "uint8")
    clc[:, 150:] = code
    put(job, "CLCP_now", clc)
    put(job, "CLCP_proxy", made=False, reason="CLCplus of now is given")
    put(job, "RIMD", np.full((200, 200), 3, "uint8"), np.zeros((200, 200), "f4"), members=2)
    make_by_recipe(job, CATALOGUE["IMD_MSK_now"])
    np.testing.assert_array_equal(job.array("IMD_MSK_now")[:], np.where(clc == code, 255, 0))


@pytest.mark.parametrize("there", [("CLCP_now",), ("CLCP_proxy",), ("CLCP_now", "CLCP_proxy"), ()])
def test_the_mask_of_now_is_made_from_what_there_is_and_its_record_tells(job, there):
    clc, proxy = random("CLCP_now", (200, 200)), random("CLCP_proxy", (200, 200))
    for symbol, array in (("CLCP_now", clc), ("CLCP_proxy", proxy)):
        put(job, symbol, array) if symbol in there else put(job, symbol, made=False, reason=f"no {symbol}")
    put(job, "RIMD", np.full((200, 200), 3, "uint8"), np.zeros((200, 200), "f4"), members=2)
    made = make_by_recipe(job, CATALOGUE["IMD_MSK_now"])
    if not there:
        assert not made.made and made.reason == "no CLCP_now"
        return
    assert made.statistics["made_from"] == ["RIMD", *there]
    given = np.where(clc >= 253, 255, clc == 1)
    expected = {
        ("CLCP_now",): given, ("CLCP_proxy",): proxy, ("CLCP_now", "CLCP_proxy"): np.where(clc > 253, proxy, given),
    }[there]  # fmt: skip
    np.testing.assert_array_equal(job.array("IMD_MSK_now")[:], expected)


# layers that are not made -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("raw", "confidence"), [("RIMD", "IMDCL"), ("RIBUD", "IBUCL")])
def test_without_an_ensemble_there_is_no_deviation_and_no_confidence(job, raw, confidence):
    put(job, raw, np.zeros((200, 200), "uint8"), np.zeros((200, 200), "f4"), members=1)
    made = make_by_recipe(job, CATALOGUE[f"{raw}_sd"])
    assert not made.made and "a single model took part" in made.reason
    put(job, f"{raw}_sd", made=False, reason=made.reason)
    after = make_by_recipe(job, CATALOGUE[confidence])
    assert after == Made("", made=False, reason=made.reason)


def test_with_an_ensemble_both_are_made(job):
    sd = np.full((200, 200), 0.25, "f4")
    sd[:50] = np.nan
    put(job, "RIMD", np.where(np.isnan(sd), 255, 30).astype("uint8"), sd, members=2)
    assert make_by_recipe(job, CATALOGUE["RIMD_sd"]).made
    put_record(job, "RIMD_sd")
    np.testing.assert_array_equal(job.array("RIMD_sd")[:], sd)
    make_by_recipe(job, CATALOGUE["IMDCL"])
    np.testing.assert_array_equal(job.array("IMDCL")[:], np.where(np.isnan(sd), 255, 75))


def test_imd_needs_its_calibration(job):
    put(job, "NDVI_p0_now", np.full((200, 200), 0.3, "f4"))
    put(job, "IMD_MSK_now", np.ones((200, 200), "uint8"))
    job.store.write_text(job.place("IMD_calibration").data, CALIBRATION.to_json())
    make_by_recipe(job, CATALOGUE["IMD_now"])
    assert set(np.unique(job.array("IMD_now")[:])) == {round(100 * (110 - 130 * 0.3 - 12) / 83)}
    with pytest.raises(WorkError, match="needs a calibration"):
        RECIPES["IMD_now"](Inputs({}, Parameters()))


def test_every_layer_has_one_maker():
    assert set(TASKS) == set(layers_of("imperviousness"))
    assert all(TASKS[symbol].make is make_by_recipe for symbol in RECIPES)
