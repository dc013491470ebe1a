"""What people read when a reported run goes wrong: one sentence each that says which of the ways it was."""

from dataclasses import replace

import pytest

from app.domain.evidence import explain
from app.domain.facts import Word
from tests.domain.test_reported import DAILY, Life


def told(life: Life) -> str:
    """The sentence of its last transition."""
    return explain(life.transitions[-1].evidence)


def test_not_dispatched_names_the_slot_and_the_schedule() -> None:
    """Nobody put it on its way."""
    life = Life()
    life.sweeps(303)
    assert told(life) == (
        "Expected at 2026-03-02 03:00:00 UTC by its schedule, cron 0 3 * * * (UTC); its scheduler did not dispatch it by "
        "2026-03-02 03:05:00 UTC, 5 min of grace included; nothing was ever heard of it."
    )


def test_lost_in_the_queue_says_since_when_it_waited() -> None:
    """Dispatched, and no worker began it."""
    life = Life()
    life.hears(Word.DISPATCHED, 0)
    life.sweeps(903)
    assert told(life) == (
        "It was dispatched at 2026-03-02 03:00:00 UTC, and no worker had begun it by 2026-03-02 03:15:00 UTC: "
        "it is lost in the queue."
    )


def test_a_lost_worker_is_named_by_when_it_was_last_heard() -> None:
    """Nobody said anything since."""
    life = Life()
    life.hears(Word.STARTED, 0)
    life.lists(15)
    life.sweeps(60)
    assert told(life) == (
        "The run r1 that started at 2026-03-02 03:00:00 UTC is lost: its worker was last heard at 2026-03-02 03:00:15 UTC, "
        "and nothing since."
    )


@pytest.mark.parametrize(
    ("word", "error", "sentence"),
    [
        (
            Word.LOST, "worker process killed by signal 9 (SIGKILL)",
            "The run r1 that started at 2026-03-02 03:00:00 UTC was lost at 2026-03-02 03:00:09 UTC: worker process killed by "
            "signal 9 (SIGKILL).",
        ),
        (Word.FAILED, "ValueError: boom", "The run failed at 2026-03-02 03:00:09 UTC: ValueError: boom."),
        (Word.ABORTED, "", "The run failed at 2026-03-02 03:00:09 UTC: it was stopped in the middle."),
        (
            Word.DISPATCH_FAILED, "EncodeError: not serializable",
            "It was not dispatched at 2026-03-02 03:00:09 UTC: EncodeError: not serializable.",
        ),
    ],
)  # fmt: skip
def test_what_its_program_said_stands_in_the_sentence(word: Word, error: str, sentence: str) -> None:
    """In its own words where it gave some."""
    life = Life()
    life.hears(Word.STARTED, 0)
    life.hears(word, 9, error=error)
    assert told(life) == sentence


def test_running_too_long_says_that_it_is_alive() -> None:
    """Its worker lists it still."""
    life = Life(replace(DAILY, max_runtime=DAILY.grace))
    life.hears(Word.STARTED, 0)
    for second in range(15, 330, 15):
        life.lists(second)
    life.sweeps(330)
    assert told(life) == (
        "The run r1 that started at 2026-03-02 03:00:00 UTC did not finish by 2026-03-02 03:05:00 UTC; it is given 5 min. "
        "Its worker still lists it: it is alive."
    )
