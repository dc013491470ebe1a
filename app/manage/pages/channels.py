"""The channels of a project: how each works, which checks it hears of, and what was sent through it. Making and changing one
stands in `channel_form.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import Request, Response

from app.domain.hours import UNREADABLE, in_words, opens_at
from app.domain.role import Action
from app.errors import Invalid
from app.manage import actions
from app.manage.access import Member, PageRoutes
from app.manage.acting import Person
from app.manage.api.wire import ID, id_of
from app.manage.channel import remove
from app.manage.pages.form import Sent
from app.manage.pages.frame import go_to, render
from app.manage.pages.told import LONGEST_ANSWER, Step, attempts
from app.manage.pages.when import When
from app.store import blackouts, channels, incidents, monitors
from app.store.channels import Sent as SentMessage
from app.store.glances import Hearer
from app.store.tables import ChannelRow, DeliveryRow
from app.visitor import Fresh, SignedIn
from app.web import Now, Session

pages = PageRoutes()

LAST = 20
TEST_WAITS = timedelta(seconds=10)  # then it is said that nobody sends it
LOOKS_FOR = timedelta(seconds=60)  # so long a page without scripts looks again by itself
KINDS = {"email": "E-mail", "slack": "Slack", "webhook": "Webhook"}
HEARS = {"all": "down and up", "down": "down only", "up": "up only"}
TITLES = {"monitor.down": "Down", "monitor.up": "Up", "channel.failed": "A channel failed", "blackout": "We could not hear",
          "test": "Test"}  # fmt: skip
STATES = {
    "delivered": "delivered", "dead": "not delivered", "failing": "failed, tried again", "waiting": "waiting",
    "sending": "being sent", "suppressed": "not sent",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Way:
    """A channel as people see it: `look` is works, failing, disabled or unused; `words` say the same, since or until `at`."""

    row: ChannelRow
    look: str
    words: str
    at: datetime | None = None
    checks: int = 0
    last: DeliveryRow | None = None

    @property
    def name(self) -> str:
        """What people call it; one without a name goes by where it leads."""
        return self.row.name or f"{self.kind} {self.target}".rstrip()

    @property
    def kind(self) -> str:
        """Its kind in words."""
        return KINDS.get(self.row.kind, self.row.kind)

    @property
    def target(self) -> str:
        """Where it leads, as far as that is no secret."""
        return str(self.row.settings.get("address") or self.row.settings.get("host") or "")

    @property
    def hears(self) -> str:
        """What it is told."""
        what = HEARS.get(self.row.hears, self.row.hears)
        tags = self.row.tags.split()
        of = f", of checks tagged {', '.join(tags[:-1])}{' or ' if tags[1:] else ''}{tags[-1]}" if tags else ""
        return f"{what}{of}{f', {self.hours}' if self.hours else ''}"

    @property
    def hours(self) -> str:
        """When it is told, in words; empty at any time."""
        return in_words(self.row.hours)


@dataclass(frozen=True, slots=True)
class Message:
    """A delivery as people see it: what was told, how that went (`state` is that of the delivery), what the receiver said."""

    row: DeliveryRow
    title: str
    state: str
    answer: str
    steps: Sequence[Step]


@pages.get("/projects/{project}/channels", Action.SEE)
async def channels_page(request: Request, member: Member, visitor: SignedIn, session: Session) -> Response:
    """All of them, oldest first."""
    when = When(await blackouts.now(session), visitor.zone)
    heard, last = await channels.counts(session, member.project), await channels.last_deliveries(session, member.project)
    ways = [way(row, when, heard.get(row.id, 0), last.get(row.id)) for row in await channels.listed(session, member.project)]
    return render(
        request, "channels.html", member=member, live=f"/projects/{member.project}/live", when=when, ways=ways, kinds=KINDS,
        states=STATES, down=await incidents.count_open(session, member.project),
    )  # fmt: skip


@pages.get("/projects/{project}/channels/{channel}", Action.SEE)
async def channel_page(request: Request, channel: str, member: Member, visitor: SignedIn, session: Session) -> Response:
    """One of them, with what was sent lately. `test` names a test message that somebody has just asked for."""
    row = await channels.get(session, member.project, id_of(channel))
    when = When(await blackouts.now(session), visitor.zone)
    sent = await channels.deliveries(session, member.project, row.id, LAST)
    asked = request.query_params.get("test", "")
    test = next((one for one in sent if ID.fullmatch(asked) and one.id == id_of(asked)), None)
    waits = test is not None and test.settled_at is None
    heard = len(await channels.heard_of(session, member.project, row.id))
    return render(
        request, "channel.html", member=member, live=f"/projects/{member.project}/live", when=when, states=STATES,
        down=await incidents.count_open(session, member.project), one=way(row, when, heard, sent[0] if sent else None),
        sent=[message(delivery) for delivery in sent], checks=await monitors.count(session, member.project),
        test=None if test is None else message(test), waits=waits,
        is_late=waits and test is not None and when.now - test.created_at > TEST_WAITS,
        opens=_opens(row, when.now), looks_again=waits and test is not None and when.now - test.created_at < LOOKS_FOR,
    )  # fmt: skip


@pages.post("/projects/{project}/channels/{channel}/test", Action.EDIT_CHANNELS)
async def send_test(request: Request, channel: str, member: Member, session: Session, now: Now) -> Response:
    """A message that says it is a test, told once; the page then shows how that went."""
    row = await channels.get(session, member.project, id_of(channel))
    delivery = await actions.put_test(session, row, now)
    return go_to(request, f"/projects/{member.project}/channels/{row.id}?test={delivery}")


@pages.post("/projects/{project}/channels/{channel}/checks", Action.EDIT_CHANNELS)
async def set_checks(request: Request, channel: str, form: Sent, member: Member, session: Session) -> Response:
    """From now on it hears of all checks that there are, or of none."""
    row = await channels.get(session, member.project, id_of(channel), lock=True)
    match form.text("which"):
        case "all":
            await channels.hear_of_all(session, member.project, row.id)
        case "none":
            await channels.hear_of_none(session, member.project, row.id)
        case _:
            raise Invalid("choose all checks or none")
    return go_to(request, f"/projects/{member.project}/channels/{row.id}")


@pages.post("/projects/{project}/channels/{channel}/delete", Action.EDIT_CHANNELS)
async def delete(
    request: Request, channel: str, member: Member, visitor: Fresh, actor: Person, session: Session, now: Now
) -> Response:
    """For good; what waits for it is not told through it any more."""
    await remove(session, actor, member.project, id_of(channel), now)
    return go_to(request, f"/projects/{member.project}/channels")


def way(row: ChannelRow, when: When, checks: int = 0, last: DeliveryRow | None = None) -> Way:
    """How a channel works, as of the page."""
    if row.disabled_at is not None:
        return Way(row, "disabled", f"Disabled: {row.disabled_why or 'the receiver is gone'}", row.disabled_at, checks, last)
    if row.open_until is not None and row.open_until > when.now:
        words = f"Left alone after {row.failures} failures in a row; tried again"
        return Way(row, "failing", words, row.open_until, checks, last)
    if row.failing_since is not None:
        return Way(row, "failing", "Fails since", row.failing_since, checks, last)
    if last is not None and last.state == "dead":
        return Way(row, "failing", "The last message was not delivered", last.settled_at, checks, last)
    works = last is not None and last.state == "delivered"
    return Way(row, "works" if works else "unused", "Works" if works else "Not proved yet", None, checks, last)


def _opens(row: ChannelRow, now: datetime) -> datetime | None:
    """When its hours begin; None where it may be told now, as one may whose hours cannot be read."""
    try:
        return opens_at(row.hours, now)
    except UNREADABLE:
        return None


def hearer_in_words(one: Hearer) -> str:
    """A channel that hears of a check, as in On call (down only, in its hours)."""
    limits = ["disabled"] * one.is_disabled + [HEARS[one.hears]] * (one.hears != "all") + ["in its hours"] * one.has_hours
    name = one.name or KINDS.get(one.kind, one.kind)
    return f"{name} ({', '.join(limits)})" if limits else name


def message(row: DeliveryRow) -> Message:
    """A delivery as people see it."""
    kind, about = str(row.told["kind"]), row.told.get("name") or ""
    title = f"{TITLES.get(kind, kind)}: {about}" if about else TITLES.get(kind, kind)
    said = row.attempts[-1].get("answer") if row.attempts else ""
    answer = f"{(row.reason if row.settled_at else said) or said or ''}"[:LONGEST_ANSWER]
    state = "failing" if row.state == "waiting" and row.tries else row.state
    return Message(row, title, state, answer, attempts(SentMessage(row, "The receiver", None)) if len(row.attempts) > 1 else ())
