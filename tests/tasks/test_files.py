"""Text files that are whole or not there."""

from __future__ import annotations

import pytest

from imperv.tasks.files import write_whole


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path, durable):
    path = tmp_path / "a.json"
    write_whole(path, "before", durable=durable)
    write_whole(path, "now\n", durable=durable)
    assert path.read_text() == "now\n" and [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.json"
    write_whole(path, "before")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half \ud800")
    assert path.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(OSError, match="No such file"):
        write_whole(tmp_path / "no/b.json", "")
