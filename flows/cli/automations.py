"""The command ``imperv automations``: what a Prefect server tells people of by itself."""

from __future__ import annotations

from typing import Annotated

import typer

from imperv.flows.runtime.console import out
from imperv.tasks.errors import InputError


def automations(notify: Annotated[str, typer.Option("--notify", help="Web address that takes Slack's JSON.")]) -> None:
    """Have the Prefect server tell of silent and failed productions, failing tiles, and pools that run nothing."""
    import asyncio

    from imperv.flows.runtime.server import ADDRESS, check_server, named, prepare_command

    if not named():
        raise InputError(f"environment: {ADDRESS} names no Prefect server; set it, such as http://127.0.0.1:4200/api")
    prepare_command()
    check_server()
    from imperv.flows.runtime.automations import create_automations

    for name in asyncio.run(create_automations(notify)):
        out.print(name, markup=False)
