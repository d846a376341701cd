"""Estimators against the worked example of Olofsson et al. 2014, its formulas written out, a bootstrap, and simulated surveys."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, r2_score

from imperv.layers.statistics.accuracy import Z, accuracy, density_error, density_moments, ratio, stratum_weights

MATRIX = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
"""Points by (map, reference): deforestation, forest gain, stable forest, stable non-forest (Olofsson et al. 2014, section 5)."""
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
"""Pixels of 30 m mapped as each."""


def units(matrix):
    """One-hot matrices of every point, and its class on the map."""
    i, j = np.nonzero(matrix)
    i, j = np.repeat(i, matrix[i, j]), np.repeat(j, matrix[i, j])
    one = np.zeros((len(i), len(matrix), len(matrix)))
    one[np.arange(len(i)), i, j] = 1
    return one, i


def by_the_formulas(n, pixels):
    """Equations 1 to 10 of the paper, as printed."""
    w, rows = pixels / pixels.sum(), n.sum(axis=1)
    p = w[:, None] * n / rows[:, None]
    users, producers, overall = np.diag(p) / p.sum(axis=1), np.diag(p) / p.sum(axis=0), np.trace(p)
    v_overall = (w**2 * users * (1 - users) / (rows - 1)).sum()
    v_users = users * (1 - users) / (rows - 1)
    v_producers = np.zeros(len(n))
    for j in range(len(n)):
        total = (pixels / rows * n[:, j]).sum()
        others = [i for i in range(len(n)) if i != j]
        rest = sum(pixels[i] ** 2 * n[i, j] / rows[i] * (1 - n[i, j] / rows[i]) / (rows[i] - 1) for i in others)
        own = pixels[j] ** 2 * (1 - producers[j]) ** 2 * users[j] * (1 - users[j]) / (rows[j] - 1)
        v_producers[j] = (own + producers[j] ** 2 * rest) / total**2
    share = p.sum(axis=0)
    q = w[:, None] * p - p**2
    v_share = (q / (rows[:, None] - 1)).sum(axis=0)
    return (overall, v_overall), (users, v_users), (producers, v_producers), (share, v_share)


def example():
    one, i = units(MATRIX)
    weights = stratum_weights(i, dict(enumerate(PIXELS.tolist())))
    return accuracy(one, weights, i)


def test_the_worked_example():
    """The matrix and areas of the paper; its rounded figures follow from them."""
    found = example()
    assert f"{found.overall.value:.3f} {Z * found.overall.se:.3f}" == "0.947 0.018"
    area = found.classes[0].share.times(PIXELS.sum() * 0.09)  # hectares
    assert round(found.classes[0].share.value * PIXELS.sum()) == 235_086
    assert f"{area.value:.0f} {area.high - area.value:.0f}" == "21158 6158"
    assert [f"{c.users.value:.2f} {Z * c.users.se:.2f}" for c in found.classes] == [
        "0.88 0.07",
        "0.73 0.10",
        "0.93 0.04",
        "0.96 0.02",
    ]
    assert [f"{c.producers.value:.2f}" for c in found.classes] == ["0.75", "0.85", "0.93", "0.96"]


def test_the_formulas_as_printed():
    found = example()
    (overall, v_overall), *by_class = by_the_formulas(MATRIX, PIXELS.astype(float))
    assert (found.overall.value, found.overall.se) == pytest.approx((overall, np.sqrt(v_overall)))
    for (value, variance), name in zip(by_class, ("users", "producers", "share"), strict=True):
        estimates = [getattr(c, name) for c in found.classes]
        assert [e.value for e in estimates] == pytest.approx(value)
        assert [e.se for e in estimates] == pytest.approx(np.sqrt(variance))


def test_a_bootstrap_of_the_example_has_the_same_spread():
    """Points drawn again within their stratum; every figure with its own arithmetic."""
    rng, found = np.random.default_rng(1), example()
    rows = MATRIX.sum(axis=1)
    draws = []
    for _ in range(3000):
        n = np.stack([rng.multinomial(r, m / r) for r, m in zip(rows, MATRIX, strict=True)])
        p = (PIXELS / PIXELS.sum())[:, None] * n / rows[:, None]
        draws.append([np.trace(p), *p.sum(axis=0), *(np.diag(p) / p.sum(axis=0))])
    spread = np.std(draws, axis=0)
    expected = [found.overall.se, *(c.share.se for c in found.classes), *(c.producers.se for c in found.classes)]
    assert spread == pytest.approx(expected, rel=0.1)  # the ratio of few points is not linear: 0.93 at the most


@pytest.mark.parametrize("design", ["simple", "post-stratified", "stratified", "other strata", "unequal probability"])
def test_intervals_hold_what_they_promise(design):
    """250 surveys of a known population: 95 % intervals hold the truth as often as 95 % may by chance, and there is no bias."""
    rng = np.random.default_rng(5)
    size = 40_000
    region = np.arange(size) * 3 // size
    truth = (rng.random(size) < np.array([0.1, 0.3, 0.6])[region]).astype(int)
    mapped = np.where(rng.random(size) < 0.9, truth, 1 - truth)
    right = truth == mapped
    expected = [right.mean(), right[mapped == 1].mean(), right[truth == 1].mean(), truth.mean()]
    values, hits = [], []
    chance = 400 * (1 + 3.0 * truth) / (1 + 3.0 * truth).sum()
    for _ in range(250):
        if design in ("simple", "post-stratified"):
            drawn = rng.integers(0, size, 400)
            strata = mapped[drawn] if design == "post-stratified" else None
        elif design == "unequal probability":
            drawn, strata = rng.choice(size, 400, p=chance / chance.sum()), None
        else:
            groups = mapped if design == "stratified" else region
            drawn = np.concatenate([rng.choice(np.flatnonzero(groups == g), 150) for g in np.unique(groups)])
            strata = groups[drawn]
        if strata is not None:
            sizes = np.bincount(mapped if design != "other strata" else region)
            weights = stratum_weights(strata, dict(enumerate(sizes.tolist())))
        else:
            weights = 1 / chance[drawn] if design == "unequal probability" else None
        one = np.zeros((len(drawn), 2, 2))
        one[np.arange(len(drawn)), mapped[drawn], truth[drawn]] = 1
        a = accuracy(one, weights, strata)
        estimates = [a.overall, a.classes[1].users, a.classes[1].producers, a.classes[1].share]
        values.append([e.value for e in estimates])
        hits.append([e.low <= t <= e.high for e, t in zip(estimates, expected, strict=True)])
    low, high = stats.binom.ppf((0.0005, 0.9995), 250, (0.935, 0.96)) / 250
    assert np.all((np.mean(hits, axis=0) >= low) & (np.mean(hits, axis=0) <= high)), np.mean(hits, axis=0)
    assert np.mean(values, axis=0) == pytest.approx(expected, abs=0.007)


def test_densities_are_those_of_scikit_learn():
    rng = np.random.default_rng(2)
    r = rng.uniform(0, 100, 300)
    m, w = np.clip(0.8 * r + rng.normal(5, 10, 300), 0, 100), rng.uniform(1, 9, 300)
    found = density_error(density_moments(m, r), w)
    assert found.r2 == pytest.approx(r2_score(r, m, sample_weight=w))
    assert found.mae.value == pytest.approx(mean_absolute_error(r, m, sample_weight=w))
    assert found.bias.value == pytest.approx(np.average(m - r, weights=w))
    assert found.rmse.value == pytest.approx(np.sqrt(np.average((m - r) ** 2, weights=w)))
    slope, intercept = np.polyfit(r, m, 1, w=np.sqrt(w))
    assert (found.slope, found.intercept) == pytest.approx((slope, intercept))
    cov = np.cov(m, r, aweights=w)
    assert found.correlation == pytest.approx(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))


def test_standard_errors_of_densities_are_those_of_a_jackknife():
    rng = np.random.default_rng(3)
    r = rng.uniform(0, 100, 150)
    m = np.clip(r + rng.normal(3, 12, 150), 0, 100)
    moments = density_moments(m, r)
    found = density_error(moments)
    without = [density_error(np.delete(moments, k, axis=0)) for k in range(150)]
    for name in ("bias", "mae", "rmse"):
        values = [getattr(e, name).value for e in without]
        assert getattr(found, name).se == pytest.approx(np.sqrt(149 * np.var(values)), rel=0.02)


def test_blocks_of_pixels_are_one_unit_each():
    """Pixels of a block that are all alike tell no more than one of them."""
    rng = np.random.default_rng(4)
    one = np.zeros((60, 2, 2))
    one[np.arange(60), rng.integers(0, 2, 60), rng.integers(0, 2, 60)] = 1
    many, single = accuracy(100 * one).overall, accuracy(one).overall
    assert (many.value, many.se) == pytest.approx((single.value, single.se))
    m, r = rng.uniform(0, 100, (2, 60, 5))
    m[3, 2] = r[3, 2] = np.nan
    valid = ~np.isnan(m)
    assert density_error(density_moments(m, r)).bias.value == pytest.approx((m - r)[valid].mean())


def test_what_the_sample_does_not_hold_is_nan_and_not_zero():
    one = np.zeros((5, 2, 2))
    one[:, 0, 0] = 1
    found = accuracy(one)
    assert np.isnan(found.classes[1].users.value) and np.isnan(found.classes[1].producers.value)
    assert found.classes[1].share.value == 0 and found.overall.value == 1
    assert np.isnan(ratio(np.zeros(3), np.zeros(3)).value)
    flat = density_error(density_moments(np.array([1.0, 2, 3]), np.full(3, 2.0)))
    assert np.isnan(flat.r2) and np.isnan(flat.correlation) and flat.rmse.value == pytest.approx(np.sqrt(2 / 3))


@pytest.mark.parametrize(
    ("strata", "sizes", "text"),
    [
        (["a", "a", "b"], {"a": 5, "b": 5}, "stratum b has 1 point, at least 2"),
        (["a", "a"], {"a": 5, "b": 5}, "stratum b has 0 points"),
        (["a", "a", "c", "c"], {"a": 5}, "stratum c has no area"),
    ],
)
def test_strata_that_cannot_be_weighted(strata, sizes, text):
    with pytest.raises(ValueError, match=text):
        stratum_weights(np.array(strata), sizes)
