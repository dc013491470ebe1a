"""Whoever may only look is told no address by which one could speak for a job."""

import re
from html import unescape

import pytest

from app.domain.role import Role
from tests.browser.past import in_every_state
from tests.manage.pages.visitor import Browser, Person, joined
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_no_page_that_a_viewer_can_come_to_holds_a_ping_address(world: World, browser: Browser, anna: Person) -> None:
    """Every link below the project is followed: no id of a check, no ping key, nowhere. A member finds them."""
    checks = await in_every_state(world)
    await world.sweep()
    await world.deliver()
    await joined(world, anna, Role.VIEWER)
    await browser.sign_in(anna)
    own = f"/projects/{world.project.id}"
    secrets = [world.project.ping_key, *(check["uuid"] for check in checks)]
    waiting, seen = {own, f"{own}/tv", f"{own}/monitors?view=day"}, set[str]()
    world.web.live.leaving = lambda: True
    while waiting:
        path = waiting.pop()
        page = await browser.see(path)
        seen.add(path)
        told = [secret for secret in secrets if secret in page.html or secret in str(page.headers)]
        assert not told, path
        links = {unescape(link).partition("#")[0] for link in re.findall(r'(?:href|action|src|data-live)="([^"]*)"', page.html)}
        waiting |= {link for link in links if link.startswith(own)} - seen
    assert len(seen) > 40, sorted(seen)
    await world.run("UPDATE memberships SET role = 'member'")
    assert checks[0]["uuid"] in (await browser.see(f"{own}/monitors")).html
