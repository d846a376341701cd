"""How ``imperv --help`` shows the commands: in groups, in the order of the work, and with nothing cut.

A command names its group where it is registered: ``app.command(rich_help_panel=PRODUCTIONS)``.
"""

from __future__ import annotations

import inspect
from typing import Any

from typer.core import TyperGroup

TILE = "One tile"
PRODUCTIONS = "Productions"
QUALITY = "Quality"
MODELS = "Models"
HELP = "Help"

GROUPS = (TILE, PRODUCTIONS, QUALITY, MODELS, HELP)
"""In the order in which they are shown; what names no group comes after them, below Commands."""


class Grouped(TyperGroup):
    """A group of commands whose help gives the whole first paragraph of each; Typer cuts it to one line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each group."""
        sections: dict[str, list[tuple[str, str]]] = {name: [] for name in GROUPS}
        width = max(len(name) for name in self.commands)
        for name, command in self.commands.items():
            if not command.hidden:
                paragraph = inspect.cleandoc(command.short_help or command.help or "").split("\n\n")[0]
                section = sections.setdefault(getattr(command, "rich_help_panel", None) or "Commands", [])
                section.append((name.ljust(width), " ".join(paragraph.split())))
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
