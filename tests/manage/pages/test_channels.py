"""Channels on their pages: made by a form for each kind, tested, changed, deleted, and their secrets kept."""

import re
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from standardwebhooks import Webhook

from app.domain.role import Role
from app.domain.tokens import unique_key
from app.notify.email import Mailer
from tests.manage.pages.visitor import Browser, Page, Person, joined, signed_up
from tests.receivers import HttpReceiver, MailReceiver, Reply
from tests.world import World, living

pytestmark = pytest.mark.anyio

ELEVEN_MINUTES = 660
SIGNING = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"


@pytest.fixture
async def owner(world: World, browser: Browser, anna: Person) -> Person:
    """Anna, signed in as the owner of the world's project."""
    await joined(world, anna, Role.OWNER)
    await browser.sign_in(anna)
    return anna


def mine(world: World, rest: str = "") -> str:
    """The path of the project's channels, and below."""
    return f"/projects/{world.project.id}/channels{rest}"


async def made(world: World, browser: Browser, kind: str, **fields: Any) -> str:
    """The path of a channel that a form has made."""
    answer = await browser.send(mine(world), {"kind": kind, "hears": "all", **fields})
    assert answer.status in (200, 303), answer.text
    (row,) = await world.rows("SELECT id FROM channels ORDER BY created_at DESC, id LIMIT 1")
    return mine(world, f"/{row['id']}")


async def after_test(world: World, browser: Browser, path: str) -> Page:
    """What the page shows once the test it was asked for was sent."""
    asked = await browser.send(f"{path}/test")
    assert asked.goes_to.startswith(f"{path}?test=")
    before = await browser.see(asked.goes_to)
    assert "The test message is being sent" in before.text
    assert '<noscript><meta http-equiv="refresh"' in before.html
    await world.deliver()
    after = await browser.see(asked.goes_to)
    assert "http-equiv" not in after.html
    return after


async def test_a_channel_of_each_kind_is_made_by_its_form_and_tested(dsn: str) -> None:
    """Each form has the fields of its kind alone; the test arrives, and the page shows what the receiver said."""
    async with MailReceiver() as mails, HttpReceiver(Reply(body=b"noted <b>4711")) as hooks:
        mailer = Mailer("127.0.0.1", mails.port, tls="none", sender="Missedbeat <beat@example.com>")
        async with living(dsn, mailer, smtp_host="127.0.0.1") as world, Browser(world) as browser:
            person = await signed_up(world)
            await joined(world, person, Role.MANAGER)
            await browser.sign_in(person)
            forms = {kind: (await browser.see(mine(world, f"/new?kind={kind}"))).html for kind in ("email", "slack", "webhook")}
            fields = {
                kind: set(re.findall(r'<(?:input|textarea|select)[^>]* name="(\w+)"', form)) for kind, form in forms.items()
            }
            limits = {"hears", "tags", "when", "days", "from", "to", "zone"}
            assert fields["email"] - limits == {"kind", "name", "address"}
            assert fields["slack"] - limits == {"kind", "name", "url"}
            assert fields["webhook"] - limits == {"kind", "name", "url", "method", "headers", "body_down", "body_up", "secret"}
            assert all(limits <= found for found in fields.values())
            slack = await made(world, browser, "slack", name="chat", url=hooks.url("/slack"))
            page = await after_test(world, browser, slack)
            assert "The receiver took the test message. It said: noted <b>4711" in page.text
            assert "Works" in page.text
            mail = await made(world, browser, "email", name="", address="ops@example.org")
            assert "The receiver took the test message" in (await after_test(world, browser, mail)).text
            assert mails.recipients == ["ops@example.org"]
            whole = await browser.see(mine(world))
            assert "E-mail ops@example.org" in whole.text
            assert "chat Slack, 127.0.0.1 Works" in whole.text


async def test_a_webhook_goes_out_as_its_form_says(world: World, browser: Browser, owner: Person) -> None:
    """Method, headers and bodies of one's own; a name full of quotes stays a value in JSON, and in the URL."""
    async with HttpReceiver() as hooks:
        await made(
            world, browser, "webhook", name="own", url=hooks.url("/$STATUS/$NAME"), method="PUT",
            headers="Authorization: Bearer very-secret-token\r\nX-Team:ops", body_down='{"job": "$NAME",\r\n "why": "$REASON"}',
            body_up='{"well": "$NAME"}',
        )  # fmt: skip
        check = await world.check(name='a "b" / c', channels="*")
        await world.ping(check, "/fail")
        await world.deliver()
        await world.ping(check)
        await world.deliver()
        down, up = hooks.requests
    assert (down.method, down.target) == ("PUT", "/down/a%20%22b%22%20%2F%20c")
    assert (down.headers["authorization"], down.headers["x-team"]) == ("Bearer very-secret-token", "ops")
    assert down.json() == {"job": 'a "b" / c', "why": "failed"}
    assert up.json() == {"well": 'a "b" / c'}


