"""What every route shares: Session, Now, Caller, the JSON that came in, and the one table from errors to HTTP."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, cast

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from app import json_body
from app.api_limit import ApiLimit
from app.byte_cache import ByteCache
from app.errors import (
    Conflict,
    Invalid,
    MissedbeatError,
    NotAllowed,
    NotFound,
    OverLimit,
    TooLarge,
    TooMany,
    TooSlow,
    Unavailable,
    in_words,
)
from app.store import accounts, blackouts
from app.store.engine import Sessions
from app.store.vault import Vault

log = structlog.get_logger()

MOST_JSON = 1_000_000
READ_LIMIT = 30.0  # seconds for a body to arrive
BODILESS = ("GET", "HEAD", "DELETE")
STATUS: dict[type[MissedbeatError], int] = {
    NotFound: 404,
    Conflict: 409,
    Invalid: 400,
    NotAllowed: 401,
    OverLimit: 403,
    TooSlow: 408,
    TooLarge: 413,
    TooMany: 429,
    Unavailable: 503,
}
CheckSettings = Callable[[str, dict[str, Any]], tuple[dict[str, Any], dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Shared:
    """What a door hands to every route, as `app.state.shared`."""

    sessions: Sessions
    margin: timedelta
    vault: Vault
    base_url: str
    min_period: int
    log_limit: int
    check_channel: CheckSettings
    api_limit: ApiLimit | None = None  # None: keys may call as often as they like
    ping_email_domain: str = ""  # empty: no pings by mail
    written: ByteCache = field(default_factory=ByteCache)  # checks as the API wrote them, by their stamps (store/listings.py)


def shared(request: Request) -> Shared:
    """What the door handed in."""
    found: Shared = request.app.state.shared
    return found


@asynccontextmanager
async def transaction(house: Shared) -> AsyncIterator[AsyncSession]:
    """One transaction, committed at its end, undone by any error. For a route that must wait with no database held."""
    async with house.sessions() as session:
        yield session
        await session.commit()


async def open_session(request: Request) -> AsyncIterator[AsyncSession]:
    """A transaction for the request, committed before the answer goes out (scope="function"), undone by any error."""
    async with transaction(shared(request)) as session:
        yield session


Session = Annotated[AsyncSession, Depends(open_session, scope="function")]
House = Annotated[Shared, Depends(shared)]


async def _now(session: Session) -> datetime:
    return await blackouts.now(session)


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object, whatever its Content-Type; an empty one is {}, and by the methods that need none anything that
    is no object: some clients send `null` with every GET. Raises Invalid, TooLarge and TooSlow."""
    body = bytearray()
    try:
        async with asyncio.timeout(READ_LIMIT):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_JSON:
                    raise TooLarge("the body is larger than 1 MB")
    except TimeoutError:
        raise TooSlow("the body did not arrive in time") from None
    try:
        return json_body.parse(bytes(body))
    except json_body.NoObject:
        if request.method in BODILESS:
            return {}
        raise


Given = Annotated[dict[str, Any], Depends(read_json)]
Now = Annotated[datetime, Depends(_now)]


def _key_of(request: Request, given: dict[str, Any]) -> str:
    header = request.headers.get("x-api-key")
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if header is None and scheme.lower() == "bearer":
        header = bearer.strip()
    key = header if header is not None else given.get("api_key")
    if not key or not isinstance(key, str):
        raise NotAllowed("missing api key")
    return key


async def caller_of(request: Request, session: Session, given: Given) -> accounts.Caller:
    """Who asks. Raises NotAllowed, and TooMany where calls are counted."""
    caller = await accounts.caller(session, _key_of(request, given))
    limit = shared(request).api_limit
    if limit is not None:
        await limit.count(caller.key)
    return caller


def writer_of(caller: Annotated[accounts.Caller, Depends(caller_of)]) -> accounts.Caller:
    """The same, if it may write. Raises NotAllowed."""
    if not caller.may_write:
        raise NotAllowed("wrong api key")
    return caller


Caller = Annotated[accounts.Caller, Depends(caller_of)]
Writer = Annotated[accounts.Caller, Depends(writer_of)]


def answer_errors(app: FastAPI) -> None:
    """Every error in words, as `{"error": …}`, with the status of the table above; nothing of our insides."""
    for kind in STATUS:
        app.add_exception_handler(kind, _ours)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(DataError, _bad_data)
    app.add_exception_handler(IntegrityError, _raced)
    for away in (OperationalError, InterfaceError, InternalError, PoolTimeout, TimeoutError):
        app.add_exception_handler(away, _away)
    app.add_exception_handler(ClientDisconnect, _hung_up)
    app.add_exception_handler(Exception, _bug)


