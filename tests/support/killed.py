"""Trainings that are killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import imperv.tasks.networks.making
from imperv.tasks.networks.checkpoints import save_checkpoint


class KilledError(BaseException):
    """Not an error that anything catches, as a kill is none."""


@contextmanager
def killed_after(count: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is done here is killed when its training has kept so many states; a test fails where it is not."""
    kept = 0

    def save(*arguments: Any) -> None:
        nonlocal kept
        save_checkpoint(*arguments)
        kept += 1
        if kept == count:
            raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(imperv.tasks.networks.making, "save_checkpoint", save)
        yield
