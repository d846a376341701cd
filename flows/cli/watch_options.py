"""The options --notify and --metrics, which override the environment and the production file."""

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
    typer.Option(
        "--notify", metavar="URL|COMMAND", help="Alert this web address (Slack's JSON), or this command by its input; repeatable."
    ),
]
Metrics = Annotated[Path | None, typer.Option("--metrics", help="Write metrics for Prometheus' node_exporter (.prom).")]


@contextmanager
def watched(notify: Sequence[str] | None, metrics: Path | None) -> Iterator[None]:
    """Apply the options in the block; InputError for a wrong one.

    By the environment: Prefect keeps parameters of flows, and addresses are secrets.
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
    past = dict(os.environ)
    os.environ |= given
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]
        os.environ |= {name: past[name] for name in given if name in past}
