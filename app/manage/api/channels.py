"""Channels: listed, made, edited, deleted, tested, and what was sent through them. Secrets go in and never come out again, but
for a signing secret that was made here: it is shown once."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import monotonic
from app.domain.audit_action import AuditAction
from app.errors import Invalid
from app.manage import actions
from app.manage.acting import Program
from app.manage.api.delivery_shape import shape as delivery_shape
from app.manage.api.described import body
from app.manage.api.described.channels import (
    EXAMPLE,
    EXAMPLE_EDIT,
    Channel,
    ChannelBody,
    ChannelEdit,
    Channels,
    NewChannel,
    Tested,
)
from app.manage.api.described.incidents import Deliveries
from app.manage.api.given import Fields
from app.manage.api.wire import ChannelId, id_of, instant
from app.store import audit_entries, blackouts, channels
from app.store.audit_entries import Actor, Entry
from app.store.tables import ChannelRow, DeliveryRow
from app.web import Given, House, Now, Session, Shared, Writer, caller_of, transaction, writer_of

routes = APIRouter(tags=["channels"])

OURS = ("kind", "name", "hears", "api_key")  # what is not a setting of the kind
HEARS = ("all", "down", "up")
LONGEST_NAME = 100
LAST_DELIVERIES = 20
PATIENCE = 25.0  # seconds
LOOK_EVERY = 0.1


@routes.get("/channels", response_model=Channels)
async def list_channels(caller: Writer, session: Session) -> JSONResponse:
    """All channels of the project, oldest first."""
    return JSONResponse({"channels": [shape(row) for row in await channels.listed(session, caller.project)]})


@routes.post("/channels", status_code=201, response_model=NewChannel, openapi_extra=body(ChannelBody, EXAMPLE, required=True))
async def create_channel(caller: Writer, actor: Program, session: Session, house: House, given: Given, now: Now) -> JSONResponse:
    """Make a channel: `kind`, `name`, and the settings of its kind. A signing secret made here is shown this once."""
    fields, own = Fields(given), _settings(given)
    kind = fields.line("kind", LONGEST_NAME)
    if kind is None:
        raise Invalid("kind: say which kind of channel it is to be")
    name, hears = fields.line("name", LONGEST_NAME) or "", fields.choice("hears", HEARS) or "all"
    settings, secrets = house.check_channel(kind, own)
    row: dict[str, Any] = {
        "project_id": caller.project, "id": uuid4(), "kind": kind, "name": name, "settings": settings, "hears": hears,
        "created_at": now,
    }  # fmt: skip
    row["secret"] = _sealed(house, caller.project, row["id"], secrets)
    await channels.add(session, row)
    await _log(session, actor, AuditAction.CHANNEL_CREATED, ChannelRow(**row), now)
    made = {"secret": secrets["secret"]} if "secret" in secrets and not own.get("secret") else {}
    return JSONResponse(shape(ChannelRow(**row)) | made, 201)


@routes.get("/channels/{channel}", response_model=Channel)
async def get_channel(channel: ChannelId, caller: Writer, session: Session) -> JSONResponse:
    """One channel, without its secrets."""
    return JSONResponse(shape(await channels.get(session, caller.project, id_of(channel))))


@routes.post("/channels/{channel}", response_model=Channel, openapi_extra=body(ChannelEdit, EXAMPLE_EDIT))
async def edit_channel(
    channel: ChannelId, caller: Writer, actor: Program, session: Session, house: House, given: Given, now: Now
) -> JSONResponse:
    """Change name or `hears`, or replace the settings of its kind as a whole (a webhook's signing secret stays unless another
    is given). A channel that was disabled is in use again."""
    row = await channels.get(session, caller.project, id_of(channel), lock=True)
    fields, own = Fields(given), _settings(given)
    if fields.has("kind") and given["kind"] != row.kind:
        raise Invalid("kind: this cannot be changed; make another channel")
    said = {"name": fields.line("name", LONGEST_NAME), "hears": fields.choice("hears", HEARS)}
    columns: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    if own:
        columns |= _replaced(house, row, own)
    await channels.edit(session, row.project_id, row.id, columns)
    await _log(session, actor, AuditAction.CHANNEL_CHANGED, row, now, sorted(columns))
    return JSONResponse(shape(await channels.get(session, row.project_id, row.id)))


@routes.delete("/channels/{channel}", response_model=Channel)
async def delete_channel(channel: ChannelId, caller: Writer, actor: Program, session: Session, now: Now) -> JSONResponse:
    """Delete a channel for good; what waits for it is not told through it any more. Answers with what it was."""
    row = await channels.get(session, caller.project, id_of(channel))
    await channels.remove(session, caller.project, row.id, now)
    await _log(session, actor, AuditAction.CHANNEL_DELETED, row, now)
    return JSONResponse(shape(row))


@routes.post(
    "/channels/{channel}/test",
    response_model=Tested,
    responses={
        502: {"model": Tested, "description": "The receiver did not take it"},
        504: {"model": Tested, "description": "No worker sent it in time"},
    },
)
async def send_test(
    channel: ChannelId,
    request: Request,
    house: House,
    given: Given,
    wait: Annotated[float, Query(description="Seconds to wait for the outcome", ge=0, le=PATIENCE)] = PATIENCE,
) -> JSONResponse:
    """Send a test message and answer with what the receiver said: 200 when it was delivered, 502 when it was not, 504 when no
    worker sent it in time. No database connection is held while it waits."""
    async with transaction(house) as session:
        caller = writer_of(await caller_of(request, session, given))
        row = await channels.get(session, caller.project, id_of(channel))
        delivery = await actions.put_test(session, row, await blackouts.now(session))
    sent = await _settled(house, caller.project, delivery, monotonic() + wait)
    if sent.settled_at is None:
        return JSONResponse({"error": "no worker has sent it yet", "id": str(delivery), "state": sent.state}, 504)
    answer = {"id": str(delivery), "state": sent.state, "answer": sent.reason}
    return JSONResponse(answer, 200) if sent.state == "delivered" else JSONResponse({"error": "not delivered", **answer}, 502)


@routes.get("/channels/{channel}/deliveries", response_model=Deliveries)
async def list_channel_deliveries(channel: ChannelId, caller: Writer, session: Session) -> JSONResponse:
    """The last 20 messages to this channel, newest first, each with what the receiver answered."""
    row = await channels.get(session, caller.project, id_of(channel))
    sent = await channels.deliveries(session, caller.project, row.id, LAST_DELIVERIES)
    return JSONResponse({"deliveries": [delivery_shape(delivery, row.name) for delivery in sent]})


def shape(row: ChannelRow) -> dict[str, Any]:
    """A channel as the API shows it: Healthchecks' three fields, ours, and the settings that are no secrets."""
    return {
        "id": str(row.id), "name": row.name, "kind": row.kind, "hears": row.hears, "disabled": row.disabled_at is not None,
        "why": row.disabled_why, "created_at": instant(row.created_at), "failing_since": instant(row.failing_since),
        "breaker": "closed" if row.open_until is None else "open", "next_try": instant(row.open_until), **row.settings,
    }  # fmt: skip


