"""The history, held against what the database and the receivers hold at the end. Every function returns complaints.

What is judged: everything acknowledged is there, once; nothing refused is; transitions are gapless, chain, and are told; silence
was noticed, dated right, and never noticed where an acknowledged check-in came in time; no message came twice without a fault.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.faults.history import History, Said
from tests.faults.rig import Fault

Row = dict[str, Any]
DELTA = timedelta(seconds=2)
UNSURE = DELTA + timedelta(seconds=2 + 5)  # the horizon's lag, and a hole in the ticks too short to be a blackout
GONE = timedelta(seconds=40)  # a process that died or froze may put silence off for so long
SLACK = 3.0  # seconds between what a receiver notes and what happened
QUERIES = {
    "monitors": "SELECT id::text, status, heard, transition_count, period, grace, deadline FROM monitors",
    "check_ins": "SELECT monitor_id::text AS id, n, received_at AS at, signal, encode(body, 'escape') AS token FROM check_ins",
    "transitions": "SELECT *, monitor_id::text AS id, announced_to::text[] AS told FROM transitions",
    "deliveries": "SELECT *, monitor_id::text AS monitor, channel_id::text AS channel FROM deliveries",
    "subscriptions": "SELECT monitor_id::text AS id, channel_id::text AS channel FROM subscriptions",
    "blackouts": "SELECT from_at, to_at FROM blackouts",
    "incidents": "SELECT monitor_id::text AS id, opened_at, closed_at FROM incidents",
}


@dataclass(frozen=True)
class Kept:
    """What the database holds, table by table; `of` groups by monitor."""

    tables: Mapping[str, list[Row]]
    now: datetime

    def of(self, table: str, order: str) -> dict[str, list[Row]]:
        """Rows of each monitor, in order."""
        found: dict[str, list[Row]] = {m["id"]: [] for m in self.tables["monitors"]}
        for row in sorted(self.tables[table], key=lambda r: r[order]):
            found[row["id"]].append(row)
        return found

    def deaf(self, start: datetime, end: datetime) -> bool:
        """Whether any blackout touches that time."""
        return any(b["from_at"] <= end and b["to_at"] >= start for b in self.tables["blackouts"])


def read(dsn: str) -> Kept:
    """Everything at one instant."""
    with psycopg.connect(dsn.replace("+psycopg", ""), row_factory=dict_row) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        tables = {name: connection.execute(sql).fetchall() for name, sql in QUERIES.items()}
        clock = connection.execute("SELECT missedbeat_now() AS now").fetchone()
    assert clock is not None
    return Kept(tables, clock["now"])


def complaints(kept: Kept, history: History, hits: Mapping[str, Sequence[float]], faults: Sequence[Fault]) -> list[str]:
    """All of them."""
    return [
        *said_and_kept(kept, history), *numbered(kept), *chained(kept), *told(kept), *silence_noticed(kept, faults),
        *nobody_wronged(kept), *failures_noticed(kept), *accounted(kept), *heard_once(kept, hits, faults),
    ]  # fmt: skip


def said_and_kept(kept: Kept, history: History) -> Iterator[str]:
    """P1, P3: every 2xx once, refusals absent, what was left open at most once; received while it was being said."""
    found: dict[str, list[Row]] = {}
    for row in kept.tables["check_ins"]:
        found.setdefault(row["token"], []).append(row)
    for said in history.said:
        rows = found.pop(said.token, [])
        least, most = said.least_and_most()
        if not least <= len(rows) <= most:
            yield f"{said.signal} {said.token} stands {len(rows)} times in the log, not {least} to {most}: {said.calls}"
        yield from _placed(said, rows)
    yield from (f"nobody said {token}" for token in found)


def _placed(said: Said, rows: Sequence[Row]) -> Iterator[str]:
    """Received may be too early by as long as the clock's answer took, never too late."""
    for row in rows:
        if row["id"] != said.monitor:
            yield f"{said.token} stands at another monitor"
        at = row["at"].timestamp()
        if not any(2 * c.began - c.ended - 0.1 <= at <= c.ended + 0.001 or c.status is None for c in said.calls):
            yield f"{said.token} was received at {row['at']}, but said at {said.calls}"


