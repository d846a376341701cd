"""The web application: the page, and what it asks for. Every answer passes the guard (`flows.portal.guard`).

Handlers are plain functions, which run in threads: GDAL's datasets are kept by thread. TensorFlow and Prefect's API are not here.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from imperv.flows.portal.content import layer_table, legend_of, lists
from imperv.flows.portal.guard import Access, Guard
from imperv.flows.portal.site import Site, tile_rows
from imperv.grids.pyramid import COARSEST, DEEPEST, EDGE, ORIGIN
from imperv.tasks.map_layers import MapLayer
from imperv.tasks.map_tiles import COARSEST as COARSEST_DRAWN
from imperv.tasks.map_tiles import GoneError

STATIC = FilePath(__file__).parent / "static"

BODY = 4096
"""Most bytes of a request's body: a token. Uploads will have a limit of their own."""

AT_ONCE = 64
"""Map tiles and values that are asked for at once; more get 503."""

DRAWN_AT_ONCE = 4
"""Of these drawn at the same time: they share the interpreter."""

WAIT = 30.0
"""Longest that a request waits for its turn, seconds."""

LayerId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,64}\.[0-9][0-9_-]{3,40}\.[0-9]{1,2}$")]
Key = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]
TileId = Annotated[str, Path(pattern=r"^E[0-9]{2}N[0-9]{2}$")]
Easting = Annotated[float, Query(ge=-1e7, le=2e7, allow_inf_nan=False)]
Northing = Annotated[float, Query(ge=-1e7, le=2e7, allow_inf_nan=False)]
Level = Annotated[int, Path(ge=0, le=DEEPEST)]
Index = Annotated[int, Path(ge=0, lt=2**DEEPEST)]

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


class Start(BaseModel, extra="forbid"):
    """What opens a session."""

    token: str = Field(max_length=200)


class Turns:
    """A short queue: so many at work, so many waiting, the others are refused."""

    def __init__(self, working: int, waiting: int) -> None:
        self.places, self.work = threading.BoundedSemaphore(waiting), threading.BoundedSemaphore(working)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a turn in the block; 503 where too many wait."""
        if not self.places.acquire(blocking=False):
            raise HTTPException(503, "the portal is busy; try again", {"retry-after": "1"})
        try:
            if not self.work.acquire(timeout=WAIT):
                raise HTTPException(503, "the portal is busy; try again", {"retry-after": "5"})
            try:
                yield
            finally:
                self.work.release()
        finally:
            self.places.release()


class _Static(StaticFiles):
    """Files that browsers keep, and ask each time whether they are still right."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        found = super().file_response(*arguments, **named)
        found.headers["cache-control"] = "no-cache"
        return found


def create_app(site: Site, access: Access) -> FastAPI:
    """The application of a site."""
    app = FastAPI(title="imperv portal", version=importlib.metadata.version("imperv"), docs_url=None, redoc_url=None,
                  openapi_url="/api/openapi.json")  # fmt: skip
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=BODY)
    app.add_middleware(Guard, access=access)  # type: ignore[arg-type]
    app.mount("/static", _Static(directory=STATIC), name="static")
    _pages(app, site)
    _sessions(app, site, access)
    _maps(app, site, Turns(DRAWN_AT_ONCE, AT_ONCE))

    @app.exception_handler(GoneError)
    def _gone(request: Request, error: GoneError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 410)

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        """One line; what was sent is not sent back."""
        first = error.errors()[0]
        return JSONResponse({"detail": f"{first['loc'][-1]}: {first['msg']}"}, 422)

    return app


def _pages(app: FastAPI, site: Site) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    @app.get("/favicon.svg", include_in_schema=False)
    def icon() -> FileResponse:
        return FileResponse(STATIC / "favicon.svg")

    @app.get("/report/{tile}.report.html")
    def report(tile: TileId) -> HTMLResponse:
        """The report of a tile, in a sandbox of its own: its script can ask nothing of the portal."""
        text = site.report(tile)
        if text is None:
            raise HTTPException(404, f"there is no report of {tile}; make it with imperv report {tile}")
        digests = (base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in _SCRIPT.findall(text))
        scripts = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
        policy = f"sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {scripts}"
        return HTMLResponse(text, headers={"content-security-policy": policy})


