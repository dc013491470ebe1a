"""Checks: listed, made, read, edited, deleted, paused, resumed. What they said and went through stands in `check_history.py`."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.slug import slug_of
from app.manage import actions
from app.manage.acting import Program
from app.manage.actions import Wanted
from app.manage.api.check_given import NEW_RULE, CheckGiven, chosen, read_check
from app.manage.api.check_list import all_shown, one_shown
from app.manage.api.described import ON_CONFLICT, body
from app.manage.api.described.checks import EXAMPLE, Check, CheckBody, Checks
from app.manage.api.given import wrong
from app.manage.api.wire import CheckId, CheckKey, Problem, Version, id_of
from app.store import channels, monitors
from app.store.accounts import Caller as Known
from app.store.rows import NO_FILTERS
from app.store.tables import MonitorRow
from app.web import Caller, Given, House, Now, Session, Shared, Writer

routes = APIRouter(tags=["checks"])

UTC = "UTC"  # where a new check is


@routes.get("/checks", response_model=Checks)
async def list_checks(
    caller: Caller,
    session: Session,
    house: House,
    version: Version,
    tag: Annotated[list[str] | None, Query(description="Only checks with this tag; repeated: with all of them")] = None,
    slug: Annotated[str | None, Query(description="Only the check with this slug")] = None,
) -> Response:
    """All checks of the project, oldest first."""
    for name, values in (("tag", tag or []), ("slug", [slug or ""])):
        if any("\0" in value for value in values):
            raise wrong(name, "has a NUL character")
    written = await all_shown(session, house, caller, version, [t for t in tag or () if t], slug or None)
    return Response(written, media_type="application/json")


@routes.post(
    "/checks",
    status_code=201,
    response_model=Check,
    responses={
        200: {"model": Check, "description": "`unique` found one, and it was edited"},
        403: {"model": Problem, "description": "The project has as many checks as its plan allows"},
    },
    openapi_extra=body(CheckBody, EXAMPLE),
)
async def create_check(caller: Writer, session: Session, house: House, version: Version, given: Given, now: Now) -> JSONResponse:
    """Make a check; with `unique`, edit the one that is there already (200)."""
    wanted = read_check(given, house.min_period)
    alike = wanted.alike()
    if alike is not None or version < 3:
        await monitors.one_namer(session, caller.project)
    found = await monitors.alike(session, caller.project, alike) if alike is not None else None
    if found is not None:
        await _edit(session, house, version, found, wanted, now)
        return JSONResponse(await one_shown(session, house, caller, version, found.id))
    if version < 3 and "slug" not in wanted.names:
        wanted.names["slug"] = await monitors.free_slug(session, caller.project, slug_of(wanted.names.get("name", "")))
    ears = await _channels(session, caller.project, wanted)
    made = Wanted(wanted.names_after(NO_FILTERS), None, ears, wanted.expect_first, wanted.aliases)
    monitor = await actions.create(session, caller.project, made, wanted.rule_after(NEW_RULE, UTC, now), house.margin)
    return JSONResponse(await one_shown(session, house, caller, version, monitor), 201)


@routes.get("/checks/{check}", response_model=Check)
async def get_check(check: CheckKey, caller: Caller, session: Session, house: House, version: Version) -> JSONResponse:
    """One check, by its id or unique_key."""
    row = await find(session, caller, check)
    return JSONResponse(await one_shown(session, house, caller, version, row.id))


@routes.post("/checks/{check}", response_model=Check, openapi_extra=body(CheckBody, EXAMPLE))
async def edit_check(
    check: CheckId, caller: Writer, session: Session, house: House, version: Version, given: Given, now: Now
) -> JSONResponse:
    """Change what is given."""
    before = await monitors.get(session, caller.project, id_of(check))
    await _edit(session, house, version, before, read_check(given, house.min_period), now)
    return JSONResponse(await one_shown(session, house, caller, version, before.id))


@routes.delete("/checks/{check}", response_model=Check)
async def delete_check(
    check: CheckId, caller: Writer, actor: Program, session: Session, house: House, version: Version
) -> JSONResponse:
    """Delete a check for good; answers with what it was."""
    row = await monitors.get(session, caller.project, id_of(check))
    answer = await one_shown(session, house, caller, version, row.id)
    await actions.remove(session, caller.project, row.id, house.margin, actor)
    return JSONResponse(answer)


@routes.post("/checks/{check}/pause", response_model=Check)
async def pause_check(
    check: CheckId, caller: Writer, actor: Program, session: Session, house: House, version: Version
) -> JSONResponse:
    """Expect nothing of it until it is heard again or resumed."""
    await actions.pause(session, caller.project, id_of(check), house.margin, actor)
    return JSONResponse(await one_shown(session, house, caller, version, id_of(check)))


@routes.post("/checks/{check}/resume", response_model=Check, responses=ON_CONFLICT)
async def resume_check(
    check: CheckId, caller: Writer, actor: Program, session: Session, house: House, version: Version
) -> JSONResponse:
    """Make a paused check new again."""
    await actions.resume(session, caller.project, id_of(check), house.margin, actor)
    return JSONResponse(await one_shown(session, house, caller, version, id_of(check)))


async def find(session: AsyncSession, caller: Known, key: str) -> MonitorRow:
    """The check of an id, or of the unique_key by which read-only keys know it. Raises NotFound."""
    if len(key) == 40 and "-" not in key and key.isascii() and key.isalnum():
        return await monitors.by_unique_key(session, caller.project, key)
    return await monitors.get(session, caller.project, id_of(key))


async def _channels(session: AsyncSession, project: UUID, wanted: CheckGiven) -> list[UUID] | None:
    if wanted.channels is None:
        return None
    return chosen(wanted.channels, await channels.listed(session, project))


async def _edit(
    session: AsyncSession, house: Shared, version: int, before: MonitorRow, wanted: CheckGiven, now: datetime
) -> None:
    """Lock first, so that of two edits at once neither writes back what the other changed."""
    project, monitor = before.project_id, before.id
    named = "name" in wanted.names and (wanted.names["name"] != before.name or not before.slug)
    if version < 3 and "slug" not in wanted.names and named:
        await monitors.one_namer(session, project)
        wanted.names["slug"] = await monitors.free_slug(session, project, slug_of(wanted.names["name"]), monitor)
    row = await monitors.lock_one(session, project, monitor)
    names, rule = wanted.names_after(row.filters), wanted.rule_after(row.monitor.rule, row.zone, now)
    ears = await _channels(session, project, wanted)
    await actions.edit(session, project, monitor, Wanted(names, rule, ears, wanted.expect_first, wanted.aliases), house.margin)