async def test_a_signing_secret_made_here_is_shown_once_and_can_be_renewed(world: World, browser: Browser, owner: Person) -> None:
    """Right after it was made, and on no page later. A new one signs beside the one before, until that is taken away."""
    async with HttpReceiver() as hooks:
        answer = await browser.send(mine(world), {"kind": "webhook", "hears": "all", "method": "POST", "url": hooks.url()})
        (first,) = set(re.findall(r"whsec_[\w+/=]+", answer.html))
        (row,) = await world.rows("SELECT id FROM channels")
        path = mine(world, f"/{row['id']}")
        for page in (path, f"{path}/edit", mine(world)):
            shown = await browser.see(page)
            assert "whsec_" not in shown.html
            assert hooks.url() not in shown.html
        answer = await browser.send(f"{path}/edit", {"name": "w", "hears": "all", "method": "POST", "renew": "1"})
        (second,) = set(re.findall(r"whsec_[\w+/=]+", answer.html))
        assert second != first
        await after_test(world, browser, path)
        for secret in (first, second):
            Webhook(secret).verify(hooks.requests[0].body, hooks.requests[0].headers, json_parse=False)
        fields = {"name": "w", "hears": "all", "method": "POST", "drop": "secret_before"}
        assert (await browser.send(f"{path}/edit", fields)).goes_to == path
        await after_test(world, browser, path)
        assert len(hooks.requests[1].headers["webhook-signature"].split()) == 1
        Webhook(second).verify(hooks.requests[1].body, hooks.requests[1].headers, json_parse=False)


async def test_a_secret_that_is_left_empty_stays_and_can_be_taken_away(world: World, browser: Browser, owner: Person) -> None:
    """URL, headers and bodies are not shown when a channel is changed, and stay unless others are given."""
    async with HttpReceiver() as old, HttpReceiver() as new:
        path = await made(
            world, browser, "webhook", url=old.url("/hook/SECRETPART"), method="POST", headers="X-Key: SECRETKEY",
            body_down='{"a": "SECRETBODY"}', secret=SIGNING,
        )  # fmt: skip
        form = await browser.see(f"{path}/edit")
        for word in ("SECRETPART", "SECRETKEY", "SECRETBODY", SIGNING):
            assert word not in form.html
        assert form.text.count("There is something here, which is not shown") == 2
        fields = {"name": "renamed", "hears": "down", "method": "PUT"}
        assert (await browser.send(f"{path}/edit", fields)).goes_to == path
        await after_test(world, browser, path)
        first = old.requests[0]
        assert (first.method, first.headers["x-key"], first.json()) == ("PUT", "SECRETKEY", {"a": "SECRETBODY"})
        await browser.send(f"{path}/edit", {**fields, "url": new.url(), "drop": ["headers", "body_down"]})
        await after_test(world, browser, path)
        second = new.requests[0]
        assert "x-key" not in second.headers
        assert second.json()["type"] == "test"
        Webhook(SIGNING).verify(second.body, second.headers, json_parse=False)
    log = (await browser.see(f"/projects/{world.project.id}/log")).text
    assert "made the channel webhook" in log
    assert "changed the channel webhook renamed changed: hears, name, secret, settings" in log


