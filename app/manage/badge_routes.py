"""Badges for whoever has their address: of a project, of those of its checks that have a tag, of one check. How they look stands
in `badge.py`, what an address says in `badge_address.py`."""

import re

from fastapi import APIRouter, Response

from app.errors import NotFound
from app.manage import badge_address
from app.manage.api.wire import id_of
from app.manage.badge import Standing, count, written
from app.manage.badge_address import EVERYTHING, FORMS
from app.manage.standing import seen
from app.store import badges, blackouts
from app.web import House, Session

routes = APIRouter(include_in_schema=False)

OF_CHECK = re.compile(rf"(?P<key>[0-9a-fA-F-]{{36}})\.(?P<form>{'|'.join(FORMS)})")
FRESH = {
    "cache-control": "no-cache, max-age=0, must-revalidate",  # what the image proxies of code hosts go by
    "cross-origin-resource-policy": "cross-origin",
}


@routes.api_route("/badge/{badge_key}/{rest:path}", methods=["GET", "HEAD"])
async def project_badge(badge_key: str, rest: str, session: Session, house: House) -> Response:
    """The badge of a project, or of those of its checks that have a tag. The answer does not tell whether it is the key, the
    signature or the tag that is wrong."""
    key = id_of(badge_key)
    asked = badge_address.read(house.vault, key, rest)
    tag = None if asked.tag == EVERYTHING else asked.tag
    moment = await blackouts.moment(session, house.margin)
    shown = await badges.of_project(session, key, tag, moment.now)
    standing = count(shown.total, (seen(row, moment).status for row in shown.rows))
    return _answer(asked.form, shown.name if tag is None else tag, standing, asked.states)


@routes.api_route("/b/{states}/{rest}", methods=["GET", "HEAD"])
async def check_badge(states: str, rest: str, session: Session, house: House) -> Response:
    """The badge of one check."""
    asked = OF_CHECK.fullmatch(rest)
    if asked is None or states not in ("2", "3"):
        raise NotFound("not found")
    row = await badges.of_monitor(session, id_of(asked["key"]))
    moment = await blackouts.moment(session, house.margin)
    standing = count(1, [seen(row, moment).status])
    return _answer(asked["form"], row["name"] or row["slug"] or "unnamed", standing, int(states))


def _answer(form: str, label: str, standing: Standing, states: int) -> Response:
    kind, text = written(form, label, standing, states)
    return Response(text, media_type=kind, headers=FRESH)
