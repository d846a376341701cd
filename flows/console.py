"""Where the commands write, and the options that several of them share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

Config = Annotated[Path, typer.Option("--config", "-c", help="Production file (TOML).")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
