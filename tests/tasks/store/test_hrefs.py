"""Hrefs as paths and URLs: RFC 3986 and, for files, RFC 8089; and what tools write that know neither."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from imperv.tasks.store.hrefs import absolute, is_href, local_path

ODD = ["my scenes", "ü and ñ", "a%b", "50%25", "x#1", "which?", "a&b=c;d", "T10:50", "it's", "{x}", "plus+plus", "back\\slash"]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("href", ["file://{quoted}", "file://localhost{quoted}", "FILE:{quoted}", "{plain}"])
def test_files_by_their_uri_and_as_they_are_called(tmp_path, name, href):
    file = tmp_path / name / "B02.tif"
    file.parent.mkdir()
    file.touch()
    assert absolute(href.format(quoted=quote(str(file)), plain=file), tmp_path / "items.json") == str(file)


@pytest.mark.parametrize("name", ODD)
def test_relative_files(tmp_path, name):
    file = tmp_path / name / "B02.tif"
    file.parent.mkdir()
    file.touch()
    (tmp_path / "lists").mkdir()
    for href in (f"./{name}/B02.tif", f"./{quote(name)}/B02.tif", f"../{tmp_path.name}/{name}/B02.tif"):
        assert absolute(href, tmp_path / "items.json") == str(file)
    assert absolute(f"../{quote(name)}/B02.tif", tmp_path / "lists" / "items.json") == str(file)


def test_a_path_is_decoded_unless_only_what_is_written_is_there(tmp_path):
    source = tmp_path / "items.json"
    assert absolute("my%20scenes/a.tif", source) == str(tmp_path / "my scenes" / "a.tif")  # nothing there
    (tmp_path / "my%20scenes").mkdir()
    (tmp_path / "my%20scenes" / "a.tif").touch()
    assert absolute("my%20scenes/a.tif", source) == str(tmp_path / "my%20scenes" / "a.tif")
    (tmp_path / "my scenes").mkdir()
    (tmp_path / "my scenes" / "a.tif").touch()
    assert absolute("my%20scenes/a.tif", source) == str(tmp_path / "my scenes" / "a.tif")


def test_backslashes_of_windows(tmp_path):
    (tmp_path / "my scenes").mkdir()
    (tmp_path / "my scenes" / "a.tif").touch()
    for href in (r".\my scenes\a.tif", r"my%20scenes\a.tif"):
        assert absolute(href, tmp_path / "items.json") == str(tmp_path / "my scenes" / "a.tif")


@pytest.mark.parametrize(
    ("href", "source", "expected"),
    [
        ("./B02.tif", "https://host/a/items.json", "https://host/a/B02.tif"),
        ("../b/my%20scene/B02.tif", "https://host/a/items.json", "https://host/b/my%20scene/B02.tif"),
        ("my scene/B02.tif", "https://host/a/items.json", "https://host/a/my%20scene/B02.tif"),
        ("/nowhere/B02.tif", "https://host/a/items.json", "https://host/nowhere/B02.tif"),
        ("//other/B02.tif", "https://host/a/items.json", "https://other/B02.tif"),
        ("https://host/ä b.tif?sig=a%2Fb%3D&x=1+2", "/data/items.json", "https://host/%C3%A4%20b.tif?sig=a%2Fb%3D&x=1+2"),
        ("https://host/b.tif?sig=a%2Fb%3D~-_.&se=2024-01-01T00:00:00Z", "", "https://host/b.tif?sig=a%2Fb%3D~-_.&se=2024-01-01T00:00:00Z"),
        ("s3://bucket/my key/%20.tif", "/data/items.json", "s3://bucket/my key/%20.tif"),
        ("./B02.tif", "s3://bucket/a/item.json", "s3://bucket/a/B02.tif"),
        ("/vsizip//data/a%20b.zip/B02.tif", "/data/items.json", "/vsizip//data/a%20b.zip/B02.tif"),
        ("  /data/B02.tif\n", "/data/items.json", "/data/B02.tif"),
    ],
)  # fmt: skip
def test_urls_and_virtual_files(href, source, expected):
    assert absolute(href, source) == expected


def test_a_server_of_this_machine_may_tell_paths(tmp_path):
    (tmp_path / "a.tif").touch()
    assert absolute(str(tmp_path / "a.tif"), "http://127.0.0.1:1/search") == str(tmp_path / "a.tif")


def test_links_and_names_too_long_are_followed_no_further(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert Path(absolute("loop/a%20b.tif", tmp_path / "items.json")).name == "a b.tif"
    assert absolute("%20" * 1000, tmp_path / "items.json") == str(tmp_path / (" " * 1000))


@pytest.mark.parametrize("said", [None, "", "  ", 7, ["a"], {"a": 1}, "a\0b", "a\nb", "\ud800"])
def test_what_is_no_href(said):
    assert not is_href(said)


def test_a_catalogue_may_be_named_as_a_uri(tmp_path):
    (tmp_path / "my items").mkdir()
    assert local_path(f"file://{tmp_path}/my%20items") == str(tmp_path / "my items")
    for path in ("/data/a%20b", "https://host/a%20b", "items.json"):
        assert local_path(path) == path
