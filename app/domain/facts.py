"""What was heard of one run that its own program reports: facts that only ever add up, so that it does not matter in which order,
how late or how often they come. What follows for its monitor stands in `reported.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from app.domain.run import Phase

MOST_TRIES = 20
MOST_EXECUTIONS = 20
MOST_NOTED = 100
LOOPS = 3  # executions of one try that never came to an end


class Word(StrEnum):
    """What is said of a run. Source: docs/events.md."""

    DISPATCHED = "dispatched"
    DISPATCH_FAILED = "dispatch_failed"
    STARTED = "started"
    RETRY = "retry"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    LOST = "lost"
    REJECTED = "rejected"
    UNKNOWN_TASK = "unknown_task"
    EXPIRED = "expired"
    REVOKED = "revoked"
    IGNORED = "ignored"
    LOG = "log"


FIRM = {Word.SUCCEEDED: 0, Word.REVOKED: 1, Word.FAILED: 2}  # these outweigh everything else of their try, the first the others
OWN = frozenset({Word.SUCCEEDED, Word.FAILED, Word.RETRY, Word.IGNORED, Word.REJECTED, Word.ABORTED})
"""Ends that the executing process itself reports, where it says which execution it was."""
GOOD = frozenset({Word.SUCCEEDED, Word.IGNORED})


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One thing said of a run. `at`: when it happened, by our clock, never later than received. `until`: of a dispatch when it
    expires in the queue, of a retry when it is to begin. Not `is_dated`: it is old, and the clock that dated it was wrong."""

    word: Word
    at: datetime
    run_id: str
    attempt: int = 0
    execution: str = ""
    error: str = ""
    until: datetime | None = None
    is_dated: bool = True