WRONG: list[tuple[str, dict[str, str], str, str]] = [
    ("email", {"address": "nobody"}, "address", "give one e-mail address such as ops@example.com"),
    ("slack", {"url": ""}, "url", "give the URL to post to"),
    ("slack", {"url": "ftp://example.com"}, "url", "start it with https:// or http://"),
    ("slack", {"url": "http://10.0.0.1/hook"}, "url", "10.0.0.1 is not a public address"),
    ("webhook", {"url": "http://[::1]:8080/"}, "url", "is not a public address"),
    ("webhook", {"url": "http://169.254.169.254/latest"}, "url", "is not a public address"),
    ("webhook", {"url": "https://example.com", "method": "DELETE"}, "method", "choose one of POST, PUT, PATCH, GET"),
    ("webhook", {"url": "https://example.com", "headers": "no colon"}, "headers", "write one header on a line"),
    ("webhook", {"url": "https://example.com", "headers": "A: 1\na: 2"}, "headers", "give each header once"),
    ("webhook", {"url": "https://example.com", "headers": "Host: x"}, "headers", "Host is set by us; leave it out"),
    ("webhook", {"url": "https://example.com", "body_down": '{"a": $NAME}'}, "body_down", "put placeholders inside quotes"),
    ("webhook", {"url": "https://example.com", "secret": "short"}, "secret", "24 to 64 bytes in base64"),
    ("email", {"address": "a@example.com", "hears": "some"}, "hears", "choose what it is told"),
    ("email", {"address": "a@example.com", "name": "x" * 101}, "name", "use at most 100 characters"),
]


@pytest.mark.parametrize(("kind", "fields", "field", "words"), WRONG)
async def test_what_is_wrong_stands_beside_its_field_with_what_was_typed(
    world: World, browser: Browser, owner: Person, kind: str, fields: dict[str, str], field: str, words: str
) -> None:
    """400, nothing is made, and the form comes back."""
    answer = await browser.send(mine(world), {"kind": kind, "name": "typed name", "hears": "up", "method": "POST", **fields})
    assert answer.status == 400
    fault = re.search(
        rf'id="{field}-wrong">([^<]*)<' if field not in ("method", "hears") else r'class="fault">([^<]*)<', answer.html
    )
    assert fault is not None
    assert words in fault[1].replace("&#39;", "'").replace("&#34;", '"')
    assert 'name="name"' in answer.html
    assert "typed name" in answer.html or "name" in fields
    assert (await world.rows("SELECT count(*) AS n FROM channels"))[0]["n"] == 0


async def test_an_address_of_ones_own_network_is_taken_where_the_operator_opened_it(dsn: str) -> None:
    """Judged at once where the URL holds an address, and by the API as well; names are judged when they are connected to."""
    async with living(dsn, allow_networks="10.1.0.0/16") as world, Browser(world) as browser:
        person = await signed_up(world)
        await joined(world, person, Role.OWNER)
        await browser.sign_in(person)
        sent = {"kind": "slack", "name": "x", "hears": "all"}
        for url, status in (
            ("http://10.1.2.3/", 303),
            ("http://10.2.0.1/", 400),
            ("http://localhost/", 400),
            ("http://a.lan/", 303),
        ):
            assert (await browser.send(mine(world), {**sent, "url": url})).status == status, url
        answer = await world.api("POST", "channels/", {"kind": "slack", "name": "x", "url": "http://127.0.0.1/"})
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("url: 127.0.0.1 is refused")


async def test_a_receiver_that_refuses_is_quoted_on_the_page(world: World, browser: Browser, owner: Person) -> None:
    """Its words as words, and its number; without the secret, should it repeat that."""
    async with HttpReceiver(Reply(400, body=b"<script>no_team /hook/VERYSECRET")) as hooks:
        path = await made(world, browser, "slack", name="chat", url=hooks.url("/hook/VERYSECRET"))
        page = await after_test(world, browser, path)
    assert "The test message was not delivered: <script>no_team" in page.text
    assert "VERYSECRET" not in page.html
    assert "<script>no_team" not in page.html


async def test_a_channel_hears_of_all_checks_or_of_none(world: World, browser: Browser, owner: Person) -> None:
    """A new one of those that there are, where its form says so; later by a button. The list of checks shows which."""
    first, second = await world.check(name="first", channels=""), await world.check(name="second", channels="")
    quiet = await made(world, browser, "email", address="a@example.org")
    assert "It hears of none of 2 checks" in (await browser.see(quiet)).text
    path = await made(world, browser, "email", address="b@example.org", everything="1")
    assert "It hears of all 2 checks" in (await browser.see(path)).text
    await world.api("POST", f"checks/{second['uuid']}", {"channels": ""})
    assert "It hears of 1 of 2 checks" in (await browser.see(path)).text
    listed = await browser.see(f"/projects/{world.project.id}/monitors?channel={path.rpartition('/')[2]}")
    assert f'id="check-{unique_key(UUID(first["uuid"]))}"' in listed.html
    assert f'id="check-{unique_key(UUID(second["uuid"]))}"' not in listed.html
    assert "1 of 2 checks" in listed.text
    for which, words in (("all", "It hears of all 2 checks"), ("all", "all 2"), ("none", "It hears of none of 2 checks")):
        assert (await browser.send(f"{path}/checks", {"which": which})).goes_to == path
        assert words in (await browser.see(path)).text
    assert (await browser.send(f"{path}/checks", {"which": "some"})).status == 400


