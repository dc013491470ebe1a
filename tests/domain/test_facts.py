"""What was heard of a run adds up to the same, in whatever order, how late and how often it comes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.facts import Facts, RunEvent, Word
from app.domain.run import Phase

T0 = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
Heard = tuple[Word, float, int, str]


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def facts(*heard: Heard) -> Facts:
    """The facts after (word, second, try, execution) each."""
    base = Facts()
    for word, second, attempt, x in heard:
        until = at(second + 60) if word is Word.RETRY else None
        base = base.heard(RunEvent(word, at(second), "r1", attempt, x, "", until))
    return base


events = st.builds(
    lambda word, second, attempt, x: RunEvent(
        word, at(second), "r1", attempt, x if word not in (Word.LOST, Word.REVOKED, Word.EXPIRED) else "", word[:3]
    ),
    st.sampled_from([w for w in Word if w not in (Word.DISPATCH_FAILED, Word.LOG)]),
    st.integers(0, 20),
    st.integers(0, 2),
    st.sampled_from(["", "a", "b", "c"]),
)


@given(st.lists(events, max_size=12).flatmap(lambda es: st.tuples(st.just(es), st.permutations(es))), st.data())
def test_the_order_and_repeats_do_not_matter(orders: tuple[list[RunEvent], list[RunEvent]], data: st.DataObject) -> None:
    """Any permutation, with any of them repeated, leads to the same facts."""
    one = other = Facts()
    for event in orders[0]:
        one = one.heard(event)
    for event in orders[1]:
        other = other.heard(event)
        if data.draw(st.booleans()):
            other = other.heard(event)
    assert one == other
    assert one.stand() == other.stand()
    assert all(one.heard(event) == one for event in orders[0])


@given(st.lists(events, max_size=12))
def test_facts_come_back_from_the_table_as_they_went(heard: list[RunEvent]) -> None:
    """JSON and back is the same."""
    whole = Facts(key=3, at=T0, counted="x", looped=True)
    for event in heard:
        whole = whole.heard(event)
    assert Facts.from_json(whole.to_json()) == whole


STANDS = [
    ("dispatched", "dispatched 0", Phase.QUEUED, None, 0),
    ("running", "dispatched 0, started 1 a", Phase.RUNNING, None, 0),
    ("succeeded", "started 1 a, succeeded 2 a", Phase.ENDED, "succeeded", 0),
    ("a retry waits", "started 1 a, retry 2 a", Phase.RETRYING, "retry", 0),
    ("the next try before the word", "started 1 a, started 2 b/1, succeeded 3 b/1, retry 2 a", Phase.ENDED, "succeeded", 1),
    ("the child was killed", "started 1 a, lost 2", Phase.ENDED, "lost", 0),
    ("lost, and begun again", "started 1 a, lost 2, started 3 b", Phase.RUNNING, None, 0),
    ("redelivered without a word", "started 1 a, started 3 b", Phase.RUNNING, None, 0),
    ("its own word outweighs a loss", "started 1 a, lost 3, succeeded 2 a", Phase.ENDED, "succeeded", 0),
    ("hard limit: both speak", "started 1 a, aborted 3 a, lost 2", Phase.ENDED, "lost", 0),
    ("terminated", "started 1 a, aborted 2 a, revoked 3", Phase.ENDED, "revoked", 0),
    ("revoked by a signal, then it raises", "started 1 a, revoked 2, failed 3 a", Phase.ENDED, "revoked", 0),
    ("cold shutdown", "started 1 a, aborted 2 a", Phase.ENDED, "aborted", 0),
    ("a bogus retry after success", "started 1 a, succeeded 2 a, retry 3", Phase.ENDED, "succeeded", 0),
    ("rejected, and redelivered", "started 1 a, rejected 2 a, started 3 b", Phase.RUNNING, None, 0),
    ("replaced: the old speaks last", "started 1 a, started 2 b, ignored 3 a", Phase.RUNNING, None, 0),
    ("replaced, then lost", "started 1 a, started 2 b, ignored 3 a, lost 4", Phase.ENDED, "lost", 0),
    ("expired unstarted", "dispatched 0, expired 5", Phase.ENDED, "expired", 0),
    ("two at once, one ends well", "started 1 a, started 2 b, failed 3 a, succeeded 4 b", Phase.ENDED, "succeeded", 0),
]


def spelled(text: str) -> list[Heard]:
    """'word second execution/try' each."""
    heard: list[Heard] = []
    for said in text.split(", "):
        word, second, *which = said.split()
        x, _, attempt = (which or [""])[0].partition("/")
        heard.append((Word(word), float(second), int(attempt or 0), x))
    return heard


@pytest.mark.parametrize(("text", "phase", "word", "attempt"), [case[1:] for case in STANDS], ids=[case[0] for case in STANDS])
def test_a_run_is_what_its_highest_try_is(text: str, phase: Phase, word: str | None, attempt: int) -> None:
    """The cases of Celery's signals, forwards and backwards."""
    heard = spelled(text)
    for order in (heard, heard[::-1]):
        stand = facts(*order).stand()
        assert (stand.phase, stand.end.word if stand.end else None, stand.attempt) == (phase, word, attempt)


def test_a_run_begun_again_and_again_without_an_end_is_looping() -> None:
    """Three executions of a try that nobody saw end, and a fourth that runs."""
    assert not facts(*[(Word.STARTED, i, 0, x) for i, x in enumerate("abc")]).stand().looping
    assert facts(*[(Word.STARTED, i, 0, x) for i, x in enumerate("abcd")]).stand().looping


def test_what_is_kept_of_one_run_is_bounded() -> None:
    """A run that is tried and begun for ever leaves the newest of it."""
    many = facts(
        *[(Word.STARTED, i, i, f"{i:x}") for i in range(200)], *[(Word.STARTED, 500 + i, 199, f"n{i}") for i in range(200)]
    )
    assert len(many.to_json()["tries"]) == 20
    assert len(many.tries[199].executions) == 20
    assert many.stand().started_at == at(699)
