"""What an attacker tries at the sign-in: keeping the owner out, forging where a request comes from, old tokens, nonsense."""

import asyncio
from itertools import count

import pytest

from app.domain.attempt import LETTER_ACCOUNT, SIGN_IN_ACCOUNT, SIGN_IN_ADDRESS
from tests.manage.pages.mailbox import mailing, pressed
from tests.manage.pages.visitor import PASSWORD, Browser, Page, Person, signed_up
from tests.world import World, living

pytestmark = pytest.mark.anyio

SESSIONS = "SELECT address FROM user_sessions ORDER BY created_at"
FIRST = {"email": "first@example.org", "password": PASSWORD}


async def guessed(world: World, email: str, times: int = SIGN_IN_ACCOUNT.at_once) -> Page:
    """Somebody elsewhere guesses, from as many addresses; returns what the last was told."""
    for n in range(times):
        async with Browser(world, f"198.51.100.{n}") as stranger:
            page = await stranger.send("/login", {"email": email, "password": "guess"})
    return page


async def test_strangers_who_guess_keep_nobody_out_of_a_browser_that_was_signed_in_before(
    world: World, browser: Browser, anna: Person
) -> None:
    """By password, and by the proof that is asked for again. There attempts are counted too, and a forged name counts as none."""
    await browser.sign_in(anna)
    await guessed(world, anna.email)
    assert (await guessed(world, anna.email, 1)).status == 429
    assert (await browser.see("/?all")).status == 200
    assert (await browser.send("/confirm", {"password": PASSWORD, "next": "/account"})).goes_to == "/account"
    await browser.send("/logout")
    assert (await browser.sign_in(anna)).status == 303
    assert (await guessed(world, anna.email, 1)).status == 429, "her sign-in gives the strangers no more guesses"
    known = browser.client.cookies["missedbeat-known"]
    for said in ("", "x", known + "x", "x" + known, known.partition(".")[0], "x." + known.partition(".")[2]):
        async with Browser(world) as other:
            other.client.cookies.set("missedbeat-known", said)
            assert (await other.sign_in(anna)).status == 429
    await browser.send("/logout")
    pages = [await browser.sign_in(anna, password="typo") for _ in range(SIGN_IN_ACCOUNT.at_once + 1)]
    assert [page.status for page in pages] == [400] * SIGN_IN_ACCOUNT.at_once + [429]


async def test_a_browser_known_for_one_account_is_a_stranger_to_all_others(world: World, browser: Browser, anna: Person) -> None:
    """Else whoever has an account of their own had more guesses at that of somebody else."""
    await browser.sign_in(anna)
    bob = await signed_up(world, "bob@example.org")
    await guessed(world, bob.email)
    assert (await browser.sign_in(bob)).status == 429


async def test_strangers_who_ask_for_letters_neither_use_up_the_owners_nor_spoil_their_link(dsn: str, anyio_backend: str) -> None:
    """Whoever signed in here before may still ask; a link that is on its way opens whatever strangers do meanwhile."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as browser:
        await browser.send("/login", FIRST)
        await browser.send("/logout")
        for n in range(LETTER_ACCOUNT.at_once + 1):
            async with Browser(world, f"198.51.100.{n}") as stranger:
                page = await stranger.send("/login/link", {"email": FIRST["email"]})
        assert page.status == 429
        await mailbox.mails()
        assert (await browser.send("/login/link", {"email": FIRST["email"]})).status == 200
        path = await mailbox.link()
        await world.run("DELETE FROM attempts")
        async with Browser(world, "198.51.100.9") as stranger:
            assert (await stranger.send("/login/link", {"email": FIRST["email"]})).status == 200
        await guessed(world, FIRST["email"])
        assert (await pressed(browser, path)).status == 303


FORGED = ({"x_forwarded_for": "192.0.2.{}"}, {"forwarded": "for=192.0.2.{}"}, {"x_real_ip": "192.0.2.{}"},
          {"x_client_ip": "192.0.2.{}"}, {"true_client_ip": "192.0.2.{}"}, {"cf_connecting_ip": "192.0.2.{}"})  # fmt: skip


@pytest.mark.parametrize("proxies", ["", "10.0.0.0/8"])
async def test_no_header_makes_one_visitor_many(dsn: str, anyio_backend: str, proxies: str) -> None:
    """With proxies of ours or without: what a visitor writes of itself is nobody's word. All its guesses are counted as one's."""
    async with living(dsn, trusted_proxies=proxies) as world, Browser(world, "203.0.113.7") as browser:
        for n in range(SIGN_IN_ADDRESS.at_once + 1):
            header = {name: value.format(n) for name, value in FORGED[n % len(FORGED)].items()}
            page = await browser.send("/login", {"email": f"{n}@example.org", "password": "guess"}, **header)
        assert page.status == 429


async def test_a_proxy_that_adds_a_line_below_a_forged_one_is_believed_alone(dsn: str, anyio_backend: str) -> None:
    """Some append to the line that came, some write a second one: the last word is the proxy's."""
    async with living(dsn, trusted_proxies="10.0.0.0/8") as world:
        anna = await signed_up(world)
        async with Browser(world, "10.1.2.3") as browser:
            lines = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "198.51.100.4"), ("origin", browser.origin)]
            answer = await browser.client.post("/login", data={"email": anna.email, "password": PASSWORD}, headers=lines)
        assert answer.status_code == 303
        assert await world.rows(SESSIONS) == [{"address": "198.51.100.4"}]


