"""The first page: the projects of whoever is signed in."""

from fastapi import Request, Response

from app.manage.access import SIGNED_IN, PageRoutes
from app.manage.pages.frame import render
from app.store import memberships
from app.visitor import SignedIn
from app.web import Session

pages = PageRoutes()


@pages.get("/", SIGNED_IN)
async def overview(request: Request, visitor: SignedIn, session: Session) -> Response:
    """All projects of theirs."""
    return render(request, "overview.html", projects=await memberships.of_user(session, visitor.user))
