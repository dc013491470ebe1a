"""The canary: every ten seconds a check-in of our own through the public address, as a job's would come. Where none gets through,
nobody's does, and nobody is blamed for silence."""

from dataclasses import dataclass, field
from ipaddress import ip_network
from urllib.parse import urlencode

import structlog

from app import metrics
from app.domain.tokens import canary_path
from app.notify.outbound import Outbound, OutboundError
from app.store import blackouts, notices
from app.store.engine import Sessions

log = structlog.get_logger()

ANYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))  # the operator's own address may be a private one
TIME_LIMIT = 8.0  # seconds
GIVEN_UP = "It is not waited for any more: see whether the public address works from the worker, and from outside."


@dataclass(slots=True)
class Canary:
    """Sends; whether it was heard is noted where it comes in."""

    sessions: Sessions
    base_url: str
    secret_key: str
    outbound: Outbound = field(default_factory=lambda: Outbound(allow_networks=ANYWHERE, time_limit=TIME_LIMIT))
    _fails: bool = False

    async def send_once(self) -> bool:
        """One canary; whether it came through, or none was to be sent. Said in the log when that changes."""
        async with self.sessions() as session:
            sent_at = await blackouts.now(session)
            if not await blackouts.canary_sent(session, sent_at):
                return True
            given_up = await blackouts.keep_deafness(session)
            if given_up is not None:
                words = f"No check-in of our own has come through {self.base_url} since {given_up.start:%H:%M:%S} UTC. {GIVEN_UP}"
                await notices.notice(session, "canary", given_up.start.isoformat(), words, sent_at)
            await session.commit()
        if given_up is not None:
            log.error("the canary does not come through for too long and is not waited for any more", since=str(given_up.start))
        query = urlencode({"sent": sent_at.isoformat()})
        url = f"{self.base_url.rstrip('/')}{canary_path(self.secret_key)}?{query}"
        try:
            answer = await self.outbound.post(url, content=b"", headers={}, method="GET")
            came_through, why = answer.status == 200, f"status {answer.status}"
        except OutboundError as error:
            came_through, why = False, error.words
        metrics.CANARIES.labels("heard" if came_through else "lost").inc()
        if came_through == self._fails:
            self._fails = not came_through
            if came_through:
                log.info("the canary comes through again")
            else:
                log.warning("the canary does not come through the public address", address=self.base_url, why=why)
        return came_through

    async def aclose(self) -> None:
        """Close what is open."""
        await self.outbound.aclose()
