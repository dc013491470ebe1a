"""kill -9 and SIGSTOP of every part, again and again under load, held against what every client and every receiver noted."""

import random
import time
from pathlib import Path

import pytest

from tests.faults.ending import hold, settle
from tests.faults.history import Crowd, History
from tests.faults.jobs import Api, Hook, crowded
from tests.faults.judge import duplicates
from tests.faults.rig import rigged, seed

PARTS = ("web", "worker", "postgres")


def under_fire(folder: Path, lasting: float, frozen: tuple[float, ...]) -> tuple[int, int]:
    """Kill and freeze by chance for `lasting` seconds; returns how many kills there were and how many check-ins."""
    seed()
    history, hook = History(), Hook(slow=0.05)
    with rigged(folder) as rig:
        crowd = Crowd(rig.port, history)
        rig.receive(hook)
        rig.background.run(crowded(rig, crowd, hook, lasting=lasting))
        frozen_at = [(time.monotonic() + random.uniform(0, lasting), random.choice(PARTS), span) for span in frozen]
        end, turn = time.monotonic() + lasting, 0
        while time.monotonic() < end:
            due = [f for f in frozen_at if f[0] <= time.monotonic()]
            if due:
                frozen_at.remove(due[0])
                rig.freeze(due[0][1], due[0][2])
            since = time.time()
            part = PARTS[turn % 3]
            turn += 1
            rig.kill(part)
            rig.recovered(part)
            rig.until(lambda since=since: history.acknowledged(since), 30, f"nobody is heard after a kill of {part}")  # type: ignore[misc]
            time.sleep(random.uniform(0, 0.3))
        rig.background.run(crowd.stop())
        settle(rig)
        hold(rig, history, hook)
    return len(rig.faults), len(history.said)


@pytest.mark.timeout(180)
def test_a_few_kills_and_a_freeze_lose_nothing_and_tell_nobody_wrong(tmp_path: Path) -> None:
    """Web, worker and PostgreSQL killed in turn under load, one of them frozen for a while: everything acknowledged is there
    once, nothing refused is, every silence is noticed and told, no message twice without a kill between."""
    faults, _ = under_fire(tmp_path, 10, (2.5,))
    assert faults >= 4


@pytest.mark.prove
@pytest.mark.timeout(400)
def test_hundreds_of_kills_lose_nothing_and_tell_nobody_wrong(tmp_path: Path) -> None:
    """The same at length, with freezes of up to 20 s."""
    faults, said = under_fire(tmp_path, 100, (2.5, 20.0, 8.0))
    assert faults >= 30
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
