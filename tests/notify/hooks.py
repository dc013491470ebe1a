"""Channels to real receivers, and how their deliveries stand."""

from typing import Any

from tests.receivers import HttpReceiver
from tests.world import World


async def hook(world: World, receiver: HttpReceiver, kind: str = "webhook", name: str = "hook", **more: Any) -> dict[str, Any]:
    """A channel to that receiver."""
    answer = await world.api("POST", "channels/", {"kind": kind, "name": name, "url": receiver.url("/in"), **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def states(world: World) -> list[tuple[str, int]]:
    """State and tries of every delivery, in order."""
    return [(r["state"], r["tries"]) for r in await world.rows("SELECT state, tries FROM deliveries ORDER BY seq")]


async def shown(world: World, channel: dict[str, Any]) -> dict[str, Any]:
    """The channel as the API shows it now."""
    return dict((await world.api("GET", f"channels/{channel['id']}")).json())
