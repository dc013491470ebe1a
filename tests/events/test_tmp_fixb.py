from typing import Any
import pytest
from tests.events.test_runs import scheduled, stand, runs, beats
from tests.world import World
pytestmark = pytest.mark.anyio

@pytest.mark.parametrize("order", [("dispatched", "ignored"), ("ignored", "dispatched")])
async def test_nothing_sent(world: World, order: Any) -> None:
    shop = await scheduled(world)
    said = [await shop.run(kind, ago=1, x="", run="made-up") for kind in order]
    await shop.said(*said)
    print(await stand(world), await runs(world))
    await beats(shop, 3600)
    print(await stand(world), await runs(world))
    assert await stand(world) == ("up", ["success"])
