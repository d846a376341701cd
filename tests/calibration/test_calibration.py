import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import linregress

from imperv.calibration import (
    Calibration,
    CalibrationError,
    CalibrationParameters,
    Samples,
    apply_calibration,
    collect_samples,
    fit_calibration,
    fit_samples,
    sealing_mask,
)
from imperv.layers.harmonics import fit_harmonics
from imperv.layers.reflectance import ndvi
from imperv.layers.scl import scl_weights


def town(seed=1, shape=(240, 300), noise=8.0):
    """A simulated area: density falls with NDVI, a third is sealed, some of it built up."""
    rng = np.random.default_rng(seed)
    p0 = rng.uniform(0.05, 0.8, shape).astype(np.float32)
    density = np.clip(110 - 120 * p0 + noise * rng.normal(size=shape), 0, 100).round()
    mask = (rng.random(shape) < 0.35).astype(np.uint8)
    imd = np.where(mask == 1, density, 0).astype(np.uint8)
    ibu = ((mask == 1) & (p0 < 0.15)).astype(np.uint8)
    p0[rng.random(shape) < 0.02] = np.nan
    mask[rng.random(shape) < 0.02] = 255
    imd[rng.random(shape) < 0.02] = 255
    return imd, p0, mask, ibu


def mean_density(calibration, p0):
    r = calibration.intercept + calibration.slope * p0.astype(np.float64)
    share = (r - calibration.minimum) / (calibration.maximum - calibration.minimum)
    return 100 * np.clip(share, 0, 1).mean()


# Sealing mask


@pytest.mark.parametrize(
    ("clcplus", "density", "expected"),
    [
        (1, 0, 1),
        (2, 89, 0),
        (2, 90, 1),
        (11, 100, 1),
        (1, 255, 255),
        (1, 254, 255),
        (253, 100, 255),
        (254, 0, 255),
        (255, 95, 255),
    ],
)
def test_sealing_mask_by_hand(clcplus, density, expected):
    assert sealing_mask(np.array([[clcplus]], np.uint8), np.array([[density]], np.uint8)).tolist() == [[expected]]


def test_sealing_mask_of_predicted_fractions():
    density = np.array([89.99, 90.0, np.nan, 100.0], dtype=np.float32)
    mask = sealing_mask(np.full(4, 6, np.uint8), density)
    assert mask.tolist() == [0, 1, 255, 1]
    assert mask.dtype == np.uint8
    assert sealing_mask(np.full(4, 6, np.uint8), density, threshold=50).tolist() == [1, 1, 255, 1]


def test_sealing_mask_refuses_different_shapes():
    with pytest.raises(ValueError, match="shape"):
        sealing_mask(np.zeros(2, np.uint8), np.zeros(3, np.uint8))


# Samples


def test_regression_samples_lie_on_the_60_m_lattice_of_the_eea_grid():
    shape = (20, 25)
    rows, columns = np.mgrid[:20, :25]
    imd = np.full(shape, 50, np.uint8)
    p0 = (rows * 100 + columns).astype(np.float32)
    ones = np.ones(shape, np.uint8)
    # The first pixel is row 4, column 9 of the EEA grid: multiples of 6 are rows 2, 8, 14 and columns 3, 9, ...
    # here.
    samples = collect_samples(imd, p0, ones, ones, offset=(4, 9))
    assert sorted(samples.ndvi.tolist()) == [100 * r + c for r in (2, 8, 14) for c in (3, 9, 15, 21)]
    assert collect_samples(imd, p0, ones, ones).ndvi[0] == 0
    assert collect_samples(imd, p0, ones, ones, offset=(-2, 30)).ndvi[0] == 200


def test_which_pixels_are_sampled():
    imd = np.array([[50, 0, 1, 100, 101, 255, 60, 70, 80]], np.uint8)
    p0 = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, np.nan, 0.8, 0.9]], np.float32)
    mask = np.array([[1, 1, 1, 1, 1, 1, 1, 0, 255]], np.uint8)
    ibu = np.array([[1, 0, 0, 255, 0, 0, 1, 1, 0]], np.uint8)
    samples = collect_samples(imd, p0, mask, ibu, step=1)
    assert samples.imd.tolist() == [50, 1, 100]
    assert samples.ndvi.tolist() == p0[0, [0, 2, 3]].tolist()
    assert samples.mask_ndvi.tolist() == p0[0, :4].tolist(), "a density of 0 counts in the mean, not in the regression"
    assert samples.mask_imd_sum == 151
    assert samples.ibu_count == 2, "built-up pixels count in and outside of the mask"
    assert samples.ibu_ndvi_sum == pytest.approx(0.9)
    assert samples.ndvi.dtype == samples.mask_ndvi.dtype == np.float32


