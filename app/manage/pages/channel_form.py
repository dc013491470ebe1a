"""Making a channel and changing it: a form for each kind. Secrets go in and are never shown again, but for a signing secret that
was made here, once; whoever does it proved within ten minutes who they are."""

from typing import Any
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.role import Action
from app.errors import Invalid
from app.manage.access import Member, PageRoutes
from app.manage.acting import Person
from app.manage.api.wire import id_of
from app.manage.channel import LONGEST_NAME, Wanted, change, kept_by, make
from app.manage.pages import channel_limits
from app.manage.pages.account import zones
from app.manage.pages.channels import HEARS, KINDS, way
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, render, sentence
from app.manage.pages.when import When
from app.store import blackouts, channels, monitors
from app.store.memberships import Membership
from app.store.tables import ChannelRow
from app.visitor import Fresh
from app.web import House, Now, Session

pages = PageRoutes()

LONGEST_URL, LONGEST_ADDRESS = 2_000, 254
METHODS = ("POST", "PUT", "PATCH", "GET")
PLACEHOLDERS = ("$NAME", "$STATUS", "$SLUG", "$TAGS", "$SINCE", "$REASON", "$EXPLAIN", "$NOW")
FIELDS = ("name", "hears", "address", "url", "method", "headers", "body_down", "body_up", "secret")
SECRETS = ("headers", "body_down", "body_up", "secret_before")  # which may be taken away


@pages.get("/projects/{project}/channels/new", Action.EDIT_CHANNELS)
async def new_channel(request: Request, member: Member, visitor: Fresh, session: Session) -> Response:
    """The form for one, of the kind that the URL names."""
    kind = request.query_params.get("kind", "email")
    return await _form(request, session, member, Form(), kind if kind in KINDS else "email")


@pages.post("/projects/{project}/channels", Action.EDIT_CHANNELS)
async def make_channel(
    request: Request, form: Sent, member: Member, visitor: Fresh, actor: Person, session: Session, house: House, now: Now
) -> Response:
    """Make it. A signing secret that was made for it is shown this once."""
    kind = form.text("kind")
    if kind not in KINDS:
        form.refuse("all", "Choose a kind of channel.")
        return await _form(request, session, member, form, "email", status=400)
    wanted = _wanted(form, kind, {})
    try:
        if form.is_fine:
            row, secret = await make(session, house, actor, member.project, kind, wanted, now)
    except Invalid as error:
        _refuse(form, error)
    if not form.is_fine:
        return await _form(request, session, member, form, kind, status=400)
    if form.several("everything"):
        await session.flush()
        await channels.hear_of_all(session, member.project, row.id)
    return _done(request, member, row.id, secret)


@pages.get("/projects/{project}/channels/{channel}/edit", Action.EDIT_CHANNELS)
async def edit_page(request: Request, channel: str, member: Member, visitor: Fresh, session: Session, house: House) -> Response:
    """The form with what is no secret filled in."""
    row = await channels.get(session, member.project, id_of(channel))
    return await _form(request, session, member, Form(), row.kind, row, kept_by(house, row))


@pages.post("/projects/{project}/channels/{channel}/edit", Action.EDIT_CHANNELS)
async def edit(
    request: Request, channel: str, form: Sent, member: Member, visitor: Fresh, actor: Person, session: Session, house: House,
    now: Now,
) -> Response:  # fmt: skip
    """Change it: a secret that is left empty stays."""
    row = await channels.get(session, member.project, id_of(channel), lock=True)
    kept = kept_by(house, row)
    wanted, secret = _wanted(form, row.kind, kept), ""
    try:
        if form.is_fine:
            secret = await change(session, house, actor, row, wanted, now)
    except Invalid as error:
        _refuse(form, error)
    if not form.is_fine:
        return await _form(request, session, member, form, row.kind, row, kept, 400)
    return _done(request, member, row.id, secret)


def _wanted(form: Form, kind: str, kept: dict[str, Any]) -> Wanted:
    """What the form says, on top of what is kept."""
    name, limits = form.text("name", LONGEST_NAME), channel_limits.read(form)
    if not name.isprintable():
        form.refuse("name", "leave out the character that cannot be shown")
    return Wanted(name, limits, _own(form, kind, kept), renew=kind == "webhook" and bool(form.several("renew")) and bool(kept))


def _own(form: Form, kind: str, kept: dict[str, Any]) -> dict[str, Any]:
    """The settings of its kind."""
    if kind == "email":
        return {"address": form.text("address", LONGEST_ADDRESS)}
    own: dict[str, Any] = {"url": form.text("url", LONGEST_URL) or kept.get("url")}
    if kind != "webhook":
        return own
    dropped = form.several("drop")
    stays = {name: kept[name] for name in SECRETS if name in kept and name not in dropped}
    given = {name: _text(form, name) for name in ("body_down", "body_up")} | {
        "headers": _headers(form),
        "secret": form.text("secret"),
    }
    return {**own, "method": form.text("method"), **stays, **{name: value for name, value in given.items() if value}}


def _headers(form: Form) -> dict[str, str]:
    """One on a line, as in `Authorization: Bearer abc`."""
    found: dict[str, str] = {}
    for line in _text(form, "headers").splitlines():
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not line.strip():
            continue
        if not colon or not name:
            form.refuse("headers", "write one header on a line, as in Authorization: Bearer abc")
        if name.lower() in {other.lower() for other in found}:
            form.refuse("headers", "give each header once")
        found[name] = value
    return found


def _text(form: Form, name: str) -> str:
    """Lines as they were typed, with the line breaks of HTTP forms made plain; empty where there are only blanks."""
    text = form.secret(name).replace("\r\n", "\n")
    return text if text.strip() else ""


def _refuse(form: Form, error: Invalid) -> None:
    """Put what the sender says of its settings beside the field."""
    field, _, words = str(error).partition(": ")
    if field in FIELDS:
        form.refuse(field, words)
    else:
        form.refuse("all", sentence(error))


def _done(request: Request, member: Membership, channel: UUID, secret: str) -> Response:
    if secret:
        return render(request, "channel_made.html", member=member, channel=channel, secret=secret)
    return go_to(request, f"/projects/{member.project}/channels/{channel}")


async def _form(
    request: Request, session: AsyncSession, member: Membership, form: Form, kind: str, row: ChannelRow | None = None,
    kept: dict[str, Any] | None = None, status: int = 200,
) -> Response:  # fmt: skip
    """`row`: the channel that is changed; None for a new one. Of what is kept only the names are shown."""
    when = When(await blackouts.now(session), request.state.visitor.zone)
    return render(
        request, "channel_form.html", status, member=member, form=form, kind=kind, kinds=KINDS, hears=HEARS, methods=METHODS,
        placeholders=PLACEHOLDERS, limits=channel_limits.shown(form, row, when.zone),
        days=channel_limits.NAMES, zones=zones(), one=None if row is None else way(row, when),
        has=[name for name in SECRETS if (kept or {}).get(name)], checks=await monitors.count(session, member.project),
    )  # fmt: skip
