"""What ``imperv --help`` shows: commands in groups, in the order in which they are needed, nothing cut, and no Python types."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_args

from typer.core import TyperGroup

GROUPS = {
    "Start": ("demo", "init", "config", "sharpen", "portal"),
    "One tile": ("scenes", "plan", "run", "logs", "rerun"),
    "Productions": ("simulate", "europe", "status", "update", "worker", "automations"),
    "Quality": ("report", "verify", "validate", "evaluate", "compare"),
    "Maps": ("landcover", "package"),
    "Time series": ("s2", "crops", "patches"),
    "Layers and models": ("graph", "model"),
}
"""Commands of `imperv` by group."""

METAVARS = {int: "N", float: "NUMBER", Path: "FILE", str: "TEXT"}
"""Names of values that have no ``metavar`` of their own."""


class Grouped(TyperGroup):
    """A group of commands; help has the first paragraph of each, which Typer cuts to one line."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for command in self.commands.values():
            for parameter in command.params:
                _name_value(parameter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each of `GROUPS`, or one of all commands."""
        width = max(map(len, self.commands))
        known = {title: names for title, names in GROUPS.items() if set(names) <= self.commands.keys()}
        for title, names in (known or {"Commands": tuple(self.commands)}).items():
            texts = [(name, self.commands[name].help or "") for name in names]
            rows = [(name.ljust(width), " ".join(inspect.cleandoc(text).split("\n\n")[0].split())) for name, text in texts]
            with formatter.section(title):
                formatter.write_dl(rows)


def _name_value(parameter: Any) -> None:
    """Name the value of an option or argument where Typer shows its Python type."""
    if parameter.param_type_name == "argument":
        parameter.metavar = parameter.metavar or parameter.name.upper()
        parameter.display_type_rich = lambda ctx: None
    elif parameter.metavar is None and not parameter.is_flag:
        described = parameter.type_descriptor
        element = next(iter(get_args(described.annotation)), described.annotation)
        choices = "|".join(map(str, described.choices or ()))
        parameter.metavar = choices or METAVARS.get(element, "TEXT")
