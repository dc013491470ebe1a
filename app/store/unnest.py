"""Many rows in one statement: parallel arrays through UNNEST, one parameter a column."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, cast

from sqlalchemy import Table, TextClause, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.tables import Base

AS_TEXT: Mapping[str, Callable[[Any], str]] = {"jsonb": json.dumps, "uuid[]": lambda ids: f"{{{','.join(map(str, ids))}}}"}
"""Types that an array of values cannot hold as they are: how a value is written for it."""


def unnest(columns: Mapping[str, str], name: str = "v") -> str:
    """`unnest(CAST(:a AS int[]), …) AS v(a, …)` for columns and their types; jsonb and arrays travel as text."""
    arrays = ", ".join(f"CAST(:{column} AS {'text' if kind in AS_TEXT else kind}[])" for column, kind in columns.items())
    return f"unnest({arrays}) AS {name}({', '.join(columns)})"


def picked(columns: Mapping[str, str], name: str = "v") -> str:
    """The columns of such an UNNEST as a select list, in order."""
    return ", ".join(f"CAST({name}.{c} AS {kind})" if kind in AS_TEXT else f"{name}.{c}" for c, kind in columns.items())


def arrays(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The parameters for rows: one list a column."""
    return {column: list(_values(kind, (row[column] for row in rows))) for column, kind in columns.items()}


async def insert_all(session: AsyncSession, row: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows that name the same columns, in one statement and in this order, however many they are."""
    if rows:
        kinds = _kinds(row, tuple(rows[0]))
        await session.execute(_insertion(row, tuple(rows[0])), arrays(kinds, rows))


@cache
def _insertion(row: type[Base], columns: tuple[str, ...]) -> TextClause:
    kinds = _kinds(row, columns)
    names = ", ".join(columns)
    return text(f"INSERT INTO {row.__tablename__} ({names}) SELECT {picked(kinds)} FROM {unnest(kinds)}")  # noqa: S608


@cache
def _kinds(row: type[Base], columns: tuple[str, ...]) -> dict[str, str]:
    table, dialect = cast(Table, row.__table__), postgresql.dialect()  # type: ignore[no-untyped-call]
    return {column: table.c[column].type.compile(dialect).lower() for column in columns}


def _values(kind: str, values: Iterable[Any]) -> Iterable[Any]:
    return (AS_TEXT[kind](value) for value in values) if kind in AS_TEXT else values
