"""A check-in that somebody makes by a button: it goes through the inbox as one by URL does, and counts like it."""

from uuid import UUID

from app import metrics
from app.clock import monotonic
from app.domain.state import Signal
from app.errors import Conflict, NotFound, TooMany, Unavailable
from app.ingest.inbox import Inbox
from app.ingest.ping import Ping, Target
from app.store.addresses import Address

USER_AGENT = "dashboard"


class ByHand:
    """Whoever uses it knows who may."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def __call__(self, monitor: UUID, remote_addr: str) -> None:
        """A success, recorded when this returns. Raises NotFound, TooMany, Unavailable, and Conflict for one that the monitor's
        settings filter out."""
        target = Target(Address("ping", str(monitor)), Signal.SUCCESS)
        ping = Ping(target, monotonic(), method="POST", remote_addr=remote_addr, user_agent=USER_AGENT)
        answer = await self._inbox.hear(ping)
        metrics.CHECK_INS.labels(answer.result).inc()
        if answer.status == 429:
            raise TooMany(answer.text, answer.retry_after or 1)
        if answer.status == 503:
            raise Unavailable(answer.text, answer.retry_after or 1)
        if answer.status >= 400:
            raise NotFound(answer.text)
        if answer.result == "ignored":
            raise Conflict("it was heard and ignored, as its settings say: by keywords, or because it waits to be resumed")
