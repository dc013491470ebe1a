"""The dialects: which URLs of other services are understood, what they say in our words, and how their clients are answered.

One table. A URL holds either a token that stands for a monitor (an alias), or a project's key beside what the monitor is called
there. Our own keys do for all of them. Facts are from each service's published clients and documentation:
cronradar 0.1 and docs.cronradar.com, cronitor 4.9, cronitor-cli and the Telemetry API, sentry-sdk 2 and Relay, Dead Man's
Snitch's docs and its gem, Better Stack's docs, Uptime Kuma's api-router.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import unquote

from app.clock import utc_now
from app.domain import tokens
from app.domain.alias import Service
from app.domain.declaration import Declaration
from app.domain.state import Signal
from app.errors import Invalid
from app.ingest import sentry
from app.ingest.answers import FULL, NO_MONITOR, NOT_FOUND, Answer
from app.ingest.ping import read_suffix
from app.ingest.read import Headers
from app.ingest.reply import JSON, TEXT
from app.ingest.said import Request, Said, exit_status, keyed, read_fields, run_id
from app.store.addresses import Address

MOST_FORM = 100_000  # bytes of a form that are read
LAST = r"(?P<token>[A-Za-z0-9_-]{4,200})"
Reply = tuple[int, bytes, bytes]  # status, body, content type
READS = Callable[[Request], Sequence[Said]]
REPLIES = Callable[[Answer, re.Match[str]], Reply]


@dataclass(frozen=True, slots=True)
class Dialect:
    """`read` says in our words what a request says, none where it says nothing to us, and raises Invalid for what makes no
    sense; `reply` answers it in the service's own. `keep`: how many bytes of a body it needs, where that is not the limit."""

    service: Service
    path: re.Pattern[str]
    read: READS
    reply: REPLIES
    keep: int | None = None


# CronRadar

CRONRADAR_SAYS = {
    "": (Signal.SUCCESS, "ok", "pingedAt"), "start": (Signal.START, "started", "startedAt"),
    "complete": (Signal.SUCCESS, "completed", "completedAt"), "fail": (Signal.FAIL, "failed", "failedAt"),
}  # fmt: skip


def read_cronradar(request: Request) -> Sequence[Said]:
    """`/ping/<monitor_key>/<api_key>[/start|/complete|/fail]`; a schedule makes the monitor, and changes it."""
    key = request.part("key") or _basic_user(request.headers)
    grace, declared = request.get("gracePeriod"), None
    if request.get("schedule"):
        declared = Declaration(
            name=request.get("name"),
            expression=request.get("schedule"),
            grace=timedelta(seconds=int(grace)) if re.fullmatch(r"[0-9]{1,9}", grace, re.ASCII) else None,
        )
    signal = CRONRADAR_SAYS[request.part("suffix")][0]
    address = keyed(Service.CRONRADAR, key, request.part("name"))
    return [Said(address, signal, message=request.get("message"), body=request.body, declared=declared)]


def reply_cronradar(answer: Answer, path: re.Match[str]) -> Reply:
    """JSON; 401 for a key nobody knows and 404 for a monitor, on which their SDK registers it by a sync and pings again."""
    if answer.status >= 400:
        status = 401 if answer == NOT_FOUND else 403 if answer == FULL else answer.status
        words = {401: "unknown api key", 404: "monitor not found"}.get(status, answer.text)
        return status, json.dumps({"error": words}).encode(), JSON
    _, word, at = CRONRADAR_SAYS[path["suffix"] or ""]
    now = utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
    return 200, json.dumps({"status": word, "monitor": unquote(path["name"]), at: now}).encode(), JSON


# Cronitor

CRONITOR_STATES = {
    "": Signal.SUCCESS, "run": Signal.START, "complete": Signal.SUCCESS, "fail": Signal.FAIL, "ok": Signal.SUCCESS,
    "tick": Signal.SUCCESS,
}  # fmt: skip
CRONITOR_STATE = re.compile(rb"(?:^|&)state=(?:run|complete|fail|ok|tick)(?:&|$)")


def read_cronitor(request: Request) -> Sequence[Said]:
    """`/p/<api_key>/<monitor_key>?state=…`: the series is the run; `ok` is a person's word that all is well again."""
    signal = CRONITOR_STATES.get(request.get("state").strip().lower())
    if signal is None:
        raise Invalid("state: say run, complete, fail or ok")
    return [
        Said(
            keyed(Service.CRONITOR, request.part("key"), request.part("name")),
            signal,
            exit_status=exit_status(request.get("status_code")) if signal is Signal.FAIL else None,
            run_id=run_id(request.get("series")),
            message=request.get("message", "msg"),
            lines=request.lines("metric", "status_code", "duration", "schedule", "env", "host"),
            body=request.body,
            create=True,
        )
    ]


def reply_cronitor(answer: Answer, _: re.Match[str]) -> Reply:
    """They answer 200 to everything and look at the key later; we say 403 to what is not recorded."""
    if answer in (NOT_FOUND, NO_MONITOR):
        return 403, b"unknown api key", TEXT
    if answer == FULL:
        return 403, b"the project has as many monitors as its plan allows", TEXT
    return reply_text(answer, _)


# Those with a token


def read_snitch(request: Request) -> Sequence[Said]:
    """`/<token>?m=&s=`, in the query or as a form: a status of 0 or nothing is success, anything else a fail."""
    kind = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    is_form = kind == b"application/x-www-form-urlencoded"
    form = Request(request.path, [*request.fields, *(read_fields(request.body) if is_form else [])], request.headers)
    said = form.get("s").strip()
    failed = said.strip("0") != ""
    return [
        Said(
            Address(Service.SNITCH, request.part("token")),
            Signal.FAIL if failed else Signal.SUCCESS,
            exit_status=exit_status(said),
            message=form.get("m"),
            lines=(("status", said),) if failed else (),
            body=b"" if is_form and form.fields else request.body,
        )
    ]