async def _log(
    session: AsyncSession, actor: Actor, action: AuditAction, row: ChannelRow, now: datetime, changed: Sequence[str] = ()
) -> None:
    """Which parts were changed, never to what: settings may be secrets."""
    details = {"channel": str(row.id), **({"changed": list(changed)} if changed else {})}
    await audit_entries.write(session, actor, Entry(action, f"{row.kind} {row.name}".strip(), row.project_id, details), now)


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """What is left for the kind, which refuses what it does not know."""
    return {name: value for name, value in given.items() if name not in OURS}


def _replaced(house: Shared, row: ChannelRow, own: dict[str, Any]) -> dict[str, Any]:
    """New settings as columns; the signing secret in use stays where no other is given."""
    kept = {} if row.secret is None else house.vault.open(row.project_id, row.id, row.secret)
    if kept.get("secret") and not own.get("secret"):
        own = {**own, "secret": kept["secret"]}
    settings, secrets = house.check_channel(row.kind, own)
    return {"settings": settings, "secret": _sealed(house, row.project_id, row.id, secrets)}


def _sealed(house: Shared, project: UUID, channel: UUID, secrets: dict[str, str]) -> bytes | None:
    return house.vault.seal(project, channel, secrets) if secrets else None


async def _settled(house: Shared, project: UUID, delivery: UUID, until: float) -> DeliveryRow:
    """The delivery once it is settled, or as it is when the time is over."""
    while True:
        async with transaction(house) as session:
            row, _ = await channels.delivery(session, project, delivery)
        if row.settled_at is not None or monotonic() >= until:
            return row
        await asyncio.sleep(LOOK_EVERY)
