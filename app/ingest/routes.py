"""The ping URLs: bare ASGI, mounted in front of the app, with nothing on its way that it does not need."""

import json
from typing import Any

from app import metrics
from app.ingest import answers
from app.ingest.answers import Answer
from app.ingest.dialects import CRONRADAR, at_ping
from app.ingest.inbox import Inbox
from app.ingest.ping import Ping, Target, read_path
from app.ingest.read import Gone, Headers, Reader, Receive, Scope, headers_of, key_of, opener, wants_receipt
from app.ingest.reply import JSON, METHODS, TEXT, Dress, Send, preflight, reply
from app.ingest.translate import Call, Translator, raw_path


class PingRoutes:
    """`/ping/<uuid>[/suffix]` and `/ping/<ping_key>/<slug>[/suffix]`; with a key in the headers `/ping/<slug>[/suffix]`.

    Other services' URLs stand below /ping/ too. Those that look it are heard in their words first; of the others those that we
    know nothing of are looked at as CronRadar's, whose keys may have any form. Either way the second look is for those only
    whose first found no key, so an ordinary ping pays for neither.
    """

    def __init__(self, inbox: Inbox, reader: Reader, translator: Translator, dress: Dress | None = None) -> None:
        self._inbox = inbox
        self._reader = reader
        self._translator = translator
        self._dress = dress or Dress()
        self._good_headers = [*self._dress.base, (b"ping-body-limit", str(reader.body_limit).encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hear one ping and answer it."""
        if scope["method"] == "OPTIONS":
            await preflight(send, self._dress)
            return
        headers = headers_of(scope)
        try:
            answer, call = await self._hear(scope, receive, headers)
        except Gone:
            return
        if call is not None:
            await self._translator.reply(call, answer, send)
            return
        metrics.CHECK_INS.labels(answer.result).inc()
        as_json = wants_receipt(headers.get(b"accept", b""))
        body = json.dumps(_receipt(answer)).encode() if as_json else answer.text.encode()
        more = self._good_headers if answer.status < 300 else self._dress.base
        await reply(send, answer.status, body, JSON if as_json else TEXT, more, answer.retry_after)

    async def _hear(self, scope: Scope, receive: Receive, headers: Headers) -> tuple[Answer, Call | None]:
        """The answer, and whose words it is to be put in: None for our own."""
        key = key_of(headers)
        target = read_path(scope["path"], opener(key) if key else None)
        looks, may_be = self._theirs(scope, headers, target)
        attempts = [attempt for attempt in (looks, target, may_be) if isinstance(attempt, (Call, Target))]
        if not attempts and isinstance(target, Answer):
            return target, None
        if scope["method"] not in METHODS:
            return answers.BAD_METHOD, looks
        request = await self._reader.read(scope, receive, headers)
        if isinstance(request, Answer):
            return request, looks
        for attempt in attempts:
            answer = await self._try(attempt, request, scope, headers)
            if answer != answers.NOT_FOUND and not (attempt is may_be and answer.status == 400):
                return answer, attempt if isinstance(attempt, Call) else None
        return (target if isinstance(target, Answer) and looks is None else answers.NOT_FOUND), looks

    def _theirs(self, scope: Scope, headers: Headers, target: Target | Answer) -> tuple[Call | None, Call | None]:
        """Another service's call by its looks, and one that it may be where nobody knows it as ours."""
        path = raw_path(scope)
        found = at_ping(path, scope["query_string"], headers)
        if found is not None:
            return Call(*found, scope, headers), None
        if isinstance(target, Target) and target.address.kind == "ping":
            return None, None
        match = CRONRADAR.path.fullmatch(path)
        return None, None if match is None else Call(CRONRADAR, match, scope, headers)

    async def _try(self, attempt: Call | Target, request: Ping, scope: Scope, headers: Headers) -> Answer:
        if isinstance(attempt, Call):
            return await self._translator.hear(attempt, request)
        return await self._inbox.hear(self._reader.said(request, attempt, scope["query_string"], headers))


def _receipt(answer: Answer) -> dict[str, Any]:
    if answer.receipt is not None:
        return answer.receipt
    return {"error": answer.text} if answer.status >= 400 else {"answer": answer.text}
