"""Making an account: what is mailed to whom, and what a link of it opens."""

from datetime import timedelta

import pytest

from app.domain.attempt import LETTER_ACCOUNT, LETTER_ADDRESS
from app.domain.role import Role
from tests.manage.pages.mailbox import mailing, pressed
from tests.manage.pages.visitor import PASSWORD, Browser, Person, joined, signed_up
from tests.world import World

pytestmark = pytest.mark.anyio

ANNA = {"email": "Anna@example.org", "password": PASSWORD}
USERS = "SELECT email, verified_at IS NOT NULL AS verified FROM users WHERE email <> 'first@example.org'"
SESSIONS = "SELECT 1 FROM user_sessions"


async def test_somebody_signs_up_confirms_their_address_and_is_signed_in(dsn: str, anyio_backend: str) -> None:
    """From end to end: the account is made when the link is opened, not before, and its password is the one that was typed."""
    async with mailing(dsn, registration="open") as (world, mailbox), Browser(world) as browser:
        assert "Registration is closed" not in (await browser.see("/signup")).text
        page = await browser.send("/signup", {**ANNA, "next": "/account"})
        assert (page.status, "You gave the address Anna@example.org" in page.text) == (200, True)
        assert await world.rows(USERS) == []
        ((to, subject, path),) = await mailbox.mails()
        assert (to, subject) == ("Anna@example.org", "Confirm your address")
        page = await browser.see(path)
        assert "Make an account for Anna@example.org. Make the account" in page.text
        assert await world.rows(USERS) == []
        page = await pressed(browser, path)
        assert (page.status, page.goes_to) == (303, "/account")
        assert await world.rows(USERS) == [{"email": "Anna@example.org", "verified": True}]
        assert "Anna@example.org" in (await browser.see("/?all")).text
        async with Browser(world) as other:
            assert (await other.send("/login", ANNA)).status == 303
        entries = await world.rows("SELECT actor, action, details FROM audit_entries ORDER BY id LIMIT 3")
        assert entries == [
            {"actor": "Anna@example.org", "action": "user.created", "details": {}},
            {"actor": "Anna@example.org", "action": "project.created", "details": {"plan": "unlimited"}},
            {"actor": "Anna@example.org", "action": "user.signed_in", "details": {"by": "link"}},
        ]


@pytest.mark.parametrize("plan", ["free", "unlimited"])
async def test_whoever_signs_up_has_a_project_at_once(dsn: str, anyio_backend: str, plan: str) -> None:
    """They own it, it is named after them, and it is on the plan of the service."""
    async with mailing(dsn, registration="open", plans=plan == "free") as (world, mailbox), Browser(world) as browser:
        await browser.send("/signup", ANNA)
        assert (await pressed(browser, await mailbox.link())).goes_to == "/"
        assert "Projects Anna's project owner New project" in (await browser.see("/?all")).text
        made = await world.rows("SELECT p.name, p.plan, m.role FROM projects p JOIN memberships m ON m.project_id = p.id")
        assert made == [{"name": "Anna's project", "plan": plan, "role": "owner"}]


