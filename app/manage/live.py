"""Whether anything changed in a project, for the pages that somebody looks at: one look a second for each project that is looked
at, however many look, and none where nobody does."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.store import blackouts, glances
from app.store.engine import Sessions

log = structlog.get_logger()

EVERY = 1.0  # seconds between two looks
RESTS = 20  # times as long as a look took it rests after it, so that a large project costs no more than a small one
STREAM_LASTS = 60.0  # seconds; then the browser comes again, and has to be let in again
SILENCE = 15.0  # seconds after which a stream says that it is alive
MOST_FAILED = 3  # looks in a row; then its streams end, and browsers see that they are not let in again
MOST_STREAMS = 500  # of this process; whoever comes then asks from time to time instead


@dataclass(slots=True)
class _Watched:
    """A project that somebody looks at."""

    version: str = ""
    looks: int = 0
    failed: int = 0
    turned: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    watchers: int = 0


class Live:
    """The streams of one process. `leaving`: whether it is to stop, and its streams with it."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._watched: dict[UUID, _Watched] = {}
        self.leaving: Callable[[], bool] = lambda: False

    @property
    def streams(self) -> int:
        """How many are open."""
        return sum(watched.watchers for watched in self._watched.values())

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return self.streams >= MOST_STREAMS

    async def changes(self, project: UUID, seen: str) -> AsyncGenerator[str | None]:
        """The version of a project at once, unless it is the one that was `seen`, and whenever it is another; None where nothing
        changed for a while. Ends after a minute, and where the database has not answered for some looks: a page that cannot
        know says so."""
        watched = self._watched.setdefault(project, _Watched())
        watched.watchers += 1
        if watched.task is None:
            watched.task = asyncio.create_task(self._look(project, watched))
        try:
            ends, spoke = time.monotonic() + STREAM_LASTS, time.monotonic()
            while time.monotonic() < ends and watched.failed < MOST_FAILED and not self.leaving():
                if watched.looks and watched.version != seen:
                    seen, spoke = watched.version, time.monotonic()
                    yield seen
                elif time.monotonic() - spoke > SILENCE:
                    spoke = time.monotonic()
                    yield None
                await _turned(watched.turned)
        finally:
            watched.watchers -= 1
            if not watched.watchers and watched.task is not None:
                watched.task.cancel()
                self._watched.pop(project, None)

    async def _look(self, project: UUID, watched: _Watched) -> None:
        """Again and again. A database that does not answer is asked again a little later: the pages stay as they are."""
        while True:
            began = time.monotonic()
            try:
                async with self._sessions() as session:
                    found = await glances.version(session, project, await blackouts.now(session))
            except (SQLAlchemyError, OSError) as error:
                log.warning("a look for live pages failed", project=str(project), error=type(error).__name__)
                found = watched.version
                watched.failed += 1
            else:
                watched.failed = 0
                watched.looks += 1
            if found != watched.version:
                watched.version = found
                watched.turned.set()
                watched.turned = asyncio.Event()
            await asyncio.sleep(max(EVERY, RESTS * (time.monotonic() - began)))


async def _turned(event: asyncio.Event) -> None:
    """Return when it is set, or after a second."""
    try:
        async with asyncio.timeout(EVERY):
            await event.wait()
    except TimeoutError:
        return