async def test_the_page_says_how_a_channel_does(world: World, browser: Browser, owner: Person) -> None:
    """Not proved, works, fails since, left alone until, disabled and why; a change puts it to use again."""
    async with HttpReceiver() as hooks:
        path = await made(world, browser, "slack", name="chat", url=hooks.url(), everything="1")
        check = await world.check(channels="*")
        assert "Not proved yet" in (await browser.see(path)).text
        hooks.always = Reply(500, body=b"out of order")
        await world.ping(check, "/fail")
        await world.deliver()
        page = await browser.see(path)
        assert "Fails since" in page.text
        assert re.search(r"failed, tried again in \S+ s out of order", page.text)
        for seconds in (30, 90, 300, 700):  # longer than it waits, however that is scattered
            await world.advance(seconds)
            await world.deliver()
        page = await browser.see(path)
        assert "Left alone after 5 failures in a row; tried again" in page.text
        assert "5 attempts" in page.text
        hooks.always = Reply(410, body=b"no_service")
        await world.advance(3000)
        await world.deliver()
        assert "Disabled: no_service" in (await browser.see(mine(world))).text
        assert "Nothing is sent here until it is changed" in (await browser.see(path)).text
        await browser.sign_in(owner)  # it is long ago by now
        assert (await browser.send(f"{path}/edit", {"name": "chat", "hears": "all"})).goes_to == path
        hooks.always = Reply()
        assert "Works" in (await after_test(world, browser, path)).text


async def test_secrets_are_asked_for_again_who_it_is(world: World, browser: Browser, owner: Person) -> None:
    """Making, changing and deleting after ten minutes lead to the password first; looking and testing do not."""
    path = await made(world, browser, "email", address="a@example.org")
    await world.advance(2 * ELEVEN_MINUTES)
    for page in (mine(world, "/new?kind=slack"), f"{path}/edit"):
        assert (await browser.see(page)).goes_to == f"/confirm?{urlencode({'next': page})}"
    for form in (mine(world), f"{path}/edit", f"{path}/delete"):
        assert (await browser.send(form, {"kind": "email", "hears": "all"})).goes_to.startswith("/confirm?next="), form
    for page in (mine(world), path):
        assert (await browser.see(page)).status == 200
    assert (await browser.send(f"{path}/test")).status == 303
    slack = mine(world, "/new?kind=slack")
    sent = await browser.send(mine(world), {"kind": "slack"}, referer=f"http://missedbeat.test{slack}")
    assert sent.goes_to == f"/confirm?{urlencode({'next': slack})}"
    assert (await browser.send("/confirm", {"password": owner.password, "next": slack})).goes_to == slack
    await world.advance(ELEVEN_MINUTES)
    assert (await browser.send("/confirm", {"password": owner.password, "next": f"{path}/edit"})).goes_to == f"{path}/edit"
    assert (await browser.send(f"{path}/delete")).goes_to == mine(world)
    assert "There is no channel yet" in (await browser.see(mine(world))).text


async def test_only_managers_change_channels_and_all_members_see_them(world: World, browser: Browser, owner: Person) -> None:
    """A member finds neither buttons nor forms, and is refused where they try."""
    path = await made(world, browser, "email", name="on call", address="a@example.org")
    person = await signed_up(world, "member@example.org")
    await joined(world, person, Role.MEMBER)
    async with Browser(world) as other:
        await other.sign_in(person)
        for page in (mine(world), path):
            shown = await other.see(page)
            assert "on call" in shown.text
            assert "/new?kind" not in shown.html
            assert "Send a test" not in shown.text
        for page in (mine(world, "/new"), f"{path}/edit"):
            assert (await other.see(page)).status == 403
        for form in (mine(world), f"{path}/edit", f"{path}/delete", f"{path}/test", f"{path}/checks"):
            assert (await other.send(form, {"kind": "email"})).status == 403


async def test_without_a_mail_server_the_form_for_mail_says_so(world: World, browser: Browser, owner: Person) -> None:
    """Before somebody relies on it."""
    assert "No mail server is set" in (await browser.see(mine(world, "/new?kind=email"))).text
