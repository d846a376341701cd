"""Training and pretraining on patch sets, resumed where they were cut off (`imperv patches train|pretrain`)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imperv.layers.network.fitting import DivergenceError
from imperv.layers.network.unet import Normalisation
from imperv.layers.patches import network, pretraining
from imperv.layers.patches.ground import split
from imperv.layers.patches.labels import SEN12MS_NAMES, Classes
from imperv.layers.patches.pretraining import MARGIN, PretrainingParameters
from imperv.layers.patches.sampling import normalise
from imperv.layers.patches.training import TrainingParameters, train
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.networks.checkpoints import Checkpoint
from imperv.tasks.patches.extraction import PatchSet, Tell, extract, key_of
from imperv.tasks.patches.images import Image
from imperv.tasks.patches.models import (
    MODEL,
    PRETRAINED,
    checked_output,
    is_there,
    read_record,
    require_onnx,
    start_tensorflow,
    write_model,
)
from imperv.tasks.store.records import digest_of

ValueTell = Callable[[str], None]
"""Hears a line, such as the losses of an epoch."""


def classes_of(patches: PatchSet, selected: Sequence[int], background: bool) -> Classes:
    """The classes that are learnt; InputError for codes that no annotation of the set has."""
    try:
        classes = Classes.of(selected, background)
    except ValueError as error:
        raise InputError(f"--selected-classes: {error}") from None
    there = np.flatnonzero(patches.counts.sum(0)).tolist()
    if not there:
        raise InputError(f"{patches.folder}: no pixel of the patch set has a label; extract images with annotations")
    if missing := [code for code in classes.codes if code not in there]:
        raise InputError(
            f"--selected-classes: no pixel of {patches.folder} has class {', '.join(map(str, missing))}; there are "
            f"{', '.join(map(str, there))}"
        )
    return classes


def train_patches(
    patches: PatchSet, path: Path, parameters: TrainingParameters, selected: Sequence[int], background: bool = False,
    pretrained: Path | None = None, onnx: bool = False, tell: Tell = lambda *_: None, line: ValueTell = lambda _: None,
) -> tuple[dict[str, Any], bool]:  # fmt: skip
    """Train a model on a patch set: its record, and whether it was made now.

    The same patches and settings are not trained again; a training that was killed goes on from its last epoch.
    """
    checked_output(path)
    if onnx:
        require_onnx()
    classes = classes_of(patches, selected, background)
    if patches.size % network.multiple(parameters.stages):
        raise InputError(
            f"{patches.folder}: patches of {patches.size} pixels do not fit {parameters.stages} stages, which need a multiple of "
            f"{network.multiple(parameters.stages)}"
        )
    start = read_record(pretrained, PRETRAINED, "pretrain") if pretrained is not None else None
    if start is not None:
        _require_fit(patches, parameters, pretrained, start)
    key = digest_of({
        "form": MODEL, "patches": patches.record["key"], "parameters": parameters.model_dump(mode="json"),
        "classes": [classes.codes, classes.background], "pretrained": start and start["files"],
    })  # fmt: skip
    endings = (".keras", ".onnx") if onnx else (".keras",)
    if (record := is_there(path, key, endings)) is not None:
        return record, False
    learning, judging = _parts(patches, classes, parameters)
    start_tensorflow()
    checkpoint = Checkpoint(path, key, "--model-file")
    try:
        features = network.build_features(len(patches.bands), parameters.stages, parameters.seed)
        if start is not None:
            normalisation = Normalisation.from_json(start["normalisation"])
            network.start_from(features, network.load(str(pretrained)))
        else:
            normalisation = normalise(patches.images, learning, patches.nodata, patches.bands)

        def report(epoch: int, loss: float, check: float) -> None:
            tell("epochs", epoch + 1, parameters.epochs)
            line(f"epoch {epoch + 1} of {parameters.epochs}: loss {loss:.4f}, on held-out ground {check:.4f}")

        tell("epochs", 0, parameters.epochs)
        trained = network.with_head(features, classes.outputs, parameters.seed)
        history = train(
            trained, patches.images, patches.labels, patches.nodata, classes, learning, judging, normalisation, parameters,
            report, checkpoint.read_member(), checkpoint.keep_member,
        )  # fmt: skip
    except DivergenceError as error:
        raise WorkError(f"{path}: {str(error).partition(';')[0]}; lower --lr") from None
    except ValueError as error:
        raise InputError(f"{pretrained or patches.folder}: {error}") from None
    whole = network.whole_model(trained, normalisation)
    names = dict(enumerate(SEN12MS_NAMES, 1)) if patches.record["sen12ms_groups"] else {}
    record = {
        "form": MODEL, "key": key, "bands": list(patches.bands), "patch_size": patches.size,
        "classes": {
            "codes": list(classes.codes), "background": classes.background,
            "names": {str(code): names[code] for code in classes.codes if code in names},
        },
        "parameters": parameters.model_dump(mode="json"), "normalisation": normalisation.to_json(),
        "patches": {"key": patches.record["key"], "learning": len(learning), "judging": len(judging)},
        "pretrained": {"file": pretrained.name, "files": start["files"]} if pretrained and start else None,
        "history": history,
    }  # fmt: skip
    writers: dict[str, Callable[[str], None]] = {".keras": lambda to: network.save(whole, to)}
    if onnx:
        writers[".onnx"] = lambda to: network.export_onnx(whole, to)
    record = write_model(path, writers, record)
    checkpoint.drop()
    return record, True


def _require_fit(patches: PatchSet, parameters: TrainingParameters, path: Path | None, start: dict[str, Any]) -> None:
    """InputError for a pretrained network of other bands or stages."""
    if tuple(start["bands"]) != patches.bands:
        raise InputError(
            f"--pretrained: {path}: was pretrained on bands {', '.join(start['bands'])}, the patches have "
            f"{', '.join(patches.bands)}; pretrain with the same --bands"
        )
    stages = int(start["parameters"]["stages"])
    if stages != parameters.stages:
        raise InputError(f"--pretrained: {path}: has {stages} stages, --stages is {parameters.stages}; give --stages {stages}")


def _parts(patches: PatchSet, classes: Classes, parameters: TrainingParameters) -> tuple[list[int], list[int]]:
    """Patches to learn from, and those of ground apart that judge."""
    codes = list(range(256)) if classes.background else list(classes.codes)
    counts = patches.counts[:, list(classes.codes)]
    usable = np.flatnonzero(patches.counts[:, codes].sum(1) > 0) if not classes.background else np.arange(len(counts))
    try:
        learning, judging = split(
            [patches.grounds[k] for k in usable], counts[usable], parameters.validation_share, parameters.seed
        )
    except ValueError as error:
        raise InputError(f"{patches.folder}: {error}") from None
    return usable[learning].tolist(), usable[judging].tolist()


def pretrain_patches(
    images: Sequence[Image], path: Path, parameters: PretrainingParameters, size: int, tell: Tell = lambda *_: None,
    line: ValueTell = lambda _: None,
) -> tuple[dict[str, Any], bool]:  # fmt: skip
    """Pretrain a network on images of which several show the same grid: its record, and whether it was made now."""
    checked_output(path, "--output")
    if size % network.multiple(parameters.stages):
        raise InputError(f"--patch-size: {size} does not fit {parameters.stages} stages")
    grids: dict[Any, list[Image]] = {}
    for image in images:
        grids.setdefault((image.grid if image.grid.crs is not None else image.path.name), []).append(image)
    dates = [image for group in grids.values() if len(group) > 1 for image in group]
    if not dates:
        raise InputError(
            f"{images[0].path.parent}: no two images share a grid; pretraining takes several dates of a place on the same pixels"
        )
    work = path.with_name(f".{path.stem}.dates")
    key = digest_of(
        {"form": PRETRAINED, "patches": key_of(dates, size + MARGIN), "parameters": parameters.model_dump(mode="json")}
    )
    if (record := is_there(path, key, (".keras",))) is not None:
        return record, False
    cut, _ = extract(dates, work, size + MARGIN, tell=tell)
    start_tensorflow()
    checkpoint = Checkpoint(path, key, "--output")

    def report(step: int, loss: float) -> None:
        tell("steps", step + 1, parameters.steps)
        if (step + 1) % pretraining.EVERY == 0:
            line(f"step {step + 1} of {parameters.steps}: loss {loss:.2f}")

    try:
        normalisation = normalise(cut.images, range(len(cut.grounds)), cut.nodata, cut.bands)
        features, history = pretraining.pretrain(
            cut.images, cut.grounds, cut.nodata, normalisation, parameters, report, checkpoint.read_member(),
            checkpoint.keep_member,
        )  # fmt: skip
    except ValueError as error:
        raise InputError(f"{images[0].path.parent}: {error}") from None
    record = {
        "form": PRETRAINED, "key": key, "bands": list(cut.bands), "patch_size": size,
        "parameters": parameters.model_dump(mode="json"), "normalisation": normalisation.to_json(),
        "images": [image.path.name for image in dates], "history": history,
    }  # fmt: skip
    record = write_model(path, {".keras": lambda to: network.save(features, to)}, record)
    checkpoint.drop()
    shutil.rmtree(work, ignore_errors=True)
    return record, True
