"""The commands ``imperv s2``, of several products: scenes of Sentinel-2 without a production."""

from __future__ import annotations

import typer

from imperv.flows.cli.change.change import change
from imperv.flows.cli.parts.groups import Grouped

s2_app = typer.Typer(help="Scenes of Sentinel-2, without a production.", cls=Grouped, no_args_is_help=True)
s2_app.callback()(lambda: None)  # a single command would have no name of its own
s2_app.command()(change)
