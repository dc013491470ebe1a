"""How the database does what it is asked: the plan of each statement, and what it read, taken where the statement is sent."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, event

PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "


@dataclass(frozen=True)
class Asked:
    """A statement as it was sent, so often that each row of a list counts, and what it read: rows by table, and blocks in all."""

    statement: str
    times: int
    read: Mapping[str, int]
    blocks: int
    skipped: int  # partitions that were not looked into, for it turned out that they cannot hold what is asked for
    scanned: frozenset[str]  # tables read from end to end that are not empty
    plan: str = field(repr=False, default="")


@contextmanager
def plans() -> Iterator[list[Asked]]:
    """Every statement sent meanwhile. Each is explained first, where it is about to run, and what that did is undone."""
    sent: list[Asked] = []

    def note(connection: Any, _cursor: Any, statement: str, given: Any, _context: Any, many: bool) -> None:
        if not statement.lstrip(" (\n").upper().startswith(PLANNED):
            return
        cursor = connection.connection.cursor()
        cursor.execute("SAVEPOINT explained")
        cursor.execute(EXPLAIN + statement, given[0] if many else given)
        (found,) = cursor.fetchone()
        cursor.execute("ROLLBACK TO explained")
        cursor.close()
        root = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
        read: Counter[str] = Counter()
        for node in _nodes(root):
            if "Relation Name" in node and "Scan" in node["Node Type"]:
                read[table_of(node["Relation Name"])] += _rows(node)
        whole = frozenset(table_of(n["Relation Name"]) for n in _nodes(root) if n["Node Type"] == "Seq Scan" and _rows(n))
        blocks = root["Shared Hit Blocks"] + root["Shared Read Blocks"]
        skipped = sum(n["Actual Loops"] == 0 for n in _nodes(root) if table_of(n.get("Relation Name", "")) == "check_ins")
        sent.append(Asked(statement, len(given) if many else 1, read, blocks, skipped, whole, json.dumps(root, indent=1)))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def table_of(relation: str) -> str:
    """The table of a partition."""
    name, _, part = relation.rpartition("_")
    return name if part.isdigit() else relation


def _rows(node: Mapping[str, Any]) -> int:
    """Those that came out, and those that were thrown away."""
    removed = sum(node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
    rows: float = (node["Actual Rows"] + removed) * node["Actual Loops"]  # a mean over the loops, times these
    return round(rows)


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
