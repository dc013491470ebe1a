"""The stream behind an open page."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from app.domain.role import Role
from app.manage import live
from tests.manage.pages.visitor import Browser, Person, joined
from tests.world import World

pytestmark = pytest.mark.anyio


async def versions(world: World, seen: str = "") -> AsyncGenerator[str]:
    """What a stream says, without the silence."""
    async with aclosing(world.web.live.changes(world.project.id, seen)) as changes:
        async for version in changes:
            if version is not None:
                yield version


async def test_whatever_happens_in_a_project_is_told_and_nothing_of_another(world: World) -> None:
    """A new check, a ping, an edit, a pause, silence that made it late, a delivery that waits, an incident that was seen."""
    other = await world.new_project("Theirs")
    stream = versions(world)
    seen = [await anext(stream)]
    check = await world.check(name="a", timeout=60, grace=3600)
    seen.append(await anext(stream))
    await world.api("POST", "checks/", {"timeout": 60}, key=other.api_key)
    for happen in (
        world.ping(check), world.api("POST", f"checks/{check['uuid']}", {"name": "b"}), world.advance(61),
        world.ping(check, "/fail"), world.run("UPDATE incidents SET acknowledged_at = missedbeat_now()"),
        world.api("POST", f"checks/{check['uuid']}/pause"),
    ):  # fmt: skip
        await happen
        async with asyncio.timeout(60):
            seen.append(await anext(stream))
    assert len(set(seen)) == len(seen)
    await stream.aclose()
    calm = versions(world, seen[-1])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await anext(calm)


async def test_a_browser_that_comes_again_is_told_at_once_what_it_missed(world: World, browser: Browser, anna: Person) -> None:
    """It says which version it has seen. Whoever is no member finds nothing."""
    await joined(world, anna, Role.VIEWER)
    await browser.sign_in(anna)
    first = await anext(versions(world))
    await world.check()
    world.web.live.leaving = lambda: bool(world.web.live.streams and told)
    told: list[int] = []
    path = f"/projects/{world.project.id}/live"
    async with asyncio.timeout(60):
        asking = asyncio.create_task(browser.see(path, last_event_id=first))
        await asyncio.sleep(1.5)
        told.append(1)
        page = await asking
    assert page.headers["content-type"].startswith("text/event-stream")
    assert page.html.count("event: changed") == 1
    assert page.html.startswith("retry: 1000\n\nid: ")
    async with Browser(world) as stranger:
        assert (await stranger.see(path)).goes_to.startswith("/login")
        assert (await stranger.see(path, accept="text/event-stream")).status == 204
    await world.run("DELETE FROM memberships")
    assert (await browser.see(path)).status == 404


async def test_a_stream_ends_where_nobody_can_look_any_more(world: World) -> None:
    """A page that would go on saying that it is live would lie."""
    stream = versions(world)
    await anext(stream)
    await world.run("ALTER TABLE incidents RENAME TO elsewhere")
    try:
        with pytest.raises(StopAsyncIteration):
            async with asyncio.timeout(30):
                await anext(stream)
    finally:
        await world.run("ALTER TABLE elsewhere RENAME TO incidents")


async def test_nobody_looks_where_nobody_reads_and_a_full_house_says_so(world: World, browser: Browser, anna: Person) -> None:
    """When the last stream of a project ends, its looks end; beyond the most that a process keeps open it is 503."""
    stream = versions(world)
    await anext(stream)
    assert world.web.live.streams == 1
    assert any(task.get_coro().__qualname__ == "Live._look" for task in asyncio.all_tasks())  # type: ignore[union-attr]
    await stream.aclose()
    await asyncio.sleep(0)
    assert world.web.live.streams == 0
    assert not any(task.get_coro().__qualname__ == "Live._look" for task in asyncio.all_tasks())  # type: ignore[union-attr]
    await joined(world, anna, Role.VIEWER)
    await browser.sign_in(anna)
    full = [versions(world) for _ in range(live.MOST_STREAMS)]
    await asyncio.gather(*(anext(one) for one in full))
    page = await browser.see(f"/projects/{world.project.id}/live")
    assert (page.status, "asks from time to time" in page.text) == (503, True)
    for one in full:
        await one.aclose()
