"""What each type of line says, as docs/events.md has it."""

from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from app.domain.alias import entry_token, job_token
from app.domain.declaration import Declaration, grace_for, read_schedule
from app.domain.facts import Word
from app.domain.message import clean
from app.domain.schedule import Declared, Every
from app.domain.state import Rule
from app.domain.sync import UNWATCHED_BY_TIME, Entry
from app.errors import Invalid, TooLarge
from app.events.batch import BEAT, WORKERS, Batch, Envelope, Heartbeat, RunSaid, SyncSaid
from app.events.fields import LONGEST_FREE, LONGEST_MONITOR, YEAR, Fields, monitor_at
from app.store.addresses import Address

SHORTEST_HEARTBEAT, LONGEST_HEARTBEAT = 1, 3600  # seconds
MOST_ENTRIES, MOST_ENTRIES_AT_ONCE = 5000, 10_000  # of an event, of a batch: to read a crontab takes its time
MOST_ACTIVE = 1000
MOST_TRIES = 1_000_000
MOST_METRICS, LONGEST_TOLD = 100, 100_000
MOST_TAGS, LONGEST_TAGS, LONGEST_DESCRIPTION = 100, 500, 10_000
WORDS = {f"run.{word}": word for word in Word}
LOST = {
    "signal": "its process was killed by a signal",
    "exit": "its process ended in the middle",
    "time_limit": "it ran over its time limit, and was killed",
}
FROM_SCHEDULERS = frozenset({"beat.up", "beat.beat", "beat.down"})
FROM_WORKERS = frozenset({"worker.up", "worker.beat", "worker.stopping", "worker.down"})


def read_envelope(given: dict[str, Any]) -> Envelope:
    """Who speaks. Raises Invalid."""
    fields = Fields(given)
    if given.get("v", 1) != 1:
        raise Invalid("v: must be 1; what comes after it is not known here yet")
    app, environment = fields.text("app", 1, 50), fields.text("environment", 0, 50)
    for name in ("host", "node"):
        fields.words(name, LONGEST_FREE)
    heartbeat = fields.number("heartbeat", SHORTEST_HEARTBEAT, LONGEST_HEARTBEAT)
    dropped = {clean(name, LONGEST_FREE): n for name, n in fields.pairs("dropped", 100).items() if isinstance(n, int) and n > 0}
    return Envelope(
        source=f"{app}@{environment}" if environment else app,
        sent_at=fields.must("sent_at"),
        environment=environment,
        sdk=fields.words("sdk", LONGEST_FREE),
        boot=fields.words("boot", LONGEST_FREE),
        heartbeat=None if heartbeat is None else timedelta(seconds=ceil(heartbeat)),
        dropped=dropped,
    )


def add_event(batch: Batch, number: int, given: dict[str, Any], now: datetime, least: timedelta) -> None:
    """Read an event into the batch. Raises Invalid for one that cannot be read; `least`: the shortest period there is."""
    fields, kind = Fields(given), given.get("type")
    if not isinstance(kind, str) or not kind:
        raise Invalid("type: is missing")
    if kind in WORDS:
        batch.said.append(_run(fields, given, WORDS[kind], batch.envelope))
    elif kind in FROM_SCHEDULERS:
        batch.said.append(_scheduler(batch, fields, kind))
    elif kind in FROM_WORKERS:
        begins, leaves = kind == "worker.up", kind == "worker.down"
        batch.said.append(Heartbeat(fields.must("ts"), WORKERS, leaves, begins, active=_active(batch, fields)))
    elif kind == "runs.alive":
        batch.said.append(Heartbeat(fields.must("ts"), "", active=_active(batch, fields)))
    elif kind == "schedule.sync":
        _sync(batch, number, fields, now, least)
    elif kind == "job.declared":
        _job(batch, fields, given, now, least)
    else:
        batch.ignored += 1


def _run(fields: Fields, given: dict[str, Any], word: Word, envelope: Envelope) -> RunSaid:
    at, error = fields.must("ts"), fields.words("error")
    if word is Word.LOST:
        error = error or LOST.get(fields.words("reason"), "")
    name, status = given.get("monitor"), fields.number("exit", 0, 255)
    return RunSaid(
        at=at,
        monitor=monitor_at(envelope.source, envelope.environment, name),
        name=str(name),
        word=word,
        id=fields.words("id", LONGEST_FREE) or str(given["ts"]),
        run_id=fields.text("run", 0 if word is Word.DISPATCH_FAILED else 1, LONGEST_FREE),
        attempt=int(fields.number("att", 0, MOST_TRIES) or 0),
        execution=fields.text("x", 0, LONGEST_FREE),
        error=error,
        note=fields.words("warning"),
        expires=fields.span("expires"),
        eta=fields.instant("eta"),
        next_due=fields.instant("next_due"),
        broker=fields.flag("broker"),
        replayed=fields.flag("replayed"),
        exit_status=None if status is None else int(status),
        told=_told(fields),
    )


def _told(fields: Fields) -> str:
    """What a run says itself: how far it is, its numbers, its words."""
    progress, metrics = fields.number("progress", 0, 1), fields.pairs("metrics", MOST_METRICS)
    parts = [] if progress is None else [f"progress {progress:.0%}"]
    parts += [f"{clean(name, LONGEST_FREE)} = {clean(str(value), LONGEST_FREE)}" for name, value in metrics.items()]
    return "\n".join(part for part in (*parts, fields.words("log", LONGEST_TOLD)) if part)


