"""The command ``imperv portal``: a store, a folder of products or a production, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.runtime.console import err, out
from imperv.tasks.errors import InputError

DEMO = "portal-demo"
"""Folder of the demo where none is named."""

PORT = 8710
"""Port where none is named: links to views stay true from one start to the next."""


def portal(
    place: Annotated[
        str | None,
        typer.Argument(metavar="PLACE", help="Store, folder of products, or production file; default: production.toml here."),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", readable=False, help="Production file (TOML).")] = None,
    projects: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of projects, made if need be: create, draw, teach, take away."),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help=f"A small ready project on simulated scenes, in --projects, or in {DEMO}.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.", min=0, max=65535)] = PORT,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; others than this machine's need a token.")
    ] = ("127.0.0.1"),
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Further name that the page is asked for by, without port; repeatable."),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in the browser.")] = False,
) -> None:
    """Show layers on a map in the browser, on this machine and offline."""
    import webbrowser

    from imperv.flows.portal.serving import access_of, address, listen, serve
    from imperv.flows.portal.site import open_site
    from imperv.flows.portal.sites import Sites, open_projects

    if demo:
        projects = projects or Path(DEMO)
    if projects is not None and (place is not None or config is not None):
        raise InputError("name a store, folder or production to be looked at, or --projects FOLDER; not both")
    if demo and projects is not None:
        from imperv.flows.cli.landcover.portal_demo import make_demo

        make_demo(projects, err)
    sites = open_projects(projects) if projects is not None else Sites(open_site(place, config))
    with listen(host, port) as listening:
        bound = listening.getsockname()[1]
        access = access_of(host, bound, allow_host or [])
        link = address(host, bound, access.token)
        out.print(f"{sites.main.name}: open {link}")
        out.print(f"Whoever has this link may {'work with the projects' if projects else 'look'}. Ctrl-C ends the portal.")
        if browser:
            webbrowser.open(link)
        serve(sites, access, listening)
