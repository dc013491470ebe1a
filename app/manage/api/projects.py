"""The project of the key: read, renamed, its ping key made anew or taken away."""

import re
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain import tokens
from app.domain.audit_action import AuditAction
from app.errors import NotFound
from app.manage.acting import Program
from app.manage.api.described import body
from app.manage.api.described.projects import EXAMPLE, Project, ProjectBody, Projects
from app.manage.api.given import Fields, wrong
from app.manage.api.wire import ProjectId, Version, id_of, instant
from app.store import accounts, audit_entries, monitors
from app.store.accounts import Caller as Known
from app.store.audit_entries import Entry
from app.web import Caller, Given, House, Now, Session, Shared, Writer

routes = APIRouter(tags=["projects"])

LONGEST_NAME, LONGEST_KEY = 100, 100
PING_KEY = re.compile(r"[A-Za-z0-9_-]{20,100}")


@routes.get("/projects", response_model=Projects)
async def list_projects(caller: Caller, session: Session, house: House, version: Version) -> JSONResponse:
    """The projects that the key opens: one."""
    return JSONResponse({"projects": [await shown(session, house, caller, version)]})


@routes.get("/projects/{project}", response_model=Project)
async def get_project(project: ProjectId, caller: Caller, session: Session, house: House, version: Version) -> JSONResponse:
    """One project."""
    _own(caller, id_of(project))
    return JSONResponse(await shown(session, house, caller, version))


@routes.post("/projects/{project}", response_model=Project, openapi_extra=body(ProjectBody, EXAMPLE))
async def edit_project(
    project: ProjectId, caller: Writer, actor: Program, session: Session, house: House, version: Version, given: Given, now: Now
) -> JSONResponse:
    """Rename it, or with `ping_key` change the key of its pings by slug at once: `new` makes another, null takes it away, and
    a key of 20 characters or more that was in use elsewhere is taken over."""
    _own(caller, id_of(project))
    fields = Fields(given)
    fields.refuse_others(("name", "ping_key"))
    name = fields.line("name", LONGEST_NAME)
    if name is not None and not name.strip():
        raise wrong("name", "is too short")
    if fields.has("ping_key"):
        await accounts.set_ping_key(session, caller.project, _ping_key(fields), now)
        await audit_entries.write(session, actor, Entry(AuditAction.PING_KEY_CHANGED, project=caller.project), now)
    if name is not None:
        await accounts.rename(session, caller.project, name)
        await audit_entries.write(session, actor, Entry(AuditAction.PROJECT_RENAMED, name, caller.project), now)
    return JSONResponse(await shown(session, house, caller, version))


async def shown(session: AsyncSession, house: Shared, caller: Known, version: int) -> dict[str, Any]:
    """The caller's project as the API shows it; a read-only key does not see the ping key."""
    row = await accounts.project(session, caller.project)
    return {
        "id": str(row.id), "name": row.name, **({"ping_key": row.ping_key} if caller.may_write else {}),
        "monitor_limit": accounts.monitor_limit(row), "n_checks": await monitors.count(session, row.id),
        "badges_url": f"{house.base_url}/api/v{version}/badges/", "created_at": instant(row.created_at),
        "plan": row.plan, "delete_at": instant(row.delete_at),
    }  # fmt: skip


def _ping_key(fields: Fields) -> str | None:
    if fields.is_null("ping_key"):
        return None
    key = fields.text("ping_key", LONGEST_KEY)
    if key is None or key == "new":
        return tokens.new_ping_key()
    if not PING_KEY.fullmatch(key):
        raise wrong("ping_key", "has unexpected value", "new, null, or 20 to 100 letters, digits, - and _")
    return key


def _own(caller: Known, project: UUID) -> None:
    if project != caller.project:
        raise NotFound("not found")
