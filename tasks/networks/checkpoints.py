"""Checkpoints of a training: the next run goes on from the last epoch of one that was cut off.

One file beside the model, replaced whole and removed when the model is stored; `Checkpoint` is that of a model which is a file
outside of a store.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import writing
from imperv.tasks.job import Job

NAME = "training.npz"


def checkpoint_path(job: Job, symbol: str) -> str:
    """File of the state of a training, relative to the store; layers of a tile share a folder, models have their own."""
    layer = CATALOGUE[symbol]
    return str(PurePosixPath(job.place(symbol).data).with_name(NAME if layer.model_file else f"{layer.stem}.{NAME}"))


def save_checkpoint(job: Job, symbol: str, key: str, state: Mapping[str, Any]) -> None:
    """Keep the state of a training at once or not at all; `key` identifies it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / NAME
        write_state(file, key, state)
        job.store.put_file(file, checkpoint_path(job, symbol))


def write_state(file: Path, key: str, state: Mapping[str, Any]) -> None:
    """Write the state of a training to a file, not at once: a draft is for the caller to rename."""
    arrays: dict[str, np.ndarray] = {}
    finished = []
    for k, (weights, record) in enumerate(state["finished"]):
        arrays |= {f"weights_{k}_{n}": w for n, w in enumerate(weights)}
        finished.append({"count": len(weights), "record": record})
    values = {name: v for name, v in state["member"].items() if not isinstance(v, np.ndarray)}
    arrays |= {f"member_{name}": v for name, v in state["member"].items() if isinstance(v, np.ndarray)}
    text = json.dumps({"key": key, "finished": finished, "values": values})
    with file.open("wb") as out:  # NumPy would add an ending to a name
        np.savez(out, json=np.array(text), **arrays)  # type: ignore[arg-type]


def load_checkpoint(job: Job, symbol: str, key: str) -> dict[str, Any] | None:
    """State of a training of the same thing; None where there is none, or it is damaged or of another training."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / NAME
        try:
            job.store.fs.get_file(job.store.full(checkpoint_path(job, symbol)), str(file))
        except FileNotFoundError:
            return None
        return read_state(file, key)


def read_state(file: Path, key: str) -> dict[str, Any] | None:
    """State in a file of `write_state`; None where there is none, or it is damaged or of another training."""
    try:
        with np.load(file, allow_pickle=False) as data:
            saved = json.loads(str(data["json"]))
            if saved["key"] != key:
                return None
            finished = [
                ([data[f"weights_{k}_{n}"] for n in range(entry["count"])], entry["record"])
                for k, entry in enumerate(saved["finished"])
            ]
            arrays = {name.removeprefix("member_"): data[name] for name in data.files if name.startswith("member_")}
    except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return {"finished": finished, "member": {**arrays, **saved["values"]}}


def drop_checkpoint(job: Job, symbol: str) -> None:
    """Remove the state of a training."""
    job.store.remove_record(checkpoint_path(job, symbol))


class Checkpoint:
    """State of a training that was cut off, in a hidden file beside the one that it makes."""

    def __init__(self, path: Path, key: str, option: str) -> None:
        self._file, self._key, self._option = path.with_name(f".{path.stem}.training.npz"), key, option

    def read(self) -> dict[str, Any] | None:
        """``finished`` and ``member``, if they are of the same training."""
        return read_state(self._file, self._key)

    def keep(self, state: Mapping[str, Any]) -> None:
        """Replace it at once or not at all; InputError that names the `option` where it cannot be written."""
        draft = self._file.with_suffix(".draft")
        with writing(self._file, self._option):
            write_state(draft, self._key, state)
            draft.replace(self._file)

    def read_member(self) -> dict[str, Any] | None:
        """Of a training of one network: its state."""
        found = self.read()
        return found["member"] if found else None

    def keep_member(self, state: Mapping[str, Any]) -> None:
        """The same."""
        self.keep({"finished": [], "member": state})

    def drop(self) -> None:
        """Remove it."""
        self._file.unlink(missing_ok=True)