def test_merged_blocks_equal_the_whole():
    arrays = town()
    whole = fit_calibration(*arrays, offset=(5, 2))
    parts = [
        collect_samples(*(a[y : y + 70, x : x + 110] for a in arrays), offset=(5 + y, 2 + x))
        for y in range(0, 240, 70)
        for x in range(0, 300, 110)
    ]
    merged = fit_samples(Samples.merge(*parts))
    assert merged.samples == whole.samples
    for name in ("intercept", "slope", "minimum", "maximum", "r2"):
        assert getattr(merged, name) == pytest.approx(getattr(whole, name), rel=1e-9), name


def test_merging_nothing_gives_too_few_samples():
    with pytest.raises(CalibrationError, match="0 samples"):
        fit_samples(Samples.merge())


def test_samples_of_different_shapes_are_refused():
    a = np.zeros((3, 3), np.uint8)
    with pytest.raises(ValueError, match="one shape"):
        collect_samples(a, a[:2].astype(np.float32), a, a)


# Fit


def test_exact_line_by_hand():
    # R = 100 - 100 p0 exactly; IBU at p0 0.2 and 0.3 makes max 75. Mean IMD 50 over p0 0.25..0.75.
    p0 = np.linspace(0.25, 0.75, 51, dtype=np.float32)
    imd = (100 - 100 * p0.astype(np.float64)).round().astype(np.uint8)
    samples = Samples(p0, imd, 0.5, 2, p0, int(imd.sum()))
    calibration = fit_samples(samples, CalibrationParameters(minimum_samples=20))
    assert calibration.slope == pytest.approx(-100, abs=1e-4)
    assert calibration.intercept == pytest.approx(100, abs=1e-4)
    assert calibration.maximum == pytest.approx(75, abs=1e-4)
    # Without clipping the mean is 100 (50 - m) / (75 - m) = 50 at m = 25, where nothing is clipped.
    assert calibration.minimum == pytest.approx(25, abs=1e-3)
    assert calibration.r2 == pytest.approx(1, abs=1e-9)
    assert (calibration.samples, calibration.flags) == (51, ())


@pytest.mark.parametrize("seed", range(3))
def test_regression_equals_scipy_and_the_mean_is_kept(seed):
    imd, p0, mask, ibu = town(seed)
    calibration = fit_calibration(imd, p0, mask, ibu)
    lattice = np.s_[::6, ::6]
    used = (mask[lattice] == 1) & (imd[lattice] >= 1) & (imd[lattice] <= 100) & np.isfinite(p0[lattice])
    expected = linregress(p0[lattice][used].astype(np.float64), imd[lattice][used].astype(np.float64))
    assert calibration.slope == pytest.approx(expected.slope, rel=1e-10)
    assert calibration.intercept == pytest.approx(expected.intercept, rel=1e-10)
    assert calibration.r2 == pytest.approx(expected.rvalue**2, rel=1e-10)
    assert calibration.samples == used.sum() > 200
    built = (ibu == 1) & np.isfinite(p0)
    r = calibration.intercept + calibration.slope * p0.astype(np.float64)
    assert calibration.maximum == pytest.approx(r[built].mean(), rel=1e-9)
    inside = (mask == 1) & np.isfinite(p0) & (imd <= 100)
    assert mean_density(calibration, p0[inside]) == pytest.approx(imd[inside].mean(), abs=1e-6)
    assert calibration.flags == ()


def test_regression_is_stable_far_from_zero():
    rng = np.random.default_rng(3)
    p0 = (1000 + rng.uniform(0, 0.01, 300_000)).astype(np.float32)
    imd = np.clip(50 - 4000 * (p0.astype(np.float64) - 1000.005), 1, 100).round().astype(np.uint8)
    calibration = fit_samples(Samples(p0, imd, 0.0, 0, p0, int(imd.sum())))
    expected = linregress(p0.astype(np.float64), imd.astype(np.float64))
    assert calibration.slope == pytest.approx(expected.slope, rel=1e-9)


