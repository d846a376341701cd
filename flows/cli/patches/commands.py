"""The commands ``imperv patches``: classes of pixels learnt from patches of Sentinel-2; needs no production file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imperv.flows.cli.parts.groups import Grouped
from imperv.flows.cli.parts.showing import run_view
from imperv.flows.runtime.console import err, out, say
from imperv.tasks.errors import InputError

if TYPE_CHECKING:
    from imperv.tasks.patches.extraction import PatchSet
    from imperv.tasks.patches.images import Image
    from imperv.tasks.patches.prediction import Mapped

patches_app = typer.Typer(
    help="Learn classes of pixels from images of Sentinel-2 and their annotations, and map them.",
    cls=Grouped, no_args_is_help=True,
)  # fmt: skip


class Criterion(StrEnum):
    """Losses."""

    CROSS_ENTROPY = "cross_entropy"
    FOCAL_LOSS = "focal_loss"


class ModelFormat(StrEnum):
    """Forms of a model file."""

    KERAS = "keras"
    ONNX = "onnx"


Images = Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of GeoTIFFs with bands of Sentinel-2.")]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="Folder of annotations with the names of their images; default: x_labels.tif beside x.tif.", metavar="FOLDER"
    ),
]
Bands = Annotated[str | None, typer.Option(metavar="LIST", help="Bands, such as B2,B3,B4,B8; default: all of the images.")]
PatchSize = Annotated[
    int | None, typer.Option("--patch-size", help="Edge of a patch, 256 or 64 pixels; default: 256, or 64 for smaller images.")
]
Simplified = Annotated[
    bool, typer.Option("--simplified", help="Annotations are IGBP classes of SEN12MS: learn their ten groups.")
]
Chosen = Annotated[
    str, typer.Option("--selected-classes", metavar="LIST", help="Codes to learn; one alone is learnt against all other ground.")
]
Background = Annotated[bool, typer.Option("--background", help="Learn all other ground as one more class, 0 in the maps.")]
Loss = Annotated[Criterion, typer.Option("--criterion", help="Loss.")]
Pretrained = Annotated[Path | None, typer.Option(metavar="FILE", help="Network of imperv patches pretrain to start from.")]
Augmented = Annotated[bool, typer.Option("--data-aug", help="Turn, mirror and brighten patches at random.")]
BatchSize = Annotated[int, typer.Option("--batch-size", "-b", help="Patches in a step.", min=2, max=64)]
Epochs = Annotated[int, typer.Option(help="Most passes over the patches.", min=1, max=99)]
Rate = Annotated[float, typer.Option("--lr", help="Highest learning rate.")]
Stages = Annotated[
    int, typer.Option(help="Stages of ResNet-50 in the encoder; 3 take about a third of the time of 5.", min=2, max=5)
]
Format = Annotated[ModelFormat, typer.Option("--model-format", help="keras, or onnx beside it.")]
Seed = Annotated[int, typer.Option(help="Start of all random numbers.", min=0)]
Probabilities = Annotated[bool, typer.Option("--probabilities", help="Write x_probability.tif, too: percent of each class.")]


@contextmanager
def _told(name: str) -> Iterator[tuple[Callable[[str, int, int], None], Callable[[str], None]]]:
    """What steps tell: bars on a terminal, lines otherwise."""
    with run_view(err) as view:
        yield view.steps_of(name), (lambda _: None) if err.is_terminal else say


def _codes(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if wrong := [part for part in parts if not part.isdigit() or not 1 <= int(part) <= 255]:
        raise InputError(f"--selected-classes: {', '.join(map(repr, wrong))}: give codes of 1 to 255, separated by commas")
    return [int(part) for part in parts]


def _size(asked: int | None, images: list[Image]) -> int:
    """Edge of the patches; what is asked, or 256 where the images are that large."""
    if asked is not None:
        if asked not in (64, 256):
            raise InputError(f"--patch-size: {asked}: patches have 64 or 256 pixels")
        return asked
    small = next((image for image in images if min(image.shape) < 256), None)
    if small is not None:
        say(f"patches of 64 pixels: {small.path.name} has {small.shape[0]} x {small.shape[1]}")
    return 64 if small is not None else 256


def _found(images: Path, bands: str | None, labels: Path | None = None, labelled: bool = True) -> list[Image]:
    from imperv.tasks.patches.images import find_images, wanted_bands

    return find_images(images, wanted_bands(bands), labels, labelled)


@patches_app.command()
def extract(
    images: Images,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Patch set to write.")],
    labels: Labels = None,
    bands: Bands = None,
    patch_size: PatchSize = None,
    simplified: Simplified = False,
) -> None:
    """Cut images and their annotations to patches."""
    found = _found(images, bands, labels)
    _extract(found, output, _size(patch_size, found), simplified)


def _extract(images: list[Image], output: Path, size: int, simplified: bool) -> PatchSet:
    from imperv.tasks.patches.extraction import extract as cut

    with _told(output.name) as (tell, _):
        made, new = cut(images, output, size, simplified, tell)
    counts = made.counts.sum(0)
    codes = ", ".join(f"{code}: {int(counts[code])}" for code in counts.nonzero()[0])
    out.print(f"patches   {output}  {len(made.grounds)} of {size} x {size} pixels{'' if new else ', up to date'}")
    out.print(f"labels    {codes or 'none'}  (pixels of each class)")
    return made


@patches_app.command()
def train(
    patches: Annotated[Path, typer.Argument(metavar="PATCHES", help="Patch set of imperv patches extract.")],
    model_file: Annotated[Path, typer.Option("--model-file", "-o", help="Model to write, .keras.")],
    criterion: Loss = Criterion.CROSS_ENTROPY,
    pretrained: Pretrained = None,
    selected_classes: Chosen = "1",
    background: Background = False,
    data_aug: Augmented = False,
    batch_size: BatchSize = 2,
    epochs: Epochs = 20,
    lr: Rate = 1e-4,
    stages: Stages = 5,
    model_format: Format = ModelFormat.KERAS,
    seed: Seed = 1,
) -> None:
    """Train a model on a patch set; goes on where it was stopped."""
    from imperv.tasks.patches.extraction import open_patches

    options = _training(criterion, data_aug, batch_size, epochs, lr, stages, seed)
    onnx = model_format is ModelFormat.ONNX
    _train(open_patches(patches), model_file, options, _codes(selected_classes), background, pretrained, onnx)


def _training(criterion: Criterion, data_aug: bool, batch: int, epochs: int, lr: float, stages: int, seed: int) -> dict[str, Any]:
    if lr <= 0:
        raise InputError(f"--lr: {lr:g}: a learning rate is above 0")
    return {
        "criterion": criterion.value, "data_aug": data_aug, "batch": batch, "epochs": epochs, "learning_rate": lr,
        "stages": stages, "seed": seed,
    }  # fmt: skip


def _train(
    patches: PatchSet,
    path: Path,
    options: dict[str, Any],
    codes: list[int],
    background: bool,
    pretrained: Path | None,
    onnx: bool,
) -> None:
    from imperv.layers.patches.training import TrainingParameters
    from imperv.tasks.patches.training import train_patches

    with _told(path.name) as (tell, line):
        parameters = TrainingParameters(**options)
        record, new = train_patches(patches, path, parameters, codes, background, pretrained, onnx, tell, line)
    history, used = record["history"], record["patches"]
    for ending in record["files"]:
        out.print(f"model     {path.with_suffix(ending)}{'' if new else '  up to date'}")
    best, epochs = history["best_epoch"] + 1, len(history["loss"])
    out.print(f"patches   {used['learning']} to learn from, {used['judging']} of other ground to judge by")
    out.print(f"epochs    the best is {best} of {epochs}")
    for name, title in (("oa", "accuracy"), ("f1", "mean F1")):
        found = history["scores"][name]
        known = found["value"] is not None and found["low"] is not None
        out.print(f"{title:<9} " + ("{value:.3f}  ({low:.3f} to {high:.3f})".format(**found) if known else "not defined"))


@patches_app.command()
def pretrain(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="Folder of GeoTIFFs: several dates of each place, on one grid.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Network to write, .keras.")],
    bands: Bands = None,
    patch_size: PatchSize = None,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", help="Pairs in a step.", min=2, max=64)] = 8,
    steps: Annotated[int, typer.Option(help="Steps.", min=1)] = 1000,
    lr: Rate = 1e-3,
    stages: Stages = 5,
    seed: Seed = 1,
) -> None:
    """Pretrain a network without labels, on dates of the same ground; goes on where it was stopped."""
    _pretrain(_found(images, bands, labelled=False), output, patch_size, batch_size, steps, lr, stages, seed)


def _pretrain(
    images: list[Image], output: Path, patch_size: int | None, batch: int, steps: int, lr: float, stages: int, seed: int
) -> None:
    from imperv.layers.patches.pretraining import PretrainingParameters
    from imperv.tasks.patches.training import pretrain_patches

    if lr <= 0:
        raise InputError(f"--lr: {lr:g}: a learning rate is above 0")
    with _told(output.name) as (tell, line):
        parameters = PretrainingParameters(batch=batch, steps=steps, learning_rate=lr, stages=stages, seed=seed)
        record, new = pretrain_patches(images, output, parameters, _size(patch_size, images), tell, line)
    history = record["history"]
    out.print(f"network   {output}{'' if new else '  up to date'}")
    first, last = history["loss"][0], history["loss"][-1]
    out.print(f"places    {history['places']} of {history['patches']} patches; loss {first:.1f} to {last:.1f}")


@patches_app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model of imperv patches train: .keras or .onnx.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="GeoTIFF of any size, or a folder of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="GeoTIFF to write, or folder of them.")],
    probabilities: Probabilities = False,
) -> None:
    """Map an image, or each of a folder, to a cloud-optimised GeoTIFF."""
    from imperv.tasks.patches.images import image_files

    files = image_files(image) if image.is_dir() else []
    pairs = [(path, output / f"{path.stem}.tif") for path in files] or [(image, output)]
    if wrong := next((one for one, to in pairs if to.resolve() == one.resolve()), None):
        raise InputError(f"--output: {wrong}: is the image itself; name another file or folder")
    _predict(model, pairs, probabilities)


def _predict(model: Path, pairs: list[tuple[Path, Path]], probabilities: bool) -> None:
    from imperv.tasks.patches.models import load_model
    from imperv.tasks.patches.prediction import image_for, predict_image

    loaded = load_model(model)
    images = [image_for(loaded, path) for path, _ in pairs]
    for image, (_, to) in zip(images, pairs, strict=True):
        with _told(to.name) as (tell, _):
            _show(predict_image(loaded, image, to, probabilities, tell))


def _show(mapped: Mapped) -> None:
    shares = ", ".join(f"{code}: {share:.1%}" for code, share in mapped.shares.items())
    out.print(f"map       {mapped.path}{'' if mapped.made else '  up to date'}")
    out.print(f"classes   {shares or 'no data'}")


@patches_app.command()
def full(
    images: Images,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for patches, model and maps.")],
    labels: Labels = None,
    bands: Bands = None,
    patch_size: PatchSize = None,
    simplified: Simplified = False,
    pretrain_on: Annotated[
        Path | None, typer.Option("--pretrain", metavar="FOLDER", help="Pretrain first, on this folder of dates.")
    ] = None,
    criterion: Loss = Criterion.CROSS_ENTROPY,
    pretrained: Pretrained = None,
    selected_classes: Chosen = "1",
    background: Background = False,
    data_aug: Augmented = False,
    batch_size: BatchSize = 2,
    epochs: Epochs = 20,
    lr: Rate = 1e-4,
    stages: Stages = 5,
    model_format: Format = ModelFormat.KERAS,
    seed: Seed = 1,
    probabilities: Probabilities = False,
) -> None:
    """Extract, train and map all images of the folder; goes on where it was stopped."""
    if pretrain_on is not None and pretrained is not None:
        raise InputError("--pretrain makes the network that --pretrained names; give one of them")
    options, codes = _training(criterion, data_aug, batch_size, epochs, lr, stages, seed), _codes(selected_classes)
    found = _found(images, bands, labels)
    size = _size(patch_size, found)
    made = _extract(found, output / "patches", size, simplified)
    if pretrain_on is not None:
        pretrained = output / "pretrained.keras"
        dates = _found(pretrain_on, ",".join(found[0].bands) if bands else None, labelled=False)
        _pretrain(dates, pretrained, size, 8, 1000, 1e-3, stages, seed)
    model = output / "model.keras"
    _train(made, model, options, codes, background, pretrained, model_format is ModelFormat.ONNX)
    every = _found(images, bands, labelled=False)
    _predict(model, [(image.path, output / "maps" / f"{image.path.stem}.tif") for image in every], probabilities)
