"""A ping as it came over the wire, before anything is known of its monitor: what its path and query say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from operator import attrgetter
from urllib.parse import parse_qsl
from uuid import UUID

from app.domain.state import Signal
from app.ingest import answers
from app.ingest.answers import Answer
from app.store.addresses import Address

UUID_FORM = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
SUFFIX = r"(?:/(start|fail|log|[0-9]+))?/?"
SLUG = r"[A-Za-z0-9_-]{1,100}"
BY_ID = re.compile(rf"/ping/({UUID_FORM}){SUFFIX}")
BY_SLUG = re.compile(rf"/ping/([A-Za-z0-9_-]{{1,100}})/({SLUG}){SUFFIX}")
BY_SLUG_ALONE = re.compile(rf"/ping/({SLUG}){SUFFIX}")
RUN_ID = re.compile(UUID_FORM)
MOST_EXIT = 255


@dataclass(frozen=True, slots=True)
class Target:
    """What the URL names, and what it says."""

    address: Address
    signal: Signal
    exit_status: int | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """The words of a mail that came as a ping."""

    subject: str
    text: str


@dataclass(slots=True)
class Ping:
    """A ping, read whole. `heard_at` is this process's monotonic clock when the last byte of its request was read.

    `create`: make the monitor where its name is free. `at`: the client's own time of what it reports, `sent_at` the same clock
    when it reported. `key`: the API key in the headers, as its hash. `ignored`: why it is no sign of life, whatever it says.
    `warnings`: what its receipt is to say besides. `project`: whose it was found to be when it was recorded.
    """

    target: Target
    heard_at: float
    run_id: str | None = None
    run_id_valid: bool = True
    create: bool = False
    idempotency_key: str | None = None
    at: datetime | None = None
    at_valid: bool = True
    sent_at: datetime | None = None
    key: bytes | None = None
    mail: Mail | None = None
    ignored: str = ""
    receipt: bool = False
    scheme: str = "http"
    method: str = "GET"
    remote_addr: str = ""
    user_agent: str = ""
    body: bytes = b""
    truncated: bool = False
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    project: UUID | None = None

    def __copy__(self) -> "Ping":
        """Every ping is copied once; the usual way, by what it would be pickled as, takes five times as long."""
        return Ping(*_WORDS(self))

    @property
    def problem(self) -> Answer | None:
        """What is wrong with it, once it is known to lead somewhere: an exit status has eight bits, a run id is a UUID."""
        if self.target.exit_status is not None and self.target.exit_status > MOST_EXIT:
            return answers.BAD_URL
        if not self.run_id_valid:
            return answers.BAD_RUN_ID
        if not self.at_valid:
            return answers.BAD_AT
        return answers.KEY_MISSING if self.at is not None and self.key is None else None

    def may_say_when(self, project: UUID, keys: Mapping[bytes, UUID]) -> bool:
        """Whether it comes with a key of this project, where it says `at`; `keys`: which keys open which project."""
        return self.at is None or keys.get(self.key or b"") == project


_WORDS = attrgetter(*(field.name for field in fields(Ping)))


def read_path(path: str, opener: Address | None) -> Target | Answer:
    """What a path names, or the answer where it names nothing. `opener`: the project's key in the headers, as an address
    without a name; with it the path needs none."""
    match = BY_ID.fullmatch(path)
    if match is not None:
        return Target(Address("ping", match[1].lower()), *read_suffix(match[2]))
    match = BY_SLUG_ALONE.fullmatch(path) if opener is not None else None
    if match is not None and opener is not None:
        by_name = Target(opener._replace(name=match[1]), *read_suffix(match[2]))
        return by_name if match[1] == match[1].lower() else answers.BAD_URL
    match = BY_SLUG.fullmatch(path)
    if match is None:
        return answers.NOT_FOUND
    if match[2] != match[2].lower():
        return answers.BAD_URL
    return Target(Address("ping_key", match[1], match[2]), *read_suffix(match[3]))


def read_query(ping: Ping, query: bytes) -> None:
    """Take `rid`, `create`, `at` and `message` from the query; of several of one name the first counts."""
    if not query:
        return
    given: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        given.setdefault(name, value)
    ping.create = given.get("create") == "1"
    if "rid" in given:
        ping.run_id_valid = RUN_ID.fullmatch(given["rid"]) is not None
        ping.run_id = given["rid"].lower() if ping.run_id_valid else None
    if "at" in given:
        ping.at = read_instant(given["at"])
        ping.at_valid = ping.at is not None
    ping.message = given.get("message", "").replace("\0", "")


def read_suffix(suffix: str | None) -> tuple[Signal, int | None]:
    """What a path says at its end: a signal, or an exit status, of which 0 is success; one too large comes out too large."""
    if suffix is None:
        return Signal.SUCCESS, None
    if not suffix.isdigit():
        return Signal(suffix), None
    status = int(suffix[-4:]) if len(suffix.lstrip("0")) <= 3 else MOST_EXIT + 1
    return (Signal.SUCCESS if status == 0 else Signal.FAIL), status


def read_instant(text: str) -> datetime | None:
    """An instant in ISO 8601, UTC where no zone is given, or in seconds since 1970; None where it is neither."""
    try:
        if re.fullmatch(r"[0-9]{1,11}(\.[0-9]{1,9})?", text):
            return datetime.fromtimestamp(float(text), UTC)
        at = datetime.fromisoformat(re.sub(r"(?<=[0-9]) (?=\d\d:?\d\d$)", "+", text.strip()))  # a + that the URL made a space
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
