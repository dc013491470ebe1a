"""Monitors as lists show them: which are in a list, and of each what is shown or judged, what leads to it, and a stamp that tells
whether anything of all that has changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.alias import KEYED
from app.store.addresses import SERVICES, Alias
from app.store.rows import RULE, STATE
from app.store.unnest import array

ID = 36  # characters of an id; a stamp begins with one
SHOWN = (
    "name", "slug", "tags", "description", "methods", "source", "retired_at", "zone", "unique_key",
    *RULE, *(column for column in STATE if column != "memory"),
)  # fmt: skip
# What is kept in `memory` is asked for only where runs are open or a deadline has passed: reading JSON is dear, even if empty.
_COLUMNS = f"""m.id::text AS id, m.badge_key::text AS badge_key, {", ".join(f"m.{column}" for column in SHOWN)},
    nullif(m.filters, '{{}}') AS filters, CASE WHEN m.deadline < :horizon OR m.memory ? 'runs' THEN m.memory END AS memory"""
_CHANNELS = """(SELECT array_agg(c.id::text ORDER BY c.created_at, c.id)
    FROM subscriptions s JOIN channels c ON c.project_id = s.project_id AND c.id = s.channel_id
    WHERE s.project_id = m.project_id AND s.monitor_id = m.id)"""
_OF_ALIASES = "addresses a WHERE a.key <> a.monitor_id::text AND a.project_id"
_ALIASES = f"""(SELECT array_agg(ARRAY[a.kind, a.key] ORDER BY a.kind, a.key)
    FROM {_OF_ALIASES} = m.project_id AND a.monitor_id = m.id)"""  # noqa: S608
# A transaction leaves one version of a row, so (id, xmin) names what stands in it. Its place and the start of the server tell
# those apart whose number was given twice: after four thousand million transactions, or by a server in another's place.
_ROW = """CASE WHEN m.deadline < :horizon THEN m.id::text ELSE concat_ws(' ', m.id, (
        SELECT CAST(:view AS text) || ' ' || extract(epoch FROM pg_postmaster_start_time())),
    m.xmin, m.ctid, (m.due < :now) IS TRUE, '') END"""
_LINKS = """coalesce(CAST(array_agg(link ORDER BY link COLLATE "C") FILTER (WHERE link IS NOT NULL) AS text), '')"""
_STAMP = f"""{_ROW} || (SELECT {_LINKS} FROM (
    SELECT s.channel_id::text AS link FROM subscriptions s WHERE s.project_id = m.project_id AND s.monitor_id = m.id
    UNION ALL SELECT a.kind || ':' || a.key FROM {_OF_ALIASES} = m.project_id AND a.monitor_id = m.id) AS l)"""  # noqa: S608
# The stamps of a whole project, joined by one sort: as good for a thousand as for one, whatever the planner expects.
_ALL = text(f"""
    SELECT max(stamp) || {_LINKS} FROM (
        SELECT m.id, {_ROW} AS stamp, m.created_at, NULL AS link FROM monitors m WHERE m.project_id = :project
        UNION ALL SELECT s.monitor_id, NULL, NULL, s.channel_id::text FROM subscriptions s WHERE s.project_id = :project
        UNION ALL SELECT a.monitor_id, NULL, NULL, a.kind || ':' || a.key FROM {_OF_ALIASES} = :project) AS v
    GROUP BY id HAVING max(created_at) IS NOT NULL ORDER BY max(created_at), id""")  # noqa: S608


@dataclass(frozen=True, slots=True)
class Listing:
    """Which monitors of a project, those with all of `tags` and with `slug` where given, and as of when. `links`: with channels
    and aliases. `view` names how they are shown."""

    project: UUID
    view: str
    now: datetime
    horizon: datetime
    links: bool
    tags: Sequence[str] = ()
    slug: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A monitor of a list. `row` is what is shown or judged of it; `memory` is None where nothing of it is, and so are `filters`
    where there are none."""

    id: str
    stamp: str
    row: dict[str, Any]
    channels: Sequence[str]
    aliases: Sequence[Alias]


def lasts(stamp: str) -> bool:
    """Whether all that is shown of the monitor is the same wherever the stamp is the same: not once its deadline has passed, for
    then it is judged anew each time."""
    return stamp[ID : ID + 1] == " "


async def stamps(session: AsyncSession, listing: Listing) -> Sequence[str]:
    """The stamps of all these monitors, oldest first."""
    filtered = bool(listing.tags) or listing.slug is not None
    query = _ALL if listing.links and not filtered else _query(False, listing.links, bool(listing.tags), listing.slug is not None)
    return (await session.execute(query, _given(listing))).scalars().all()


async def read(session: AsyncSession, listing: Listing, ids: Iterable[str]) -> list[Listed]:
    """Those of these monitors that are still in the list, each with the stamp of just what was read, oldest first."""
    query = _query(True, listing.links, bool(listing.tags), listing.slug is not None)
    found = await session.execute(query, {**_given(listing), "ids": array("uuid", ids)})
    names = tuple(found.keys())[3:]
    return [
        Listed(row[3], row[0], dict(zip(names, row[3:], strict=True)), row[1] or (), _aliases(row[2] or (), listing.project))
        for row in found
    ]


def _aliases(found: Iterable[Sequence[str]], project: UUID) -> list[Alias]:
    named = ((SERVICES[kind], key) for kind, key in found if kind in SERVICES)
    return [(service, key.removeprefix(f"{project}:") if service in KEYED else key) for service, key in named]


def _given(listing: Listing) -> dict[str, Any]:
    given = {"project": listing.project, "view": listing.view, "now": listing.now, "horizon": listing.horizon}
    if listing.tags:
        given["tags"] = array("text", listing.tags)
    return given if listing.slug is None else {**given, "slug": listing.slug}


@cache
def _query(whole: bool, links: bool, by_tags: bool, by_slug: bool) -> TextClause:
    """The stamps of all, or some whole. Those with tags come from a function of the database (migration 0011). In its index each
    tag stands behind its project, and it alone is offered to the planner, who knows only how large projects are on average."""
    wanted = ["m.project_id = :project"]
    if whole:
        wanted.append("m.id = ANY(CAST(:ids AS uuid[]))")
    if by_tags:
        wanted.append("m.id = ANY(ARRAY(SELECT missedbeat_tagged(:project, CAST(:tags AS text[]))))")
    if by_slug:
        wanted.append("m.slug = :slug")
    stamp, channels, aliases = (_STAMP, _CHANNELS, _ALIASES) if links else (_ROW, "NULL", "NULL")
    shown = f"{stamp} AS stamp, {channels} AS channels, {aliases} AS aliases, {_COLUMNS}" if whole else f"{stamp} AS stamp"
    return text(f"SELECT {shown} FROM monitors m WHERE {' AND '.join(wanted)} ORDER BY m.created_at, m.id")  # noqa: S608