def _scheduler(batch: Batch, fields: Fields, kind: str) -> Heartbeat:
    trouble = fields.words("publish_error")
    if not trouble and fields.flag("stalled"):
        age = fields.number("last_tick_age", 0, YEAR)
        since = "" if age is None else f", and last did {int(age)} s ago"
        trouble = f"it no longer looks for what is due{since}"
    return Heartbeat(
        fields.must("ts"), BEAT, leaves=kind == "beat.down", begins=kind == "beat.up", standby=fields.flag("standby"),
        trouble=trouble, next_due=_next_due(batch, fields),
    )  # fmt: skip


def _next_due(batch: Batch, fields: Fields) -> dict[Address, datetime]:
    """Of each entry that makes sense: the heartbeat counts, whatever else it says."""
    found = {}
    for name, due in fields.pairs("next_due", MOST_ENTRIES).items():
        try:
            at = Fields({"next_due": due}).instant("next_due")
            if at is not None:
                found[monitor_at(batch.envelope.source, "", f"entry:{name}")] = at
        except Invalid as error:
            batch.warn(f"next_due of {clean(name, LONGEST_FREE)!r} is left out: {error}")
    return found


def _active(batch: Batch, fields: Fields) -> tuple[tuple[Address, str], ...]:
    """The same of each run."""
    found = []
    for item in fields.items("active", MOST_ACTIVE):
        try:
            if not isinstance(item, list) or len(item) < 2:
                raise Invalid("active: each is [monitor, run, x, age]")
            run = Fields({"run": item[1]}).text("run", 1, LONGEST_FREE)
            found.append((monitor_at(batch.envelope.source, batch.envelope.environment, item[0]), run))
        except Invalid as error:
            batch.warn(f"a run of `active` is left out: {error}")
    return tuple(found)


def _sync(batch: Batch, number: int, fields: Fields, now: datetime, least: timedelta) -> None:
    """The good entries are taken over; a bad one is an error of its own, and is not retired."""
    at, entries, only_new = fields.must("ts"), fields.items("entries", MOST_ENTRIES), fields.flag("only_new")
    if len(entries) + sum(len(sync.named) + len(sync.paused) for sync in batch.syncs) > MOST_ENTRIES_AT_ONCE:
        raise TooLarge(f"the body has more than {MOST_ENTRIES_AT_ONCE} entries of schedules: halve the batch")
    whole = fields.flag("reconcile") and not only_new
    if whole and not entries:
        batch.warn("schedule.sync: an empty schedule retires nothing: a broken deploy looks just like it")
    sync = SyncSaid(at, whole and bool(entries), only_new)
    for item in entries:
        given = item.get("name") if isinstance(item, dict) else None
        try:
            name = Fields({"name": given}).text("name", 1, LONGEST_MONITOR)
            token = entry_token(batch.envelope.source, name)
            if token in sync.named or token in sync.paused:
                raise Invalid("it is there twice, and the first counts")
            if Fields(item).flag("paused"):
                sync.paused.add(token)
                continue
            sync.named.add(token)
            entry, due = _entry(item, name, f"celery:{batch.envelope.source}", now, least)
            sync.items[token] = entry
            sync.dues |= {} if due is None else {token: due}
        except Invalid as error:
            sync.retires = sync.retires and isinstance(given, str)  # one without a name may be any
            batch.refuse(number, f"entry {clean(str(given), LONGEST_FREE)!r}: {error}")
    batch.syncs.append(sync)


def _job(batch: Batch, fields: Fields, given: dict[str, Any], now: datetime, least: timedelta) -> None:
    """A plain program says when one job is due. It is nobody's entry: no sync retires it."""
    at, name = fields.must("ts"), fields.text("name", 1, LONGEST_MONITOR)
    token = job_token(batch.envelope.environment, name)
    try:
        entry, due = _entry(given, name, "", now, least)
    except Invalid as error:
        raise Invalid(f"job {clean(name, LONGEST_FREE)!r}: {error}") from None
    schedule = entry.rule.schedule
    forgets = isinstance(schedule, Declared) and schedule.due is None
    entry = replace(entry, rule=replace(entry.rule, dispatched=False), forgets=forgets)
    batch.syncs.append(SyncSaid(at, False, False, {token: entry}, {token}, dues={} if due is None else {token: due}, job=token))


def _entry(item: dict[str, Any], name: str, source: str, now: datetime, least: timedelta) -> tuple[Entry, datetime | None]:
    """The entry; of an interval also when its scheduler says that it is next, where it says so."""
    fields, due = Fields(item), None
    schedule = read_schedule(fields.pairs("schedule", 20), now)
    if isinstance(schedule, Every):
        due = Fields(item["schedule"]).instant("next_due")
        schedule = Every(max(schedule.period, least))
    words = [clean(tag, LONGEST_FREE) for tag in fields.items("tags", MOST_TAGS) if isinstance(tag, str)]
    spans = {"grace": fields.span("grace"), "max_runtime": fields.span("max_runtime"), "max_wait": fields.span("max_wait")}
    said = {field for field, span in spans.items() if span is not None}
    said |= {field for field in ("tags", "description") if item.get(field) is not None}
    declaration = Declaration(
        schedule=schedule, grace=grace_for(schedule, now) if spans["grace"] is None else spans["grace"],
        max_runtime=spans["max_runtime"], max_wait=spans["max_wait"],
    )  # fmt: skip
    rule = declaration.rule_after(Rule(UNWATCHED_BY_TIME.schedule, UNWATCHED_BY_TIME.grace, dispatched=True), now, least)
    text = fields.words("description", LONGEST_DESCRIPTION)
    return Entry(name, rule, source, " ".join(words)[:LONGEST_TAGS], text, frozenset(said)), due
