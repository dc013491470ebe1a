"""After a blackout: what was expected in it and is still not heard of is told, in one message for each project and channel."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.digest import Silent, digest
from app.domain.horizon import Blackout
from app.store import outbox, unheard
from app.store.blackouts import Moment
from app.store.engine import Sessions
from app.store.unheard import Expected

MOST = 2000


async def tell_unheard_once(sessions: Sessions, moment: Moment) -> int:
    """Settle what was unheard a minute after its blackout; returns how many jobs were told of. The telling and the note that it
    was told commit together."""
    async with sessions() as session:
        expected = await unheard.due(session, moment.horizon.at, MOST)
        if not expected:
            return 0
        silent = [e for e in expected if not e.is_known]
        await outbox.put(session, await _deliveries(session, moment, silent))
        await unheard.settle(session, expected, moment.now)
        await session.commit()
    return len(silent)


async def _deliveries(session: AsyncSession, moment: Moment, silent: Sequence[Expected]) -> list[dict[str, Any]]:
    listeners = await outbox.listeners(session, {(e.project, e.monitor) for e in silent})
    told: dict[tuple[UUID, UUID, str | None, Blackout], list[Silent]] = defaultdict(list)
    projects: dict[UUID, str] = {}
    for e in silent:
        ears = [ear for ear in listeners.get(e.monitor, []) if ear.hears in ("all", "down")]
        ways = [(ear.channel, ear.disabled) for ear in ears]
        if ears and all(ear.disabled is not None for ear in ears) and ears[0].fallback is not None:
            ways.append((ears[0].fallback, None))
        for channel, disabled in ways:
            projects[e.project] = ears[0].project_name
            told[e.project, channel, disabled, e.blackout].append(Silent(e.name, e.at, e.zone))
    cause = str(uuid4())
    return [
        {
            "project_id": project, "id": uuid4(), "channel_id": channel, "monitor_id": None, "incident_id": None,
            "cause_kind": "digest", "cause_id": f"{blackout.start.isoformat()}:{cause}",
            "told": digest(blackout, jobs, projects[project]).to_json(), **outbox.standing(disabled, moment.now),
        }
        for (project, channel, disabled, blackout), jobs in told.items()
    ]  # fmt: skip
