"""What is done to one check by a button: a ping, a pause, and its deletion."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from fastapi import Request, Response

from app.domain.role import Action
from app.domain.state import Status
from app.manage import actions
from app.manage.access import Member, PageRoutes
from app.manage.acting import Person
from app.manage.pages.check_path import Check, name_of, page_of
from app.manage.pages.frame import go_to, render
from app.web import House, Session

pages = PageRoutes()

Heard = Callable[[UUID, str], Awaitable[None]]


@pages.post("/projects/{project}/monitors/{check}/ping", Action.EDIT_MONITORS)
async def ping(request: Request, row: Check, house: House) -> Response:
    """A success, as if the job had said it. The door says how one is heard."""
    heard: Heard = request.app.state.heard_by_hand
    await heard(row.id, house.sender_of(request))
    return go_to(request, page_of(row))


@pages.post("/projects/{project}/monitors/{check}/pause", Action.EDIT_MONITORS)
async def pause(request: Request, row: Check, actor: Person, session: Session, house: House) -> Response:
    """Expect nothing of it; the members are told."""
    await actions.pause(session, row.project_id, row.id, house.margin, actor)
    return go_to(request, page_of(row))


@pages.post("/projects/{project}/monitors/{check}/resume", Action.EDIT_MONITORS)
async def resume(request: Request, row: Check, actor: Person, session: Session, house: House) -> Response:
    """A paused one is new again; one that goes on already just goes on."""
    if row.status == Status.PAUSED:
        await actions.resume(session, row.project_id, row.id, house.margin, actor)
    return go_to(request, page_of(row))


@pages.get("/projects/{project}/monitors/{check}/delete", Action.EDIT_MONITORS)
async def delete_page(request: Request, row: Check, member: Member) -> Response:
    """Asks whether to."""
    return render(request, "monitor_delete.html", member=member, row=row, name=name_of(row), here=page_of(row))


@pages.post("/projects/{project}/monitors/{check}/delete", Action.EDIT_MONITORS)
async def delete(request: Request, row: Check, actor: Person, session: Session, house: House) -> Response:
    """For good, with its history."""
    await actions.remove(session, row.project_id, row.id, house.margin, actor)
    return go_to(request, f"/projects/{row.project_id}/monitors")
