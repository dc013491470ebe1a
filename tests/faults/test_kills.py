"""kill -9 and SIGSTOP of every part, again and again under load, held against what every client and every receiver noted."""

import random
import time
from pathlib import Path

import pytest

from tests.faults.ending import hold, settle
from tests.faults.history import Crowd, History
from tests.faults.jobs import Api, Hook, crowded
from tests.faults.judge import duplicates
from tests.faults.rig import measured, rigged, seed

PARTS = ("web", "worker", "postgres")
FEW = 4  # kills, so that each part was killed, however slow the machine is


def under_fire(folder: Path, frozen: tuple[float, ...], kills: int, within: float) -> tuple[int, int]:
    """Kill in turn, and freeze by chance for so many seconds each, until there were so many kills or `within` seconds are over
    and a few were done; returns how many kills there were and how many check-ins."""
    seed()
    history, hook = History(), Hook(slow=0.05)
    with rigged(folder) as rig:
        crowd = Crowd(rig.port, history)
        rig.receive(hook)
        rig.background.run(crowded(rig, crowd, hook, lasting=min(kills, within)))
        freezes = sorted((random.uniform(0, 0.8), random.choice(PARTS), span) for span in frozen)
        began, killed = time.monotonic(), 0
        while (done := max(killed / kills, (time.monotonic() - began) / within)) < 1 or killed < FEW:
            if freezes and freezes[0][0] <= done:
                _, part, span = freezes.pop(0)
                rig.freeze(part, span)
            since = time.time()
            part = PARTS[killed % 3]
            killed += 1
            rig.kill(part)
            rig.recovered(part)
            rig.until(lambda since=since: history.acknowledged(since), 30, f"nobody is heard after a kill of {part}")  # type: ignore[misc]
            time.sleep(random.uniform(0, 0.3))
        took = time.monotonic() - began
        rig.background.run(crowd.stop())
        settle(rig)
        hold(rig, history, hook)
    measured(f"{killed} kills and {len(rig.faults) - killed} freezes in {took:.0f} s, {history.acknowledged()} acknowledged")
    return killed, len(history.said)


@pytest.mark.timeout(180)
def test_a_few_kills_and_a_freeze_lose_nothing_and_tell_nobody_wrong(tmp_path: Path) -> None:
    """Web, worker and PostgreSQL killed in turn under load, one of them frozen for a while: everything acknowledged is there
    once, nothing refused is, every silence is noticed and told, no message twice without a kill between."""
    under_fire(tmp_path, (2.5,), kills=12, within=10)


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_hundreds_of_kills_lose_nothing_and_tell_nobody_wrong(tmp_path: Path) -> None:
    """The same two hundred times, with freezes of up to 20 s."""
    kills, said = under_fire(tmp_path, (2.5, 20.0, 8.0), kills=200, within=360)
    assert kills >= 200
    assert said >= 1000


def senders_killed(folder: Path, kills: int) -> None:
    """One fail a time, and its sender killed: before it is claimed, while it is sent, or just after."""
    seed()
    history, hook = History(), Hook(slow=0.04)
    with rigged(folder) as rig:
        crowd, line, api = Crowd(rig.port, history), rig.line(), Api(rig)
        rig.receive(hook)
        channels = rig.background.run(api.hooks(hook, [f"hook {n}" for n in range(kills // 4 + 1)]))
        for n, channel in enumerate(channels.values()):
            for monitor in rig.background.run(api.checks(min(4, kills - 4 * n), channel, timeout=86_400, grace=3600)):
                before = len(hook.requests)
                rig.background.run(crowd.say(line, monitor, "fail"))
                if random.random() < 0.7:
                    rig.until(lambda before=before: len(hook.requests) > before, 30, "nothing was sent")  # type: ignore[misc]
                time.sleep(random.uniform(0, 0.05))
                rig.kill("worker")
        settle(rig)
        hits = hold(rig, history, hook)
        assert len(hits) == kills
        assert duplicates(hits) <= kills
        assert len(rig.faults) == kills


@pytest.mark.prove
@pytest.mark.timeout(400)
def test_two_hundred_killed_senders_lose_no_alert(tmp_path: Path) -> None:
    """Before the claim, while sending, after: each alert arrives, at most once more for each kill, under the same id."""
    senders_killed(tmp_path, 200)
