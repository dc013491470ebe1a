"""Edits that race with pings, each round with real transactions on both sides: no active check is left without a deadline.
On a machine that stands still for half a second either side may be asked to try again, as clients are; it does."""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.many import patiently
from tests.world import World

pytestmark = pytest.mark.anyio

ROUNDS = (10, pytest.param(100, marks=pytest.mark.prove))
WITHOUT_DEADLINE = "SELECT id, status FROM monitors WHERE status = 'up' AND deadline IS NULL"
EDITS: tuple[dict[str, Any], ...] = (
    {"timeout": 120}, {"schedule": "*/5 * * * *", "tz": "Europe/Berlin"}, {"schedule": "Mon..Fri 03:00"}, {"grace": 77},
    {"max_runtime": 60}, {"early": 10}, {"expect_first": True}, {"name": "only a name"},
)  # fmt: skip


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: next(iter(edit)))
async def test_an_edit_that_races_the_first_ping_leaves_a_deadline(world: World, edit: dict[str, Any], rounds: int) -> None:
    """Whoever is first: the ping is counted, the edit is kept, and silence from then on is noticed."""
    checks = [await world.check(name=f"{n}", timeout=60) for n in range(rounds)]
    for n, check in enumerate(checks):
        ping, change = partial(world.ping, check), partial(world.api, "POST", f"checks/{check['uuid']}", edit)
        first, then = (ping, change)[:: 1 if n % 2 else -1]
        answers = await asyncio.gather(patiently(first), patiently(then))
        assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
    assert await world.rows(WITHOUT_DEADLINE) == []
    seen = (await world.api("GET", "checks/")).json()["checks"]
    kept = {name: value for name, value in edit.items() if name != "expect_first"}
    for check in seen:
        assert (check["status"], check["n_pings"]) == ("up", 1)
        assert kept.items() <= check.items()
        assert datetime.fromisoformat(check["deadline"]) > await world.now()
    await world.advance(timedelta(days=5).total_seconds())
    await world.sweep()
    assert {check["status"] for check in (await world.api("GET", "checks/")).json()["checks"]} == {"down"}


@pytest.mark.parametrize("rounds", ROUNDS)
async def test_pause_resume_edit_and_pings_all_at_once_leave_a_deadline(world: World, rounds: int) -> None:
    """In whatever order they are decided: up has a deadline, paused none, and every ping is counted once."""
    check = await world.check(timeout=60)
    own = f"checks/{check['uuid']}"
    for n in range(rounds):
        ping, call = partial(world.ping, check), partial(world.api, "POST")
        calls = [ping, partial(call, own, {"timeout": 60 + n}), partial(call, f"{own}/pause")]
        calls += [partial(call, f"{own}/resume"), partial(ping, "/start"), ping]
        turn = n % len(calls)
        answers = await asyncio.gather(*map(patiently, calls[turn:] + calls[:turn]))
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert await world.rows(WITHOUT_DEADLINE) == []
        seen = await world.seen(check)
        assert (seen["timeout"], seen["n_pings"]) == (60 + n, 3 * (n + 1))
