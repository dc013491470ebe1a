"""The form that makes a check, or edits one, and beside it what that would mean, told anew while somebody types."""

from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.evidence import explain
from app.domain.replay import Alert, Past
from app.domain.role import Action
from app.domain.schedule import describe
from app.domain.slug import slug_of
from app.domain.state import Rule
from app.errors import Invalid, OverLimit, Unavailable
from app.manage import actions
from app.manage.access import Member, PageRoutes
from app.manage.actions import Wanted
from app.manage.api.check_given import NEW_RULE
from app.manage.foresight import Foreseen, Replayed, foreseen, past_of, replay
from app.manage.pages import check_form
from app.manage.pages.account import zones
from app.manage.pages.channels import way
from app.manage.pages.check_form import SLUG_TAKEN, UNITS, is_said
from app.manage.pages.check_path import Check, check_of, name_of, page_of
from app.manage.pages.form import Form, Sent
from app.manage.pages.frame import go_to, render, sentence
from app.manage.pages.when import When
from app.store import blackouts, channels, monitors
from app.store.memberships import Membership
from app.store.rows import NO_FILTERS, rule_of
from app.store.tables import MonitorRow
from app.visitor import SignedIn
from app.web import House, Now, Session, Shared

pages = PageRoutes()

NEW_ZONE = "UTC"
SHOWN_ALERTS = 20


@dataclass(frozen=True, slots=True)
class Before:
    """What the form changes: the rule and zone that are there, and the check, unless it is to be made."""

    row: MonitorRow | None
    rule: Rule = NEW_RULE
    zone: str = NEW_ZONE

    @property
    def is_said(self) -> bool:
        """Whether a program says when it is due."""
        return self.row is not None and is_said(self.rule.schedule, self.row.source)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What settings mean: their schedule in words with its next times, and what they would have alerted; or what is wrong with
    them."""

    ahead: Foreseen | None = None
    lived: Replayed | None = None
    problem: str = ""

    @property
    def alerts(self) -> list[Alert]:
        """The last of what would have been alerted, newest first."""
        return [] if self.lived is None else self.lived.alerts[: -SHOWN_ALERTS - 1 : -1]


@pages.get("/projects/{project}/monitors/new", Action.EDIT_MONITORS)
async def new_page(request: Request, member: Member, visitor: SignedIn, session: Session, now: Now) -> Response:
    """An empty one, but for what most will want."""
    there = await channels.listed(session, member.project)
    form = check_form.fresh(visitor.zone, [str(row.id) for row in there])
    rule = check_form.rule(form, check_form.read(form, 1, True), NEW_RULE, NEW_ZONE, now)
    return await _page(request, session, member, Before(None), form, When(now, visitor.zone), rule=rule)


@pages.post("/projects/{project}/monitors/new", Action.EDIT_MONITORS)
async def make(
    request: Request, form: Sent, member: Member, visitor: SignedIn, session: Session, house: House, now: Now
) -> Response:
    """Make it. A slug that is not given is made of its name."""
    given = check_form.read(form, house.min_period, True)
    rule = check_form.rule(form, given, NEW_RULE, NEW_ZONE, now)
    names = given.names_after(NO_FILTERS)
    await monitors.one_namer(session, member.project)
    names["slug"] = await _slug(session, member, form, names)
    if rule is not None and form.is_fine:
        ears = check_form.ears(form, await channels.listed(session, member.project))
        try:
            wanted = Wanted(names, channels=ears, expect_first=bool(form.typed("expect_first")))
            monitor = await actions.create(session, member.project, wanted, rule, house.margin)
            return go_to(request, page_of(await monitors.get(session, member.project, monitor)))
        except OverLimit as error:
            form.refuse("all", sentence(error))
    return await _page(request, session, member, Before(None), form, When(now, visitor.zone), 400)


@pages.post("/projects/{project}/monitors/preview", Action.EDIT_MONITORS)
async def preview(
    request: Request, form: Sent, member: Member, visitor: SignedIn, session: Session, house: House, now: Now
) -> Response:
    """The same form again, with what it would mean; nothing is kept."""
    before = Before(None)
    if form.typed("check"):
        request.path_params["check"] = form.typed("check")
        before = _before(await check_of(request, member, session))
    given = check_form.read(form, house.min_period, not before.is_said)
    rule = check_form.rule(form, given, before.rule, before.zone, now)
    when, past = When(now, visitor.zone), None
    if before.row is not None and rule is not None:
        past = await past_of(session, member.project, before.row.id, await blackouts.moment(session, house.margin))
    context = await _context(session, member, before, form, when)
    await session.close()  # nothing was written, and no connection is held by a replay that waits for another
    meaning = await _lived(_meaning(rule, form, when), rule, past, house)
    return render(request, "monitor_form.html", **context, meaning=meaning)


@pages.get("/projects/{project}/monitors/{check}/edit", Action.EDIT_MONITORS)
async def edit_page(request: Request, row: Check, member: Member, visitor: SignedIn, session: Session, now: Now) -> Response:
    """As it is now."""
    hearers = await monitors.subscribed(session, member.project, row.id)
    form = check_form.shown(row, [str(channel) for channel in hearers])
    before = _before(row)
    return await _page(request, session, member, before, form, When(now, visitor.zone), rule=before.rule)


@pages.post("/projects/{project}/monitors/{check}/edit", Action.EDIT_MONITORS)
async def edit(
    request: Request, form: Sent, row: Check, member: Member, visitor: SignedIn, session: Session, house: House, now: Now
) -> Response:
    """Change it, by the way that the API goes: lock first, so that of two edits at once neither writes back what the other
    changed."""
    await monitors.one_namer(session, member.project)
    locked = await monitors.lock_one(session, member.project, row.id)
    before = Before(row, locked.monitor.rule, locked.zone)
    given = check_form.read(form, house.min_period, not before.is_said)
    rule = check_form.rule(form, given, before.rule, before.zone, now)
    names = given.names_after(locked.filters)
    await _slug(session, member, form, names, row)
    if rule is None or not form.is_fine:
        return await _page(request, session, member, before, form, When(now, visitor.zone), 400)
    ears = check_form.ears(form, await channels.listed(session, member.project))
    await actions.edit(session, member.project, row.id, Wanted(names, rule, ears), house.margin)
    return go_to(request, page_of(row))


def _before(row: MonitorRow) -> Before:
    """Of a row that makes no sense the rule is a new one's, so that it can be mended."""
    try:
        return Before(row, rule_of(row), row.zone)
    except (ValueError, Invalid):
        return Before(row)


