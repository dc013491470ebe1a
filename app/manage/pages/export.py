"""A project to take away: its checks as the API makes them, its channels without their secrets, its people. Incidents are a file
of their own (`incidents.py`)."""

import json
from typing import Any

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.audit_action import AuditAction
from app.domain.role import Action
from app.manage.access import Member, PageRoutes
from app.manage.acting import Person
from app.manage.api.channels import shape
from app.manage.api.check_list import all_shown
from app.manage.api.wire import instant
from app.manage.pages.frame import HEADERS
from app.store import audit_entries, channels, memberships
from app.store.accounts import Caller
from app.store.audit_entries import Entry
from app.store.memberships import Membership
from app.web import House, Now, Session

pages = PageRoutes()

VERSION = 3  # of the API whose words the file speaks


@pages.get("/projects/{project}/export.json", Action.EXPORT)
async def export(request: Request, member: Member, actor: Person, house: House, session: Session, now: Now) -> Response:
    """All of it in one file, ping URLs too: whoever has it can speak for the jobs."""
    everything = Caller(member.project, may_write=True, key=member.project, hint="", use_is_due=False)
    checks = await all_shown(session, house, everything, VERSION, (), None)
    about = {
        "project": {"id": str(member.project), "name": member.name}, "exported_at": instant(now),
        "channels": [shape(row) for row in await channels.listed(session, member.project)],
        "members": await _people(session, member),
    }  # fmt: skip
    await audit_entries.write(session, actor, Entry(AuditAction.PROJECT_EXPORTED, "the project", member.project), now)
    body = json.dumps(about, ensure_ascii=False)[:-1].encode() + b", " + checks[1:] + b"\n"
    headers = {**HEADERS, "content-disposition": 'attachment; filename="project.json"'}
    return Response(body, media_type="application/json", headers=headers)


async def _people(session: AsyncSession, member: Membership) -> list[dict[str, Any]]:
    found = await memberships.members(session, member.project)
    return [{"email": one.email, "role": one.role.value} for one in found]
