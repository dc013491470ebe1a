"""Whose turn it is, and who gives way: the rule of the inbox by itself."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import count
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.state import Signal
from app.ingest.ping import Ping, Target
from app.ingest.turns import Turns, Waiting
from app.ingest.whose import UNKNOWN, Whose
from app.store.addresses import Address

NOWHERE = Target(Address("ping", ""), Signal.SUCCESS)
STEPS = st.lists(st.tuples(st.sampled_from(["add", "add", "add", "take", "give way", "expire"]), st.integers(0, 4)), max_size=80)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Futures want one, though nobody waits on them here."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def waiting(loop: asyncio.AbstractEventLoop, project: int, heard_at: float, body: bytes = b"x") -> Waiting:
    """A ping of that project."""
    return Waiting(Ping(NOWHERE, heard_at, body=body), loop.create_future(), project)


def test_projects_take_turns_however_many_of_one_wait(loop: asyncio.AbstractEventLoop) -> None:
    """The only ping of a project comes before the second of any other, and those of one project keep their order."""
    turns = Turns()
    for n, project in enumerate([1] * 500 + [2, 3, 3]):
        turns.add(waiting(loop, project, n))
    taken = [turns.take() for _ in range(503)]
    assert [(w.project, w.ping.heard_at) for w in taken[:6] if w] == [(1, 0), (2, 500), (3, 501), (1, 1), (3, 502), (1, 2)]
    assert [w.ping.heard_at for w in taken if w and w.project == 1] == list(range(500))
    assert (turns.take(), turns.count, turns.bytes) == (None, 0, 0)


def test_who_gives_way_is_the_newest_of_who_has_the_most_waiting(loop: asyncio.AbstractEventLoop) -> None:
    """A flood gives way to everybody else, down to an equal share; nobody gives way to a flood."""
    turns = Turns()
    for n in range(10):
        turns.add(waiting(loop, 1, n))
    assert turns.give_way(1) is None
    gone = []
    while (way := turns.give_way(2)) is not None:
        gone.append((way.project, way.ping.heard_at))
        turns.add(waiting(loop, 2, 100 + len(gone)))
    assert gone == [(1, 9), (1, 8), (1, 7), (1, 6), (1, 5)]
    assert turns.give_way(1) is None


def test_where_all_have_as_many_nobody_gives_way(loop: asyncio.AbstractEventLoop) -> None:
    """The last to come is refused: putting it in another's place would only refuse that one."""
    turns = Turns()
    for project in (1, 2):
        turns.add(waiting(loop, project, 0))
    assert turns.give_way(3) is None


def test_what_waits_no_more_costs_its_project_no_turn(loop: asyncio.AbstractEventLoop) -> None:
    """A flood that was refused for waiting too long is over: the same project's next ping has its turn like anybody's."""
    turns, refused = Turns(), list[Waiting]()
    for n, project in enumerate([1] * 50 + [2] * 3):
        turns.add(waiting(loop, project, n))
    turns.expire(50, refused.append)
    assert len(refused) == 50
    gone = turns.give_way(1)
    assert gone is not None
    assert (gone.project, gone.ping.heard_at) == (2, 52)


@given(STEPS)
def test_turns_hold_whatever_comes(loop: asyncio.AbstractEventLoop, steps: list[tuple[str, int]]) -> None:
    """Against a plain list: order within a project, who is taken, who gives way and who expires, and what is counted."""
    turns, model, clock = Turns(), list[Waiting](), count()
    for step, project in steps:
        has = Counter(w.project for w in model)
        if step == "add":
            model.append(waiting(loop, project, next(clock), b"x" * project))
            turns.add(model[-1])
        elif step == "take":
            taken = turns.take()
            assert (taken is None) == (not model)
            if taken is not None:
                assert taken is next(w for w in model if w.project == taken.project), "not the oldest of its project"
                model.remove(taken)
        elif step == "give way":
            gone = turns.give_way(project)
            if gone is not None:
                assert gone is [w for w in model if w.project == gone.project][-1], "not the newest of its project"
                assert gone.project != project
                model.remove(gone)
            elif has:
                assert max(has.values()) <= has[project] + 2, "refused beside others who have more waiting"
        else:
            oldest = max((w.ping.heard_at for w in model), default=0.0) - project
            expired = list[Waiting]()
            turns.expire(oldest, expired.append)
            assert {id(w) for w in expired} == {id(w) for w in model if w.ping.heard_at < oldest}
            model = [w for w in model if w.ping.heard_at >= oldest]
        assert (turns.count, turns.bytes) == (len(model), sum(len(w.ping.body) for w in model))


def test_a_project_is_remembered_by_its_ids_and_keys_whatever_is_named_beside_a_key() -> None:
    """What was not learned is of nobody; one learned later may take another's place, and then that one is of nobody again."""
    whose, ours, theirs = Whose(), uuid4(), uuid4()
    assert whose.project(Address("ping", "a")) == UNKNOWN
    whose.learn(Address("ping", "a"), ours)
    whose.learn(Address("ping_key", "k", "one"), ours)
    whose.learn(Address("ping_key", "l", "one"), theirs)
    assert whose.project(Address("ping", "a")) == whose.project(Address("ping_key", "k", "two")) != UNKNOWN
    assert UNKNOWN != whose.project(Address("ping_key", "l", "three")) != whose.project(Address("ping", "a"))
    assert whose.project(Address("ping", "k")) == UNKNOWN
