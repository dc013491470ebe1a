"""The log of who did what in a project, newest first."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

from app.domain.audit_action import IN_WORDS, AuditAction
from app.domain.role import Action
from app.manage.access import Member, PageRoutes
from app.manage.pages.frame import render
from app.store import audit_entries
from app.store.tables import AuditEntryRow
from app.web import Session

pages = PageRoutes()

AT_ONCE = 50
NUMBER = re.compile(r"[0-9]{1,18}")  # PostgreSQL's bigint holds as many
SHOWN = ("role", "from", "to", "scope", "changed")  # of the details


@pages.get("/projects/{project}/log", Action.SEE_AUDIT)
async def log_page(request: Request, member: Member, session: Session) -> Response:
    """A page of it; `before` names the last entry of the page before."""
    asked = request.query_params.get("before", "")
    before = int(asked) if NUMBER.fullmatch(asked) else None
    found = await audit_entries.of_project(session, member.project, before, AT_ONCE + 1)
    entries, older = found[:AT_ONCE], found[AT_ONCE - 1].id if len(found) > AT_ONCE else None
    return render(
        request, "log.html", member=member, entries=[(row, words(row), details(row.details)) for row in entries], older=older
    )


def words(row: AuditEntryRow) -> str:
    """What was done; an action of a later version as it is called there."""
    try:
        return IN_WORDS.get(AuditAction(row.action), row.action)
    except ValueError:
        return row.action


def details(given: Mapping[str, Any]) -> str:
    """What else there is to it, such as `from: member, to: owner`."""
    shown = {name: given[name] for name in SHOWN if name in given}
    return ", ".join(f"{name}: {', '.join(value) if isinstance(value, list) else value}" for name, value in shown.items())