async def test_somebody_who_is_invited_signs_up_and_is_a_member(dsn: str, anyio_backend: str) -> None:
    """From end to end by mail, while registration is closed: the invitation offers both ways in and leads back to itself; no
    other project is made."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as owners, Browser(world) as browser:
        (first,) = await world.rows("SELECT id FROM users")
        await joined(world, Person(first["id"], "first@example.org", PASSWORD), Role.OWNER)
        await owners.sign_in(Person(first["id"], "first@example.org", PASSWORD))
        members = f"/projects/{world.project.id}/members"
        page = await owners.send(f"/projects/{world.project.id}/invitations", {"email": ANNA["email"], "role": "member"})
        assert page.goes_to == members
        ((to, subject, path),) = await mailbox.mails()
        assert (to, subject) == ("Anna@example.org", "first@example.org invites you to Test")
        page = await browser.see(path)
        assert "Anna@example.org is invited to the project Test as member." in page.text
        for way in ("/login", "/signup"):
            assert f'href="{way}?next={path}"' in page.html
            assert (await browser.see(f"{way}?next={path}")).value("next") == path
        await browser.send("/signup", {**ANNA, "next": path})
        page = await pressed(browser, await mailbox.link())
        assert page.goes_to == path
        assert "Accept" in (await browser.see(path)).text
        assert (await browser.send(path)).goes_to == f"/projects/{world.project.id}"
        assert "Anna@example.org" in (await owners.see(members)).text
        assert "Projects Test member New project" in (await browser.see("/?all")).text
        assert len(await world.rows("SELECT 1 FROM projects")) == 1
        async with Browser(world) as other:
            await other.send("/signup", {"email": "eve@example.org", "password": PASSWORD, "next": path})
            assert await mailbox.mails() == [], "the link of another invites nobody else"


async def test_an_address_that_has_an_account_is_answered_as_any_other_and_told_so_by_mail(dsn: str, anyio_backend: str) -> None:
    """Words, status and headers are the same; the letter to it leads to a sign-in, and the password that was typed is nothing."""
    async with mailing(dsn, registration="open") as (world, mailbox), Browser(world) as browser, Browser(world) as other:
        known = await browser.send("/signup", {"email": "FIRST@example.org", "password": "another long walk"})
        new = await other.send("/signup", {"email": "fresh@example.org", "password": "another long walk"})
        assert (known.status, known.text.replace("FIRST", "")) == (new.status, new.text.replace("fresh", ""))
        assert set(known.headers) == set(new.headers)
        mails = {to: (subject, path) for to, subject, path in await mailbox.mails()}
        assert mails["fresh@example.org"][0] == "Confirm your address"
        subject, path = mails["first@example.org"]
        assert (len(mails), subject) == (2, "You have an account already")
        assert path.startswith("/login/link/open?token=")
        page = await pressed(browser, path)
        assert page.goes_to == "/"
        async with Browser(world) as third:
            page = await third.send("/login", {"email": "first@example.org", "password": "another long walk"})
            assert page.status == 400


async def test_a_link_opens_once_in_the_browser_that_asked_and_looking_uses_nothing_up(dsn: str, anyio_backend: str) -> None:
    """Scanners of mail GET and HEAD it, also in other places; whoever signs up with somebody else's address gets nowhere."""
    async with mailing(dsn, registration="open") as (world, mailbox), Browser(world) as browser, Browser(world) as other:
        await browser.send("/signup", ANNA)
        path = await mailbox.link()
        token = path.partition("token=")[2]
        for looker in (browser, other):
            for _ in range(3):
                await looker.see(path)
                await looker.client.head(path)
        page = await other.see(path)
        assert page.status == 410
        assert "was asked for in another browser" in page.text
        assert "Ask for a new one in this browser" in page.text
        assert (await other.send("/signup/confirm", {"token": token})).status == 410
        assert await world.rows(USERS) == []
        assert (await pressed(browser, path)).status == 303
        assert (await browser.see(path)).status == 410
        assert (await browser.send("/signup/confirm", {"token": token})).status == 410
        assert len(await world.rows(USERS)) == 1
        assert len(await world.rows(SESSIONS)) == 1


async def test_a_link_is_dead_after_ten_minutes_and_when_a_newer_one_was_asked_for(dsn: str, anyio_backend: str) -> None:
    """A link opens nothing that is not what was asked for last, and soon."""
    async with mailing(dsn, registration="open") as (world, mailbox), Browser(world) as browser:
        await browser.send("/signup", ANNA)
        older = await mailbox.link()
        await browser.send("/signup", ANNA)
        newer = await mailbox.link()
        assert (await browser.see(older)).status == 410
        assert (await browser.see(newer)).status == 200
        world.sleep(601)
        assert (await browser.see(newer)).status == 410
        assert (await browser.send("/signup/confirm", {"token": newer.partition("token=")[2]})).status == 410
        assert await world.rows(USERS) == []


