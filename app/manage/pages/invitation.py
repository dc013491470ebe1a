"""An invitation as whoever got it sees it: what it offers, and taking it. Looking uses nothing up: previewers look too."""

from datetime import datetime

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import mailbox
from app.errors import Conflict, Forbidden, NotFound, OverLimit
from app.manage import team
from app.manage.access import ANYONE, SIGNED_IN, PageRoutes
from app.manage.acting import Person
from app.manage.pages.frame import go_to, render
from app.store import accounts, invitations, memberships
from app.visitor import SignedIn, Visitor
from app.web import Now, Session

pages = PageRoutes()


@pages.get("/invitations/{secret}", ANYONE)
async def invitation_page(request: Request, secret: str, visitor: Visitor, session: Session, now: Now) -> Response:
    """What is offered to whom; whoever is not signed in is shown how to come back here."""
    row = await invitations.of_secret(session, secret)
    if row is None:
        raise NotFound("this invitation is not there: look whether the link is whole, or ask for another")
    if visitor is not None and row.accepted_at is not None:
        member = await memberships.find(session, row.project_id, visitor.user)
        if member is not None and mailbox.key_of(visitor.email) == row.email_key:
            return go_to(request, f"/projects/{member.project}")
    return await _shown(request, session, secret, team.why_shut(row, now), now)


@pages.post("/invitations/{secret}", SIGNED_IN)
async def accept(request: Request, secret: str, visitor: SignedIn, actor: Person, session: Session, now: Now) -> Response:
    """Take the place, signed in as the address that it is offered to."""
    try:
        project = await team.accept(session, secret, actor, visitor.email, now)
    except OverLimit as error:
        return await _shown(request, session, secret, f"{error}: tell whoever invited you", now, 400)
    except (Conflict, Forbidden) as error:
        return await _shown(request, session, secret, str(error), now, 400)
    return go_to(request, f"/projects/{project}")


async def _shown(
    request: Request, session: AsyncSession, secret: str, problem: str, now: datetime, status: int = 200
) -> Response:
    row = await invitations.of_secret(session, secret)
    if row is None:
        raise NotFound("this invitation is not there: ask for another")
    project = await accounts.project(session, row.project_id)
    return render(
        request, "invitation.html", status, row=row, project=project, problem=problem, path=f"/invitations/{secret}",
        is_open=not team.why_shut(row, now), key_of=mailbox.key_of,
    )  # fmt: skip
