"""What can be done on purpose: a monitor made, edited, paused, resumed, deleted, and a channel tested. What is done to a
monitor takes the row lock, decides in the domain and writes like a check-in does, for all of it moves the deadline. Nothing
here commits."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.attempt import TESTS
from app.domain.audit_action import AuditAction
from app.domain.message import Told
from app.domain.monitor import on_edit, on_expect_first, on_pause, on_resume
from app.domain.state import Rule, Status
from app.domain.tokens import unique_key
from app.errors import Invalid, OverLimit, TooMany
from app.store import accounts, addresses, attempts, audit_entries, blackouts, decisions, monitors, outbox, pauses
from app.store.addresses import Alias
from app.store.audit_entries import Actor, Entry
from app.store.rows import Locked, rule_columns
from app.store.tables import ChannelRow


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a monitor is to be. `names`: columns name, slug, tags, description, methods, filters, zone; None leaves a part as it
    is."""

    names: dict[str, Any] = field(default_factory=dict)
    rule: Rule | None = None
    channels: list[UUID] | None = None
    expect_first: bool = False
    aliases: list[Alias] | None = None


async def create(session: AsyncSession, project: UUID, wanted: Wanted, rule: Rule, margin: timedelta) -> UUID:
    """A new monitor; with `expect_first` its first check-in is expected from now on. Raises Invalid for a slug or an alias that
    is taken, OverLimit where the project is full."""
    if not await accounts.has_room(session, project):
        raise OverLimit("the project has as many checks as its plan allows")
    monitor = uuid4()
    moment = await blackouts.moment(session, margin)
    try:
        await monitors.create(session, project, monitor, rule, moment.now, wanted.names)
    except IntegrityError as error:
        raise _taken(error) from None
    await monitors.subscribe(session, project, monitor, wanted.channels or [])
    if wanted.aliases:
        await _set_aliases(session, project, monitor, wanted.aliases)
    if wanted.expect_first:
        row = await monitors.lock_one(session, project, monitor)
        await decisions.write(session, moment.now, [(row, on_expect_first(row.monitor, moment.now, moment.horizon))])
    return monitor


async def edit(session: AsyncSession, project: UUID, monitor: UUID, wanted: Wanted, margin: timedelta) -> None:
    """Change what is given. Raises NotFound, or Invalid for a slug or an alias that is taken."""
    moment = await blackouts.moment(session, margin)
    row = await monitors.lock_one(session, project, monitor)
    columns = dict(wanted.names)
    made = []
    if wanted.rule is not None:
        made.append((row, on_edit(row.monitor, wanted.rule, moment.now, moment.horizon)))
        row.monitor = made[-1][1].monitor
        columns |= rule_columns(wanted.rule)
    if wanted.expect_first:
        made.append((row, on_expect_first(row.monitor, moment.now, moment.horizon)))
    try:
        await monitors.edit(session, project, monitor, columns)
    except IntegrityError as error:
        raise _taken(error) from None
    await decisions.write(session, moment.now, made)
    if wanted.channels is not None:
        await monitors.subscribe(session, project, monitor, wanted.channels)
    if wanted.aliases is not None:
        await _set_aliases(session, project, monitor, wanted.aliases)


async def pause(session: AsyncSession, project: UUID, monitor: UUID, margin: timedelta, actor: Actor) -> None:
    """Nothing is expected of it any more; what waits to be told of it is not told, but the members are told that it was paused.
    Pausing twice is pausing once."""
    moment = await blackouts.moment(session, margin)
    row = await monitors.lock_one(session, project, monitor)
    if row.monitor.status is not Status.PAUSED:
        await pauses.note(session, project, [row.name], actor.words, moment.now)
        await _log(session, actor, AuditAction.MONITOR_PAUSED, row, moment.now)
    await decisions.write(session, moment.now, [(row, on_pause(row.monitor, moment.now, moment.horizon))])
    await monitors.edit(session, project, monitor, {"retired_at": None})  # from now on it is a person's


async def resume(session: AsyncSession, project: UUID, monitor: UUID, margin: timedelta, actor: Actor) -> None:
    """A paused monitor is new again, armed from now if it was ever heard. Raises Conflict for one that is not paused."""
    moment = await blackouts.moment(session, margin)
    row = await monitors.lock_one(session, project, monitor)
    await decisions.write(session, moment.now, [(row, on_resume(row.monitor, moment.now, moment.horizon))])
    await _log(session, actor, AuditAction.MONITOR_RESUMED, row, moment.now)
    await monitors.edit(session, project, monitor, {"retired_at": None})


async def remove(session: AsyncSession, project: UUID, monitor: UUID, margin: timedelta, actor: Actor) -> None:
    """Delete it: its incident closes, nothing more is told of it. Raises NotFound."""
    moment = await blackouts.moment(session, margin)
    row = await monitors.lock_one(session, project, monitor)
    await decisions.close_for_good(session, row, moment.now)
    await monitors.remove(session, project, monitor, moment.now)
    await _log(session, actor, AuditAction.MONITOR_DELETED, row, moment.now)


async def put_test(session: AsyncSession, channel: ChannelRow, now: datetime) -> UUID:
    """A test message for a channel, told once and never again; returns its delivery. Raises TooMany."""
    try:
        await attempts.count(session, TESTS, str(channel.id), now)
    except TooMany as error:
        raise TooMany(f"that is enough of tests for now; send the next in {error.retry_after} s", error.retry_after) from None
    delivery = uuid4()
    project = await accounts.project(session, channel.project_id)
    told = Told(kind="test", at=now, project=project.name, channel=channel.name)
    row = {
        "project_id": channel.project_id, "id": delivery, "channel_id": channel.id, "cause_kind": "test",
        "cause_id": str(delivery), "told": told.to_json(), "due_at": now, "created_at": now,
    }  # fmt: skip
    await outbox.put(session, [row])
    return delivery


async def _log(session: AsyncSession, actor: Actor, action: AuditAction, row: Locked, now: datetime) -> None:
    entry = Entry(action, row.name, row.project_id, {"monitor": unique_key(row.id)})  # its id would open its ping URL
    await audit_entries.write(session, actor, entry, now)


async def _set_aliases(session: AsyncSession, project: UUID, monitor: UUID, aliases: list[Alias]) -> None:
    if not await addresses.set_aliases(session, project, monitor, aliases):
        raise Invalid("json validation error: an item in 'aliases' is taken by another check")


def _taken(error: IntegrityError) -> Exception:
    if "monitors_slug" in str(error.orig):
        return Invalid("json validation error: slug is taken by another check of this project")
    return error
