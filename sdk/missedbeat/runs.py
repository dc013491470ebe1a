"""The runs that are under way in this worker, as its processes said: which execution of each."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

from missedbeat.event import ENDS, UNKNOWN, Event, short_run

UNDERWAY_KEPT = 10_000
ENDED_KEPT = 2000
FORGOTTEN_AFTER = 3_600_000


class Underway(NamedTuple):
    """One execution; `ts` is when it began."""

    att: int
    x: str
    ts: int
    monitor: str = ""


class Runs:
    """Kept by one process, the one that sends heartbeats; each step is one that the interpreter does not interrupt."""

    def __init__(self) -> None:
        self._underway: OrderedDict[str, Underway] = OrderedDict()
        self._ended: OrderedDict[str, Underway] = OrderedDict()

    def note(self, event: Event) -> None:
        """A run began or ended."""
        if event.type == "run.started":
            self._underway[event.run] = Underway(event.att, event.x, event.ts, event.monitor)
            while len(self._underway) > UNDERWAY_KEPT:
                self._underway.popitem(last=False)
        elif (event.type in ENDS or event.type == "run.retry") and event.run:
            self._end(event)

    def underway(self, run: str) -> Underway | None:
        """What began here and did not end; None if it did, or is not known."""
        return self._underway.get(short_run(run))

    def execution_of(self, run: str) -> str:
        """The newest execution that is known; empty if none is."""
        known = self.underway(run) or self._ended.get(short_run(run))
        return known.x if known else ""

    def monitor_of(self, run: str) -> str:
        """The monitor that its newest start named; empty if none is known."""
        known = self.underway(run) or self._ended.get(short_run(run))
        return known.monitor if known else ""

    def is_underway(self, run: str) -> bool:
        """Whether it began here and did not end."""
        return self.underway(run) is not None

    def has_ended(self, run: str) -> bool:
        """Whether it ended here, and did not begin anew since."""
        return self.underway(run) is None and short_run(run) in self._ended

    def named(self, event: Event) -> Event:
        """The event with the execution that it is about, where only we know that."""
        return event._replace(x=self.execution_of(event.run)) if event.x == UNKNOWN else event

    def listed(self, now: int) -> list[list[Any]]:
        """All that are under way, as heartbeats list them: monitor, run, execution and age in seconds."""
        return [
            [known.monitor, run, known.x, round(max(0, now - known.ts) / 1000, 1)] for run, known in list(self._underway.items())
        ]

    def forget(self, alive: set[str], now: int) -> None:
        """Let go of runs whose end nobody will tell: begun long ago, and not alive."""
        alive = set(map(short_run, alive))
        for run, known in list(self._underway.items()):
            if run not in alive and now - known.ts > FORGOTTEN_AFTER:
                self._underway.pop(run, None)

    def _end(self, event: Event) -> None:
        known = self._underway.get(event.run)
        if known is not None and event.x in (known.x, UNKNOWN, ""):
            self._underway.pop(event.run, None)
            self._ended[event.run] = known
            while len(self._ended) > ENDED_KEPT:
                self._ended.popitem(last=False)
