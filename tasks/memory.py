"""What work on a block of stored layers takes, beyond what the block itself measures.

The factors were measured: highest resident memory of the process, less that before, of every such layer of a full tile. Live
arrays alone come to half of it; the rest is what the allocator keeps for the threads that decode.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import DTypeLike

from imperv.tasks.store.arrays import CHUNK

CODES, FLOATS = 3.5, 4.5
"""Bytes a byte of input: the block, the shard that it is cut from, its compressed bytes, masks of it; floats hardly compress."""

OUTPUT = 3.5
"""Bytes a byte of output: the block, masks of it, a copy to be counted, its compressed bytes."""

IN_FLIGHT = 10
"""Chunks that Zarr's threads decode at once for a block (its setting ``async.concurrency``)."""


def block_bytes(inputs: Iterable[tuple[int, DTypeLike]], outputs: Iterable[tuple[int, DTypeLike]] = ()) -> int:
    """Projected memory, bytes, of reading blocks, computing and writing the result; of each its values and data type."""
    size, widest = 0.0, 1
    for count, kind in inputs:
        dtype = np.dtype(kind)
        widest = max(widest, dtype.itemsize)
        size += count * dtype.itemsize * (FLOATS if dtype.kind == "f" else CODES)
    for count, kind in outputs:
        size += count * np.dtype(kind).itemsize * OUTPUT
    return int(size) + IN_FLIGHT * CHUNK * CHUNK * widest