def _sessions(app: FastAPI, site: Site, access: Access) -> None:
    @app.post("/api/session")
    def begin(start: Start, request: Request, response: Response) -> dict[str, bool]:
        """Exchange the start token for the cookie of a session."""
        if not access.is_token(start.token):
            raise HTTPException(401, "the token is not that of this start; open the link that imperv portal printed")
        response.set_cookie(access.cookie, access.session, httponly=True, samesite="strict", path="/",
                            secure=request.headers.get("origin", "").startswith("https:"))  # fmt: skip
        return {"open": True}

    @app.get("/api/site")
    def describe() -> dict[str, Any]:
        """Name, version, and the pyramid of map tiles."""
        levels = {"origin": ORIGIN, "coarsest": COARSEST, "deepest": DEEPEST, "edge": EDGE, "drawn": COARSEST_DRAWN}
        return {"name": site.name, "version": app.version, "pyramid": levels, "production": site.production is not None}

    @app.get("/api/lists")
    def every_tile() -> dict[str, Any]:
        """All official tiles."""
        return lists()


def _maps(app: FastAPI, site: Site, turns: Turns) -> None:
    def layer_of(name: str, key: str | None = None) -> MapLayer:
        layer = site.layer(name)
        if layer is None:
            raise HTTPException(404, "there is no such layer here")
        if key is not None and key != layer.key:
            raise HTTPException(410, "the layer was made again; load it anew")
        return layer

    @app.get("/api/layers")
    def layers() -> dict[str, Any]:
        """All layers that can be shown, and how far the first look at the store is."""
        held = site.holdings
        return {
            "version": held.version, "layers": [layer_table(layer) for layer in held.layers.values()],
            "native": held.native, "unread": held.unread, "progress": site.progress, "trouble": site.trouble,
        }  # fmt: skip

    @app.get("/api/version")
    def version() -> dict[str, Any]:
        """Whether there is anything new."""
        return {
            "layers": site.holdings.version,
            "state": site.version,
            "progress": site.progress,
            "trouble": site.trouble,
        }

    @app.get("/api/tiles")
    def tiles() -> dict[str, Any]:
        """EEA tiles with their state, and the production's."""
        state = {name: site.state.get(name) for name in ("lines", "life")}
        return {"tiles": tile_rows(site), "production": state if site.state else None}

    @app.get("/api/layers/{name}/legend")
    def legend(name: LayerId) -> dict[str, Any]:
        """Colours of a layer and what they mean."""
        layer = layer_of(name)
        with turns.taken():
            return legend_of(layer, site.tiles)

    @app.get("/map/{name}/{key}/{z}/{x}/{y}.png")
    def tile(name: LayerId, key: Key, z: Level, x: Index, y: Index) -> Response:
        """A map tile; 204 where the layer has nothing."""
        layer = layer_of(name, key)
        with turns.taken():
            try:
                picture = site.tiles.tile(layer, z, x, y)
            except ValueError as error:
                raise HTTPException(404, str(error)) from None
        # The address holds the key of the pixels, so that an answer stays right for ever; nothing may keep it for others.
        kept = {"cache-control": "private, max-age=31536000, immutable"}
        return Response(picture, media_type="image/png", headers=kept) if picture else Response(status_code=204, headers=kept)

    @app.get("/api/value")
    def value(x: Easting, y: Northing) -> dict[str, Any]:
        """What all layers hold at a place in EPSG:3035."""
        found = []
        seen: set[tuple[str, str, str]] = set()
        for layer in site.holdings.layers.values():
            # Views of one array differ in their colours only.
            array = layer.layer.stem, layer.period, layer.view.variable.name
            if array in seen:
                continue
            seen.add(array)
            with turns.taken():
                try:
                    there = site.tiles.values(layer, x, y)
                except GoneError as error:
                    there = {"trouble": str(error)}
            if there is not None:
                found.append({"id": layer.id, **there})
        return {"x": x, "y": y, "layers": found}
