"""Hears requests in other services' words: reads them, hands them to the inbox as pings, answers as their clients expect."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app import metrics
from app.clock import utc_now
from app.domain.alias import Service
from app.domain.declaration import NEW, Declaration
from app.errors import Invalid, NotFound, OverLimit
from app.ingest import answers
from app.ingest.answers import Answer
from app.ingest.dialects import SNITCH, Dialect, below
from app.ingest.inbox import AWAY, Inbox
from app.ingest.ping import Ping, Target
from app.ingest.read import Gone, Headers, Reader, Receive, Scope, headers_of
from app.ingest.reply import METHODS, Dress, Send, preflight, reply
from app.ingest.said import Request, Said, read_fields
from app.store.addresses import Address

log = structlog.get_logger()

Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Upsert = Callable[[Address, Declaration], Awaitable[None]]
"""Makes a monitor as declared, or changes it. Raises NotFound for an unknown key, OverLimit, Invalid, or what the
database raised."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that a dialect may understand."""

    dialect: Dialect
    match: re.Match[str]
    scope: Scope
    headers: Headers

    def request(self, body: bytes = b"") -> Request:
        """Its parts. Raises Invalid."""
        return Request(self.match.groupdict(), read_fields(self.scope["query_string"]), self.headers, body)


class Translator:
    """All dialects on one inbox. `upsert` does what a declared schedule asks for."""

    def __init__(self, inbox: Inbox, reader: Reader, upsert: Upsert, dress: Dress | None = None) -> None:
        self._inbox = inbox
        self._reader = reader
        self._upsert = upsert
        self._dress = dress or Dress()

    def below(self, scope: Scope) -> Call | None:
        """Whose URL this is, of those below /p/ and /api/."""
        found = below(raw_path(scope))
        return None if found is None else Call(*found, scope, headers_of(scope))

    async def __call__(self, call: Call, receive: Receive, send: Send, otherwise: Asgi | None = None) -> None:
        """Hear one call and answer it; what leads nowhere goes to `otherwise`, where that is given."""
        if call.scope["method"] == "OPTIONS":
            await preflight(send, self._dress)
            return
        try:
            answer = await self._read_and_hear(call, receive)
        except Gone:
            return
        if otherwise is not None and answer == answers.NOT_FOUND:
            await otherwise(call.scope, receive, send)
        else:
            await self.reply(call, answer, send)

    def or_snitch(self, otherwise: Asgi) -> Asgi:
        """A token at the root, where nothing else stands, counts as Dead Man's Snitch's if it is known; else `otherwise`."""

        async def at_root(scope: Scope, receive: Receive, send: Send) -> None:
            match = SNITCH.path.fullmatch(raw_path(scope)) if scope["type"] == "http" else None
            if match is None or scope["method"] not in (*METHODS, "OPTIONS"):
                await otherwise(scope, receive, send)
            else:
                await self(Call(SNITCH, match, scope, headers_of(scope)), receive, send, otherwise)

        return at_root

    async def hear(self, call: Call, request: Ping) -> Answer:
        """What comes of a request that was read: the worst answer to anything that it says. NOT_FOUND: nobody knows its key."""
        try:
            said = call.dialect.read(call.request(request.body))
        except Invalid as error:
            return Answer(400, str(error), "bad_request")
        heard = [await self._hear_one(request, one) for one in said]
        return max(heard, key=lambda answer: answer.status, default=answers.NOTHING)

    async def reply(self, call: Call, answer: Answer, send: Send) -> None:
        """Answer in the service's own words."""
        metrics.CHECK_INS.labels(answer.result).inc()
        status, body, kind = call.dialect.reply(answer, call.match)
        await reply(send, status, body, kind, self._dress.base, answer.retry_after)

    async def _read_and_hear(self, call: Call, receive: Receive) -> Answer:
        if call.scope["method"] not in METHODS:
            return answers.BAD_METHOD
        request = await self._reader.read(call.scope, receive, call.headers, call.dialect.keep)
        return request if isinstance(request, Answer) else await self.hear(call, request)

    async def _hear_one(self, request: Ping, said: Said) -> Answer:
        """The ping first: it counts whatever becomes of the schedule that it declares, if there is a monitor to count for."""
        wrong = said.wrong or _wrong(said)
        ping = self._ping(request, said, f"the schedule was not taken over: {wrong}" if wrong else "")
        answer = await self._inbox.hear(ping)
        if answer == answers.NO_MONITOR and wrong:
            return Answer(400, wrong, "bad_request")
        if said.declared is None or wrong or request.ignored or (answer.status >= 400 and answer != answers.NO_MONITOR):
            return answer
        refused = await self._declare(said.address, said.declared)
        return answer if answer != answers.NO_MONITOR else refused or await self._inbox.hear(ping)

    def _ping(self, request: Ping, said: Said, note: str) -> Ping:
        ping = replace(
            request,
            target=Target(said.address, said.signal, said.exit_status),
            run_id=said.run_id,
            create=said.create and not request.ignored,
            message=said.text(note),
            body=said.body,
            truncated=request.truncated and bool(said.body),
            warnings=[],
        )
        self._reader.add_message(ping)
        return ping

    async def _declare(self, address: Address, declared: Declaration) -> Answer | None:
        """Make or change the monitor; an answer where that is refused."""
        try:
            await self._upsert(address, declared)
        except (Invalid, OverLimit) as error:
            return Answer(400 if isinstance(error, Invalid) else 403, str(error), "bad_request")
        except NotFound:
            return answers.NOT_FOUND
        except (*AWAY, SQLAlchemyError) as error:
            log.warning("a declared schedule was not taken over", service=address.kind, error=type(error).__name__)
            return answers.AWAY
        return None


def raw_path(scope: Scope) -> str:
    """The path as it came, percent signs and all: a key may hold what would end a part of it."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode(errors="replace")
    return raw.decode("latin-1")


def _wrong(said: Said) -> str:
    """Why what is declared can be no rule at all; empty where it can."""
    try:
        if said.declared is not None:
            said.declared.rule_after(NEW[Service(said.address.kind)], utc_now(), timedelta())
    except Invalid as error:
        return str(error)
    return ""
