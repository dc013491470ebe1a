"""The directory: what stands in a ping URL -> project and monitor."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Text, any_, cast, delete, insert, literal, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.alias import KEYED, Service
from app.store.tables import AddressRow
from app.store.together import Asked, Row, together
from app.store.unnest import array

KINDS = {service: "ping" if service is Service.HEALTHCHECKS else str(service) for service in Service}
"""What an alias stands as: Healthchecks' ids are ping ids, beside the monitor's own."""
SERVICES = {kind: str(service) for service, kind in KINDS.items()}
ALIAS = AddressRow.kind.in_(SERVICES) & (AddressRow.key != cast(AddressRow.monitor_id, Text))
Alias = tuple[str, str]  # service, token
Place = tuple[UUID, UUID | None]  # project, and the monitor or None where the project has none of that name yet


class Address(NamedTuple):
    """What a URL names. `kind` says how: `ping` (key: a ping id) or a service with tokens (key: the token), without a name;
    `ping_key` (key: a project's ping key, name: a slug); `api_key` or a service with keys (key: the key's SHA-256 in hex,
    name: a slug, or what the monitor is called there)."""

    kind: str
    key: str
    name: str = ""


_ASKED = "unnest(CAST(:kinds AS text[]), CAST(:keys AS text[]), CAST(:names AS text[])) AS v(kind, key, name)"
DIRECT = text(f"""
    SELECT v.kind, v.key, v.name, a.project_id, a.monitor_id FROM {_ASKED}
    JOIN addresses a ON a.kind = v.kind AND a.key = v.key AND a.revoked_at IS NULL""")  # noqa: S608
BY_PING_KEY = text(f"""
    SELECT v.kind, v.key, v.name, a.project_id, m.id FROM {_ASKED}
    JOIN addresses a ON a.kind = 'ping_key' AND a.key = v.key AND a.revoked_at IS NULL
    LEFT JOIN monitors m ON m.project_id = a.project_id AND m.slug = v.name AND m.slug <> ''""")  # noqa: S608
BY_API_KEY = text(f"""
    SELECT v.kind, v.key, v.name, k.project_id, coalesce(a.monitor_id, m.id) FROM {_ASKED}
    JOIN api_keys k ON k.hash = decode(v.key, 'hex') AND k.revoked_at IS NULL
        AND (k.service = v.kind OR (k.service = '' AND k.scope <> 'ro'))
    LEFT JOIN addresses a ON a.kind = v.kind AND a.key = k.project_id || ':' || v.name AND a.revoked_at IS NULL
    LEFT JOIN monitors m ON m.project_id = k.project_id AND m.slug = v.name AND m.slug <> '' AND NOT EXISTS (
        SELECT FROM addresses o
        WHERE o.project_id = m.project_id AND o.monitor_id = m.id AND o.kind = v.kind AND o.revoked_at IS NULL)""")  # noqa: S608
"""A slug counts where the monitor is not called otherwise by that service."""
OPENS = text("""
    SELECT encode(k.hash, 'hex'), k.project_id FROM api_keys k
    WHERE k.hash = ANY(CAST(:hashes AS bytea[])) AND k.revoked_at IS NULL AND k.service = '' AND k.scope <> 'ro'""")


def by_key(kind: str) -> bool:
    """Whether addresses of this kind hold an API key, ours or a service's, beside a name."""
    return kind == "api_key" or kind in KEYED


def alias_key(project: UUID, service: str, token: str) -> str:
    """What stands in the directory for an alias: the token, behind its project where tokens are told apart by it."""
    return f"{project}:{token}" if service in KEYED else token


async def add(session: AsyncSession, kind: str, key: str, project: UUID, monitor: UUID | None = None) -> None:
    """A new entry."""
    await session.execute(insert(AddressRow).values(kind=kind, key=key, project_id=project, monitor_id=monitor))


async def add_unless_taken(session: AsyncSession, kind: str, key: str, project: UUID, monitor: UUID | None) -> bool:
    """A new entry; False where somebody has it already."""
    row = upsert(AddressRow).values(kind=kind, key=key, project_id=project, monitor_id=monitor)
    return (await session.execute(row.on_conflict_do_nothing().returning(AddressRow.key))).first() is not None


async def revoke(session: AsyncSession, kind: str, key: str, now: datetime) -> None:
    """An entry leads nowhere any more, and nobody else can have it."""
    row = update(AddressRow).where(AddressRow.kind == kind, AddressRow.key == key, AddressRow.revoked_at.is_(None))
    await session.execute(row.values(revoked_at=now))


async def set_aliases(session: AsyncSession, project: UUID, monitor: UUID, aliases: Sequence[Alias]) -> bool:
    """From now on the monitor has exactly these; False where somebody else has one of them, and then the caller must undo."""
    mine = (AddressRow.project_id == project, AddressRow.monitor_id == monitor, ALIAS)
    await session.execute(delete(AddressRow).where(*mine))
    wanted = sorted({(KINDS[Service(service)], alias_key(project, service, token)) for service, token in aliases})
    if not wanted:
        return True
    rows = [{"kind": kind, "key": key, "project_id": project, "monitor_id": monitor} for kind, key in wanted]
    added = await session.execute(upsert(AddressRow).values(rows).on_conflict_do_nothing().returning(AddressRow.key))
    return len(added.all()) == len(wanted)


async def resolve(session: AsyncSession, asked: Sequence[Address]) -> dict[Address, Place]:
    """Where these lead; what is unknown or revoked is not in the answer."""
    return joined(await together(session, *asking(asked)))


def asking(asked: Sequence[Address]) -> list[Asked[dict[Address, Place]]]:
    """The same, to be asked together with others; their answers are to be joined."""
    kinds = (
        (DIRECT, [a for a in asked if not a.name]),
        (BY_PING_KEY, [a for a in asked if a.name and a.kind == "ping_key"]),
        (BY_API_KEY, [a for a in asked if a.name and by_key(a.kind)]),
    )
    return [Asked(query, _columns(mine), _places) for query, mine in kinds if mine]


def joined(parts: Sequence[Mapping[Address, Place]]) -> dict[Address, Place]:
    """The places of all kinds."""
    return {address: place for part in parts for address, place in part.items()}


async def called(session: AsyncSession, project: UUID, service: Service, tokens: Collection[str]) -> dict[str, UUID]:
    """The monitors of this project that are called so by the service."""
    keys = {alias_key(project, service, token): token for token in tokens}
    query = select(AddressRow.key, AddressRow.monitor_id).where(
        AddressRow.kind == str(service), AddressRow.key == any_(literal(list(keys), ARRAY(Text))),
        AddressRow.project_id == project, AddressRow.monitor_id.is_not(None), AddressRow.revoked_at.is_(None),
    )  # fmt: skip
    return {keys[key]: monitor for key, monitor in await session.execute(query) if monitor is not None}


async def projects_of(session: AsyncSession, hashes: Sequence[bytes]) -> Mapping[bytes, UUID]:
    """The projects that these API keys of ours, as hashes, may write to; unknown, revoked and read-only ones are not in it."""
    if not hashes:
        return {}
    rows = await session.execute(OPENS, {"hashes": list(hashes)})
    return {bytes.fromhex(key): project for key, project in rows}


def _columns(asked: Sequence[Address]) -> dict[str, str]:
    columns = {"kinds": [a.kind for a in asked], "keys": [a.key for a in asked], "names": [a.name for a in asked]}
    return {column: array("text", values) for column, values in columns.items()}


def _places(rows: Sequence[Row]) -> dict[Address, Place]:
    return {Address(kind, key, name): (project, monitor) for kind, key, name, project, monitor in rows}
