"""What tests of many monitors need: copies of one, and every statement sent meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from sqlalchemy import Engine, event

from tests.world import World

COPIES = """
    INSERT INTO monitors SELECT (jsonb_populate_record(one.m, jsonb_build_object(
        'id', gen_random_uuid(), 'unique_key', gen_random_uuid(), 'badge_key', gen_random_uuid()))).*
    FROM (SELECT m FROM monitors m LIMIT 1) one, generate_series(1, :more)"""


async def copy(world: World, more: int) -> None:
    """So many more monitors, like the one there is but for their ids."""
    await world.run(COPIES, more=more)


async def patiently(ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """The answer, asked for again as long as it is 503: nothing was done then, and every client asks again."""
    while (answer := await ask()).status_code == 503:
        await asyncio.sleep(float(answer.headers["retry-after"]) / 10)
    return answer


@contextmanager
def statements() -> Iterator[list[str]]:
    """Every SQL statement sent meanwhile."""
    sent: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)
