"""What hypothesis draws, met in the loop of the test: the world lives there, and hypothesis does not wait for anybody."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

Drawn = TypeVar("Drawn")


async def each(cases: st.SearchStrategy[Drawn], examples: int, meet: Callable[[Drawn], Awaitable[None]]) -> None:
    """Draw so many cases, the same ones at every run, and meet one after the other."""
    loop = asyncio.get_running_loop()

    async def met(case: Drawn) -> None:
        await meet(case)

    @given(case=cases)
    @settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    def draw(case: Drawn) -> None:
        asyncio.run_coroutine_threadsafe(met(case), loop).result()

    await asyncio.to_thread(draw)
