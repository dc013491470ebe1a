"""Several statements in one round trip are answered, refused and undone like one after the other."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from app.store.engine import Sessions, make_engine, make_sessions
from app.store.together import Asked, Row, ask, nothing, together

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sessions(dsn: str) -> AsyncIterator[Sessions]:
    """One connection, so that what is left on it is seen by the next."""
    engine = make_engine(dsn, "test", 1)
    yield make_sessions(engine)
    await engine.dispose()


def number(n: int) -> Asked[int]:
    """Says n."""
    return Asked(text("SELECT CAST(:n AS int)"), {"n": n}, lambda rows: int(rows[0][0]))


def beat(name: str) -> Asked[None]:
    """Writes a row."""
    return Asked(text("INSERT INTO heartbeats (name, at) VALUES (:name, now())"), {"name": name}, nothing)


def names() -> Asked[list[Row]]:
    """Which rows there are."""
    return Asked(text("SELECT name FROM heartbeats WHERE name LIKE 'together%' ORDER BY name"), {}, list)


async def test_each_is_answered_in_its_place_and_sees_what_those_before_wrote(sessions: Sessions) -> None:
    """One, several, or none; what only writes says nothing."""
    async with sessions() as session:
        assert await together(session) == []
        assert await ask(session, number(7)) == 7
        assert await together(session, number(1), beat("together 1"), names(), number(2)) == [1, None, [("together 1",)], 2]


@pytest.mark.parametrize(
    ("bad", "error"),
    [(beat("together"), IntegrityError), (Asked(text("SELECT 1 / CAST(:n AS int)"), {"n": 0}, list), DataError)],
)
async def test_one_that_fails_fails_all_and_leaves_nothing(
    sessions: Sessions, bad: Asked[object], error: type[Exception]
) -> None:
    """It raises what SQLAlchemy would, wherever it stands, and the connection is as good as before."""
    all_of: list[list[Asked[Any]]] = [[beat("together"), bad, number(1)], [beat("together 2"), beat("together"), number(1), bad]]
    for asked in all_of:
        async with sessions() as session:
            with pytest.raises(error):
                await together(session, *asked)
            await session.rollback()
            assert await together(session, names(), number(3)) == [[], 3]


@pytest.mark.parametrize("several", [True, False])
async def test_a_connection_that_breaks_does_not_come_back(sessions: Sessions, several: bool) -> None:
    """What was under way fails as when the database is away; whoever comes next has another connection."""
    end = Asked(text("SELECT pg_terminate_backend(pg_backend_pid())"), {}, list)
    with pytest.raises(OperationalError):
        async with sessions() as session:
            await together(session, *([beat("together"), end, number(1)] if several else [end]))
    async with sessions() as session:
        assert await together(session, names(), number(4)) == [[], 4]
