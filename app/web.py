"""What every route shares: Session, Now, Caller, the JSON that came in, and the one table from errors to HTTP."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, InternalError, OperationalError, SQLAlchemyError
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
    Forbidden,
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
from app.one_by_one import OneByOne
from app.outside import OPEN
from app.proxies import Proxies
from app.store import accounts, blackouts, keys
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
    Forbidden: 403,
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
    proxies: Proxies = field(default_factory=Proxies)
    sends_mail: bool = False  # whether a mail server is set, so that letters to people go out
    plans: bool = False  # whether a project that somebody makes on the pages is on the free plan
    registration_open: bool = False  # whether anybody may sign up; else whoever was invited
    written: ByteCache = field(default_factory=ByteCache)  # checks as the API wrote them, by their stamps (store/listings.py)
    replays: OneByOne = field(default_factory=OneByOne)  # what settings would have alerted, found for one who asks after another

    @property
    def is_https(self) -> bool:
        """Whether people reach the service by https, so that its cookies are for https alone."""
        return self.base_url.startswith("https://")

    @property
    def prefix(self) -> str:
        """The path below which people reach the service; empty at the root."""
        return urlsplit(self.base_url).path.rstrip("/")

    @property
    def host(self) -> str:
        """The public address as people know it, without its scheme."""
        return urlsplit(self.base_url).netloc

    def sender_of(self, request: Request) -> str:
        """The address that a request came from, as our own proxies say it."""
        peer = request.client.host if request.client else ""
        lines = request.headers.getlist("x-forwarded-for")  # some proxies add a line of their own below the client's
        return self.proxies.origin_of(peer, ",".join(lines).encode("latin-1"))


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
    caller: accounts.Caller | None = getattr(request.state, "used", None)
    if caller is not None:
        await _note_use(shared(request), caller)


async def _note_use(house: Shared, caller: accounts.Caller) -> None:
    """After the answer is certain and in a transaction of its own: no call waits for another's, and none fails for it."""
    try:
        async with transaction(house) as session:
            await keys.note_use(session, caller.project, caller.key)
    except (SQLAlchemyError, TimeoutError) as error:
        log.warning("the use of a key was not noted", error=in_words(error))


Session = Annotated[AsyncSession, Depends(open_session, scope="function")]
House = Annotated[Shared, Depends(shared)]


async def _now(session: Session) -> datetime:
    return await blackouts.now(session)


async def read_body(request: Request, most: int, too_large: str) -> bytes:
    """The whole body, at most so many bytes. Raises TooLarge, in these words, and TooSlow."""
    body = bytearray()
    try:
        async with asyncio.timeout(READ_LIMIT):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise TooLarge(too_large)
    except TimeoutError:
        raise TooSlow("the body did not arrive in time") from None
    return bytes(body)


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object, whatever its Content-Type; an empty one is {}, and by the methods that need none anything that
    is no object: some clients send `null` with every GET. Raises Invalid, TooLarge and TooSlow."""
    body = await read_body(request, MOST_JSON, "the body is larger than 1 MB")
    try:
        return json_body.parse(body)
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
    if caller.use_is_due:
        request.state.used = caller
    return caller


def writer_of(caller: Annotated[accounts.Caller, Depends(caller_of)]) -> accounts.Caller:
    """The same, if it may write. Raises NotAllowed."""
    if not caller.may_write:
        raise NotAllowed("wrong api key")
    return caller


Caller = Annotated[accounts.Caller, Depends(caller_of)]
Writer = Annotated[accounts.Caller, Depends(writer_of)]


AsPage = Callable[[Request, int, str, str], Response]
"""An error as a page, from its status, what it says, and the id under which it was logged, where it was."""
NO_PAGES = ("/api/", "/ping/", "/badge/", "/b/", "/static/", "/livez", "/readyz", "/healthz", "/metrics")


def answer_errors(app: FastAPI, as_page: AsPage) -> None:
    """Every error in words, with the status of the table above: `{"error": …}`, or a page for whoever reads pages. Nothing of our
    insides."""
    app.state.error_page = as_page
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


def _refused(request: Request, status: int, said: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """`said` as JSON, or the same as a page where a browser asks for one."""
    if "text/html" not in request.headers.get("accept", "") or request.scope["path"].startswith(NO_PAGES):
        return JSONResponse(said, status, headers)
    as_page: AsPage = request.app.state.error_page
    page = as_page(request, status, str(said["error"]), said.get("request_id", ""))
    page.headers.update(headers or {})
    return page


async def _ours(request: Request, error: Exception) -> Response:
    status = next(number for kind, number in STATUS.items() if isinstance(error, kind))
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, (Unavailable, TooMany)) else None
    more = {"detail": error.detail} if isinstance(error, Invalid) and error.detail else {}
    return _refused(request, status, {"error": str(error), **more}, headers)


async def _http(request: Request, error: Exception) -> Response:
    refused = cast(HTTPException, error)
    headers = {"Allow": _allowed(request)} if refused.status_code == 405 else refused.headers
    return _refused(request, refused.status_code, {"error": str(refused.detail).lower()}, headers)


def _allowed(request: Request) -> str:
    """All methods of the path: each is a route of its own, and OPTIONS is answered outside of them."""
    methods = {"OPTIONS"} if request.scope["path"].startswith(OPEN) else set()
    for route in iter_route_contexts(request.app.routes):
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return ", ".join(sorted(methods))


async def _malformed(request: Request, error: Exception) -> Response:
    problem = cast(RequestValidationError, error).errors()[0]
    return _refused(request, 400, {"error": f"{'.'.join(str(p) for p in problem['loc'][1:])}: {problem['msg'].lower()}"})


async def _bad_data(request: Request, error: Exception) -> Response:
    log.warning("refused by the database", error=str(error.__cause__).splitlines()[0])
    return _refused(request, 400, {"error": "a value is out of range or holds characters that cannot be stored"})


async def _raced(request: Request, error: Exception) -> Response:
    """Two at once, such as a channel deleted while it is given to a monitor; what was done of the second is undone."""
    log.warning("refused by the database", error=type(error.__cause__).__name__)
    return _refused(request, 409, {"error": "somebody else changed this at the same time: try again"})


async def _hung_up(request: Request, error: Exception) -> Response:
    return _refused(request, 400, {"error": "the body did not arrive whole"})  # nobody reads it


async def _away(request: Request, error: Exception) -> Response:
    log.warning("the database cannot be reached", error=in_words(error))
    return _refused(request, 503, {"error": "the database cannot be reached: try again"}, {"Retry-After": "2"})


async def _bug(request: Request, error: Exception) -> Response:
    """The bug is logged whole by the server, with this id; the client is told the id and nothing else."""
    request_id = secrets.token_hex(8)
    log.error("request failed", request_id=request_id, method=request.method, error=type(error).__name__)
    return _refused(request, 500, {"error": "internal error", "request_id": request_id})
