"""Passwords: what is kept, how long comparing takes, how many at once; and what may be one."""

import asyncio
import statistics
import unicodedata

import pytest

from app.clock import monotonic
from app.domain import password
from app.errors import Unavailable
from app.manage import passwords
from app.manage.passwords import MOST_WAITING, Passwords
from tests.world import World

pytestmark = pytest.mark.anyio


def test_what_is_kept_is_argon2id_salted_and_matches_its_password_alone() -> None:
    """Also where a keyboard composes its letters in another way."""
    one, other = passwords.hash_of("Zürich im März"), passwords.hash_of("Zürich im März")
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != other
    assert passwords.matches(one, "Zu\u0308rich im Ma\u0308rz")
    assert not passwords.matches(one, "Zurich im Marz")
    assert not passwords.is_outdated(one)


@pytest.mark.parametrize("kept", [None, "", "no hash at all", "$argon2id$v=19$m=19456,t=2,p=1$broken"])
def test_nothing_matches_where_there_is_no_password(kept: str | None) -> None:
    """Somebody who signs in by links alone, nobody at all, a row that was damaged."""
    for guess in ("", "guess", kept or "x"):
        assert not passwords.matches(kept, guess)


def test_comparing_takes_as_long_for_an_account_that_does_not_exist() -> None:
    """Both compute one hash: neither is far from the other, whatever the machine does meanwhile."""
    kept = passwords.hash_of("right")
    took: dict[str | None, list[float]] = {kept: [], None: []}
    for _ in range(7):
        for one, times in took.items():
            began = monotonic()
            passwords.matches(one, "wrong")
            times.append(monotonic() - began)
    known, unknown = (statistics.median(times) for times in took.values())
    assert unknown > known / 3
    assert known > unknown / 3


async def test_so_many_wait_and_no_more_and_pings_pass_them_by(world: World) -> None:
    """The threads are bounded, and so is who waits for them: beyond it one is told at once to come again. The loop is free."""
    threads = Passwords()
    check = await world.check()
    crowd = [asyncio.create_task(threads.matches(None, "guess")) for _ in range(MOST_WAITING + 10)]
    await asyncio.sleep(0)
    assert (await world.ping(check)).status_code == 200
    assert not all(task.done() for task in crowd), "the ping waited for the crowd"
    answers = await asyncio.gather(*crowd, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert (len(refused), answers.count(False)) == (10, MOST_WAITING)
    assert not await threads.matches(None, "guess"), "there is room again"
    threads.close()


@pytest.mark.parametrize(
    ("chosen", "fault"),
    [
        ("1234567", "use at least 8 characters"),
        ("x" * 201, "use at most 200 characters"),
        ("Anna@Example.org", "this is your address: choose something else"),
        ("anna.smith", "this is your address: choose something else"),
        ("Password1", "this is one of the passwords that are tried first: choose another"),
        ("aaaaaaaabb", "this is one of the passwords that are tried first: choose another"),
        ("a long walk by the sea", ""),
        ("ünïcödé€", ""),
        ("        x y z", ""),
        ("x" * 195 + "12345", ""),
    ],
)
def test_a_password_is_long_enough_and_not_the_first_that_is_tried(chosen: str, fault: str) -> None:
    """No rules on its letters: those make passwords worse."""
    email = "anna.smith@example.org" if chosen == "anna.smith" else "anna@example.org"
    assert password.problem(chosen, email) == fault


def test_the_list_of_the_commonest_holds_nothing_that_is_refused_anyway() -> None:
    """Each line of it is one that would pass but for the list."""
    assert len(password.COMMONEST) > 150
    assert all(word == word.lower() and len(word) >= password.SHORTEST for word in password.COMMONEST)


def test_a_password_that_is_far_too_long_costs_no_more_than_one_that_is_not() -> None:
    """Composing ten thousand accents takes a fifth of a second, in which no ping would be answered: they are not composed."""
    accents = "a" + "\u0345\u0316" * 5_000
    began = monotonic()
    unicodedata.normalize("NFKC", accents)
    whole, began = monotonic() - began, monotonic()
    assert password.problem(accents, "anna@example.org") == "use at most 200 characters"
    password.normal(accents)
    assert monotonic() - began < whole / 4