async def test_a_proxy_seen_through_a_socket_for_both_kinds_of_address_is_the_same_proxy(dsn: str, anyio_backend: str) -> None:
    """`--host ::` hears IPv4 too, from `::ffff:10.1.2.3`: that is 10.1.2.3, as proxy and as visitor."""
    async with living(dsn, trusted_proxies="10.0.0.0/8") as world:
        anna = await signed_up(world)
        for peer, said in (("::ffff:10.1.2.3", "192.0.2.1, ::ffff:198.51.100.4"), ("::ffff:203.0.113.7", "192.0.2.1")):
            async with Browser(world, peer) as browser:
                typed = {"email": anna.email, "password": PASSWORD}
                assert (await browser.send("/login", typed, x_forwarded_for=said)).status == 303
        assert [row["address"] for row in await world.rows(SESSIONS)] == ["198.51.100.4", "203.0.113.7"]


async def test_whoever_is_slowed_down_costs_the_account_nothing(world: World, anna: Person) -> None:
    """One address that is over its own limit does not fill the account's."""
    async with Browser(world, "203.0.113.7") as browser:
        strangers = (f"{n}@example.org" for n in count())
        for _ in range(SIGN_IN_ACCOUNT.at_once):
            while (await browser.send("/login", {"email": next(strangers), "password": "guess"})).status != 429:
                pass  # the limit leaks while passwords are compared
            assert (await browser.send("/login", {"email": anna.email, "password": "guess"})).status == 429
    async with Browser(world, "203.0.113.8") as other:
        assert (await other.sign_in(anna)).status == 303


async def test_a_password_that_is_changed_shuts_other_browsers_and_links_on_their_way(dsn: str, anyio_backend: str) -> None:
    """Pages that were open there send to the sign-in; the browser it was changed in stays; the old password opens nothing."""
    async with mailing(dsn) as (world, mailbox), Browser(world) as here, Browser(world, "203.0.113.10") as there:
        await here.send("/login", FIRST)
        await there.send("/login", FIRST)
        await there.send("/login/link", {"email": FIRST["email"]})
        path = await mailbox.link()
        page = await here.send("/account/password", {"password": "another long walk", "present": PASSWORD})
        assert page.status == 303, page.text
        assert (await there.see("/account")).goes_to.startswith("/login")
        assert (await there.send("/account/look", {"zone": "UTC", "theme": "dark"})).goes_to.startswith("/login")
        assert (await there.see(path)).status == 410
        assert (await there.send("/login/link/open", {"token": path.partition("token=")[2]})).status == 410
        assert (await there.send("/login", FIRST)).status == 400
        assert (await here.see("/account")).status == 200


@pytest.mark.parametrize(
    "spoilt", ["", "x", "{}x", "x{}", "{}{}", "{};", '"{}"', "{}" + "A" * 200, "\xe9", "' OR 1=1 --", "../{}"]
)
async def test_a_cookie_that_was_touched_opens_nothing(world: World, browser: Browser, anna: Person, spoilt: str) -> None:
    """Nor does it break anything: the browser is sent to the sign-in."""
    await browser.sign_in(anna)
    token = browser.client.cookies["missedbeat"]
    value = spoilt.replace("{}", token)
    for name in ("missedbeat", "missedbeat-step", "missedbeat-browser", "missedbeat-known", "theme"):
        answer = await browser.client.get("/login/code", headers={b"cookie": f"{name}={value}".encode("latin-1")})
        assert answer.status_code == 303
    async with Browser(world) as other:
        answer = await other.client.get("/account", headers={b"cookie": f"missedbeat={value}".encode("latin-1")})
        is_same = spoilt in ("{};", '"{}"')  # as the grammar of cookies reads them it is the very token
        assert answer.status_code == (200 if is_same else 303)


HOSTILE = ["\0", "a\0b@example.org", "\ud800@example.org".encode("utf-8", "surrogatepass").decode("latin-1"), "x" * 60_000,
           "a@b\r\nBcc: c@d", "a@b\nSet-Cookie: x=y", "\u202egro.elpmaxe@nimda", "\u212aelvin@example.org", "%s%n{}{{7*7}}",
           "a@example.org,b@example.org", "<a@example.org>", "a@[127.0.0.1]", "\U0001f600@example.org"]  # fmt: skip


