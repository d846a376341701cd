"""The products that are made here: the one module that knows them all."""

from __future__ import annotations

from imperv.tasks.imperviousness.nodes.tasks import TASKS as IMPERVIOUSNESS
from imperv.tasks.task import Task

TASKS: dict[str, Task] = {**IMPERVIOUSNESS}
"""Task of every node of the catalogue."""
