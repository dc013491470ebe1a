"""The API described: OpenAPI over the routes of v3, and a page that shows it, from installed files and without inline script."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import swagger_ui_bundle
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse
from starlette.routing import BaseRoute

from app.errors import NotFound
from app.web import House

VENDOR = Path(str(swagger_ui_bundle.swagger_ui_path))
ASSETS = {
    "swagger-ui.css": (VENDOR / "swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": (VENDOR / "swagger-ui-bundle.js", "text/javascript"),
    "favicon.png": (VENDOR / "favicon-32x32.png", "image/png"),
    "start.js": (Path(__file__).with_name("docs_start.js"), "text/javascript"),
}
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Missedbeat API</title>
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/assets/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/assets/start.js"></script>
</body>
</html>
"""
ABOUT = """Checks, channels and incidents of one project, by its API key. The paths and fields of checks are those of
Healthchecks' management API, so its clients work here; everything else is ours. Every path answers with and without its
trailing slash, and under /api/v1, /api/v2 and /api/v3. Every error is `{"error": …}` in words."""
KEYS = {
    "X-Api-Key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}
OURS_NOT = ("HTTPValidationError", "ValidationError")  # FastAPI's own words for a bad request; ours is a Problem


def docs_routes(app: FastAPI, described: Sequence[BaseRoute]) -> APIRouter:
    """`/api/openapi.json` and `/api/docs`, for these routes."""
    routes = APIRouter(include_in_schema=False)
    written: dict[str, Any] = {}

    @routes.get("/api/openapi.json")
    async def openapi(house: House) -> JSONResponse:
        if not written:
            written.update(describe(app, described, house.base_url))
        return JSONResponse(written)

    @routes.get("/api/docs")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE, headers={"content-security-policy": CSP})

    @routes.get("/api/docs/")
    async def page_with_slash() -> RedirectResponse:
        return RedirectResponse("../docs", 308)

    @routes.get("/api/docs/assets/{name}")
    async def asset(name: str) -> FileResponse:
        if name not in ASSETS:
            raise NotFound("not found")
        path, kind = ASSETS[name]
        return FileResponse(path, media_type=kind, headers={"cache-control": "public, max-age=3600"})

    return routes


def describe(app: FastAPI, described: Sequence[BaseRoute], base_url: str) -> dict[str, Any]:
    """The OpenAPI document, in version 3.0: what the installed Swagger UI can read."""
    written = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.0.3",
        description=ABOUT,
        routes=described,
        servers=[{"url": urlsplit(base_url).path or "/"}],
    )
    components = written["components"]
    components["schemas"] = {name: schema for name, schema in components["schemas"].items() if name not in OURS_NOT}
    for operations in written["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    written |= {"components": components | {"securitySchemes": KEYS}, "security": [{name: []} for name in KEYS]}
    found: dict[str, Any] = _as_3_0(written)
    return found


def _as_3_0(part: Any) -> Any:
    """Schemas of JSON Schema 2020 in the words of OpenAPI 3.0: nullable, one example, enum for const."""
    if isinstance(part, list):
        return [_as_3_0(item) for item in part]
    if not isinstance(part, dict):
        return part
    part = {key: _as_3_0(value) for key, value in part.items()}
    if isinstance(part.get("examples"), list):
        part["example"] = part.pop("examples")[0]
    if "const" in part:
        part["enum"] = [part.pop("const")]
    kinds = part.get("anyOf")
    if isinstance(kinds, list) and {"type": "null"} in kinds:
        kept = [kind for kind in kinds if kind != {"type": "null"}]
        del part["anyOf"]
        part |= {**(kept[0] if len(kept) == 1 else {"anyOf": kept}), "nullable": True}
    return part