@pytest.mark.parametrize(
    "path", ["/login", "/login/link", "/signup", "/login/code", "/login/link/open", "/signup/confirm", "/setup"]
)
async def test_nonsense_in_every_field_is_refused_in_words_and_reaches_no_header(dsn: str, anyio_backend: str, path: str) -> None:
    """Never a 500, no letter, no session; no answer has a header that we did not write."""
    async with mailing(dsn, registration="open") as (world, mailbox):
        ours = set((await Browser(world).see("/login")).headers) | {"location", "set-cookie", "retry-after"}
        for n, value in enumerate(HOSTILE):
            async with Browser(world, f"198.51.100.{n}") as browser:
                fields = dict.fromkeys(("email", "password", "next", "token", "code"), value)
                for given in (fields, {**fields, "email": "first@example.org"}):
                    page = await browser.send(path, given, user_agent="<b>\t" * 100)
                    assert page.status < 500 or page.status == 503, (value, page.text)
                    assert set(page.headers) <= ours
                    assert "\n" not in page.goes_to
                    assert not page.goes_to.startswith(("//", "http"))
        assert {to for to, _, _ in await mailbox.mails()} <= {"first@example.org"}
        assert await world.rows(SESSIONS) == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_programs_that_look_at_links_use_none_up(dsn: str, anyio_backend: str, method: str) -> None:
    """In the mail's own browser too, prefetching, with a session or without: the button alone opens it."""
    async with mailing(dsn, registration="open") as (world, mailbox), Browser(world) as browser, Browser(world) as robot:
        for path, fields in (
            ("/login/link", {"email": FIRST["email"]}),
            ("/signup", {"email": "new@example.org", "password": PASSWORD}),
        ):
            await browser.send(path, fields)
            link = await mailbox.link()
            for looker in (robot, browser):
                for headers in ({}, {"purpose": "prefetch", "sec-purpose": "prefetch"}, {"x-moz": "prefetch"}):
                    answer = await looker.client.request(method, link, headers=headers)
                    assert answer.status_code in (200, 405, 410)
            assert (await pressed(browser, link)).status == 303


FOREIGN = [
    {"origin": "null", "sec_fetch_site": ""}, {"origin": "https://evil.beat.example", "sec_fetch_site": ""},
    {"origin": "https://beat.example:8443", "sec_fetch_site": ""}, {"origin": "http://beat.example", "sec_fetch_site": ""},
    {"origin": "https://beat.example.evil.example", "sec_fetch_site": ""}, {"origin": "", "sec_fetch_site": "cross-site"},
    {"origin": "", "sec_fetch_site": "same-site"}, {"origin": "https://beat.example", "sec_fetch_site": "cross-site"},
    {"origin": "https://beat.example@evil.example", "sec_fetch_site": ""}, {"origin": "x", "sec_fetch_site": ""},
    {"origin": "https://evil.example", "referer": "https://beat.example/account", "sec_fetch_site": ""},
]  # fmt: skip


async def test_forms_of_other_sites_change_nothing_of_who_is_signed_in(dsn: str, anyio_backend: str) -> None:
    """Over https: from a subdomain, another port, plain http, a sandbox; nor is anybody signed in as somebody else."""
    async with living(dsn, base_url="https://beat.example") as world:
        anna = await signed_up(world)
        async with Browser(world, base_url="https://beat.example") as browser:
            await browser.sign_in(anna)
            for headers in FOREIGN:
                for path, fields in (
                    ("/account/look", {"zone": "UTC", "theme": "dark"}),
                    ("/logout", {}),
                    ("/projects", {"name": "x"}),
                ):
                    assert (await browser.send(path, fields, **headers)).status == 403, headers
                page = await browser.send("/login", {"email": anna.email, "password": PASSWORD}, **headers)
                assert (page.status, page.headers.get("set-cookie")) == (403, None)
            for kind in ("text/plain", "application/json", "multipart/form-data; boundary=x", "text/xml"):
                answer = await browser.client.post(
                    "/account/look", content=b"zone=UTC&theme=dark", headers={"content-type": kind}
                )
                assert answer.status_code == 400, "no form that another site can send without asking is read as ours"
        assert await world.rows("SELECT theme FROM users") == [{"theme": "auto"}]


async def test_whether_an_address_has_an_account_shows_in_no_limit(dsn: str, anyio_backend: str) -> None:
    """The limits meet both alike, at the same attempt, with the same words."""
    async with mailing(dsn, registration="open") as (world, _):
        told: list[list[tuple[int, str]]] = []
        for email in (FIRST["email"], "other@example.org"):
            answers = []
            for n in range(LETTER_ACCOUNT.at_once + 2):
                async with Browser(world, f"198.51.100.{n}") as browser:
                    page = await browser.send("/login/link" if n % 2 else "/signup", {"email": email, "password": PASSWORD})
                    answers.append((page.status, page.text.replace(email, "…").partition("Try again")[0]))
            await world.run("DELETE FROM attempts")
            told.append(answers)
        assert told[0] == told[1]


async def test_of_two_browsers_that_sign_out_each_ends_its_own_session(world: World, anna: Person) -> None:
    """Signing out twice at once is fine, and so is without being signed in."""
    async with Browser(world) as one, Browser(world) as other:
        await one.sign_in(anna)
        await other.sign_in(anna)
        pages = await asyncio.gather(one.send("/logout"), one.send("/logout"))
        assert [page.goes_to for page in pages] == ["/login", "/login"]
        assert (await one.see("/")).goes_to == "/login"
        assert (await other.see("/?all")).status == 200
