"""A transition in words, once for all channels, and the nouns of sending it: Parcel, Verdict, Outcome. How a channel dresses
the words (blocks, mail, JSON) stands beside its sender; when a delivery is tried again in `retry.py`."""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any, Self
from urllib.parse import quote
from zoneinfo import ZoneInfo

NAME_LIMIT = 100
SENTENCE_LIMIT = 600
OUTPUT_LIMIT = 1_000
EARLIER_LIMIT = 10

MOMENTS = ("at", "last_success", "down_since")
JOINERS = "\u200c\u200d"  # invisible, but letters of Persian and the seams of emoji
SECRET = re.compile(
    r"(/ping/|/p/(?=\w{16,}/)|/api/push/|/api/v1/heartbeat/|/cron/[\w-]+/)[^\s\"'<>]+"  # ping URLs, other services' too
    r"|(mb_[a-z]{2,4}_)[0-9A-Za-z]{20,}",  # keys
    re.IGNORECASE,
)
UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))

STATES = {
    "monitor.down": "DOWN",
    "monitor.up": "UP",
    "channel.failed": "CHANNEL FAILED",
    "test": "TEST",
    "blackout": "COULD NOT HEAR",
}
TOLD_STATUS = {"monitor.down": "down", "monitor.up": "up"}
REASONS = {
    "missed": "No check-in came in time.",
    "overrun": "It started but did not finish in time.",
    "failed": "It reported a failure.",
    "not_dispatched": "Its scheduler did not dispatch it.",
    "not_started": "It was dispatched, and no worker began it.",
    "lost": "Its worker was lost while it ran.",
    "stalled": "The scheduler is alive, and dispatches nothing.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Everything a message may say, as data. `at`: when the transition happened (a down by silence: its deadline);
    `down_since`: on monitor.up when the downtime began, on blackout when the deafness did; `channel` and `failure`: which
    channel failed, and why; `output`: the last output, decoded; `earlier`: turnings that were not told by themselves, as data,
    oldest first, of very many the last; `earlier_count`: how many there were; `instead_of`: the channel that did not take
    this message. Nothing in it is trusted to be clean."""

    kind: str
    at: datetime
    project: str
    name: str = ""
    slug: str = ""
    tags: tuple[str, ...] = ()
    unique_key: str = ""
    schedule: str = ""
    reason: str = ""
    explain: str = ""
    last_success: datetime | None = None
    down_since: datetime | None = None
    output: str = ""
    incident_id: str = ""
    zone: str = "UTC"
    channel: str = ""
    failure: str = ""
    earlier: tuple[Mapping[str, Any], ...] = ()
    earlier_count: int = 0
    instead_of: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dumps`: moments as ISO 8601, tags as a list."""
        data = {name: getattr(self, name) for name in TOLD}  # asdict copies every moment, one by one
        for name in MOMENTS:
            if data[name] is not None:
                data[name] = data[name].isoformat()
        data["tags"], data["earlier"] = list(self.tags), list(self.earlier)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` made, by this version or another: keys it does not know are left, missing ones are empty.
        Raises KeyError, TypeError or ValueError for what is no such thing."""
        given = {name: data[name] for name in TOLD if name in data}
        moments = {key: datetime.fromisoformat(given[key]) for key in MOMENTS if given.get(key) is not None}
        return cls(**(given | moments | {key: tuple(given.get(key, ())) for key in ("tags", "earlier")}))

    @classmethod
    def salvaged(cls, data: object, at: datetime) -> Self:
        """What is left of one that `from_json` cannot read: its words, with `at` for when. Never raises."""
        words = ("name", "slug", "unique_key", "reason", "explain", "incident_id", "channel", "failure")
        given = data if isinstance(data, Mapping) else {}
        left = {key: given[key] for key in words if isinstance(given.get(key), str)}
        return cls(kind=f"{given.get('kind', '')}", at=at, project=f"{given.get('project', '')}", **left)

    def before(self) -> "tuple[Told, ...]":
        """What `earlier` holds, oldest first."""
        return tuple(Told.from_json(data) for data in self.earlier)


TOLD = tuple(field.name for field in fields(Told))


@dataclass(frozen=True, slots=True)
class Message:
    """Words ready to be dressed. Title, sentence and facts are single clean lines; `output` keeps its line breaks;
    `thread` is the same for all messages of one incident, and empty where there is none."""

    kind: str
    title: str
    sentence: str
    facts: tuple[tuple[str, str], ...]
    output: str
    link: str
    thread: str
    told: Told


@dataclass(frozen=True, slots=True)
class Parcel:
    """One attempt to hand one message to one channel. `settings` is what is stored in clear; `secret` what is stored
    encrypted, decrypted: JSON of text to text, such as {"url": "https://…"}."""

    delivery_id: str
    message: Message
    settings: Mapping[str, Any]
    secret: str
    attempt_at: datetime

    def secrets(self) -> dict[str, str]:
        """`secret` taken apart; empty when the channel has none."""
        return dict(json.loads(self.secret)) if self.secret else {}


class Verdict(StrEnum):
    """What an attempt means for the delivery and its channel."""

    DELIVERED = "delivered"
    RETRY = "retry"  # network, timeouts, 5xx: the usual steps
    LIMITED = "limited"  # 429: costs no attempt
    UNAUTHORISED = "unauthorised"  # 401, 403, sign-in refused: slow retries, the owner is told
    GONE = "gone"  # 410 and Slack's words for it: the channel is disabled
    REFUSED = "refused"  # never for this message: dead now


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. `answer`: what the receiver said, one clipped line without secrets; `retry_after` in seconds, as
    the receiver asked; `status` its number, of HTTP or SMTP."""

    verdict: Verdict
    answer: str
    retry_after: float | None = None
    status: int | None = None


def compose(told: Told, *, base_url: str, status_now: str | None = None) -> Message:
    """The words for what happened. `base_url`: where people find the project's pages. `status_now` (new, up, late, down, paused;
    None: not known) is said where it is no longer what is told. Never holds a ping URL or id: the only link is the incident's."""
    incident = quote(clean(told.incident_id, NAME_LIMIT), safe="")
    link = f"{base_url.rstrip('/')}/incidents/{incident}" if incident else ""
    return Message(
        kind=told.kind,
        title=_title(told),
        sentence=_sentence(told, status_now),
        facts=_facts(told),
        output=_output(told.output),
        link=link,
        thread=clean(told.incident_id, NAME_LIMIT),
        told=told,
    )


def plain(told: Told) -> Message:
    """The least that can be said, for when `compose` raised: state and monitor. Never raises."""
    name = "".join(c if c.isprintable() else " " for c in f"{told.name or told.channel or told.project}"[:NAME_LIMIT])
    title = f"{STATES.get(told.kind, 'NOTICE')}: {name}"
    return Message(told.kind, title, f"{title}.", (), "", "", f"{told.incident_id}", replace(told, earlier=()))


def clean(text: str, limit: int) -> str:
    """One line of at most `limit` characters that cannot disturb what stands around it: line breaks and control
    characters become spaces; direction marks, other invisible characters and lone surrogates go."""
    line = text[: limit * 4]
    if not line.isprintable():
        line = "".join(_seen(c) for c in line)
    line = SECRET.sub(r"\1\2…", " ".join(line.split()))
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def duration(delta: timedelta) -> str:
    """The two largest units, whole seconds, never negative: '12 min 3 s', '2 d 4 h', '0 s'."""
    left, parts = max(0, int(delta.total_seconds())), []
    for unit, seconds in UNITS:
        count, left = divmod(left, seconds)
        parts.append((count, unit))
    first = next((i for i, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"


def _seen(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    return "" if category in ("Cf", "Cs") and char not in JOINERS else char


def _title(told: Told) -> str:
    state = "FALSE ALARM" if _takes_back(told) else STATES.get(told.kind, "NOTICE")
    title = f"{state}: {_subject(told)}"
    return f"{title} (down for {_downtime(told)})" if _downtime(told) and told.kind == "monitor.up" else title


def _takes_back(told: Told) -> bool:
    """Whether it is a return that says that the monitor never was away: what was told of it is withdrawn."""
    return told.kind == "monitor.up" and told.reason == "withdrawn"


def _subject(told: Told) -> str:
    """Whom the message is about: the monitor, the channel that failed, or the whole project."""
    subject = told.channel if told.kind == "channel.failed" else told.name
    return clean(subject, NAME_LIMIT) or clean(told.project, NAME_LIMIT) or "(no name)"


def _sentence(told: Told, status_now: str | None) -> str:
    sentence = clean(told.explain, SENTENCE_LIMIT) or _default_sentence(told)
    sentence = f"{sentence} {_told_together(told)}".rstrip()
    was = TOLD_STATUS.get(told.kind)
    if was is None or status_now is None or status_now == was:
        return sentence
    again = "again " if status_now in ("up", "down") else ""
    return f"{sentence} It is {clean(status_now, NAME_LIMIT)} {again}by now."


def _told_together(told: Told) -> str:
    """What happened before and was not told by itself: on a recovery the downtime it ends, then how it went to and fro."""
    before, zone = told.before(), _zone(told.zone)
    if not before:
        return ""
    down = next((b for b in reversed(before) if b.kind == "monitor.down"), None)
    words = ""
    if told.kind == "monitor.up" and down is not None:
        words = f"It was down from {_moment(down.at, zone)} to {_moment(told.at, zone)}: "
        words += f"{clean(down.explain, SENTENCE_LIMIT) or _default_sentence(down)} "
        if before == (down,):
            return words.rstrip()
    turns = [f"{STATES.get(b.kind, 'NOTICE').lower()} {_moment(b.at, zone)}" for b in before[-EARLIER_LIMIT:]]
    count = max(told.earlier_count, len(before))
    those = f"{count} turnings, the last of them " if count > len(turns) else ""
    return f"{words}Not told by itself: {those}{', '.join(turns)}."


def _default_sentence(told: Told) -> str:
    if told.kind == "monitor.down":
        return REASONS.get(told.reason, "It is down.")
    if told.kind == "monitor.up":
        if _takes_back(told):
            return "The alarm was wrong: the news that all was well came late."
        return f"It is up again after {_downtime(told)}." if told.down_since else "It is up again."
    if told.kind == "channel.failed":
        return "Messages to this channel do not get through."
    if told.kind == "test":
        return "This is a test: messages to this channel get through."
    return "For a while check-ins could not be heard; jobs that were expected then are not called missed."


def _downtime(told: Told) -> str:
    """How long it was down; empty where it was not, or that is not known."""
    return duration(told.at - told.down_since) if told.down_since and not _takes_back(told) else ""


def _facts(told: Told) -> tuple[tuple[str, str], ...]:
    """Label and value, in the order people ask; what is not known is left out."""
    zone = _zone(told.zone)
    since = told.at if told.kind == "monitor.down" else told.down_since
    facts = (
        (_since(told), _moment(since, zone)),
        (_until(told), _moment(told.at, zone) if told.kind in ("monitor.up", "blackout") and told.down_since else ""),
        ("Down for", _downtime(told) if told.kind == "monitor.up" else ""),
        ("Expected", clean(told.schedule, NAME_LIMIT)),
        ("Reason", clean(told.reason, NAME_LIMIT)),
        ("Why", clean(told.failure, SENTENCE_LIMIT)),
        ("Instead of", clean(told.instead_of, NAME_LIMIT)),
        ("Last success", _moment(told.last_success, zone)),
        ("Project", clean(told.project, NAME_LIMIT)),
        ("Tags", clean(", ".join(told.tags), SENTENCE_LIMIT)),
    )
    return tuple((label, value) for label, value in facts if value)


def _since(told: Told) -> str:
    if _takes_back(told):
        return "Alarm of"
    return "Since" if told.kind in ("monitor.down", "blackout") else "Down since"


def _until(told: Told) -> str:
    return "Withdrawn at" if _takes_back(told) else "Until"


def _moment(moment: datetime | None, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z") if moment else ""


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC


def _output(text: str) -> str:
    """The end of the output, where the error stands, as text with its line breaks and tabs."""
    text = text.strip().replace("\r\n", "\n")
    margin = text[-2 * OUTPUT_LIMIT :]  # a ping URL cut in two by the limit is still seen whole
    kept = SECRET.sub(r"\1\2…", "".join(c if c in "\n\t" else _seen(c) for c in margin))
    return kept if len(kept) <= OUTPUT_LIMIT else "…" + kept[1 - OUTPUT_LIMIT :]
