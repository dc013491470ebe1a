"""Channels: listed, made, edited, deleted, tested, and what was sent through them. Secrets go in and never come out again, but
for a signing secret that was made here: it is shown once."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from app.clock import monotonic
from app.errors import Invalid
from app.manage import actions
from app.manage.acting import Program
from app.manage.api import channel_limits
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
from app.manage.api.wire import ChannelId, Problem, id_of, instant
from app.manage.channel import LONGEST_NAME, Wanted, change, make, remove
from app.store import blackouts, channels
from app.store.channels import Sent
from app.store.tables import ChannelRow, DeliveryRow
from app.web import Given, House, Now, Session, Shared, Writer, caller_of, transaction, writer_of

routes = APIRouter(tags=["channels"])

OURS = ("kind", "name", *channel_limits.NAMES, "api_key")  # what is not a setting of the kind
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
    wanted = Wanted(fields.line("name", LONGEST_NAME) or "", channel_limits.given(fields, given), own)
    row, secret = await make(session, house, actor, caller.project, kind, wanted, now)
    return JSONResponse(shape(row) | ({"secret": secret} if secret else {}), 201)


@routes.get("/channels/{channel}", response_model=Channel)
async def get_channel(channel: ChannelId, caller: Writer, session: Session) -> JSONResponse:
    """One channel, without its secrets."""
    return JSONResponse(shape(await channels.get(session, caller.project, id_of(channel))))


@routes.post("/channels/{channel}", response_model=Channel, openapi_extra=body(ChannelEdit, EXAMPLE_EDIT))
async def edit_channel(
    channel: ChannelId, caller: Writer, actor: Program, session: Session, house: House, given: Given, now: Now
) -> JSONResponse:
    """Change the name or a limit (`hears`, `tags`, `hours`), or replace the settings of its kind as a whole (a webhook's signing
    secret stays unless another is given). A channel that was disabled is in use again."""
    row = await channels.get(session, caller.project, id_of(channel), lock=True)
    fields, own = Fields(given), _settings(given)
    if fields.has("kind") and given["kind"] != row.kind:
        raise Invalid("kind: this cannot be changed; make another channel")
    wanted = Wanted(fields.line("name", LONGEST_NAME), channel_limits.given(fields, given), own or None)
    await change(session, house, actor, row, wanted, now)
    return JSONResponse(shape(await channels.get(session, row.project_id, row.id)))


@routes.delete("/channels/{channel}", response_model=Channel)
async def delete_channel(channel: ChannelId, caller: Writer, actor: Program, session: Session, now: Now) -> JSONResponse:
    """Delete a channel for good; what waits for it is not told through it any more. Answers with what it was."""
    return JSONResponse(shape(await remove(session, actor, caller.project, id_of(channel), now)))


@routes.post(
    "/channels/{channel}/test",
    response_model=Tested,
    responses={
        429: {"model": Problem, "description": "Ten tests at once are enough, and then one each 30 s; see `Retry-After`"},
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
    return JSONResponse({"deliveries": [delivery_shape(Sent(one, row.name, row.closed_until)) for one in sent]})


def shape(row: ChannelRow) -> dict[str, Any]:
    """A channel as the API shows it: Healthchecks' three fields, ours, and the settings that are no secrets."""
    return {
        "id": str(row.id), "name": row.name, "kind": row.kind, **channel_limits.shown(row),
        "disabled": row.disabled_at is not None, "why": row.disabled_why, "created_at": instant(row.created_at),
        "failing_since": instant(row.failing_since),
        "breaker": "closed" if row.open_until is None else "open", "next_try": instant(row.open_until), **row.settings,
    }  # fmt: skip


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """What is left for the kind, which refuses what it does not know."""
    return {name: value for name, value in given.items() if name not in OURS}


async def _settled(house: Shared, project: UUID, delivery: UUID, until: float) -> DeliveryRow:
    """The delivery once it is settled, or as it is when the time is over."""
    while True:
        async with transaction(house) as session:
            row = (await channels.delivery(session, project, delivery)).row
        if row.settled_at is not None or monotonic() >= until:
            return row
        await asyncio.sleep(LOOK_EVERY)