async def _slug(
    session: AsyncSession, member: Membership, form: Form, names: dict[str, Any], row: MonitorRow | None = None
) -> str:
    """The slug that was typed, or one made of the name; one that is taken is refused."""
    typed, own = str(names.get("slug", "")), None if row is None else row.id
    if not typed:
        return await monitors.free_slug(session, member.project, slug_of(names.get("name", "")), own)
    if await monitors.free_slug(session, member.project, typed, own) != typed:
        form.refuse("slug", SLUG_TAKEN)
    return typed


async def _page(
    request: Request, session: AsyncSession, member: Membership, before: Before, form: Form, when: When, status: int = 200,
    rule: Rule | None = None,
) -> Response:  # fmt: skip
    """The form, and what it means so far. What it would have alerted takes longer, and is told when somebody asks."""
    context = await _context(session, member, before, form, when)
    return render(request, "monitor_form.html", status, **context, meaning=_meaning(rule, form, when))


async def _context(session: AsyncSession, member: Membership, before: Before, form: Form, when: When) -> dict[str, Any]:
    """What stands in the form."""
    row = before.row
    ways = [way(one, when) for one in await channels.listed(session, member.project)]
    return {
        "member": member, "form": form, "row": row, "when": when, "units": list(UNITS), "zones": zones(), "explain": explain,
        "channels": ways, "ticked": set(form.several("channel")),
        "here": page_of(row) if row is not None else f"/projects/{member.project}/monitors", "name": name_of(row) if row else "",
        "is_said": before.is_said, "said_by": row.source if row is not None else "", "said": describe(before.rule.schedule),
    }  # fmt: skip


def _meaning(rule: Rule | None, form: Form, when: When) -> Meaning:
    """Of a rule that is wrong, what is wrong with it. A period is shown in the reader's zone."""
    if rule is None:
        return Meaning(problem=next((form.wrong[name] for name in check_form.TIMED if name in form.wrong), ""))
    try:
        return Meaning(foreseen(rule, when.zone, when.now))
    except Invalid as error:
        return Meaning(problem=sentence(error))


async def _lived(meaning: Meaning, rule: Rule | None, past: Past | None, house: Shared) -> Meaning:
    """With what would have been alerted of what is known of a check. Where too many ask that at once, without."""
    if rule is None or past is None:
        return meaning
    try:
        return replace(meaning, lived=await replay(rule, past, house.replays))
    except Unavailable:
        return meaning