@dataclass(frozen=True, slots=True)
class End:
    """How an execution or a try ended, in the words of who said so."""

    word: Word
    at: datetime
    error: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """One time that a try was begun. Either part may be unheard of yet."""

    start: datetime | None = None
    end: End | None = None

    @property
    def began(self) -> datetime | None:
        """When it started, as far as is known."""
        return self.start if self.start is not None else self.end.at if self.end is not None else None


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt: its executions by their names, and how it ended by the word of others."""

    executions: Mapping[str, Execution] = field(default_factory=dict)
    told: End | None = None


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a run stands by all that was heard of it. `since` is when that began; `until` a limit that was said with it;
    `started_at` the start of the try; `looping`: it was begun again and again, and nobody said how any of it ended."""

    phase: Phase
    since: datetime | None = None
    until: datetime | None = None
    end: End | None = None
    attempt: int = 0
    started_at: datetime | None = None
    looping: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was heard of a run. `key`, `at`: the number and the instant of its row in `runs`, once it has one; `counted`: the
    end that its monitor counted last; `noted`: the ids of the newest words for its log."""

    key: int | None = None
    at: datetime | None = None
    dispatched: datetime | None = None
    expires: datetime | None = None
    tries: Mapping[int, Try] = field(default_factory=dict)
    counted: str | None = None
    looped: bool = False
    noted: tuple[str, ...] = ()

    def note(self, id_: str) -> Self:
        """With words for the log that came under this id."""
        return replace(self, noted=(*self.noted, id_)[-MOST_NOTED:])

    def heard(self, event: RunEvent) -> Self:
        """With this event; equal to what was there where it says nothing new."""
        if event.word is Word.DISPATCHED:
            if self.dispatched is not None and self.dispatched <= event.at:
                return self
            return replace(self, dispatched=event.at, expires=event.until)
        if event.attempt not in self.tries and len(self.tries) >= MOST_TRIES and event.attempt < min(self.tries):
            return self
        tries = {**self.tries, event.attempt: _add(self.tries.get(event.attempt, Try()), event)}
        kept = sorted(tries)[-MOST_TRIES:]
        return replace(self, tries={attempt: tries[attempt] for attempt in kept})

    def stand(self) -> Stand:
        """The run is what its highest try is."""
        if self.tries:
            attempt = max(self.tries)
            return _stand_of(self.tries[attempt], attempt)
        if self.dispatched is not None:
            return Stand(Phase.QUEUED, self.dispatched, self.expires)
        return Stand(Phase.NOTHING)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dumps`."""
        tries = {
            str(n): [{x: [_text(e.start), _end_out(e.end)] for x, e in one.executions.items()}, _end_out(one.told)]
            for n, one in self.tries.items()
        }
        return {
            "key": self.key, "at": _text(self.at), "dispatched": _text(self.dispatched), "expires": _text(self.expires),
            "tries": tries, "counted": self.counted, "looped": self.looped,
            "noted": list(self.noted),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` made."""
        tries = {
            int(n): Try({x: Execution(_at(e[0]), _end_in(e[1])) for x, e in one[0].items()}, _end_in(one[1]))
            for n, one in data.get("tries", {}).items()
        }
        return cls(
            data.get("key"), _at(data.get("at")), _at(data.get("dispatched")), _at(data.get("expires")), tries,
            data.get("counted"), bool(data.get("looped")), tuple(data.get("noted", ())),
        )  # fmt: skip


def _add(one: Try, event: RunEvent) -> Try:
    """A try with one more word of it."""
    if event.word is not Word.STARTED and (event.word not in OWN or not event.execution):
        return replace(one, told=_first(one.told, _end(event)))
    before = one.executions.get(event.execution, Execution())
    if event.word is Word.STARTED:
        after = replace(before, start=event.at if before.start is None else min(before.start, event.at))
    else:
        after = replace(before, end=_first(before.end, _end(event)))
    executions = {**one.executions, event.execution: after}
    kept = sorted(executions, key=lambda x: _age(x, executions[x]))[-MOST_EXECUTIONS:]
    return replace(one, executions={x: executions[x] for x in sorted(kept)})


def _end(event: RunEvent) -> End:
    return End(event.word, event.at, event.error, event.until)


def _first(one: End | None, other: End) -> End:
    """What outweighs the other; of equals the earlier, and what then comes first by its words: the same in whatever order."""
    return other if one is None else min(one, other, key=lambda end: (*_weight(end), end.at, end.word, end.error))


def _weight(end: End) -> tuple[int, int]:
    return (FIRM.get(end.word, len(FIRM)), 1 if end.word in (Word.RETRY, Word.ABORTED) else 0)


def _age(name: str, execution: Execution) -> tuple[float, str]:
    return (execution.began.timestamp() if execution.began is not None else 0.0, name)


def _stand_of(one: Try, attempt: int) -> Stand:
    """A firm end of any execution, or a revocation, is the end of the try; else its newest execution speaks, unless it said less
    than others say of it."""
    newest = max(one.executions.items(), key=lambda item: _age(*item), default=("", Execution()))[1]
    started_at = newest.start
    firm = [e.end for e in one.executions.values() if e.end is not None and e.end.word in FIRM]
    if one.told is not None and one.told.word in FIRM:
        firm.append(one.told)
    if firm:
        end = min(firm, key=lambda e: (*_weight(e), e.at, e.error))
        whose = next((e.start for e in one.executions.values() if e.end == end), started_at)
        return Stand(Phase.ENDED, end.at, None, end, attempt, whose)
    end_of_newest = newest.end
    told = one.told if one.told is not None and (newest.start is None or one.told.at >= newest.start) else None
    if told is not None and (end_of_newest is None or end_of_newest.word is Word.ABORTED):
        end_of_newest = told
    if end_of_newest is None:
        looping = sum(e.end is None for e in one.executions.values()) > LOOPS
        return Stand(Phase.RUNNING, started_at, None, None, attempt, started_at, looping)
    phase = Phase.RETRYING if end_of_newest.word is Word.RETRY else Phase.ENDED
    return Stand(phase, end_of_newest.at, end_of_newest.until, end_of_newest, attempt, started_at)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _at(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _end_out(end: End | None) -> list[str | None] | None:
    return None if end is None else [str(end.word), _text(end.at), end.error, _text(end.until)]


def _end_in(data: Any) -> End | None:
    return None if data is None else End(Word(data[0]), datetime.fromisoformat(data[1]), data[2], _at(data[3]))
