"""What a node costs, by arithmetic from measured rates: core time, memory, and bytes decoded from scenes.

The rates are those of docs/performance.md, of one core of the machine that it names; `imperv plan` adds them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.network.prediction import CPU_BYTES
from imperv.layers.network.training import PASSES, STEPS
from imperv.tasks.engine import RESERVED
from imperv.tasks.imperviousness.nodes.clcplus import clcplus_is_given
from imperv.tasks.job import Job
from imperv.tasks.networks.models import TRAINING_SHARE, is_small
from imperv.tasks.networks.predicting import strip_bytes
from imperv.tasks.scenes.scenes import Scene, SceneList
from imperv.tasks.yearly.looks import Looks
from imperv.tasks.yearly.preprocessing import FILE_BLOCK, plan_blocks

OVERPASSES = 100
"""Looks at a pixel in a year where no scene list is frozen yet."""

DECODED_BYTES = 4 * 2 + 6 * 2 / 4 + 1 / 4
"""Bytes of a look at a pixel of 10 m: four bands at 10 m, six and the classification at 20 m."""

DECODE_NS = 29.0
"""Core nanoseconds to decode all bands of one look at a pixel of 10 m, deflate with predictor."""
LOOK_NS = 24.0
"""Core nanoseconds for what else a look takes: mapping, interpolation, weights, quantiles and harmonics."""
STORE_NS = 450.0
"""Core nanoseconds to compress and write the features of a pixel."""

TRAIN_NS = 6600.0
"""Core nanoseconds of training a pixel, step and member without AVX-512: 16 filters, three levels; grows with their square."""
PREDICT_NS = 1400.0
"""Core nanoseconds of prediction for a pixel of a window and member, of the same network."""

NETWORKS = 768 * 2**20
"""Bytes that TensorFlow and compiled networks add to a process. Flanders took 1670 MiB at most, 780 before its first network."""
BATCHES = 256 * 2**20
"""Bytes of a training's network and batches; measured: 180 MiB with 16 filters, 280 with 32."""
TRAINED_BYTE = 1.3
"""Bytes a byte of training regions: they themselves, which of their pixels are valid, and their normalisation; measured: 1.3."""

PROXY = ("OSM_distance", "CLCP_proxy_model", "CLCP_proxy")
"""Nodes that are made only where CLC+ of `now` is missing."""
PROXY_SAMPLE_NS = 340.0
"""Core nanoseconds to read a pixel's features for the choice of samples."""
PROXY_TREE_NS = 23.0
"""Core nanoseconds of a sample, tree and level."""

REFERENCE_NS = 60.0
"""Core nanoseconds to bring a pixel of a reference raster to the grid; footprints by their number, which is not known here."""

NS: dict[str, float] = {
    "RMSD": 80, "NDVI_p0_then": 40, "NDVI_p0_now": 40, "CHM_raw": 17, "CHM": 16, "CHM_resampled": 11, "IMD_calibration": 9,
    "IMDC": 19, "IMDCS": 20, "IBUDC": 20, "IBUDCS": 20, "IMCC": 5, "IMCCS": 5, "IBUC": 5, "IBUCS": 5,
    "IMDC_resampled": 2, "IMDCS_resampled": 2, "SBUC": 2, "SBUCS": 2, "SBCC": 0.3, "SBCCS": 0.3,
    "IBUD_now_resampled": 4, "IMD_now_resampled": 4, "SBU_then": 4, "SBU": 4,
    "OSM_distance": 80, "CLCP_proxy": 4500,
    "PP_shift": 45,
    "RIMD_sd": 17, "RIBUD_sd": 17, "IMDCL": 17, "IBUCL": 17,
}  # fmt: skip
"""Core nanoseconds by pixel of 10 m of a tile, with the store's decoding and encoding, whatever the layer's own resolution.

Those of the distance are without the drawing of shapes, whose number is not known here.
"""
OTHER_NS = 12.0
"""The same of other layers made block by block."""
DELIVERY_NS = {10: 60.0, 20: 13.0, 100: 1.0}
"""Core nanoseconds by pixel of 10 m of a tile to write and check a product with all its files, by its resolution."""


@dataclass(frozen=True)
class Cost:
    """What a node takes."""

    core_seconds: float = 0
    memory: int = 0
    """Highest resident memory of the process, bytes."""
    bytes_decoded: int = 0
    """Of scenes, bytes after decoding; files are about three quarters of it."""


def node_cost(job: Job, symbol: str) -> Cost:
    """Cost of making a layer of a tile."""
    layer, pixels = CATALOGUE[symbol], job.grid(10).shape.y * job.grid(10).shape.x
    if layer.stem == "PP":
        return _features(job, layer.period)
    memory = RESERVED + min(job.engine.budget, _bytes_at_once(job, symbol))
    if layer.kind == "source":
        return Cost(0, RESERVED)
    if symbol in PROXY and clcplus_is_given(job):
        return Cost(0, RESERVED)
    if symbol == "CLCP_proxy_model":
        return Cost(_proxy_training(job, pixels), memory)
    if symbol in ("IMD_model", "IBUD_model"):
        return Cost(_training(job, pixels), memory + NETWORKS)
    if symbol in ("RIMD", "RIBUD"):
        return Cost(_prediction(job, pixels), memory + NETWORKS)
    if layer.kind == "reference":
        return Cost(pixels * REFERENCE_NS / 1e9, memory)
    return Cost(pixels * NS.get(symbol, OTHER_NS) / 1e9, memory)