async def test_where_registration_is_closed_only_the_invited_are_written_to(dsn: str, anyio_backend: str) -> None:
    """The page says so; the answer to an address tells nothing of whether it was invited."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser:
        page = await browser.see("/signup")
        assert (page.status, "Registration is closed" in page.text) == (200, True)
        now = await world.now()
        await world.run(
            "INSERT INTO invitations (project_id, id, email, email_key, role, hash, created_at, expires_at) VALUES "
            "(:project, gen_random_uuid(), 'bob@example.org', 'bob@example.org', 'member', 'x', :now, :until)",
            project=world.project.id, now=now, until=now + timedelta(days=7),
        )  # fmt: skip
        said = set()
        for name in ("anna", "bob"):
            page = await browser.send("/signup", {"email": f"{name}@example.org", "password": PASSWORD})
            said.add((page.status, page.text.replace(name, "")))
        assert len(said) == 1
        ((to, _, path),) = await mailbox.mails()
        assert to == "bob@example.org"
        assert (await pressed(browser, path)).status == 303
        assert [row["email"] for row in await world.rows(USERS)] == ["bob@example.org"]
        assert await world.rows("SELECT 1 FROM links WHERE email_key = 'anna@example.org'") == []


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ({"email": "no address", "password": PASSWORD}, "give one e-mail address"),
        ({"email": "anna@example.org", "password": "short"}, "use at least 8 characters"),
        ({"email": "anna@example.org", "password": "password1"}, "tried first"),
        ({"email": "anna-anna@example.org", "password": "anna-anna"}, "this is your address"),
        ({"email": "x" * 300 + "@example.org", "password": PASSWORD}, "use at most 254 characters"),
        ({"email": '"><script>@example.org', "password": PASSWORD}, "give one e-mail address"),
        ({"email": "a@example.org\r\nBcc: b@example.org", "password": PASSWORD}, "give one e-mail address"),
        ({}, "give one e-mail address"),
    ],
)
async def test_a_form_comes_back_with_what_was_typed_and_what_is_wrong(
    dsn: str, anyio_backend: str, typed: dict[str, str], wrong: str
) -> None:
    """The address stands there again, as text; the password does not. Nothing is sent."""
    async with mailing(dsn, registration="open") as (world, mailbox), Browser(world) as browser:
        page = await browser.send("/signup", typed)
        assert (page.status, wrong in page.text) == (400, True), page.text
        assert page.value("email") == typed.get("email", "")
        assert page.value("password") == ""
        assert "<script" not in page.html
        assert await mailbox.mails() == []


async def test_nobodys_mailbox_is_flooded_from_here(dsn: str, anyio_backend: str) -> None:
    """So many letters to one address, wherever they are asked for from, and so many from one; words as for any address."""
    async with mailing(dsn, registration="open") as (world, mailbox):
        for n in range(LETTER_ACCOUNT.at_once + 1):
            async with Browser(world, f"198.51.100.{n}") as browser:
                page = await browser.send("/signup" if n % 2 else "/login/link", {**ANNA, "email": "first@example.org"})
        assert page.status == 429
        assert int(page.headers["retry-after"]) > 0
        assert page.value("email") == "first@example.org"
        assert len(await mailbox.mails()) == LETTER_ACCOUNT.at_once
        async with Browser(world) as browser:
            pages = [await browser.send("/login/link", {"email": f"{n}@example.org"}) for n in range(LETTER_ADDRESS.at_once + 1)]
        assert [page.status for page in pages] == [200] * LETTER_ADDRESS.at_once + [429]


async def test_without_mail_the_pages_say_how_accounts_are_made(world: World, anna: Person, browser: Browser) -> None:
    """A form that could lead nowhere is not shown, and refused in words."""
    for path in ("/signup", "/login/link"):
        page = await browser.see(path)
        assert (page.status, page.value("email")) == (200, None)
        assert "missedbeat-server user" in page.text
        page = await browser.send(path, ANNA)
        assert (page.status, "This service sends no mail yet" in page.text) == (403, True)
    assert await world.rows("SELECT 1 FROM letters") == []


async def test_an_account_made_meanwhile_is_not_made_twice(dsn: str, anyio_backend: str) -> None:
    """As by the command line, while the link was on its way: its password stays."""
    async with mailing(dsn, registration="open") as (world, mailbox), Browser(world) as browser:
        await browser.send("/signup", {**ANNA, "password": "another long walk"})
        path = await mailbox.link()
        anna = await signed_up(world, "anna@example.org")
        page = await browser.see(path)
        assert (await browser.send("/signup/confirm", {"token": page.value("token")})).status == 410
        assert (await browser.sign_in(anna)).status == 303
