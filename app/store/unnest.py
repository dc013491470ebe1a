"""Many rows in one statement: parallel arrays through UNNEST, one parameter a column."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

from sqlalchemy import Table, TextClause, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.tables import Base

JSON, IDS = "jsonb", "uuid[]"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


WRITTEN: Mapping[str, Callable[[Any], str]] = {
    "text": _quoted,
    "bytea": lambda value: f'"\\\\x{value.hex()}"',
    "uuid": str, IDS: lambda ids: f'"{{{",".join(map(str, ids))}}}"', "int": str, "integer": str, "bigint": str,
    "float8": repr, "double precision": repr, "bool": str, "boolean": str,
    "timestamptz": datetime.isoformat, "timestamp with time zone": datetime.isoformat,
}  # fmt: skip
"""How a value of each type stands in an array, in PostgreSQL's own spelling."""


def unnest(columns: Mapping[str, str], name: str = "v") -> str:
    """`ROWS FROM (unnest(CAST(:a AS int[])), …) AS v(a, …)` for columns and their types. All values of a jsonb column are one
    document: in an array each of its quotation marks would be escaped, one by one, and that costs more than all the rest."""
    lists = ", ".join(_elements(column, kind) for column, kind in columns.items())
    return f"ROWS FROM ({lists}) AS {name}({', '.join(columns)})"


def _elements(column: str, kind: str) -> str:
    if kind == JSON:
        return f"jsonb_array_elements(CAST(:{column} AS jsonb))"
    return f"unnest(CAST(:{column} AS {'text' if kind == IDS else kind}[]))"


def picked(columns: Mapping[str, str], name: str = "v") -> str:
    """The columns of such an UNNEST as a select list, in order."""
    return ", ".join(f"CAST({name}.{c} AS {kind})" if kind == IDS else f"{name}.{c}" for c, kind in columns.items())


def arrays(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The parameters for rows: one array a column, and one document of a jsonb column, in which None is JSON's null."""
    return {column: array(kind, [row[column] for row in rows]) for column, kind in columns.items()}


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


def array(kind: str, values: Iterable[Any]) -> str:
    """An array of this type as text. Written here, for psycopg asks of each value anew how to write it: half of the time that
    recording a batch took."""
    if kind == JSON:
        return json.dumps(list(values))
    written = WRITTEN[kind]
    return "{" + ",".join(["NULL" if value is None else written(value) for value in values]) + "}"
