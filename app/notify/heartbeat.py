"""Our own sign of life: a URL that is called while all is well, so that somebody outside notices when we notice nothing more."""

from datetime import timedelta
from ipaddress import ip_network

import structlog

from app import metrics
from app.clock import monotonic
from app.domain.fitness import grave
from app.notify.outbound import Answer, Outbound, OutboundError
from app.store import vitals
from app.store.engine import Sessions

log = structlog.get_logger()

PACE = 30.0  # seconds from one that went out to the next
AGAIN = 10.0  # seconds after one that did not
TIME_LIMIT = 10.0
EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class Heartbeat:
    """Calls the operator's URL; its path is a secret and stands in no log. The address may be a private one: whoever sets it
    runs this machine."""

    def __init__(self, url: str, margin: timedelta) -> None:
        self._url = url
        self._margin = margin
        self._outbound = Outbound(allow_networks=EVERYWHERE, time_limit=TIME_LIMIT)
        self._next_at = 0.0
        self._withheld = ""

    async def beat_once(self, sessions: Sessions) -> str:
        """One look: "sent", "failed", "withheld" because we are not well, or "" where it is not yet time.

        1. The figures come from the tables: a sweep that ended just now, whoever swept, nothing unjudged, nothing unsent, pings
        taken. 2. Only then the URL is called. Never raises for the network.
        """
        if not self._url or monotonic() < self._next_at:
            return ""
        async with sessions() as session:
            wrong = grave(await vitals.read(session, self._margin))
        outcome = "withheld" if wrong else await self._call()
        if wrong and self._withheld != wrong[0].about:
            log.error("the outgoing heartbeat is withheld", why=[complaint.words for complaint in wrong])
        self._withheld = wrong[0].about if wrong else ""
        metrics.HEARTBEATS.labels(outcome).inc()
        if not wrong:
            self._next_at = monotonic() + (PACE if outcome == "sent" else AGAIN)
        return outcome

    async def aclose(self) -> None:
        """Close what is open."""
        await self._outbound.aclose()

    async def _call(self) -> str:
        try:
            answer: Answer = await self._outbound.post(self._url, content=b"", headers={}, method="GET")
        except OutboundError as error:
            log.warning("the outgoing heartbeat failed", error=error.words)
            return "failed"
        if not 200 <= answer.status < 300:
            log.warning("the outgoing heartbeat failed", error=f"HTTP {answer.status}")
            return "failed"
        return "sent"
