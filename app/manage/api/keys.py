"""Keys: listed, made, revoked; and keys of other services, by which their ping URLs find the project."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from app.domain import tokens
from app.domain.alias import WITH_KEYS
from app.domain.tokens import Scope
from app.manage import credentials
from app.manage.acting import Program
from app.manage.api.described import ON_CONFLICT, body
from app.manage.api.described.keys import EXAMPLE, Key, KeyBody, Keys, NewKey
from app.manage.api.given import Fields, wrong
from app.manage.api.wire import KeyId, Problem, id_of, instant
from app.store import keys
from app.store.tables import ApiKeyRow
from app.web import Given, Now, Session, Writer

routes = APIRouter(tags=["keys"])

SCOPES: dict[str, Scope] = {"rw": "rw", "ro": "ro", "ping": "ping"}
KNOWN = ("name", "scope", "service", "key")
SHORTEST, LONGEST = 12, 200  # of another service's key
LONGEST_NAME = 100
FULL: dict[int | str, dict[str, Any]] = {403: {"model": Problem, "description": f"The project has {credentials.MOST_KEYS} keys"}}


@routes.get("/keys", response_model=Keys)
async def list_keys(caller: Writer, session: Session) -> JSONResponse:
    """The project's keys, oldest first; the keys themselves are never read back."""
    return JSONResponse({"keys": [shape(row) for row in await keys.listed(session, caller.project)]})


@routes.post(
    "/keys", status_code=201, response_model=NewKey, responses=FULL | ON_CONFLICT, openapi_extra=body(KeyBody, EXAMPLE, True)
)
async def create_key(caller: Writer, actor: Program, session: Session, given: Given, now: Now) -> JSONResponse:
    """Make a key of a `scope`: it is shown this once. Or take over the key of another `service`: its ping URLs, and nothing
    else, open the project with it."""
    fields = Fields(given)
    fields.refuse_others(KNOWN)
    name, service = fields.line("name", LONGEST_NAME) or "", fields.choice("service", WITH_KEYS)
    scope = fields.choice("scope", SCOPES)
    await credentials.make_room(session, caller.project)
    if service is not None:
        key = _foreign(fields)
        row = await keys.add(session, caller.project, "ping", key, now, name, service, made_by=actor.words)
        return JSONResponse(shape(await credentials.note_made(session, actor, caller.project, row, now)), 201)
    if fields.has("key"):
        raise wrong("key", "has unexpected value", "our keys are made here; say service for a key of another")
    if scope is None:
        raise wrong("scope", "has unexpected value", f"say one of {', '.join(SCOPES)}")
    made = tokens.new_api_key(SCOPES[scope])
    row = await keys.add(session, caller.project, scope, made, now, name, made_by=actor.words)
    return JSONResponse({**shape(await credentials.note_made(session, actor, caller.project, row, now)), "key": made}, 201)


@routes.delete("/keys/{key}", response_model=Key, responses=ON_CONFLICT)
async def revoke_key(key: KeyId, caller: Writer, actor: Program, session: Session, now: Now) -> JSONResponse:
    """Revoke a key at once, one's own too, but not the last read-write key. Answers with what it was."""
    return JSONResponse(shape(await credentials.revoke(session, actor, caller.project, id_of(key), now)))


def shape(row: ApiKeyRow) -> dict[str, Any]:
    """A key as the API shows it."""
    return {
        "id": str(row.id), "name": row.name, "scope": row.scope, "service": row.service, "hint": row.hint,
        "created_at": instant(row.created_at), "made_by": row.made_by, "last_used_at": instant(row.last_used_at),
    }  # fmt: skip


def _foreign(fields: Fields) -> str:
    if fields.has("scope"):
        raise wrong("scope", "has unexpected value", "a key of another service opens its ping URLs and nothing else")
    key = fields.text("key", LONGEST) or ""
    if len(key) < SHORTEST or not all("!" <= letter <= "~" for letter in key):
        raise wrong("key", "does not match pattern", f"{SHORTEST} to {LONGEST} letters, digits and signs")
    if tokens.looks_like_api_key(key):
        raise wrong("key", "has unexpected value", "this is a key of ours: it opens every service's ping URLs as it is")
    return key
