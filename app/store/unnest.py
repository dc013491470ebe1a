"""Many rows in one statement: parallel arrays through UNNEST, one parameter a column."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


WRITTEN: Mapping[str, Callable[[Any], str]] = {
    "text": _quoted,
    "jsonb": lambda value: _quoted(json.dumps(value)),
    "bytea": lambda value: f'"\\\\x{value.hex()}"',
    "uuid": str, "int": str, "bigint": str, "float8": repr, "bool": str, "timestamptz": datetime.isoformat,
}  # fmt: skip
"""How a value of each type stands in an array, in PostgreSQL's own spelling."""


def unnest(columns: Mapping[str, str], name: str = "v") -> str:
    """`unnest(CAST(:a AS int[]), …) AS v(a, …)` for columns and their types; jsonb travels as text."""
    arrays = ", ".join(f"CAST(:{column} AS {'text' if kind == 'jsonb' else kind}[])" for column, kind in columns.items())
    return f"unnest({arrays}) AS {name}({', '.join(columns)})"


def picked(columns: Mapping[str, str], name: str = "v") -> str:
    """The columns of such an UNNEST as a select list, in order."""
    return ", ".join(f"CAST({name}.{c} AS jsonb)" if kind == "jsonb" else f"{name}.{c}" for c, kind in columns.items())


def arrays(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The parameters for rows: one array a column. None of a jsonb column is JSON's null."""
    return {column: array(kind, [row[column] for row in rows]) for column, kind in columns.items()}


def array(kind: str, values: Iterable[Any]) -> str:
    """An array of this type as text. Written here, for psycopg asks of each value anew how to write it: half of the time that
    recording a batch took."""
    written = WRITTEN[kind]
    return "{" + ",".join(["NULL" if value is None and kind != "jsonb" else written(value) for value in values]) + "}"
