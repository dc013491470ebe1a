"""The door for events: who sends them, a body read within bounds of size and time, and the answer."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from app.clock import monotonic, utc_now
from app.domain import tokens
from app.errors import Invalid, NotAllowed, TooLarge, TooSlow, Unavailable
from app.events.answer import Answer
from app.events.batch import Batch
from app.events.described import DESCRIBED, Forbidden, Refused, Taken
from app.events.read import MOST, read
from app.events.record import Recorder
from app.store import accounts
from app.store.accounts import Reporter
from app.web import READ_LIMIT

TURN = 2.0  # seconds that a body waits to be read


def events_routes(recorder: Recorder) -> APIRouter:
    """`POST /events`."""
    routes = APIRouter(tags=["events"])

    refused: dict[int | str, dict[str, Any]] = {
        400: {"model": Refused, "description": "Some lines could not be read; the others are recorded"},
        403: {"model": Forbidden, "description": "This key may only read"},
        413: {"model": Forbidden, "description": "Over 10 MB, packed or unpacked, or too many lines; nothing is kept"},
    }

    @routes.post("/events", response_model=Taken, responses=refused, openapi_extra=DESCRIBED)
    async def events(request: Request) -> JSONResponse:
        """What a program reports by itself, in lines of JSON: docs/events.md is the whole of it."""
        began_at = monotonic()
        reporter = await _reporter(recorder, request)
        if reporter.scope not in ("rw", "ping"):
            return JSONResponse({"error": "this key may only read: report with a read-write key, or one that may ping"}, 403)
        body, torn = await _body(request)
        heard_at = monotonic()
        try:
            batch = await _batch(recorder, body, torn)
        except Invalid as error:
            return JSONResponse({**Answer().to_json(), "error": str(error)}, 400)
        answer = await recorder.record(reporter, batch, began_at, heard_at)
        return JSONResponse(answer.to_json(), 400 if answer.errors else 200)

    return routes


async def _reporter(recorder: Recorder, request: Request) -> Reporter:
    header = request.headers.get("authorization", "")
    scheme, _, bearer = header.partition(" ")
    key = bearer.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "") or tokens.basic_user(header)
    if not key:
        raise NotAllowed("missing api key")
    async with recorder.sessions() as session:
        return await accounts.reporter(session, key)


async def _batch(recorder: Recorder, body: bytes, torn: bool) -> Batch:
    """The body, read once it is its turn. Raises Unavailable where others take too long, and what `read` raises."""
    try:
        async with asyncio.timeout(TURN):
            await recorder.reading.acquire()
    except TimeoutError:
        raise Unavailable("other batches are being read: try again shortly") from None
    try:
        return await asyncio.to_thread(read, body, torn, utc_now(), recorder.least)
    finally:
        recorder.reading.release()


async def _body(request: Request) -> tuple[bytes, bool]:
    """The body, and whether it broke off. Raises TooLarge and TooSlow."""
    body = bytearray()
    try:
        async with asyncio.timeout(READ_LIMIT):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST:
                    raise TooLarge(f"the body is larger than {MOST // 1_000_000} MB: halve the batch")
    except TimeoutError:
        raise TooSlow("the body did not arrive in time") from None
    except ClientDisconnect:
        return bytes(body), True
    return bytes(body), False
