"""Rounds of tuning: each kept with its polygons, head, scores and what it changed, and which one is present.

A round is one file of a folder of its own, written at once: what a person drew is no layer that could be made again. The layers
LC_training, LC_tuned_model and LC_tuned are those of the present round. A scratch store has its own rounds, none at first.
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from imperv.tasks.errors import InputError
from imperv.tasks.job import Job

FOLDER = "rounds"

CHANGES = ("head", "networks")
"""Keys of a round of which one has what it adds to, or puts in place of, the base model's answer."""

BULKY = ("polygons", *CHANGES)
"""Keys of a round that are left out where rounds are listed."""


def _path(job: Job, name: str) -> str:
    _, *place = PurePosixPath(job.place("LC_probability").data).parent.parts
    return str(PurePosixPath(FOLDER, *place, f"{name}.data.json"))


def write_round(job: Job, number: int, table: dict[str, Any]) -> None:
    """Keep a round at once or not at all."""
    job.store.write_text(_path(job, f"{number:03d}"), json.dumps(table) + "\n")


def read_round(job: Job, number: int) -> dict[str, Any]:
    """A round; InputError if there is none of the number."""
    text = job.store.read_text(_path(job, f"{number:03d}"))
    if text is None:
        known = ", ".join(map(str, numbers(job))) or "none yet"
        raise InputError(f"round {number} of tile {job.tile} is not there; there are {known}")
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        raise InputError(f"round {number} of tile {job.tile} is damaged; tune with its polygons again") from None
    return found


def numbers(job: Job) -> list[int]:
    """Numbers of all rounds."""
    folder = str(PurePosixPath(_path(job, "x")).parent)
    names = [PurePosixPath(path).name.removesuffix(".data.json") for path in job.store.find(folder)]
    return sorted(int(name) for name in names if name.isdigit())


def present(job: Job) -> int:
    """Number of the present round; 0 for the base map."""
    text = job.store.read_text(_path(job, "present"))
    try:
        return int(json.loads(text)["round"]) if text else 0
    except (ValueError, KeyError, TypeError):
        return 0


def choose(job: Job, number: int) -> None:
    """Make a round the present one; 0 for none."""
    if number:
        read_round(job, number)
    job.store.write_text(_path(job, "present"), json.dumps({"round": number}) + "\n")


def trains(job: Job) -> bool:
    """Whether the present round trains networks on, the slow way."""
    return "networks" in read_round(job, present(job))


def polygons_of(job: Job) -> str:
    """Polygons of the present round, as the store has them; empty where there is none."""
    number = present(job)
    return json.dumps(read_round(job, number)["polygons"], sort_keys=True) if number else ""