def delivery_cost(job: Job, symbol: str) -> Cost:
    """Cost of delivering a layer of a tile."""
    pixels = job.grid(10).shape.y * job.grid(10).shape.x
    return Cost(pixels * DELIVERY_NS[CATALOGUE[symbol].resolution] / 1e9, RESERVED)


def _features(job: Job, period: str) -> Cost:
    """Features: every look is decoded with as much more as the blocks of files stand out of the blocks of work."""
    text = job.store.read_text(job.place(f"S2_{period}").data)
    if text is not None:
        return _looked_at(job, Looks.of(SceneList.from_json(text)))
    return _unseen(job, OVERPASSES, OVERPASSES)


def made_cost(job: Job, symbol: str) -> Cost:
    """Cost of a layer as if it were not there, by what its record tells of the scenes: no list of them is read."""
    record = job.record(symbol) if CATALOGUE[symbol].stem == "PP" else None
    counts: Any = record.statistics if record else {}
    if "overpasses" not in counts or "scenes" not in counts:
        return node_cost(job, symbol)
    return _unseen(job, counts["overpasses"], counts["scenes"])


def _unseen(job: Job, overpasses: int, scenes: int) -> Cost:
    """Cost of the features of so many scenes, which may lie anywhere: all tiles of one shape cost the same."""
    key = (*job.grid(10).shape, job.engine.settings.model_dump_json(), overpasses, scenes)
    if key not in _UNSEEN:
        someone = tuple(_someone(k, k % overpasses) for k in range(scenes))
        _UNSEEN[key] = _looked_at(job, Looks.of(SceneList(someone)))
    return _UNSEEN[key]


_UNSEEN: dict[Any, Cost] = {}
"""Cost of a year's features by shape, settings and numbers of overpasses and scenes."""


def _looked_at(job: Job, looks: Looks) -> Cost:
    plan = plan_blocks(job, looks)
    edge = plan.edge or FILE_BLOCK * 10
    pixels = decoded = 0
    for block in plan.blocks:
        rows, columns = block.shape
        pixels += rows * columns
        decoded += (rows + FILE_BLOCK * -(-rows // edge)) * (columns + FILE_BLOCK * -(-columns // edge))
    count = len(looks.overpasses)
    seconds = (count * (decoded * DECODE_NS + pixels * LOOK_NS) + pixels * STORE_NS) / 1e9
    return Cost(seconds, RESERVED + plan.bytes * plan.at_once, int(count * decoded * DECODED_BYTES))


def _someone(k: int, overpass: int) -> Scene:
    """A scene of which nothing is known but its overpass."""
    return Scene(str(k), "2021-01-01T00:00:00+00:00", str(overpass), "", "", None, 0, "", {})


def _training(job: Job, pixels: int) -> float:
    unet = job.production.parameters.unet
    step = unet.batch * unet.crop**2
    steps = unet.steps_per_epoch or min(STEPS[1], max(STEPS[0], int(PASSES * pixels / step)))
    return steps * step * unet.epochs * unet.members * _size(job) * TRAIN_NS / 1e9


def _proxy_training(job: Job, pixels: int) -> float:
    proxy = job.production.parameters.proxy
    return (pixels * PROXY_SAMPLE_NS + min(pixels, proxy.samples) * proxy.trees * proxy.depth * PROXY_TREE_NS) / 1e9


def _prediction(job: Job, pixels: int) -> float:
    unet = job.production.parameters.unet
    repeated = (unet.patch / (unet.patch - unet.overlap)) ** 2
    return pixels * repeated * _members(job) * _size(job) * PREDICT_NS / 1e9


def _members(job: Job) -> int:
    """Networks that predict a tile with neighbours all around."""
    own, most = job.production.parameters.unet.members, job.production.parameters.ensemble.members
    return max(own, min(most, own * 9))


def _size(job: Job) -> float:
    """Work of the network beside the one that was measured."""
    return (job.production.parameters.unet.base_filters / 16) ** 2


def _bytes_at_once(job: Job, symbol: str) -> int:
    """Memory of what is computed at once beyond the process: planned exactly when it runs, here its order of magnitude."""
    rows, columns = job.grid(10).shape
    if symbol in ("IMD_model", "IBUD_model"):
        tiles = 1 + len(job.area_neighbours()) if is_small(job) else 1
        regions = tiles * rows * columns * 4 * (len(job.production.parameters.unet.names) + 1)
        return BATCHES + int(TRAINED_BYTE * min(regions, TRAINING_SHARE * job.engine.budget))
    if symbol in ("RIMD", "RIBUD"):
        return CPU_BYTES + strip_bytes(job, columns, _members(job))
    return rows * columns * 8 if symbol == "CHM" else min(rows * columns, 1000 * 1000 * job.engine.settings.workers) * 200
