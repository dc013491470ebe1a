"""Channels as the API and the pages change them: settings checked and sealed, each change noted in the log. Nothing here
commits."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.audit_action import AuditAction
from app.store import audit_entries, channels
from app.store.audit_entries import Actor, Entry
from app.store.tables import ChannelRow
from app.web import Shared

HEARS = ("all", "down", "up")
UNLIMITED = {"hears": "all", "tags": "", "hours": None}
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a channel is to be. `limits`: columns hears, tags, hours, those that are given. `own`: the settings of its kind, which
    replace all that it had; None leaves them. `renew`: with another signing secret, while the one in use signs beside it."""

    name: str | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] | None = None
    renew: bool = False


async def make(
    session: AsyncSession, house: Shared, actor: Actor, project: UUID, kind: str, wanted: Wanted, now: datetime
) -> tuple[ChannelRow, str]:
    """A new one, and its signing secret where one was made for it, else nothing. Raises Invalid naming the field."""
    own = wanted.own or {}
    settings, secrets = house.check_channel(kind, own)
    row: dict[str, Any] = {
        "project_id": project, "id": uuid4(), "kind": kind, "name": wanted.name or "", "settings": settings,
        "created_at": now, **UNLIMITED, **wanted.limits,
    }  # fmt: skip
    row["secret"] = _sealed(house, project, row["id"], secrets)
    await channels.add(session, row)
    made = ChannelRow(**row)
    await _log(session, actor, AuditAction.CHANNEL_CREATED, made, now)
    return made, "" if own.get("secret") else secrets.get("secret", "")


async def change(session: AsyncSession, house: Shared, actor: Actor, row: ChannelRow, wanted: Wanted, now: datetime) -> str:
    """Change a locked one to what is given; returns its new signing secret where one was made. The secret in use stays where no
    other is given. The channel is in use again, if it was disabled or left alone. Raises Invalid naming the field."""
    columns: dict[str, Any] = {**({} if wanted.name is None else {"name": wanted.name}), **wanted.limits}
    made = ""
    if wanted.own is not None:
        own, in_use = dict(wanted.own), kept_by(house, row).get("secret", "")
        if wanted.renew:
            own |= {"secret": "", "secret_before": in_use}
        elif in_use and not own.get("secret"):
            own["secret"] = in_use
        settings, secrets = house.check_channel(row.kind, own)
        columns |= {"settings": settings, "secret": _sealed(house, row.project_id, row.id, secrets)}
        made = "" if own.get("secret") else secrets.get("secret", "")
    changed = sorted(name for name, value in columns.items() if value != getattr(row, name))
    await channels.edit(session, row.project_id, row.id, columns)
    await _log(session, actor, AuditAction.CHANNEL_CHANGED, row, now, changed)
    return made


async def remove(session: AsyncSession, actor: Actor, project: UUID, channel: UUID, now: datetime) -> ChannelRow:
    """Delete one for good; returns what it was. Raises NotFound."""
    row = await channels.get(session, project, channel)
    await channels.remove(session, project, row.id, now)
    await _log(session, actor, AuditAction.CHANNEL_DELETED, row, now)
    return row


def kept_by(house: Shared, row: ChannelRow) -> dict[str, Any]:
    """The settings of its kind as they would be given anew, secrets and all. For changing a part of them: never to be shown."""
    secrets = {} if row.secret is None else house.vault.open(row.project_id, row.id, row.secret)
    own: dict[str, Any] = {name: value for name, value in row.settings.items() if name != "host"} | secrets
    if "headers" in secrets:
        own["headers"] = json.loads(secrets["headers"])
    return own


async def _log(
    session: AsyncSession, actor: Actor, action: AuditAction, row: ChannelRow, now: datetime, changed: Sequence[str] = ()
) -> None:
    """Which parts were changed, never to what: settings may be secrets."""
    details = {"channel": str(row.id), **({"changed": list(changed)} if changed else {})}
    await audit_entries.write(session, actor, Entry(action, f"{row.kind} {row.name}".strip(), row.project_id, details), now)


def _sealed(house: Shared, project: UUID, channel: UUID, secrets: dict[str, str]) -> bytes | None:
    return house.vault.seal(project, channel, secrets) if secrets else None
