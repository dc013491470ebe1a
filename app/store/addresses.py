"""The directory: what stands in a ping URL -> project and monitor."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.tables import AddressRow

Place = tuple[UUID, UUID]  # project, monitor

BY_ID = text("""
    SELECT key, project_id, monitor_id FROM addresses
    WHERE kind = 'ping' AND key = ANY(CAST(:keys AS text[])) AND revoked_at IS NULL""")
BY_SLUG = text("""
    SELECT v.key, v.slug, a.project_id, m.id
    FROM unnest(CAST(:keys AS text[]), CAST(:slugs AS text[])) AS v(key, slug)
    JOIN addresses a ON a.kind = 'ping_key' AND a.key = v.key AND a.revoked_at IS NULL
    LEFT JOIN monitors m ON m.project_id = a.project_id AND m.slug = v.slug AND m.slug <> ''""")


async def add(session: AsyncSession, kind: str, key: str, project: UUID, monitor: UUID | None = None) -> None:
    """A new entry."""
    await session.execute(insert(AddressRow).values(kind=kind, key=key, project_id=project, monitor_id=monitor))


async def by_ids(session: AsyncSession, ids: Sequence[str]) -> dict[str, Place]:
    """Where these ping ids lead; unknown and revoked ones are not in the answer."""
    if not ids:
        return {}
    return {key: (project, monitor) for key, project, monitor in await session.execute(BY_ID, {"keys": list(ids)})}


async def by_slugs(session: AsyncSession, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[UUID, UUID | None]]:
    """Where these (ping key, slug) lead: the project, and the monitor or None where that slug is not taken yet."""
    if not pairs:
        return {}
    rows = await session.execute(BY_SLUG, {"keys": [p[0] for p in pairs], "slugs": [p[1] for p in pairs]})
    return {(key, slug): (project, monitor) for key, slug, project, monitor in rows}