async def _ours(_: Request, error: Exception) -> JSONResponse:
    status = next(number for kind, number in STATUS.items() if isinstance(error, kind))
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, (Unavailable, TooMany)) else None
    more = {"detail": error.detail} if isinstance(error, Invalid) and error.detail else {}
    return JSONResponse({"error": str(error), **more}, status, headers)


async def _http(request: Request, error: Exception) -> JSONResponse:
    refused = cast(HTTPException, error)
    headers = {"Allow": _allowed(request)} if refused.status_code == 405 else refused.headers
    return JSONResponse({"error": str(refused.detail).lower()}, refused.status_code, headers)


def _allowed(request: Request) -> str:
    """All methods of the path: each is a route of its own, and OPTIONS is answered outside of them."""
    methods = {"OPTIONS"} if request.scope["path"].startswith(OPEN) else set()
    for route in iter_route_contexts(request.app.routes):
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return ", ".join(sorted(methods))


async def _malformed(_: Request, error: Exception) -> JSONResponse:
    problem = cast(RequestValidationError, error).errors()[0]
    return JSONResponse({"error": f"{'.'.join(str(p) for p in problem['loc'][1:])}: {problem['msg'].lower()}"}, 400)


async def _bad_data(_: Request, error: Exception) -> JSONResponse:
    log.warning("refused by the database", error=str(error.__cause__).splitlines()[0])
    return JSONResponse({"error": "a value is out of range or holds characters that cannot be stored"}, 400)


async def _raced(_: Request, error: Exception) -> JSONResponse:
    """Two at once, such as a channel deleted while it is given to a monitor; what was done of the second is undone."""
    log.warning("refused by the database", error=type(error.__cause__).__name__)
    return JSONResponse({"error": "somebody else changed this at the same time: try again"}, 409)


async def _hung_up(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "the body did not arrive whole"}, 400)  # nobody reads it


async def _away(_: Request, error: Exception) -> JSONResponse:
    log.warning("the database cannot be reached", error=in_words(error))
    return JSONResponse({"error": "the database cannot be reached: try again"}, 503, {"Retry-After": "2"})


async def _bug(request: Request, error: Exception) -> JSONResponse:
    """The bug is logged whole by the server, with this id; the client is told the id and nothing else."""
    request_id = secrets.token_hex(8)
    log.error("request failed", request_id=request_id, method=request.method, error=type(error).__name__)
    return JSONResponse({"error": "internal error", "request_id": request_id}, 500)


Asgi = Callable[[Any, Any, Any], Awaitable[None]]
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
STRICT = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, DELETE"),
    (b"access-control-allow-headers", b"X-Api-Key, Authorization, Content-Type"),
    (b"access-control-expose-headers", b"Retry-After"),
    (b"access-control-max-age", b"600"),
]


OPEN = ("/api/v", "/api/docs", "/api/openapi.json", "/badge/", "/b/")  # what pages of other sites may ask for
API = re.compile(r"/api/v([123])(/.*?)/?", re.DOTALL)


def _one_form(scope: Any) -> Any:
    """A path of the API in the one form that routes have: v3, without a last slash. What was asked stands in `api_version`."""
    found = API.fullmatch(scope["path"])
    if found is None:
        return scope
    path = f"/api/v3{found[2]}"
    return {**scope, "path": path, "raw_path": path.encode(), "api_version": int(found[1])}


class Outside:
    """The outer wall of every answer but a ping's: strict headers, and CORS on badges and on the API, all of whose paths answer
    with and without a last slash and in three versions."""

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, with the headers every answer carries."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_open = scope["path"].startswith(OPEN)

        async def dressed(message: Any) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                extra = [*HEADERS, STRICT, *(CORS if is_open else [])]
                message["headers"] = [*message["headers"], *(h for h in extra if h[0] not in there)]
            await send(message)

        if scope["path"].endswith("\n"):  # which the patterns of routes take for the end of a path
            await _answer(dressed, 404, b'{"error":"not found"}')
            return
        if is_open and scope["method"] == "OPTIONS":
            await _answer(dressed, 204, b"")
            return
        await self._app(_one_form(scope), receive, dressed)


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())] if body else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
