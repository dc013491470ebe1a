"""Several statements in one round trip, on a session's own connection and in its transaction.

For the few places that are asked thousands of times a second: what SQLAlchemy does around a statement, and each way to the
server and back, cost more there than the statement itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import psycopg
from sqlalchemy import Connection, TextClause
from sqlalchemy.dialects.postgresql import psycopg as dialects
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

Row = tuple[Any, ...]
T = TypeVar("T")
_DIALECT = dialects.dialect()  # type: ignore[no-untyped-call]


def nothing(_: Sequence[Row]) -> None:
    """What is read of a statement that only writes."""


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """A statement with its parameters, and what its rows say."""

    statement: TextClause
    given: Mapping[str, Any]
    read: Callable[[Sequence[Row]], T]


async def ask(session: AsyncSession, asked: Asked[T]) -> T:
    """What this statement says. Raises what SQLAlchemy would."""
    answer: T = (await together(session, asked))[0]
    return answer


async def together(session: AsyncSession, *asked: Asked[Any]) -> list[Any]:
    """What these say, in order; they run one after the other. Raises for the first that fails, and then none has run."""
    if not asked:
        return []
    connection = await session.connection()
    heard_by = connection.sync_connection.dispatch  # type: ignore[union-attr]
    if heard_by.before_cursor_execute:
        await connection.run_sync(_before, asked)
    driver: psycopg.AsyncConnection[Row] = connection.sync_connection.connection.driver_connection  # type: ignore[assignment, union-attr]
    try:
        found = await _rows(driver, asked)
    except psycopg.Error as error:
        raise await _as_usual(connection, driver, error) from error
    if heard_by.after_cursor_execute:
        await connection.run_sync(_after, asked[-1])
    return [each.read(rows) for each, rows in zip(asked, found, strict=True)]


async def _rows(driver: psycopg.AsyncConnection[Row], asked: Sequence[Asked[Any]]) -> list[Sequence[Row]]:
    if len(asked) == 1:
        cursors = [await driver.execute(_sql(asked[0].statement).encode(), asked[0].given, prepare=True)]
    else:
        async with driver.pipeline():
            cursors = [await driver.execute(_sql(each.statement).encode(), each.given, prepare=True) for each in asked]
    return [await cursor.fetchall() if cursor.pgresult and cursor.pgresult.nfields else () for cursor in cursors]


async def _as_usual(connection: AsyncConnection, driver: psycopg.AsyncConnection[Row], error: psycopg.Error) -> BaseException:
    """The error as SQLAlchemy raises it; a connection that broke does not go back to the pool."""
    if driver.closed:
        await connection.invalidate(error)
    return DBAPIError.instance("", {}, error, psycopg.Error, hide_parameters=True, connection_invalidated=driver.closed)


def _before(connection: Connection, asked: Sequence[Asked[Any]]) -> None:
    """Whoever listens to what SQLAlchemy sends hears of these, too."""
    for each in asked:
        connection.dispatch.before_cursor_execute(connection, None, _sql(each.statement), each.given, None, False)


def _after(connection: Connection, last: Asked[Any]) -> None:
    """Once for all of them."""
    connection.dispatch.after_cursor_execute(connection, None, _sql(last.statement), last.given, None, False)


@lru_cache(maxsize=256)
def _sql(statement: TextClause) -> str:
    return str(statement.compile(dialect=_DIALECT))
