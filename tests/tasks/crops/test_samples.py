"""Training data of crops: the three forms say the same, real parcels, and what is refused in one line.

A wrong input is never learnt from: it is refused with file, fault and remedy; what is left out is counted and named.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from imperv.layers.crops.classes import TIMESEN2CROP
from imperv.layers.crops.series import Calendar
from imperv.tasks.crops.samples import Codes, Request, check_for_training, read_samples
from imperv.tasks.errors import InputError
from tests.support.crops import BANDS, NAMES, made_up, write_arrays, write_folders, write_looks, write_mapping, write_parcels

MONTHS = Calendar("months", 12)


@pytest.fixture(scope="module")
def series():
    return made_up(4)


def refused(request: Request, least: int = 0) -> str:
    with pytest.raises(InputError) as found:
        check_for_training(read_samples(request), least)
    assert "\n" not in str(found.value)
    return str(found.value)


def test_the_three_forms_say_the_same(series, tmp_path):
    arrays = read_samples(Request(write_arrays(tmp_path / "arrays", series))).series
    assert np.array_equal(arrays.values, series.values, equal_nan=True) and np.array_equal(arrays.labels, series.labels)
    assert arrays.classes == ("class 0", "class 1", "class 2") and arrays.bands == BANDS
    assert arrays.calendar == MONTHS

    folders = read_samples(Request(write_folders(tmp_path / "folders", series))).series
    order = [row for tile in range(2) for label in range(3) for row in range(tile, 12, 2) if series.labels[row] == label]
    assert np.array_equal(folders.labels, series.labels[order]) and folders.groups.tolist() == [0] * 6 + [1] * 6
    assert folders.classes == tuple(one.name for one in TIMESEN2CROP)
    assert np.allclose(folders.values, series.values[order], atol=6e-5, equal_nan=True)  # stored as whole numbers

    mapping = write_mapping(tmp_path / "class_mappings.json")
    for nested in (False, True):
        file = write_parcels(tmp_path / f"parcels{nested}.parquet", series, nested=nested)
        read = read_samples(Request(file, MONTHS))
        parcels = read.series
        assert parcels.classes == tuple(sorted(NAMES)) and read.codes == {
            "11": NAMES[0],
            "12": NAMES[1],
            "13": NAMES[2],
            "99": "ignore",
        }
        assert [parcels.classes[k] for k in parcels.labels] == [NAMES[k] for k in series.labels]
        assert np.allclose(parcels.values, series.values, atol=6e-5, equal_nan=True)
    mapping.unlink()  # then codes are classes
    assert read_samples(Request(file, MONTHS)).series.classes == ("11", "12", "13")


@pytest.mark.slow
def test_real_parcels(shared_data):
    """Against Pandas: 316 of 500 parcels count, of which one was never seen; B8A has no data."""
    file = shared_data / "crops/2023_FRA_LPIS_POLY_110.geoparquet"
    read = check_for_training(read_samples(Request(file)), 10)
    series = read.series
    assert series.values.shape == (300, 51, 9) and "B8A" not in series.bands and len(series.classes) == 9
    assert np.bincount(series.labels).tolist() == [16, 12, 15, 88, 48, 16, 13, 21, 71]
    told = " ".join(read.warnings)
    for words in ("B8A has no data", "184 parcels to be ignored", "1 samples without a clear look", "potatoes (1)"):
        assert words in told
    table = pd.read_parquet(file, columns=["sample_id", "timestamp", "S2-L2A-B08", "ewoc_code"])
    wide = table.pivot(index="sample_id", columns="timestamp", values="S2-L2A-B08").sort_index().replace(65535, np.nan) / 1e4
    near = series.values[:, :, series.bands.index("B08")]
    rows = {tuple(np.nan_to_num(row, nan=-1).round(4)) for row in wide.to_numpy()}
    assert all(tuple(np.nan_to_num(row.astype("f8"), nan=-1).round(4)) in rows for row in near)
    assert "potatoes (1)" in refused(Request(file)) and "--least 10" in refused(Request(file))


@pytest.mark.slow
def test_real_parcels_in_the_form_of_timesen2crop(shared_data, tmp_path):
    """No part of the real set can be had: real parcels are written in its form, near infrared at 842 nm in the place of B8A."""
    file = shared_data / "crops/2023_FRA_LPIS_POLY_110.geoparquet"
    decades, months = (check_for_training(read_samples(Request(file, c, least=10)), 10).series for c in (None, MONTHS))
    seen = np.isfinite(decades.values).all(axis=2)
    some, days = np.arange(0, 300, 7), list(decades.calendar.days(dt.date(2022, 9, 1))[:-1])
    looks = np.nan_to_num(decades.values[some], nan=1.1)
    write_looks(tmp_path / "t", looks, seen[some], decades.labels[some], days, ("30TYP",))
    read = read_samples(Request(tmp_path / "t"))
    order = np.lexsort((some, decades.labels[some].astype(str)))
    assert np.array_equal(read.series.labels, decades.labels[some][order]) and read.series.groups.tolist() == list(
        range(len(some))
    )
    assert np.allclose(read.series.values, months.values[some][order], atol=1e-6, equal_nan=True)
    assert "all samples are of one tile" in read.warnings[0]


def test_another_year_is_read_on_the_steps_of_a_model(series, tmp_path):
    """Other first look, classes that the model does not know, codes that its mapping does not have."""
    mapping = write_mapping(tmp_path / "class_mappings.json")
    first = read_samples(Request(write_parcels(tmp_path / "a.parquet", series), MONTHS, mapping=mapping))
    mapping.unlink()
    file = write_parcels(tmp_path / "b.parquet", series, (11, 14, 99), year=2021)
    known = Codes(dict(first.codes) | {"14": "spelt"}, first.series.classes, strict=False)
    read = read_samples(Request(file, MONTHS), known)
    assert set(read.series.labels) == {first.series.classes.index("wheat")} and read.series.classes == first.series.classes
    assert any("spelt (4)" in text for text in read.warnings) and any("4 parcels to be ignored" in t for t in read.warnings)
    assert np.allclose(read.series.values, first.series.values[:4], equal_nan=True)
    none = Codes(dict(first.codes), first.series.classes, strict=False)
    assert any(
        "4 parcels with crop codes that the mapping does not have" in t
        for t in read_samples(Request(file, MONTHS), none).warnings
    )


def test_series_of_several_years_are_read_in_the_year_of_their_crop(series, tmp_path):
    """Three years of looks, of which the middle one is of the crop; without its day the first one would be read."""
    mapping = write_mapping(tmp_path / "m.json")
    years = [
        pd.read_parquet(write_parcels(tmp_path / "y.parquet", replace(series, values=series.values + k), year=2020 + k))
        for k in range(3)
    ]
    file = tmp_path / "p.parquet"
    pd.concat(years).assign(start_date="2019-09-01", valid_time="2021-06-01").to_parquet(file)
    read = read_samples(Request(file, MONTHS, mapping=mapping))
    assert np.allclose(read.series.values, series.values + 1, atol=6e-5, equal_nan=True)
    pd.concat(years).assign(start_date="2019-09-01").to_parquet(file)
    first = read_samples(Request(file, MONTHS, mapping=mapping)).series
    assert np.allclose(first.values, series.values, atol=6e-5, equal_nan=True)
    whole = pd.concat(years).assign(start_date="2019-09-01", valid_time="2021-06-01")
    whole.to_parquet(file)
    assert str(read_samples(Request(file, mapping=mapping)).series.calendar).endswith("decades from September")
    assert np.isfinite(read_samples(Request(file, mapping=mapping)).series.values[:, :3]).any()  # from the first look on


def test_classes_that_are_too_small_are_left_out_and_named(series, tmp_path):
    part = series.part(np.array([0, 1, 2, 4, 8, 9]))
    folder = write_arrays(tmp_path, part)
    read = check_for_training(read_samples(Request(folder)), 2)
    assert read.series.classes == ("class 0", "class 2") and np.bincount(read.series.labels).tolist() == [3, 2]
    assert "class 1 (1)" in read.warnings[-1]
    assert "class 1 (1) has one sample only" in refused(Request(folder))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y: (x[:, 0], y), "shape (12, 9) of float32"),
        (lambda x, y: (x, y[:-1]), "a label for each sample"),
        (lambda x, y: (x, y + 1), "but none of 0"),
        (lambda x, y: (x, y - 1), "labels from -1"),
        (lambda x, y: (x, y + 0.5), "not whole numbers"),
        (lambda x, y: (x, np.where(y == 2, 7, y)), "but none of 2, 3, 4, 5, 6"),
        (lambda x, y: (x[:0], y[:0]), "holds no sample"),
        (lambda x, y: (np.where(np.arange(12)[:, None, None] == 3, np.nan, x), y), "are NaN"),
        (lambda x, y: (np.where(np.arange(12)[:, None, None] == 3, np.inf, x), y), "infinite"),
        (lambda x, y: (x, y * 0), "has samples of 1 class"),
        (lambda x, y: (x.astype("S4"), y), "of |S4"),
    ],
)  # fmt: skip
def test_arrays_that_are_refused(series, tmp_path, change, words):
    folder = write_arrays(tmp_path / "a", series)
    x, y = change(series.values, series.labels)
    np.save(folder / "train.npy", x)
    np.save(folder / "y_train.npy", y)
    assert words in refused(Request(folder))


def test_arrays_of_other_things(series, tmp_path):
    folder = write_arrays(tmp_path / "a", series)
    assert "--bands names 2" in refused(Request(folder, bands=("B02", "B03")))
    assert "have no dates" in refused(Request(folder, Calendar("decades", 36)))
    (folder / "y_train.npy").unlink()
    assert "y_train.npy: is missing" in refused(Request(folder))
    (folder / "train.npy").write_bytes(b"no array")
    assert "cannot be read as a NumPy array" in refused(Request(folder))
    assert "does not exist" in refused(Request(tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    assert "neither train.npy nor tiles with dates.csv" in refused(Request(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="B5"), "has no B05"),
        (lambda t: t[:-1], "has 35 looks; dates.csv of its tile has 36"),
        (lambda t: t.assign(Flag=7), "0 clear, 1 cloud, 2 shadow, 3 snow"),
        (lambda t: t.drop(columns="Flag"), "last column must be the condition"),
    ],
)  # fmt: skip
def test_folders_that_are_refused(series, tmp_path, change, words):
    root = write_folders(tmp_path / "t", series)
    file = max((root / "33UVP/1").glob("*.csv"))  # the last of several
    change(pd.read_csv(file)).to_csv(file, index=False)
    found = refused(Request(root))
    assert words in found and file.name in found


def test_files_of_any_form_say_what_those_of_one_form_say(series, tmp_path):
    """Files that cannot be read as one: other orders of the columns, ends of lines, blank lines, a byte order mark."""
    plain, other = write_folders(tmp_path / "plain", series), write_folders(tmp_path / "other", series)
    first, second, third, last = (*sorted((other / "33UVP/1").glob("*.csv")), *sorted((other / "33UVP/0").glob("*.csv")))
    head, flag = (table := pd.read_csv(first)).columns[-2::-1].tolist(), table.columns[-1]
    table[[*head, flag]].to_csv(first, index=False)
    second.write_bytes(second.read_bytes().replace(b"\n", b"\r\n"))
    third.write_bytes(third.read_bytes().replace(b"\n", b"\n\n", 3))
    last.write_bytes(b"\xef\xbb\xbf" + last.read_bytes())
    one, two = (read_samples(Request(root)).series for root in (plain, other))
    assert np.array_equal(one.values, two.values, equal_nan=True) and np.array_equal(one.labels, two.labels)


def test_folders_of_wrong_names_and_dates(series, tmp_path):
    root = write_folders(tmp_path / "t", series)
    (root / "33UVP/1").rename(root / "33UVP/maize")
    assert "is no class" in refused(Request(root))
    (root / "33UVP/dates.csv").write_text("acquisition_date\n20170904\nyesterday\n")
    assert "yesterday is not a date" in refused(Request(root))


def changed(table: pd.DataFrame, row: int, column: str, value: object) -> pd.DataFrame:
    table = table.astype({column: object}) if isinstance(value, str) else table
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t[:0], "holds no row"),
        (lambda t: t.drop(columns="timestamp"), "no column that names the dates"),
        (lambda t: t.drop(columns=[c for c in t if "L2A" in c]), "no column of a band"),
        (lambda t: changed(t, 0, "ewoc_code", 12), "parcel 0000 has more than one crop"),
        (lambda t: t.assign(ewoc_code=t.ewoc_code + 100), "3 crop codes are in no class of the mapping: 111, 112, 113"),
        (lambda t: changed(t, 0, "S2-L2A-B02", "dark"), "S2-L2A-B02 holds what is no number"),
        (lambda t: changed(t, 0, "timestamp", pd.NaT), "1 rows have no timestamp"),
        (lambda t: t.assign(**{c: 65535 for c in t if "L2A" in c}), "no band has data"),
    ],
)  # fmt: skip
def test_parcels_that_are_refused(series, tmp_path, change, words):
    mapping = write_mapping(tmp_path / "m.json")
    file = write_parcels(tmp_path / "p.parquet", series)
    table = change(pd.read_parquet(file))
    if words == "S2-L2A-B02 holds what is no number":
        table["S2-L2A-B02"] = table["S2-L2A-B02"].astype(str)
    table.to_parquet(file)
    assert words in refused(Request(file, mapping=mapping))


def test_parcels_of_other_things(series, tmp_path):
    mapping = write_mapping(tmp_path / "m.json")
    file = write_parcels(tmp_path / "p.parquet", series)
    request = Request(file, MONTHS, mapping=mapping)
    assert "has no B01" in refused(replace(request, bands=("B01", "B02")))
    assert "has no column crop" in refused(replace(request, label="crop"))
    assert "has no OTHER; it has CROPS" in refused(replace(request, scheme="OTHER"))
    mapping.write_text("{")
    assert "cannot be read as JSON" in refused(request)
    file.write_bytes(b"PAR1 and no more")
    assert "cannot be read as Parquet" in refused(request)
    nested = write_parcels(tmp_path / "n.parquet", series, nested=True)
    table = pd.read_parquet(nested)
    table.at[2, "S2-L2A-B02"] = table.at[2, "S2-L2A-B02"][:-1]
    table.to_parquet(nested)
    assert "lists of parcel parcel 0002 are of different length" in refused(Request(nested, mapping=write_mapping(mapping)))
