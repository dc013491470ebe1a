"""Checks in an answer: one as an object, all of them as text. Of a check that is as it was when it was written last, what was
written then is sent again."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import NotFound
from app.manage.api.check_shape import View, shape
from app.store import blackouts, listings
from app.store.accounts import Caller
from app.store.listings import ID, Listing
from app.web import Shared

AT_ONCE = 1000  # checks read and written in one go; between two of these others have their turn
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


async def one_shown(session: AsyncSession, house: Shared, caller: Caller, version: int, check: UUID) -> dict[str, Any]:
    """One check of this caller's project, for this caller. Raises NotFound for any other id."""
    view, listing = await _asked(session, house, caller, version, (), None)
    found = await listings.read(session, listing, [str(check)])
    if not found:
        raise NotFound("not found")
    return shape(found[0], view)


async def all_shown(
    session: AsyncSession, house: Shared, caller: Caller, version: int, tags: Sequence[str], slug: str | None
) -> bytes:
    """All checks of the project, oldest first; those with all of `tags`, and with `slug`, where given. Three queries for up to
    AT_ONCE of them. One that is deleted meanwhile is left out."""
    view, listing = await _asked(session, house, caller, version, tags, slug)
    stamps = await listings.stamps(session, listing)
    written = [house.written.get(stamp) for stamp in stamps]
    missing = [place for place, found in enumerate(written) if found is None]
    for first in range(0, len(missing), AT_ONCE):
        places = {stamps[place][:ID]: place for place in missing[first : first + AT_ONCE]}
        for listed in await listings.read(session, listing, places):
            text = written[places[listed.id]] = _encode(shape(listed, view)).encode()
            if listings.lasts(listed.stamp):
                house.written.put(listed.stamp, text)
    return b'{"checks":[%b]}' % b",".join(text for text in written if text is not None)


async def _asked(
    session: AsyncSession, house: Shared, caller: Caller, version: int, tags: Sequence[str], slug: str | None
) -> tuple[View, Listing]:
    """The moment is read before the rows, so that no silence is judged in which a check-in was recorded since."""
    moment = await blackouts.moment(session, house.margin)
    view = View(version, not caller.may_write, house.base_url, moment, house.ping_email_domain)
    name = f"{version}{'rw' if caller.may_write else 'ro'}"
    return view, Listing(caller.project, name, moment.now, moment.horizon.at, caller.may_write, tags, slug)