def reply_snitch(answer: Answer, _: re.Match[str]) -> Reply:
    """202, and a word of thanks."""
    return reply_text(answer, _) if answer.status >= 400 else (202, b"Got it, thanks!\n", TEXT)


def read_better_stack(request: Request) -> Sequence[Said]:
    """`/api/v1/heartbeat/<token>`, with `/fail` or an exit status behind it, and output as the body."""
    signal, status = read_suffix(request.part("suffix") or None)
    return [Said(Address(Service.BETTER_STACK, request.part("token")), signal, exit_status=status, body=request.body)]


def read_kuma(request: Request) -> Sequence[Said]:
    """`/api/push/<token>?status=up|down&msg=&ping=`: whatever is not up is down."""
    signal = Signal.SUCCESS if request.get("status") in ("", "up") else Signal.FAIL
    address = Address(Service.UPTIME_KUMA, request.part("token"))
    return [Said(address, signal, message=request.get("msg"), lines=request.lines("ping"), body=request.body)]


def reply_kuma(answer: Answer, _: re.Match[str]) -> Reply:
    """`{"ok": …}`, with a message where it is not."""
    if answer.status < 400:
        return 200, b'{"ok":true}', JSON
    words = "Monitor not found or not active." if answer == NOT_FOUND else answer.text
    return answer.status, json.dumps({"ok": False, "msg": words}).encode(), JSON


def reply_text(answer: Answer, _: re.Match[str]) -> Reply:
    """A line of text, in our own words; 200 and OK for all that counts."""
    return (answer.status, answer.text.encode(), TEXT) if answer.status >= 400 else (200, b"OK", TEXT)


# The table

CRONRADAR = Dialect(
    Service.CRONRADAR, re.compile(r"/ping/(?P<name>[^/]+)/(?P<key>[^/]+)(?:/(?P<suffix>start|complete|fail))?/?"),
    read_cronradar, reply_cronradar,
)  # fmt: skip
CRONRADAR_BASIC = Dialect(
    Service.CRONRADAR, re.compile(r"/ping/(?P<name>[^/]+)(?:/(?P<suffix>start|complete|fail))?/?"),
    read_cronradar, reply_cronradar,
)  # fmt: skip
CRONITOR_CLI = Dialect(
    Service.CRONITOR, re.compile(r"/ping/(?P<key>[^/]+)/(?P<name>[^/]+)/?"), read_cronitor, reply_cronitor,
)  # fmt: skip
SNITCH = Dialect(Service.SNITCH, re.compile(rf"/{LAST}/?"), read_snitch, reply_snitch, keep=MOST_FORM)
BELOW = (  # the table of all that stands below /p/ and /api/
    Dialect(Service.CRONITOR, re.compile(r"/p/(?P<key>[^/]+)/(?P<name>[^/]+)/?"), read_cronitor, reply_cronitor),
    Dialect(
        Service.BETTER_STACK, re.compile(rf"/api/v1/heartbeat/{LAST}(?:/(?P<suffix>fail|[0-9]+))?/?"),
        read_better_stack, reply_text,
    ),
    Dialect(Service.UPTIME_KUMA, re.compile(rf"/api/push/{LAST}/?"), read_kuma, reply_kuma),
    Dialect(
        Service.SENTRY, re.compile(r"/api/[A-Za-z0-9_-]+/cron/(?P<name>[^/]+)(?:/(?P<key>[^/]+))?/?"),
        sentry.read_check_in, sentry.reply_check_in, keep=sentry.MOST_CHECK_IN,
    ),
    Dialect(
        Service.SENTRY, re.compile(r"/api/[A-Za-z0-9_-]+/envelope/?"), sentry.read_envelope, sentry.reply_envelope,
        keep=sentry.MOST_ENVELOPE,
    ),
)  # fmt: skip


def below(path: str) -> tuple[Dialect, re.Match[str]] | None:
    """Whose URL this is, of those below /p/ and /api/."""
    return next(((dialect, match) for dialect in BELOW if (match := dialect.path.fullmatch(path)) is not None), None)


def at_ping(path: str, query: bytes, headers: Headers) -> tuple[Dialect, re.Match[str]] | None:
    """Whose URL below /ping/ this seems to be, where it is not ours by its looks: a key of ours or of CronRadar's form stands
    last or as user of Basic, or a `state` is given, as Cronitor's command line does. Costs an ordinary ping next to nothing."""
    dialect: Dialect | None = None
    match: re.Match[str] | None = None
    if b"state=" in query and CRONITOR_STATE.search(query) is not None:
        dialect, match = CRONITOR_CLI, CRONITOR_CLI.path.fullmatch(path)
    elif "/ck_" in path or "/mb_" in path:
        match = CRONRADAR.path.fullmatch(path)
        dialect = CRONRADAR if match is not None and _is_theirs(match["key"]) else None
    elif headers.get(b"authorization", b"")[:6].lower() == b"basic " and _is_theirs(_basic_user(headers)):
        dialect, match = CRONRADAR_BASIC, CRONRADAR_BASIC.path.fullmatch(path)
    return None if dialect is None or match is None else (dialect, match)


def _is_theirs(key: str) -> bool:
    return key.startswith("ck_") or tokens.looks_like_api_key(key)


def _basic_user(headers: Headers) -> str:
    return tokens.basic_user(headers.get(b"authorization", b"").decode("latin-1"))