def test_too_few_samples_fail_and_a_lower_limit_helps():
    arrays = tuple(a[:40, :40] for a in town())
    with pytest.raises(CalibrationError, match=r"\d+ samples inside the sealing mask, 200 needed"):
        fit_calibration(*arrays)
    calibration = fit_calibration(*arrays, CalibrationParameters(minimum_samples=5))
    assert calibration.slope < 0
    assert issubclass(CalibrationError, ValueError)


def test_density_that_rises_with_ndvi_fails():
    imd, p0, mask, ibu = town()
    with pytest.raises(CalibrationError, match="does not fall with NDVI"):
        fit_calibration(imd, -p0, mask, ibu)
    with pytest.raises(CalibrationError, match="no slope"):
        fit_calibration(imd, np.full_like(p0, 0.3), mask, ibu)
    with pytest.raises(CalibrationError, match="does not fall with NDVI"):
        fit_calibration(np.full_like(imd, 60), p0, mask, ibu)


def test_without_built_up_pixels_the_maximum_is_100():
    imd, p0, mask, ibu = town()
    calibration = fit_calibration(imd, p0, mask, np.zeros_like(ibu))
    assert calibration.maximum == 100
    assert calibration.flags == ("no_ibu",)


def test_a_minimum_below_zero_is_allowed():
    # IMD of then is far above the scale that the built-up pixels set: the minimum must go down to keep the mean.
    p0 = np.linspace(0.1, 0.7, 400, dtype=np.float32)
    imd = np.round(95 - 20 * p0).astype(np.uint8)
    calibration = fit_samples(Samples(p0, imd, 0.0, 0, p0, int(imd.sum())))
    assert calibration.minimum < 0 < calibration.maximum
    assert mean_density(calibration, p0) == pytest.approx(imd.mean(), abs=1e-6)


def test_no_root_takes_the_closest_and_says_so():
    # Built-up pixels are greener than all others: R is above max almost everywhere, and the mean cannot
    # fall to that of IMD.
    p0 = np.linspace(0.1, 0.7, 400, dtype=np.float32)
    imd = np.round(90 - 100 * p0).astype(np.uint8)
    calibration = fit_samples(Samples(p0, imd, 0.69, 1, p0, int(imd.sum())))
    assert calibration.flags == ("no_root",)
    assert calibration.minimum < calibration.maximum
    reached = mean_density(calibration, p0)
    for minimum in np.linspace(calibration.maximum - 200, calibration.maximum - 0.01, 50):
        other = Calibration(calibration.intercept, calibration.slope, minimum, calibration.maximum, 400, 1.0)
        assert abs(reached - imd.mean()) <= abs(mean_density(other, p0) - imd.mean()) + 1e-9


def test_no_root_at_the_other_end():
    # Nearly everything fully sealed but for a few dark samples: no minimum lifts the mean to 100.
    p0 = np.linspace(0.1, 0.7, 400, dtype=np.float32)
    imd = np.full(400, 100, np.uint8)
    imd[-1] = 99
    samples = Samples(p0, imd, 0.1, 1, p0, 100 * 400)
    calibration = fit_samples(samples)
    assert calibration.flags == ("no_root",)
    assert calibration.maximum - 1e4 <= calibration.minimum < calibration.maximum
    assert abs(mean_density(calibration, p0) - 100) < 0.01


@given(st.integers(0, 2**32 - 1), st.floats(-150, -1), st.floats(20, 150), st.floats(0, 0.8))
@settings(max_examples=60)
def test_the_mean_is_kept_or_flagged(seed, slope, intercept, built):
    rng = np.random.default_rng(seed)
    p0 = rng.uniform(0.05, 0.8, 500).astype(np.float32)
    imd = np.clip(intercept + slope * p0 + 5 * rng.normal(size=500), 1, 100).round().astype(np.uint8)
    samples = Samples(p0, imd, built, 1, p0, int(imd.sum()))
    try:
        calibration = fit_samples(samples)
    except CalibrationError:
        assert linregress(p0, imd).slope > -1e-9
        return
    assert calibration.minimum < calibration.maximum
    assert np.isfinite(calibration.minimum)
    if "no_root" not in calibration.flags:
        assert mean_density(calibration, p0) == pytest.approx(imd.mean(), abs=1e-4)


def test_parameters():
    assert CalibrationParameters().model_dump() == {
        "threshold": 90,
        "step": 6,
        "minimum_samples": 200,
        "fallback_samples": 20,
    }
    for wrong in ({"step": 0}, {"minimum_samples": 2}, {"threshold": 101}, {"stepp": 6}):
        with pytest.raises(ValidationError):
            CalibrationParameters(**wrong)


# Record


