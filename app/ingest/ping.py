"""A ping as it came over the wire, before anything is known of its monitor: paths, query, and the answers it may get."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from app.domain.state import Signal

UUID_FORM = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
SUFFIX = r"(?:/(start|fail|log|[0-9]+))?/?"
BY_ID = re.compile(rf"/ping/({UUID_FORM}){SUFFIX}")
BY_SLUG = re.compile(rf"/ping/([A-Za-z0-9_-]{{1,100}})/([A-Za-z0-9_-]{{1,100}}){SUFFIX}")
RUN_ID = re.compile(UUID_FORM)
MOST_EXIT = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """What a ping is answered: HTTP status and a line of text; `result` is how it is counted."""

    status: int
    text: str
    result: str
    retry_after: int | None = None


OK = Answer(200, "OK", "ok")
IGNORED = Answer(200, "OK", "ignored")
REPEATED = Answer(200, "OK", "repeated")
CREATED = Answer(201, "Created", "created")
NOT_FOUND = Answer(404, "not found", "not_found")
BAD_URL = Answer(400, "invalid url format", "bad_request")
BAD_RUN_ID = Answer(400, "invalid uuid format", "bad_request")
BAD_KEY = Answer(400, "Idempotency-Key is longer than 200 characters", "bad_request")
TOO_LARGE = Answer(413, "the body is larger than 10 MB", "too_large")
TOO_SLOW = Answer(408, "the body did not arrive in time", "too_slow")
BAD_METHOD = Answer(405, "use HEAD, GET or POST", "bad_request")
BUSY = Answer(503, "busy, nothing was recorded: try again", "refused", retry_after=1)
LATE = Answer(503, "the database was too slow, nothing was recorded: try again", "late", retry_after=1)
AWAY = Answer(503, "the database cannot be reached, this may not be recorded: try again", "error", retry_after=2)


@dataclass(frozen=True, slots=True)
class Target:
    """What the URL names: a ping id, or a ping key and slug; and what it says."""

    ping_id: str | None
    ping_key: str
    slug: str
    signal: Signal
    exit_status: int | None


@dataclass(slots=True)
class Ping:
    """A ping, read whole. `heard_at` is this process's monotonic clock when the last byte that we keep was read."""

    target: Target
    heard_at: float
    run_id: str | None = None
    run_id_valid: bool = True
    create: bool = False
    idempotency_key: str | None = None
    scheme: str = "http"
    method: str = "GET"
    remote_addr: str = ""
    user_agent: str = ""
    body: bytes = b""
    truncated: bool = False

    @property
    def exit_status_valid(self) -> bool:
        """An exit status has eight bits."""
        return self.target.exit_status is None or self.target.exit_status <= MOST_EXIT


def read_path(path: str) -> Target | Answer:
    """What a path names, or the answer where it names nothing."""
    match = BY_ID.fullmatch(path)
    if match is not None:
        return Target(match[1].lower(), "", "", *_said(match[2]))
    match = BY_SLUG.fullmatch(path)
    if match is None:
        return NOT_FOUND
    if match[2] != match[2].lower():
        return BAD_URL
    return Target(None, match[1], match[2], *_said(match[3]))


def read_query(ping: Ping, query: bytes) -> None:
    """Take `rid` and `create` from the query; of several of one name the first counts."""
    if not query:
        return
    given: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        given.setdefault(name, value)
    ping.create = given.get("create") == "1"
    if "rid" in given:
        ping.run_id_valid = RUN_ID.fullmatch(given["rid"]) is not None
        ping.run_id = given["rid"].lower() if ping.run_id_valid else None


def _said(suffix: str | None) -> tuple[Signal, int | None]:
    if suffix is None:
        return Signal.SUCCESS, None
    if not suffix.isdigit():
        return Signal(suffix), None
    status = int(suffix[-4:]) if len(suffix.lstrip("0")) <= 3 else MOST_EXIT + 1
    return (Signal.SUCCESS if status == 0 else Signal.FAIL), status
