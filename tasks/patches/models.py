"""Models of patches as files: the Keras or ONNX file, and beside it the record that says what it takes and answers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from imperv.layers.network.unet import Normalisation, configure_threads
from imperv.layers.patches import network
from imperv.layers.patches.labels import Classes
from imperv.tasks.errors import InputError, writing
from imperv.tasks.files import file_digest, write_whole

MODEL, PRETRAINED = "imperv patches model 1", "imperv patches pretrained 1"
"""Forms of records."""

GROUP = "pip install 'imperv[onnx]'"
"""What brings the packages of ONNX."""


def cores() -> int:
    """Threads that the process may use."""
    return len(os.sched_getaffinity(0))


def start_tensorflow() -> None:
    """Import TensorFlow with the threads of the process.

    Of what it logs for its makers nothing is shown, errors neither: without AVX-512 each training would begin with one about
    whole numbers that oneDNN lacks. What fails is raised all the same.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    configure_threads(cores())


def record_path(path: Path) -> Path:
    """Record of a model file."""
    return path.with_suffix(".json")


def checked_output(path: Path, option: str = "--model-file") -> Path:
    """The path of a model to write; InputError if it does not end in ``.keras``."""
    if path.suffix.lower() != ".keras":
        raise InputError(f"{option}: {path}: the name of a model ends in .keras; an ONNX file is written beside it")
    with writing(path, option):
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def read_record(path: Path, form: str, made_by: str) -> dict[str, Any]:
    """Record of a model file that is as it was written; InputError otherwise."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such model file")
    try:
        record: dict[str, Any] = json.loads(record_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = {}
    if record.get("form") != form:
        raise InputError(f"{path}: {record_path(path).name} beside it is no record of imperv patches {made_by}")
    if record.get("files", {}).get(path.suffix.lower()) != file_digest(path):
        raise InputError(f"{path}: is not the file that its record {record_path(path).name} names; make the model anew")
    return record


def is_there(path: Path, key: str, endings: tuple[str, ...]) -> dict[str, Any] | None:
    """Record of what was made with the same key and is whole; None otherwise."""
    with suppress(OSError, ValueError):
        record: dict[str, Any] = json.loads(record_path(path).read_text(encoding="utf-8"))
        files = record.get("files", {})
        if record.get("key") == key and all(files.get(e) == file_digest(path.with_suffix(e)) for e in endings):
            return record
    return None


def write_model(path: Path, writers: Mapping[str, Callable[[str], None]], record: Mapping[str, Any]) -> dict[str, Any]:
    """Write files of a model by their endings, and the record last; each is whole or not there."""
    drafts = {ending: path.with_name(f".{path.stem}.draft{ending}") for ending in writers}
    try:
        with writing(path, "--model-file"):
            for ending, write in writers.items():
                write(str(drafts[ending]))
            files = {ending: file_digest(draft) for ending, draft in drafts.items()}
            record_path(path).unlink(missing_ok=True)
            for ending, draft in drafts.items():
                draft.replace(path.with_suffix(ending))
            whole = {**record, "files": files, "software": _software()}
            write_whole(record_path(path), json.dumps(whole, indent=1))
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
    return whole


def _software() -> dict[str, str]:
    return {name: version(name) for name in ("imperv", "keras", "tensorflow")}


@dataclass(frozen=True)
class PatchModel:
    """A trained model, ready to predict."""

    path: Path
    digest: str
    """Of its file."""
    bands: tuple[str, ...]
    window: int
    """Edge of the patches that it was trained with, pixels."""
    classes: Classes
    normalisation: Normalisation
    predict: Callable[[np.ndarray], np.ndarray]
    """(batch, y, x, band) float32 digital numbers -> (batch, y, x, output) probabilities."""


def load_model(path: Path) -> PatchModel:
    """Read a Keras or ONNX model of `imperv patches train`; InputError with the reason if that cannot be."""
    record = read_record(path, MODEL, "train")
    predict = _onnx(path) if path.suffix.lower() == ".onnx" else _keras(path)
    classes = Classes(tuple(record["classes"]["codes"]), bool(record["classes"]["background"]))
    normalisation = Normalisation.from_json(record["normalisation"])
    digest = record["files"][path.suffix.lower()]
    return PatchModel(path, digest, tuple(record["bands"]), int(record["patch_size"]), classes, normalisation, predict)


def _keras(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    start_tensorflow()
    try:
        model = network.load(str(path))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    found: Callable[[np.ndarray], np.ndarray] = network.predictor(model)
    return found


def _onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    try:
        import onnxruntime
    except ImportError:
        raise InputError(
            f"{path}: reading ONNX needs onnxruntime, which is not installed; {GROUP}, or name the .keras file"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=onnxruntime.get_available_providers())
    except Exception as error:
        raise InputError(f"{path}: cannot be read as an ONNX model ({str(error).splitlines()[0]})") from None
    name = session.get_inputs()[0].name

    def predicted(x: np.ndarray) -> np.ndarray:
        found: np.ndarray = session.run(None, {name: np.ascontiguousarray(x, "f4")})[0]
        return found

    return predicted


def require_onnx() -> None:
    """InputError where an ONNX file cannot be written."""
    if missing := [name for name in ("onnx", "tf2onnx") if find_spec(name) is None]:
        raise InputError(f"--model-format onnx needs {' and '.join(missing)}, which are not installed; {GROUP}")
