"""The judge of histories, before it judges: it has nothing to say of a sound story, and complains of every way to spoil it."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.faults.history import Call, History, Said
from tests.faults.judge import Kept, complaints
from tests.faults.rig import Fault

BEGIN = datetime(2026, 5, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So long after the beginning."""
    return BEGIN + timedelta(seconds=seconds)


class Story:
    """A job of every 60 s and 30 s of grace: heard at 0 and 50, silent, down at 140, told, back at 200, told. What was refused
    is not there, what was left open may be."""

    def __init__(self) -> None:
        self.history = History()
        self.faults: list[Fault] = []
        self.say("t1", 0, 200)
        self.say("t2", 50, None, 200)
        self.say("t3", 200, 503, 200)
        self.say("t4", 210, 503)
        self.check_ins = [
            {"id": "m", "n": n, "at": at(s), "signal": "success", "token": f"t{n}"} for n, s in ((1, 0), (2, 50), (3, 200))
        ]
        turns = ((1, "new", "up", 0, "heard"), (2, "up", "down", 140, "missed"), (3, "down", "up", 200, "heard"))
        self.transitions = [
            {"id": "m", "n": n, "from_status": a, "to_status": b, "at": at(s), "noticed_at": at(s + 3), "reason": why,
             "told": ["c"] if n > 1 else []}
            for n, a, b, s, why in turns
        ]  # fmt: skip
        self.deliveries = [
            {"id": f"d{n}", "cause_id": f"m:{n}", "monitor": "m", "channel": "c", "state": "delivered", "reason": "200",
             "settled_at": at(s), "attempts": [{}]}
            for n, s in ((2, 143), (3, 203))
        ]  # fmt: skip
        self.incidents = [{"id": "m", "opened_at": at(140), "closed_at": at(200)}]
        self.monitors: list[dict[str, Any]] = [
            {"id": "m", "status": "up", "heard": 3, "transition_count": 3, "period": 60, "grace": 30, "deadline": at(290)}
        ]
        self.blackouts: list[dict[str, Any]] = []
        self.hits = {"d2": [at(143).timestamp()], "d3": [at(203).timestamp()]}

    def say(self, token: str, seconds: float, *answers: int | None) -> None:
        """One check-in with its answers; refused ones are promised to be absent."""
        began = at(seconds).timestamp() - 0.01
        calls = [Call(began, began + 0.02, a, "busy, nothing was recorded" if a == 503 else "") for a in answers]
        self.history.said.append(Said("m", "success", len(answers) > 1, token, calls))

    def complaints(self) -> list[str]:
        """What the judge says."""
        names = ("monitors", "check_ins", "transitions", "deliveries", "blackouts", "incidents")
        tables = {name: deepcopy(getattr(self, name)) for name in names}
        kept = Kept({**tables, "subscriptions": [{"id": "m", "channel": "c"}]}, at(230))
        return complaints(kept, self.history, self.hits, self.faults)


SPOILED: dict[str, Callable[[Story], Any]] = {
    "acknowledged and gone": lambda s: s.check_ins.pop(),
    "acknowledged and there twice": lambda s: s.check_ins.append({**s.check_ins[0], "n": 4}),
    "refused and there": lambda s: s.history.said[2].calls.pop(),
    "said by nobody": lambda s: s.check_ins.append({**s.check_ins[0], "n": 4, "token": "t9"}),
    "received before it was said": lambda s: s.check_ins[0].update(at=at(-30)),
    "a gap in the numbers": lambda s: s.check_ins[2].update(n=4),
    "a transition gone": lambda s: s.transitions.pop(1),
    "a transition that does not chain": lambda s: s.transitions[2].update(from_status="new"),
    "a status without its transition": lambda s: s.monitors[0].update(status="down"),
    "a down without an incident": lambda s: s.incidents.pop(),
    "an incident left open": lambda s: s.incidents[0].update(closed_at=None),
    "a down not told": lambda s: s.deliveries.pop(0),
    "told twice": lambda s: s.deliveries.append({**s.deliveries[0], "id": "d9"}),
    "told without a cause": lambda s: s.deliveries.append({**s.deliveries[0], "id": "d9", "cause_id": "m:9"}),
    "never sent": lambda s: s.hits.pop("d2"),
    "sent twice without a fault": lambda s: s.hits["d2"].append(at(150).timestamp()),
    "sent and unknown": lambda s: s.hits.update(d7=[0.0]),
    "left open": lambda s: s.deliveries[1].update(state="waiting"),
    "silence not noticed": lambda s: s.monitors[0].update(period=30),
    "dated when it was noticed": lambda s: (s.transitions[1].update(at=at(143)), s.incidents[0].update(opened_at=at(143))),
    "down though heard in time": lambda s: s.check_ins.insert(2, {**s.check_ins[1], "n": 3, "at": at(139)}),
    "blamed for our own blackout": lambda s: s.blackouts.append({"from_at": at(115), "to_at": at(121)}),
}


def test_of_a_sound_story_there_is_nothing_to_say() -> None:
    """Nor of one in which a message came twice with a kill between."""
    story = Story()
    assert story.complaints() == []
    story.hits["d2"].append(at(175).timestamp())
    story.faults.append(Fault("kill", "worker", at(143).timestamp(), at(144).timestamp()))
    assert story.complaints() == []


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_every_way_to_spoil_it_is_complained_of(spoil: Callable[[Story], Any]) -> None:
    """A judge who never complains proves nothing."""
    story = Story()
    spoil(story)
    assert story.complaints()