def numbered(kept: Kept) -> Iterator[str]:
    """Check-ins of a monitor are numbered without a gap, and it knows how many there were."""
    heard = {m["id"]: m["heard"] for m in kept.tables["monitors"]}
    for monitor, rows in kept.of("check_ins", "n").items():
        if [r["n"] for r in rows] != list(range(1, heard[monitor] + 1)):
            yield f"check-ins of {monitor} are not numbered 1 to {heard[monitor]}"


def chained(kept: Kept) -> Iterator[str]:
    """P6: transitions are gapless, chain, and end where the monitor stands; P5: one incident opened for each down."""
    monitors = {m["id"]: m for m in kept.tables["monitors"]}
    incidents = kept.of("incidents", "opened_at")
    for monitor, turns in kept.of("transitions", "n").items():
        status = "new"
        for n, turn in enumerate(turns, 1):
            if (turn["n"], turn["from_status"]) != (n, status) or turn["to_status"] == status:
                yield f"transition {turn['n']} of {monitor} from {turn['from_status']} follows {n - 1} to {status}"
            status = turn["to_status"]
        if (monitors[monitor]["status"], monitors[monitor]["transition_count"]) != (status, len(turns)):
            yield f"{monitor} is {monitors[monitor]['status']}, its transitions end {status}"
        downs = sorted(t["at"] for t in turns if t["to_status"] == "down")
        if sorted(i["opened_at"] for i in incidents[monitor]) != downs:
            yield f"incidents of {monitor} are not its downs"
        if sum(i["closed_at"] is None for i in incidents[monitor]) != (status == "down"):
            yield f"open incidents of {monitor} do not match its status {status}"


def told(kept: Kept) -> Iterator[str]:
    """P5: each down, and each up after it, has one delivery for every channel that listens; nothing else has any."""
    ears: dict[str, list[str]] = {}
    for row in kept.tables["subscriptions"]:
        ears.setdefault(row["id"], []).append(row["channel"])
    sent: dict[str, list[str]] = {}
    for row in kept.tables["deliveries"]:
        sent.setdefault(row["cause_id"], []).append(row["channel"])
    for turn in kept.tables["transitions"]:
        news = turn["to_status"] == "down" or (turn["from_status"], turn["to_status"]) == ("down", "up")
        wanted = sorted(ears.get(turn["id"], [])) if news else []
        found = sorted(sent.pop(f"{turn['id']}:{turn['n']}", []))
        if found != wanted or sorted(turn["told"]) != wanted:
            yield f"transition {turn['n']} of {turn['id']} was to be told to {wanted}, and has {found}"
    yield from (f"a delivery without its cause: {cause}" for cause in sent)


def _expectations(kept: Kept) -> Iterator[tuple[str, datetime, datetime, datetime]]:
    """Of each success or fail: monitor, when, the deadline that follows from it, and when the next one was received."""
    monitors = {m["id"]: m for m in kept.tables["monitors"]}
    for monitor, rows in kept.of("check_ins", "at").items():
        span = timedelta(seconds=monitors[monitor]["period"] + monitors[monitor]["grace"])
        ends = [r["at"] for r in rows if r["signal"] in ("success", "fail")]
        for at, following in pairwise([*ends, kept.now]):
            yield monitor, at, at + span, following


def silence_noticed(kept: Kept, faults: Sequence[Fault]) -> Iterator[str]:
    """P4: what was silent for longer than the horizon may lag went down once, at its deadline. Where we were deaf nothing is
    asked: see `nobody_wronged`."""
    since = (GONE + UNSURE).total_seconds()
    downs = {(t["id"], t["at"]) for t in kept.tables["transitions"] if t["to_status"] == "down"}
    already = kept.of("transitions", "at")
    for monitor, at, deadline, following in _expectations(kept):
        hurt = any(f.ended >= deadline.timestamp() - since and f.began <= following.timestamp() for f in faults)
        if following <= deadline + UNSURE + (GONE if hurt else timedelta()) or kept.deaf(at, following):
            continue
        was_down = [t["to_status"] for t in already[monitor] if t["at"] <= at][-1:] == ["down"]
        if not was_down and (monitor, deadline) not in downs:
            yield f"{monitor} was silent from {at} to {following}, and did not go down at {deadline}"


