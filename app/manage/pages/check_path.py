"""The check that the path of a page names, by a name that does not tell its ping id: whoever may only look at it could else ping
it, and it would stand in the logs of proxies."""

import re
from typing import Annotated

from fastapi import Depends, Request

from app.manage.access import Member
from app.manage.api.wire import id_of
from app.store import monitors
from app.store.tables import MonitorRow
from app.web import Session

KEY = re.compile(r"[0-9a-f]{40}")


async def check_of(request: Request, member: Member, session: Session) -> MonitorRow:
    """By its unique key; its id does too, for whoever knows it. Raises NotFound."""
    named = request.path_params["check"]
    if KEY.fullmatch(named):
        return await monitors.by_unique_key(session, member.project, named)
    return await monitors.get(session, member.project, id_of(named))


def page_of(row: MonitorRow) -> str:
    """The path of its page."""
    return f"/projects/{row.project_id}/monitors/{row.unique_key}"


def name_of(row: MonitorRow) -> str:
    """What people call it; one without a name goes by its slug, else by the first letters of its key."""
    return row.name or row.slug or f"check {row.unique_key[:8]}"


Check = Annotated[MonitorRow, Depends(check_of)]
