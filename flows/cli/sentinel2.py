"""The commands ``imperv s2``, of several products: scenes of Sentinel-2 without a production."""

from __future__ import annotations

import typer

from imperv.flows.cli.change.change import change
from imperv.flows.cli.composites.compose import compose
from imperv.flows.cli.composites.prepare import prepare
from imperv.flows.cli.parts.groups import Grouped

s2_app = typer.Typer(help="Scenes of Sentinel-2, without a production.", cls=Grouped, no_args_is_help=True)
s2_app.command()(prepare)
s2_app.command()(compose)
s2_app.command()(change)
