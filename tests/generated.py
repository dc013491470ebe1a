"""What hypothesis draws, met in the loop of the test: the world lives there, and hypothesis does not wait for anybody."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from zlib import crc32

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

Drawn = TypeVar("Drawn")


async def each(cases: st.SearchStrategy[Drawn], examples: int, name: str, meet: Callable[[Drawn], Awaitable[None]]) -> None:
    """Draw so many cases, for a name the same ones at every run, and meet one after the other."""
    loop = asyncio.get_running_loop()

    async def met(case: Drawn) -> None:
        await meet(case)

    @seed(crc32(name.encode()))
    @given(case=cases)
    @settings(
        max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    def draw(case: Drawn) -> None:
        asyncio.run_coroutine_threadsafe(met(case), loop).result()

    await asyncio.to_thread(draw)
