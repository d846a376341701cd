"""The web application: the page and what it asks for (`*_routes`). Answers pass the guard (`flows.portal.guard`).

Handlers are plain functions, which run in threads: GDAL's datasets are kept by thread. TensorFlow and Prefect's API are not here.
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path as FilePath
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from imperv.flows.portal import (
    estimate_routes,
    file_routes,
    job_routes,
    map_routes,
    project_routes,
    sample_routes,
    teach_routes,
    tile_routes,
)
from imperv.flows.portal.content import lists
from imperv.flows.portal.guard import Access, Guard
from imperv.flows.portal.progress import Standings
from imperv.flows.portal.projects import MissingError
from imperv.flows.portal.samples import NewerError
from imperv.flows.portal.sites import Sites
from imperv.flows.portal.teaching import Lessons
from imperv.flows.portal.turns import LONG_AT_ONCE, LONG_WAITING, PLANS_AT_ONCE, PLANS_WAITING, Turns
from imperv.tasks.errors import ImpervError
from imperv.tasks.maps.opening import GoneError

STATIC = FilePath(__file__).parent / "static"

PROJECT = "/projects/{project}"
"""Address of a project."""


BODY, UPLOAD = 4096, 8 * 2**20
"""Most bytes of a request's body: of most, and of those that hold what a person drew or uploads."""

_UPLOADS = re.compile(r"^/projects/[0-9a-f]{12}/api/(samples|uploads)(/|$)")


OF_A_SITE = (map_routes, tile_routes, file_routes)
"""What there is of the portal's own site, and of every project."""

OF_A_PROJECT = (job_routes, teach_routes)
"""What there is of every project alone."""


class Start(BaseModel, extra="forbid"):
    """What opens a session."""

    token: str = Field(max_length=200)


class Bodies:
    """Middleware: the limit of a request's body, by its address."""

    def __init__(self, app: ASGIApp) -> None:
        self.small, self.large = RequestBodyLimitMiddleware(app, BODY), RequestBodyLimitMiddleware(app, UPLOAD)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI asks."""
        await (self.large if _UPLOADS.match(scope.get("path", "")) else self.small)(scope, receive, send)


class _Static(StaticFiles):
    """Files that browsers keep, and ask each time whether they are still right."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        found = super().file_response(*arguments, **named)
        found.headers["cache-control"] = "no-cache"
        return found


def create_app(sites: Sites, access: Access) -> FastAPI:
    """The application of a portal."""
    app = FastAPI(title="imperv portal", version=importlib.metadata.version("imperv"), docs_url=None, redoc_url=None,
                  openapi_url="/api/openapi.json")  # fmt: skip
    app.state.sites, app.state.turns, app.state.standings = sites, Turns(), Standings()
    app.state.long_turns, app.state.plan_turns = Turns(LONG_AT_ONCE, LONG_WAITING), Turns(PLANS_AT_ONCE, PLANS_WAITING)
    app.add_middleware(Bodies)
    app.add_middleware(Guard, access=access)  # type: ignore[arg-type]
    app.mount("/static", _Static(directory=STATIC), name="static")
    _pages(app)
    _session(app, access)
    for routes in OF_A_SITE:
        app.include_router(routes.router)
    if sites.projects is not None:
        app.include_router(project_routes.router)
        app.state.lessons = Lessons()
        app.include_router(estimate_routes.router)
        app.include_router(sample_routes.router)
        for routes in (*OF_A_SITE, *OF_A_PROJECT):
            app.include_router(routes.router, prefix=PROJECT)
    for kind, status in ((GoneError, 410), (MissingError, 404), (NewerError, 412), (ImpervError, 422)):
        app.add_exception_handler(kind, _told(status))
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


def _told(status: int) -> Any:
    def told(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status)

    return told


def _invalid(request: Request, error: Exception) -> JSONResponse:
    """One line; what was sent is not sent back."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"detail": f"{first['loc'][-1]}: {first['msg']}"}, 422)


def _pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    @app.get(PROJECT + "/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    @app.get("/favicon.svg", include_in_schema=False)
    def icon() -> FileResponse:
        return FileResponse(STATIC / "favicon.svg")


def _session(app: FastAPI, access: Access) -> None:
    @app.post("/api/session")
    def begin(start: Start, request: Request, response: Response) -> dict[str, bool]:
        """Exchange the start token for the cookie of a session."""
        if not access.is_token(start.token):
            raise HTTPException(401, "the token is not that of this start; open the link that imperv portal printed")
        response.set_cookie(access.cookie, access.session, httponly=True, samesite="strict", path="/",
                            secure=request.headers.get("origin", "").startswith("https:"))  # fmt: skip
        return {"open": True}

    @app.get("/api/lists")
    def every_tile() -> dict[str, Any]:
        """All official tiles."""
        return lists()
