"""What pages are dressed with: files that are read once, named by their content, kept by browsers for good."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import brotli
from fastapi import Request
from fastapi.responses import Response

from app.errors import NotFound
from app.manage.access import ANYONE, PageRoutes

pages = PageRoutes()

FOLDER = Path(__file__).parent.parent / "static"
KINDS = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".js": "text/javascript; charset=utf-8"}
FOR_GOOD = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, its kind, its content in the forms it is sent in, and a name for that content."""

    kind: str
    version: str
    forms: dict[str, bytes]


@cache
def assets() -> dict[str, Asset]:
    """All files of the folder, by name."""
    return {path.name: _asset(path) for path in sorted(FOLDER.iterdir()) if path.suffix in KINDS}


def static_path(name: str) -> str:
    """Where a file is found, as it is now."""
    return f"/static/{assets()[name].version}/{name}"


@pages.get("/static/{version}/{name}", ANYONE)
async def static(version: str, name: str, request: Request) -> Response:
    """A file; under the name of another content, as a page of another version has it, what there is now, for the moment."""
    asset = assets().get(name)
    if asset is None:
        raise NotFound("not found")
    form = _best(request.headers.get("accept-encoding", ""))
    headers = {"vary": "Accept-Encoding", "cache-control": FOR_GOOD if version == asset.version else "no-cache"}
    if form:
        headers["content-encoding"] = form
    return Response(asset.forms[form], media_type=asset.kind, headers=headers)


@pages.get("/favicon.ico", ANYONE)
async def favicon(request: Request) -> Response:
    """Browsers that read no page ask for it here."""
    return await static("", "favicon.svg", request)


def _asset(path: Path) -> Asset:
    plain = path.read_bytes()
    forms = {"": plain, "gzip": gzip.compress(plain, 9, mtime=0), "br": brotli.compress(plain)}
    return Asset(KINDS[path.suffix], hashlib.sha256(plain).hexdigest()[:12], forms)


def _best(accepted: str) -> str:
    """The smallest form that the browser takes."""
    offered = {part.partition(";")[0].strip().lower() for part in accepted.split(",") if ";q=0" not in part.replace(" ", "")}
    return next((form for form in ("br", "gzip") if form in offered), "")
