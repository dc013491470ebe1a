"""Whether the API works at all: without a key, for whoever watches us."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from app.web import Now

routes = APIRouter(tags=["status"])

WORKS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string", "example": "OK"}}}}}


@routes.head("/status", include_in_schema=False)
@routes.get("/status", response_class=PlainTextResponse, responses=WORKS, openapi_extra={"security": []})
async def get_status(now: Now) -> PlainTextResponse:
    """`OK` where the database answers; needs no key."""
    return PlainTextResponse("OK")
