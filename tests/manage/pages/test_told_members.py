"""What members of a project are told by mail, at a real mail server: once, all of them, and no more than a person would want."""

import pytest

from app.domain.role import Role
from app.notify.pauses import tell_pauses_once
from app.store import pauses
from app.store.vault import Vault
from tests.manage.pages.mailbox import Mailbox, mailing
from tests.manage.pages.visitor import Browser, joined, signed_up
from tests.world import SECRET_KEY, World

pytestmark = pytest.mark.anyio

MANY = 500
MEMBERS = ["anna@example.org", "bob@example.org"]


async def told(world: World, mailbox: Mailbox) -> list[tuple[str, str]]:
    """A round of the worker: to whom letters went, and their subjects."""
    await tell_pauses_once(world.sessions, Vault(SECRET_KEY), "http://missedbeat.test", True)
    return sorted((to, subject) for to, subject, _ in await mailbox.mails())


async def paused(world: World, first: int, last: int) -> None:
    """So many checks, one after the other, as the API notes each."""
    async with world.sessions() as session:
        for n in range(first, last):
            await pauses.note(session, world.project.id, [f"job {n}"], "key mb_rw_x…", await world.now())
        await session.commit()


async def test_five_hundred_pauses_at_once_are_one_letter_to_each_member(dsn: str) -> None:
    """However many rounds of the worker come while it goes on: the letter names ten and says how many more."""
    async with mailing(dsn) as (world, mailbox):
        for email in MEMBERS:
            await joined(world, await signed_up(world, email), Role.VIEWER)
        check = await world.check(name="job of the API")
        assert (await world.api("POST", f"checks/{check['uuid']}/pause")).status_code == 200
        letters = []
        for first in range(0, MANY, 100):
            await paused(world, first, first + 100)
            letters += await told(world, mailbox)
            world.sleep(5)
        assert letters == []
        world.sleep(6)
        letters = await told(world, mailbox)
        assert [to for to, _ in letters] == MEMBERS
        body = mailbox.last.get_body(("plain",))
        assert body is not None
        assert f"and {MANY + 1 - 10} more (Test)" in body.get_content()
        world.sleep(120)
        assert await told(world, mailbox) == []
        assert await world.rows("SELECT 1 FROM pauses") == []


async def test_whoever_pauses_without_end_is_told_of_after_a_minute(dsn: str) -> None:
    """An attacker cannot put the letter off by going on."""
    async with mailing(dsn) as (world, mailbox):
        await joined(world, await signed_up(world), Role.OWNER)
        began, letters = await world.now(), []
        for n in range(70):
            await paused(world, n, n + 1)
            if await told(world, mailbox):
                letters.append((await world.now() - began).total_seconds())
            world.sleep(2)
        assert 60 <= letters[0] <= letters[-1] - 60, letters


async def test_members_are_told_when_a_project_was_deleted_and_when_it_is_kept(dsn: str) -> None:
    """All of them, each time once; whoever did it stands in it."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser:
        anna = await signed_up(world, MEMBERS[0])
        await joined(world, anna, Role.OWNER)
        await joined(world, await signed_up(world, MEMBERS[1]), Role.VIEWER)
        await browser.sign_in(anna)
        mine = f"/projects/{world.project.id}"
        for path, subject in (("delete", "Test will be deleted"), ("keep", "Test stays")):
            for _ in range(2):
                assert (await browser.send(f"{mine}/{path}", {"name": "Test"})).status == 303
            mails = await mailbox.mails()
            assert sorted(mails) == [(to, subject, mine) for to in MEMBERS]
            body = mailbox.last.get_body(("plain",))
            assert body is not None
            assert anna.email in body.get_content()
