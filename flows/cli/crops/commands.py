"""The group of commands ``imperv crops``."""

from __future__ import annotations

import typer

from imperv.flows.cli.crops.classifying import classify
from imperv.flows.cli.crops.learning import evaluate, train
from imperv.flows.cli.parts.groups import Grouped

crops_app = typer.Typer(
    help="Learn models of crop types, judge them, and classify a season of composites.", cls=Grouped, no_args_is_help=True
)
for _command in (train, classify, evaluate):
    crops_app.command()(_command)
