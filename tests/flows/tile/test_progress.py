"""Who is told of a run: all that listen; and the file in which a process says how far it is."""

from __future__ import annotations

import json

from imperv.flows.tile.progress import listener, listening
from imperv.flows.tile.progress_file import ProgressFile, read_progress
from imperv.tasks.store.lease import this_process


def test_all_that_listen_hear_the_same(tmp_path):
    first, second = ProgressFile(tmp_path / "1"), ProgressFile(tmp_path / "2")
    with listening(first):
        with listening(second):
            listener().started("E44N25", "PP")
            listener().finished("E44N25", "PP", True, 1.26, "one scene is lost")
        listener().finished("E44N25", "QQ", False, 0.0, "")
    listener().finished("E44N25", "RR", True, 1.0, "")
    told = {"E44N25 PP": {"ran": True, "seconds": 1.3, "note": "one scene is lost"}}
    assert read_progress(tmp_path / "2")["nodes"] == told
    assert read_progress(tmp_path / "1")["nodes"] == told | {"E44N25 QQ": {"ran": False, "seconds": 0.0, "note": ""}}


def test_the_file_says_what_is_at_work_and_how_it_ended(tmp_path):
    file = ProgressFile(tmp_path / "told")
    assert read_progress(file.path)["process"] == this_process() and read_progress(file.path)["code"] is None
    file.started("E44N25", "PP")
    file.advanced(1, 9)  # too soon after the last note
    assert (read_progress(file.path)["now"]["node"], read_progress(file.path)["now"]["done"]) == ("PP", 0)
    file._written -= 2
    file.advanced(3, 9)
    assert (read_progress(file.path)["now"]["done"], read_progress(file.path)["now"]["total"]) == (3, 9)
    file.finished("E44N25", "PP", True, 2.0, "")
    file.end(3)
    assert read_progress(file.path)["now"] == {} and read_progress(file.path)["code"] == 3 and read_progress(file.path)["ended"]


def test_a_file_that_cannot_be_written_or_read_harms_nothing(tmp_path):
    file = ProgressFile(tmp_path / "no folder/told")
    file.started("E44N25", "PP")
    file.end(0)
    assert read_progress(file.path) == {}
    for text in ("", "[]", "{}", json.dumps({"process": {"pid": 1}})):
        (tmp_path / "told").write_text(text)
        assert read_progress(tmp_path / "told") == {}