def nobody_wronged(kept: Kept) -> Iterator[str]:
    """P2, P10: no down by silence that a check-in received by its deadline contradicts; dated at the deadline; and none for
    a window in which we were deaf."""
    known = {(monitor, deadline): at for monitor, at, deadline, _ in _expectations(kept)}
    spans = {m["id"]: timedelta(seconds=m["period"] + m["grace"]) for m in kept.tables["monitors"]}
    periods = {m["id"]: timedelta(seconds=m["period"]) for m in kept.tables["monitors"]}
    ends = kept.of("check_ins", "at")
    for turn in kept.tables["transitions"]:
        if turn["to_status"] != "down" or turn["reason"] != "missed":
            continue
        monitor, deadline = turn["id"], turn["at"]
        span = spans[monitor]
        for row in ends[monitor]:
            if row["signal"] in ("success", "fail") and deadline - span < row["at"] <= deadline:
                yield f"{monitor} went down at {deadline}, though heard at {row['at']}"
        heard_at = known.get((monitor, deadline))
        if heard_at is None and not kept.deaf(deadline - 2 * span - timedelta(minutes=2), deadline):
            yield f"{monitor} went down at {deadline}, which is no deadline of it"
        if heard_at is not None and any(
            b["from_at"] <= deadline and heard_at + periods[monitor] < b["to_at"] < turn["noticed_at"]
            for b in kept.tables["blackouts"]
        ):
            yield f"{monitor} is blamed for silence at {deadline}, when we were deaf"


def failures_noticed(kept: Kept) -> Iterator[str]:
    """Every fail of a monitor that is not down turns it down, every success of one that is not up turns it up, at its time."""
    turns = kept.of("transitions", "n")
    patient = {m["id"] for m in kept.tables["monitors"] if m["period"] > 3600}
    for monitor, rows in kept.of("check_ins", "at").items():
        if monitor not in patient:
            continue
        status, wanted = "new", []
        for row in rows:
            after = {"success": "up", "fail": "down"}.get(row["signal"], status)
            if after != status:
                wanted.append((after, row["at"]))
            status = after
        if [(t["to_status"], t["at"]) for t in turns[monitor]] != wanted:
            yield f"transitions of {monitor} are not those that its check-ins make"


def accounted(kept: Kept) -> Iterator[str]:
    """P7: every delivery ended, and says how."""
    for row in kept.tables["deliveries"]:
        if row["state"] not in ("delivered", "dead", "suppressed") or not row["reason"] or row["settled_at"] is None:
            yield f"delivery {row['id']} ended {row['state']}: {row['reason']}"
        if row["state"] == "delivered" and not row["attempts"]:
            yield f"delivery {row['id']} is delivered without an attempt"


def heard_once(kept: Kept, hits: Mapping[str, Sequence[float]], faults: Sequence[Fault]) -> Iterator[str]:
    """P8: what is delivered was received; again only after a fault in between, under the same id; nothing else came."""
    states = {str(row["id"]): row["state"] for row in kept.tables["deliveries"]}
    for delivery, state in states.items():
        if state == "delivered" and delivery not in hits:
            yield f"delivery {delivery} says delivered, and never came"
        for first, again in pairwise(hits.get(delivery, ())):
            if not any(first - SLACK <= f.ended and f.began <= again + SLACK for f in faults):
                yield f"delivery {delivery} came at {first} and again at {again} without any fault between"
    yield from (f"received {stray}, of which nothing is known" for stray in hits if stray not in states)


def duplicates(hits: Mapping[str, Sequence[float]]) -> int:
    """Messages received more often than once."""
    return sum(len(times) - 1 for times in hits.values())
