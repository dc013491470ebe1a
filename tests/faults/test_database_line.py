"""The line between the service and its database: cut, silent, slow, or lost exactly between COMMIT and its answer."""

import random
import time
from pathlib import Path

import psutil
import pytest

from tests.faults.ending import hold, settle
from tests.faults.history import Crowd, History
from tests.faults.jobs import Hook, crowded
from tests.faults.proxy import HOLE, PASS, REFUSE, Proxy
from tests.faults.rig import Rig, measured, rigged, seed

TRIALS = 12
RECOVERED = 30.0  # seconds; 10 are promised, and a loaded machine is given three times as much


def lost_answers(rig: Rig, proxy: Proxy, history: History) -> None:
    """COMMIT is sent, its answer never comes: no 2xx from that call, 0 or 1 in the table; under a key the retry is right."""
    crowd, line, kept = Crowd(rig.port, history), rig.line(), 0
    (monitor,) = rig.rows("SELECT id::text FROM monitors LIMIT 1")[0]
    for trial in range(TRIALS):
        rig.background.call(lambda: proxy.lose_commits(1))
        lost = proxy.lost + 1
        said = rig.background.run(crowd.say(line, monitor, "log", keyed=trial % 2 == 0))
        assert proxy.lost == lost
        assert said.calls[0].status in (None, 503), "acknowledged, though nobody knew"
        assert not said.calls[0].absent, "called absent, though nobody knew"
        kept += not said.keyed and bool(rig.rows("SELECT 1 FROM check_ins WHERE body = convert_to(%s, 'UTF8')", said.token))
    measured(f"{TRIALS} answers to COMMIT lost; of {TRIALS // 2} said once {kept} were committed")
    assert kept > 0


def hurt(rig: Rig, proxy: Proxy, how: str) -> None:
    """One kind of trouble for about two seconds."""
    if how == "cut":
        for _ in range(8):
            rig.background.call(proxy.cut)
            time.sleep(random.uniform(0.1, 0.4))
        return
    if how == "slow":
        proxy.delay = 0.3
    else:
        rig.background.call(lambda: proxy.now(how))
        if how == REFUSE:
            rig.background.call(proxy.cut)
    time.sleep(2.5)
    proxy.delay = 0.0
    rig.background.call(lambda: proxy.now(PASS))


def recovery(rig: Rig, history: History, how: str) -> float:
    """Return once a ping is acknowledged and silence and deliveries are looked after again, all of it in `RECOVERED` seconds from
    now; how many it took."""
    since = time.time()
    end = since + RECOVERED
    rig.until(lambda: history.acknowledged(since), RECOVERED, f"not heard after {how}")
    for loop in ("sweep", "deliver"):
        rig.works(loop, since, end - time.time())
    took = time.time() - since
    measured(f"{how}: everything worked again after {took:.1f} s")
    return took


def troubled(folder: Path, rounds: int) -> None:
    """Every kind of trouble, so many times, under load and held against the history; nothing is restarted meanwhile."""
    seed()
    history, hook, proxy = History(), Hook(), Proxy()
    with rigged(folder, through=proxy) as rig:
        rig.receive(hook)
        crowd = Crowd(rig.port, history)
        rig.background.run(crowded(rig, crowd, hook, many=3, lasting=10))
        parts = dict(rig.pids)
        slowest: dict[str, float] = {}
        for how in [how for _ in range(rounds) for how in ("cut", HOLE, REFUSE, "slow")]:
            began = time.time()
            hurt(rig, proxy, how)
            rig.note("trouble", f"line {how}", began)
            slowest[how] = max(slowest.get(how, 0.0), recovery(rig, history, how))
        measured("at most: " + ", ".join(f"{how} {took:.1f} s" for how, took in slowest.items()))
        rig.background.run(crowd.stop())
        lost_answers(rig, proxy, history)
        settle(rig)
        hold(rig, history, hook)
        assert rig.pids == parts
        assert all(psutil.pid_exists(pid) for pid in parts.values())


@pytest.mark.timeout(180)
def test_a_line_that_is_cut_silent_or_slow_costs_nothing_but_time(tmp_path: Path) -> None:
    """RST, black hole, refusal, delay, answers to COMMIT lost: what was acknowledged is there once, what was not at most once,
    and everything works again by itself."""
    troubled(tmp_path, 1)


@pytest.mark.prove
@pytest.mark.timeout(400)
def test_a_bad_line_again_and_again_costs_nothing_but_time(tmp_path: Path) -> None:
    """The same, three times each."""
    troubled(tmp_path, 3)
