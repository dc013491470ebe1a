"""Rows that travel as arrays arrive as they were sent."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from app.store.unnest import IDS, JSON, WRITTEN, array, arrays, picked, unnest

AWKWARD = [
    "",
    "NULL",
    "null",
    "{}",
    '{"a": 1}',
    '"',
    "\\",
    '\\"',
    "a,b",
    " blank ",
    "\t\r\n\v",
    "'; --",
    "%s :x",
    "é\U0001f680\u2028",
]
KINDS: dict[str, list[Any]] = {
    "text": [*AWKWARD, None],
    "jsonb": [{"a": AWKWARD, "b": {"c": None}}, [], "{}", 1.5, None],
    "bytea": [b"", b"\\x00", bytes(range(256)), None],
    "uuid": [UUID(int=0), UUID(int=2**128 - 1), None],
    IDS: [[], [UUID(int=0)], [UUID(int=1), UUID(int=2)], None],
    "int": [0, -(2**31), 2**31 - 1, None],
    "bigint": [0, -(2**63), 2**63 - 1, None],
    "float8": [0.1, -1e300, 5e-324, float("inf"), None],
    "bool": [True, False, None],
    "timestamptz": [
        datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 10, 25, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))), None,
    ],
}  # fmt: skip
KINDS |= {
    long: KINDS[short]
    for long, short in (
        ("integer", "int"),
        ("double precision", "float8"),
        ("boolean", "bool"),
        ("timestamp with time zone", "timestamptz"),
    )
}


def back(dsn: str, kind: str, values: list[Any]) -> list[Any]:
    """What PostgreSQL understood, in order."""
    columns = {"n": "int", "value": kind}
    query = text(f"SELECT {picked(columns)} FROM {unnest(columns)} ORDER BY v.n")
    engine = create_engine(dsn, poolclass=NullPool, connect_args={"options": "-c timezone=UTC"})
    with engine.connect() as connection:
        rows = connection.execute(query, arrays(columns, [{"n": n, "value": value} for n, value in enumerate(values)])).all()
    engine.dispose()
    return [value for _, value in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_of_every_type_arrives_as_it_was_sent(dsn: str, kind: str) -> None:
    """Quotes, backslashes, braces, the word NULL, no value at all, and the ends of each range."""
    assert set(KINDS) == {*WRITTEN, JSON}
    assert back(dsn, kind, KINDS[kind]) == KINDS[kind]


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=200))
def test_no_text_can_break_out_of_its_place(dsn: str, texts: list[str | None]) -> None:
    """User agents and bodies come from strangers: whatever they hold, as many values arrive, each unchanged."""
    assert back(dsn, "text", texts) == texts


def test_what_cannot_be_stored_is_refused_as_ever(dsn: str) -> None:
    """NUL and lone surrogates are errors of data: the batch is halved until the bad check-in stands alone."""
    with pytest.raises(psycopg.DataError), psycopg.connect(dsn.replace("+psycopg", "")) as connection:
        connection.execute("SELECT %s::text[]", [array("text", ["a\0b"])])
    with pytest.raises(UnicodeEncodeError), psycopg.connect(dsn.replace("+psycopg", "")) as connection:
        connection.execute("SELECT %s::text[]", [array("text", ["\ud800"])])


def test_none_of_a_json_column_is_its_null(dsn: str) -> None:
    """As `json.dumps` has it; only other columns know SQL's."""
    assert array("jsonb", [None, {}]) == "[null, {}]"
