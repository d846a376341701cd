"""Layers that agree pass every relation; one changed pixel is found by the relation it breaks, at its place."""

import numpy as np
import pytest

from imperv.layers.aggregation import aggregate_mean, aggregate_mean_change
from imperv.layers.change import ChangeParameters, classify_change, encode_change, mean_difference, split_change
from imperv.tasks.imperviousness.checks.consistency import RELATIONS, Source, compare

LEFT, TOP = 4300000.0, 3300000.0
SIZE = 200
RESOLUTION = {"IMD_now": 10, "IBU_now": 10, "IMD_then": 10, "IBU_then": 10, "IMDCL": 10, "IBUCL": 10, "IMD_MSK_now": 10,
              "NDVI_p0_now": 10, "IMDC": 20, "IMDCS": 20, "IMCC": 20, "IMCCS": 20, "IBUC": 20, "IBUCS": 20}  # fmt: skip


def percent(mask):
    return np.where(mask == 255, mask, mask * np.uint8(100))


def layers(seed=1, loss=0.1):
    """All layers of a small tile, with holes that differ between the years."""
    rng = np.random.default_rng(seed)
    fields = rng.choice(np.array([0, 0, 0, 1, 7, 40, 99, 100], np.uint8), (2, 67, 67)).repeat(3, 1).repeat(3, 2)[:, :SIZE, :SIZE]
    then, now = fields[0], np.where(rng.random((SIZE, SIZE)) < 0.8, fields[0], fields[1])
    now = np.clip(now.astype(int) + rng.integers(-1, 2, now.shape) * (now > 1), 0, 100).astype(np.uint8)
    built_then, built_now = ((a > 30).astype(np.uint8) for a in (then, now))
    for array in (then, built_then):
        array[20:33, 50:61] = 255
    for array in (now, built_now):
        array[28:45, 40:57] = 255
        array[150:190, 100:140] = 255
    changed = np.kron(rng.random((SIZE // 4, SIZE // 4)) < 0.5, np.ones((2, 2))) > 0
    found = {"IMD_then": then, "IMD_now": now, "IBU_then": built_then, "IBU_now": built_now}
    for part, (a, b), (real_name, support_name) in (
        ("IM", (then, now), ("IMDC", "IMDCS")), ("IB", (percent(built_then), percent(built_now)), ("IBUDC", "IBUDCS")),
    ):  # fmt: skip
        d, s0, s1, valid = mean_difference(a, b, 2)
        real = split_change(d, changed, ChangeParameters(loss_sensitivity=loss))
        found[real_name], found[support_name] = encode_change(real, s0, s1, valid), encode_change(d - real, s0, s1, valid)
        status = aggregate_mean(a, 2)
        names = ("IMCC", "IMCCS") if part == "IM" else ("IBUC", "IBUCS")
        for name, change in zip(names, (real_name, support_name), strict=True):
            found[name] = classify_change(status, found[change])
    found["IMD_now_resampled"], found["SBU"] = aggregate_mean(now, 10), aggregate_mean(percent(built_now), 10)
    found["SBU_then"] = aggregate_mean(percent(built_then), 10)
    for name in ("IMDC", "IMDCS"):
        found[f"{name}_resampled"] = aggregate_mean_change(found[name], 5)
    for name, source, classes in (("SBUC", "IBUDC", "SBCC"), ("SBUCS", "IBUDCS", "SBCCS")):
        found[name] = aggregate_mean_change(found.pop(source), 5)
        found[classes] = classify_change(found["SBU_then"], found[name])
    sure = rng.integers(50, 101, (SIZE, SIZE)).astype(np.uint8)
    found["IMDCL"], found["IBUCL"] = np.where(now == 255, 255, sure), np.where(built_now == 255, 255, sure)
    found["IMD_MSK_now"] = np.where(now == 255, 255, now > 0).astype(np.uint8)
    found["NDVI_p0_now"] = np.where(now == 255, np.nan, 0.5).astype(np.float32)
    return found


def sources(arrays):
    bounds = (LEFT, TOP - 10 * SIZE, LEFT + 10 * SIZE, TOP)
    return {
        name: Source(f"the {name}", RESOLUTION.get(name, 100), bounds, lambda a, b, array=array: array[a:b].copy())
        for name, array in arrays.items()
    }


def broken(arrays):
    return {(layer, f.check) for layer, f in compare(sources(arrays)) if not f.ok}


def test_every_relation_is_asked_and_holds():
    arrays = layers()
    assert set(np.unique(arrays["IMCC"]).tolist()) == {0, 1, 2, 10, 11, 12, 255}
    findings = compare(sources(arrays))
    without = [r for r in RELATIONS if not (r.unless and set(r.unless) <= arrays.keys()) and "IBUD_now" not in r.needs]
    assert len(findings) == len(without) >= 27
    assert [f for _, f in findings if not f.ok or f.note] == []


@pytest.mark.parametrize("seed", range(2, 6))
def test_no_relation_cries_wolf(seed):
    """Also with every loss real, and without the first year, and with some layers only."""
    arrays = layers(seed, loss=1)
    assert broken(arrays) == set()
    without = {name: a for name, a in arrays.items() if not name.endswith("_then")}
    assert broken(without) == set()
    rng = np.random.default_rng(seed)
    for _ in range(5):
        assert broken({name: a for name, a in without.items() if rng.random() < 0.6}) == set()


CHANGES = {
    "IMD at 100 m": ("IMD_now_resampled", 1, {("IMD_now_resampled", "aggregation")}),
    "SBU": ("SBU", 1, {("SBU", "aggregation")}),
    "IMDC at 100 m": ("IMDC_resampled", 1, {("IMDC_resampled", "aggregation")}),
    "IMDCS at 100 m": ("IMDCS_resampled", 1, {("IMDCS_resampled", "aggregation")}),
    "SBUC by 2": ("SBUC", 2, {("SBUC", "change")}),
    "confidence": ("IMDCL", None, {("IMDCL", "confidence")}),
}


@pytest.mark.parametrize(("name", "by", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_one_pixel(name, by, expected):
    arrays = layers()
    target = arrays[name]
    row, column = np.argwhere((target > 0) & (target < 99) if name != "SBUC" else (target == 100))[5]
    target[row, column] = 49 if by is None else target[row, column] + by
    assert expected <= broken(arrays)
    assert all(layer in (name, "SBCC") for layer, _ in broken(arrays))


@pytest.mark.parametrize("name", ["IMDC", "IMDCS"])
def test_change_and_support_add_up_to_the_last_percent(name):
    arrays = layers()
    row, column = np.argwhere(arrays[name] == 101)[3]
    arrays[name][row, column] = 102
    assert ("IMDC", "change") in broken(arrays)
    [text] = [f.text for layer, f in compare(sources(arrays)) if layer == "IMDC" and not f.ok and "add up" in f.text]
    x, y = LEFT + 20 * column + 10, TOP - 20 * row - 10
    assert f"1 of {100 * 100} pixels do not add up" in text and f"at {x:.0f} {y:.0f}" in text and f"{name} 102" in text


def test_a_change_that_is_real_and_technical():
    arrays = layers()
    row, column = np.argwhere((arrays["IMDC"] > 150) & (arrays["IMDC"] < 190))[0]
    arrays["IMDC"][row, column] -= 40
    arrays["IMDCS"][row, column] += 40  # the sum stays right
    assert {("IMDCS", "change"), ("IMDC_resampled", "aggregation"), ("IMCCS", "classes")} <= broken(arrays)
    assert ("IMDC", "change") not in broken(arrays)


@pytest.mark.parametrize("part", ["IMCC", "IMCCS", "IBUC", "IBUCS", "SBCC", "SBCCS"])
@pytest.mark.parametrize("then", [True, False])
def test_classes_agree_with_status_and_change(part, then):
    arrays = {name: a for name, a in layers().items() if then or not name.endswith("_then")}
    row, column = np.argwhere(arrays[part] == 11)[0]
    arrays[part][row, column] = 12 if then or part[:2] != "IB" else 1
    assert {layer for layer, check in broken(arrays) if check == "classes"} & {part, "IBUC", "IBUCS"}


def test_folded_built_up_classes_are_allowed_in_ibuc_only():
    arrays = layers()
    for name, expected in (("IBUC", set()), ("IBUCS", {("IBUC", "classes")})):
        folded = {**arrays, name: np.where(np.isin(arrays[name], (11, 12)), np.uint8(10), arrays[name])}
        assert broken(folded) == expected


def test_a_change_that_the_density_of_now_cannot_have():
    arrays = {k: a for k, a in layers().items() if k in ("IMDC", "IMDCS", "IMD_now")}
    row, column = np.argwhere((arrays["IMDC"] == 100) & (aggregate_mean(arrays["IMD_now"], 2) < 10))[0]
    arrays["IMDC"][row, column] = 190
    arrays["IMDCS"][row, column] = 100
    assert broken(arrays) == {("IMDC", "change")}


def test_holes():
    arrays = layers()
    arrays["IBU_now"][0, 0] = arrays["IMDCL"][3, 3] = 255
    assert {("IBU_now", "holes"), ("IMDCL", "holes")} <= broken(arrays)
    arrays = layers()
    arrays["IMD_now"][0, 0] = 255
    assert ("IMD_now", "holes") in broken(arrays)
    [note] = [f for _, f in compare(sources({k: arrays[k] for k in ("IMD_now", "IBU_now")})) if f.note]
    assert note.ok and "1 of 40000 pixels have no data where IBU_now has" in note.text


def test_old_editions_with_254_are_outside():
    arrays = layers()
    for name in ("IMD_then", "IBU_then"):
        arrays[name][arrays[name] == 255] = 254
    assert broken(arrays) == set()


def test_strips_make_no_difference(monkeypatch):
    arrays = layers()
    arrays["SBU"][7, 3] ^= 1
    arrays["IMDC"][90, 3] ^= 1
    whole = compare(sources(arrays))
    monkeypatch.setattr("imperv.tasks.imperviousness.checks.consistency.STRIP_METRES", 300)
    assert compare(sources(arrays)) == whole


def test_layers_of_other_areas_are_refused():
    found = sources(layers())
    found["IMD_now"] = Source("x", 10, (0, 0, 1, 1), found["IMD_now"].read)
    with pytest.raises(ValueError, match="same bounds"):
        compare(found)
