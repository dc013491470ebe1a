"""The stream that tells a page that it is not as it was: one for each tab, which then fetches itself anew."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from app.domain.role import Action
from app.errors import Unavailable
from app.manage.access import Member, PageRoutes
from app.manage.live import Live
from app.manage.pages.frame import HEADERS

pages = PageRoutes()

LONGEST_ID = 500
AGAIN_AFTER = 1000  # milliseconds, after which a browser comes again


@pages.get("/projects/{project}/live", Action.SEE)
async def live(request: Request, member: Member) -> Response:
    """Server-sent events: `changed`, with a version as its id. A browser that comes again says which one it has seen."""
    streams: Live = request.app.state.live
    if streams.is_full:
        raise Unavailable("too many pages are open: this one asks from time to time")
    seen = request.headers.get("last-event-id", "")[:LONGEST_ID]
    headers = {**HEADERS, "x-accel-buffering": "no"}  # a proxy that gathers an answer would keep all of it back
    return StreamingResponse(_events(streams, member, seen), media_type="text/event-stream", headers=headers)


async def _events(live: Live, member: Member, seen: str) -> AsyncIterator[str]:
    yield f"retry: {AGAIN_AFTER}\n\n"
    async with aclosing(live.changes(member.project, seen)) as changes:
        async for version in changes:
            yield ": alive\n\n" if version is None else f"id: {version}\nevent: changed\ndata: \n\n"
