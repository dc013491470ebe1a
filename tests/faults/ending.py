"""How every run under fire ends: wait until all is judged and told, then hold the history against what is there."""

from collections import Counter

from tests.faults.history import History
from tests.faults.jobs import Hook
from tests.faults.judge import complaints, duplicates, read
from tests.faults.rig import Rig, measured


def settle(rig: Rig, within: float = 150) -> None:
    """Return once everything is judged and told: no silence passed over, no delivery open."""
    waiting = """SELECT (SELECT count(*) FROM deliveries WHERE state IN ('waiting', 'sending'))
        + (SELECT count(*) FROM monitors WHERE deadline < missedbeat_now() - interval '20 s')"""
    rig.until(lambda: rig.rows(waiting)[0][0] == 0, within, "not everything was judged and told")


def hold(rig: Rig, history: History, hook: Hook) -> dict[str, list[float]]:
    """Hold the history against the database and the receiver; returns what came in."""
    hits = hook.hits()
    found = complaints(read(rig.dsn), history, hits, rig.faults)
    faults = Counter(f"{f.what} {f.victim}" for f in rig.faults)
    measured(
        f"{dict(faults)}; {len(history.said)} check-ins, answers {history.answers()}; "
        f"{len(hits)} messages, {duplicates(hits)} again; {len(found)} complaints"
    )
    assert not found, "\n".join(found[:20])
    return hits
