"""Many rows in one statement: parallel arrays through UNNEST, one parameter a column."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def unnest(columns: Mapping[str, str], name: str = "v") -> str:
    """`unnest(CAST(:a AS int[]), …) AS v(a, …)` for columns and their types; jsonb travels as text."""
    arrays = ", ".join(f"CAST(:{column} AS {'text' if kind == 'jsonb' else kind}[])" for column, kind in columns.items())
    return f"unnest({arrays}) AS {name}({', '.join(columns)})"


def picked(columns: Mapping[str, str], name: str = "v") -> str:
    """The columns of such an UNNEST as a select list, in order."""
    return ", ".join(f"CAST({name}.{c} AS jsonb)" if kind == "jsonb" else f"{name}.{c}" for c, kind in columns.items())


def arrays(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The parameters for rows: one list a column."""
    return {column: list(_values(kind, (row[column] for row in rows))) for column, kind in columns.items()}


def _values(kind: str, values: Iterable[Any]) -> Iterable[Any]:
    return (json.dumps(value) for value in values) if kind == "jsonb" else values
