"""Options of commands that say how a production is watched; they beat what environment and file say."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from imperv.tasks.errors import InputError

Notify = Annotated[
    list[str] | None,
    typer.Option("--notify", help="Who is told: a web address that takes Slack's JSON, or a command that reads it; repeatable."),
]
Metrics = Annotated[
    Path | None, typer.Option("--metrics", help="Write numbers for Prometheus' node_exporter into this file (.prom).")
]


@contextmanager
def watched(notify: Sequence[str] | None, metrics: Path | None) -> Iterator[None]:
    """Have every production that is read in the block watched so; InputError if an option cannot be used.

    By the environment, which beats the file: parameters of flows are kept by Prefect, and addresses are secrets.
    """
    from pydantic import ValidationError

    from imperv.tasks.settings.watch import WatchSettings

    given = {"IMPERV_WATCH__NOTIFY": json.dumps(list(notify))} if notify else {}
    if metrics is not None:
        given["IMPERV_WATCH__METRICS"] = str(metrics.absolute())
    try:
        WatchSettings.model_validate({"notify": list(notify or ()), "metrics": str(metrics or "")})
    except ValidationError as error:
        wrong = error.errors()[0]
        raise InputError(f"--{wrong['loc'][0]}: {wrong['msg'].removeprefix('Value error, ')}") from None
    past = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in past.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
