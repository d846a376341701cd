"""What the page asks for of a site, the portal's own or a project's: layers, legends, map tiles, values, tiles and reports."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from imperv.flows.portal.content import compared, first_shown, layer_table, legend_of
from imperv.flows.portal.site import Site, tile_rows
from imperv.flows.portal.turns import Turn
from imperv.grids.pyramid import COARSEST, DEEPEST, EDGE, ORIGIN
from imperv.tasks.maps.layers import MapLayer
from imperv.tasks.maps.opening import GoneError
from imperv.tasks.maps.tiles import COARSEST as COARSEST_DRAWN

LayerId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,64}\.[0-9][0-9_-]{3,40}\.[0-9]{1,2}$")]
Key = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]
TileId = Annotated[str, Path(pattern=r"^E[0-9]{2}N[0-9]{2}$")]
Easting = Annotated[float, Query(ge=-1e7, le=2e7, allow_inf_nan=False)]
Northing = Annotated[float, Query(ge=-1e7, le=2e7, allow_inf_nan=False)]
Level = Annotated[int, Path(ge=0, le=DEEPEST)]
Index = Annotated[int, Path(ge=0, lt=2**DEEPEST)]

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def _site(request: Request) -> Site:
    """That of the address: the portal's own, or a project's."""
    found: Site = request.app.state.sites.of(request.path_params.get("project", ""))
    return found


SiteOf = Annotated[Site, Depends(_site)]


router = APIRouter()


def layer_of(site: Site, name: str, key: str | None = None) -> MapLayer:
    """A layer by its identifier, and where its pixels are asked for its key; 404 or 410 where it is not there so."""
    layer = site.layer(name)
    if layer is None:
        raise HTTPException(404, "there is no such layer here")
    if key is not None and key != layer.key:
        raise HTTPException(410, "the layer was made again; load it anew")
    return layer


@router.get("/api/site")
def describe(site: SiteOf, request: Request) -> dict[str, Any]:
    """Name, version, what kind of page it is, and the pyramid of map tiles."""
    levels = {"origin": ORIGIN, "coarsest": COARSEST, "deepest": DEEPEST, "edge": EDGE, "drawn": COARSEST_DRAWN}
    return {
        "name": site.name, "version": request.app.version, "pyramid": levels, "production": site.production is not None,
        "kind": request.app.state.sites.kind(request.path_params.get("project", "")), "taught": site.teaching is not None,
    }  # fmt: skip


@router.get("/report/{tile}.report.html")
def report(tile: TileId, site: SiteOf) -> HTMLResponse:
    """The report of a tile, in a sandbox of its own: its script can ask nothing of the portal."""
    text = site.report(tile)
    if text is None:
        raise HTTPException(404, f"there is no report of {tile}; make it with imperv report {tile}")
    digests = (base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in _SCRIPT.findall(text))
    scripts = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    policy = f"sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {scripts}"
    return HTMLResponse(text, headers={"content-security-policy": policy})


@router.get("/api/layers")
def layers(site: SiteOf) -> dict[str, Any]:
    """All layers that can be shown, and how far the first look at the store is."""
    held = site.holdings
    return {
        "version": held.version, "layers": [layer_table(layer) for layer in held.layers.values()],
        "compared": compared(held.layers.values()),
        "first": first_shown(list(held.layers.values()), site.production.product if site.production else ""),
        "unread": held.unread, "progress": site.progress, "trouble": site.trouble,
    }  # fmt: skip


@router.get("/api/version")
def version(site: SiteOf) -> dict[str, Any]:
    """Whether there is anything new."""
    return {"layers": site.holdings.version, "state": site.version, "progress": site.progress, "trouble": site.trouble}


@router.get("/api/tiles")
def tiles(site: SiteOf) -> dict[str, Any]:
    """EEA tiles with their state, and the production's."""
    state = {name: site.state.get(name) for name in ("lines", "life", "troubles")}
    return {"tiles": tile_rows(site), "production": state if site.state else None}


@router.get("/api/layers/{name}/legend")
def legend(name: LayerId, site: SiteOf, turn: Turn) -> dict[str, Any]:
    """Colours of a layer and what they mean."""
    layer = layer_of(site, name)
    with turn():
        return legend_of(layer, site.tiles)


@router.get("/map/{name}/{key}/{z}/{x}/{y}.png")
def tile(name: LayerId, key: Key, z: Level, x: Index, y: Index, site: SiteOf, turn: Turn) -> Response:
    """A map tile; 204 where the layer has nothing."""
    layer = layer_of(site, name, key)
    with turn():
        try:
            picture = site.tiles.tile(layer, z, x, y)
        except ValueError as error:
            raise HTTPException(404, str(error)) from None
    # The address holds the key of the pixels, so that an answer stays right for ever; nothing may keep it for others.
    kept = {"cache-control": "private, max-age=31536000, immutable"}
    return Response(picture, media_type="image/png", headers=kept) if picture else Response(status_code=204, headers=kept)


@router.get("/api/value")
def value(x: Easting, y: Northing, site: SiteOf, turn: Turn) -> dict[str, Any]:
    """What all layers hold at a place in EPSG:3035."""
    found = []
    seen: set[tuple[str, str]] = set()
    for layer in site.holdings.layers.values():
        # Views of one array differ in their colours only.
        array = layer.id.rpartition(".")[0], layer.view.variable.name
        if array in seen:
            continue
        seen.add(array)
        with turn():
            try:
                there = site.tiles.values(layer, x, y)
            except GoneError as error:
                there = {"trouble": str(error)}
        if there is not None:
            found.append({"id": layer.id, **there})
    return {"x": x, "y": y, "layers": found}