def test_json_round_trip_is_exact():
    calibration = Calibration(100 / 3, -0.1 - 0.2, -1e-300, 99.9, 12345, 2 / 3, ("no_ibu", "neighbours"))
    assert Calibration.from_json(calibration.to_json()) == calibration


@pytest.mark.parametrize("text", ["{}", "[1]", "not json", '{"slope": 1, "flags": []}'])
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match=r"calibration|Expecting"):
        Calibration.from_json(text)


# Application


def test_apply_by_hand():
    calibration = Calibration(100.0, -100.0, 20.0, 80.0, 500, 0.9)
    # R 80, 90, 50, 20, 0, 21 -> share 1, clipped 1, 0.5, 0, clipped 0, 1/60
    p0 = np.array([[0.2, 0.1, 0.5, 0.8, 1.0, 0.79, 0.5, 0.5, np.nan, np.nan]], dtype=np.float64)
    mask = np.array([[1, 1, 1, 1, 1, 1, 0, 255, 1, 0]], np.uint8)
    density = apply_calibration(calibration, p0, mask)
    assert density.tolist() == [[100, 100, 50, 1, 1, 2, 0, 255, 255, 255]]
    assert density.dtype == np.uint8


def test_apply_equals_the_formula_and_keeps_the_mean_of_then():
    imd, p0, mask, ibu = town(7)
    calibration = fit_calibration(imd, p0, mask, ibu)
    density = apply_calibration(calibration, p0, mask)
    r = calibration.intercept + calibration.slope * p0.astype(np.float64)
    share = np.clip((r - calibration.minimum) / (calibration.maximum - calibration.minimum), 0, 1)
    with np.errstate(invalid="ignore"):
        expected = np.where(mask == 1, np.maximum(np.round(100 * share), 1), 0)
    expected[(mask == 255) | np.isnan(p0)] = 255
    assert np.array_equal(density, expected)
    inside = (mask == 1) & (imd <= 100) & ~np.isnan(p0)
    # "At least 1" lifts the least dense pixels a little.
    assert density[inside].mean() == pytest.approx(imd[inside].mean(), abs=0.3)


def test_apply_refuses_different_shapes():
    with pytest.raises(ValueError, match="one shape"):
        apply_calibration(Calibration(1, -1, 0, 1, 1, 1), np.zeros((2, 2), np.float32), np.zeros((2, 3), np.uint8))


@pytest.mark.slow
def test_real_village(flanders, shared_data):
    """Flanders: about 950 sealed pixels, so every sixth pixel gives too few samples and every second enough."""
    rasterio = pytest.importorskip("rasterio")
    from rasterio.warp import reproject

    year = (flanders.month >= 8) & (flanders.month < 20)
    index = ndvi(flanders.nir[year], flanders.red[year])
    constant = fit_harmonics(index, scl_weights(flanders.scl[year]), flanders.time[year])[0]
    layers = {}
    for name in ("imd_then", "ibu_then", "clcplus_then"):
        with rasterio.open(shared_data / "flanders" / "reference" / f"{name}.tif") as source:
            layers[name], grid, crs = source.read(1), source.transform, source.crs
    p0 = np.full(layers["imd_then"].shape, np.nan, dtype=np.float32)
    reproject(
        constant,
        p0,
        src_transform=rasterio.Affine.from_gdal(*flanders.transform),
        src_crs="EPSG:32631",
        src_nodata=np.nan,
        dst_transform=grid,
        dst_crs=crs,
        dst_nodata=np.nan,
        resampling=rasterio.enums.Resampling.bilinear,
    )
    mask = sealing_mask(layers["clcplus_then"], layers["imd_then"])
    arrays = layers["imd_then"], p0, mask, layers["ibu_then"]
    offset = (round(-grid.f / 10), round(grid.c / 10))
    with pytest.raises(CalibrationError, match="200 needed"):
        fit_calibration(*arrays, offset=offset)
    calibration = fit_calibration(*arrays, CalibrationParameters(step=2), offset)
    assert calibration.slope < -30
    assert calibration.r2 > 0.3
    assert calibration.flags == ()
    inside = (mask == 1) & np.isfinite(p0) & (layers["imd_then"] <= 100)
    assert mean_density(calibration, p0[inside]) == pytest.approx(layers["imd_then"][inside].mean(), abs=1e-6)
    density = apply_calibration(calibration, p0, mask)
    assert np.corrcoef(density[inside], layers["imd_then"][inside])[0, 1] > 0.5
