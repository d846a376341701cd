"""EEA tiles: the two official lists, bounds, pixel grids and neighbours."""

from __future__ import annotations

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from imperv.grids import EDITIONS, SPECS, Tile, nearest_tiles, official_tiles

RESOLUTIONS = tuple(r for r, spec in SPECS.items() if spec.tiles)

LISTS = {"eea38-2021": ("eea38_tiles_2021.txt", 845), "eea38-2024": ("eea38_tiles_2024.txt", 974)}
"""File of the delivery check's tile list, and its length (docs/operations.md#which-tiles)."""

any_tile = st.sampled_from(official_tiles("eea38-2024")).map(Tile)


@pytest.mark.parametrize("edition", LISTS)
def test_official_lists_have_their_length_and_no_doubles(edition):
    names = official_tiles(edition)
    assert len(names) == LISTS[edition][1] == len(set(names))
    assert list(names) == sorted(names)
    assert {len(name) for name in names} == {6}


@pytest.mark.parametrize("edition", LISTS)
def test_official_lists_are_those_of_the_delivery_check(shared_data, edition):
    assert set(official_tiles(edition)) == set((shared_data / LISTS[edition][0]).read_text().split())


def test_the_older_list_is_part_of_the_newer_and_the_rest_is_the_united_kingdom():
    older, newer = (set(official_tiles(edition)) for edition in LISTS)
    assert older < newer
    added = newer - older
    assert len(added) == 129
    assert {int(name[1:3]) for name in added} <= set(range(27, 40))
    assert {int(name[4:6]) for name in added} <= set(range(28, 46))


def test_no_other_list():
    assert set(EDITIONS) == set(LISTS)
    with pytest.raises(ValueError, match="'eea38-2020'.*eea38-2021, eea38-2024"):
        official_tiles("eea38-2020")


def test_bounds_and_index():
    tile = Tile("E43N32")
    assert tile.index == (43, 32)
    assert tile.bounds == (4_300_000, 3_200_000, 4_400_000, 3_300_000)
    assert all(isinstance(v, int) for v in tile.bounds)
    assert Tile("E09N27").bounds == (900_000, 2_700_000, 1_000_000, 2_800_000)
    assert str(tile) == tile.name == "E43N32"
    assert tile == Tile("E43N32")
    assert hash(tile) == hash(Tile("E43N32"))
    assert Tile("E43N31") < tile < Tile("E44N32")


@pytest.mark.parametrize(("resolution", "edge"), [(10, 10_000), (20, 5_000), (100, 1_000)])
def test_geobox(resolution, edge):
    """GeoTransform (4300000, px, 0, 3300000, 0, -px), size of the EEA's product definitions (docs/products.md#layers)."""
    grid = Tile("E43N32").geobox(resolution)
    assert grid.affine == Affine(resolution, 0, 4_300_000, 0, -resolution, 3_300_000)
    assert tuple(grid.shape) == (edge, edge)
    assert grid.crs.to_epsg() == 3035


@given(any_tile, st.sampled_from(RESOLUTIONS))
def test_the_geobox_of_every_tile_fills_its_bounds_exactly(tile, resolution):
    grid = tile.geobox(resolution)
    box = grid.boundingbox
    assert (box.left, box.bottom, box.right, box.top) == tile.bounds
    assert tuple(grid.shape) == (100_000 / resolution, 100_000 / resolution)


@pytest.mark.parametrize("resolution", [0, 1, 30, 60, 10.5])
def test_other_resolutions_are_refused(resolution):
    with pytest.raises(ValueError, match=r"10, 20, 30, 60, 100|does not divide"):
        Tile("E43N32").geobox(resolution)


@pytest.mark.parametrize(
    "name", ["", "E43", "e43n32", "E43N32 ", "E43N32\n", "N32E43", "E4N3", "E430N320", "E43N3X", None, 43, b"E43N32"]
)
def test_what_is_no_tile_name(name):
    with pytest.raises(ValueError, match="not the name of an EEA 100 km tile: write it like E43N32"):
        Tile(name)


@pytest.mark.parametrize("name", ["E00N00", "E99N99", "E20N20", "E08N27"])
def test_a_tile_in_the_sea_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} is not an official tile"):
        Tile(name)


def test_neighbours_inland():
    assert [str(t) for t in Tile("E43N32").neighbours()] == [
        "E42N31", "E42N32", "E42N33", "E43N31", "E43N33", "E44N31", "E44N32", "E44N33",
    ]  # fmt: skip


def test_neighbours_at_the_sea():
    """An island of the Azores: what is not on a list is no neighbour."""
    official = set(official_tiles("eea38-2024"))
    expected = {f"E{e:02d}N{n:02d}" for e in (8, 9, 10) for n in (26, 27, 28)} & official - {"E09N27"}
    assert {str(t) for t in Tile("E09N27").neighbours()} == expected
    assert len(expected) < 8


@given(any_tile)
def test_neighbours_are_official_touch_and_know_each_other(tile):
    (east, north), found = tile.index, tile.neighbours()
    official = set(official_tiles("eea38-2024"))
    around = {(east + i, north + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} - {(east, north)}
    assert {t.index for t in found} == {i for i in around if f"E{i[0]:02d}N{i[1]:02d}" in official}
    assert list(found) == sorted(found)
    assert all(tile in other.neighbours() for other in found)


def test_distance_and_nearest():
    tile = Tile("E43N32")
    assert tile.distance(Tile("E46N28")) == 500_000
    assert tile.distance(tile) == 0
    candidates = [Tile(n) for n in ("E46N28", "E44N32", "E42N32", "E43N32", "E44N33")]
    assert [str(t) for t in nearest_tiles(tile, candidates, 3)] == ["E42N32", "E44N32", "E44N33"]
    assert nearest_tiles(tile, candidates, 0) == []
    assert len(nearest_tiles(tile, candidates, 99)) == 4
