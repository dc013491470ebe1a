"""Hostile words in every place that somebody else fills: whatever goes out shows them as words.

The same is done twice, once with harmless words. Pages, badges and mails must then have the same elements, attributes and
headers, Slack's and webhooks' JSON the same form; none of them holds a character that no eye sees.
"""

import json
import re
from dataclasses import dataclass, field
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import pytest

from app.domain.role import Role
from app.manage.pages import PAGES
from app.notify.email import Mailer
from app.notify.letters import send_letters_once
from app.notify.pauses import tell_pauses_once
from app.store.vault import Vault
from tests.manage.pages.visitor import Browser, joined, signed_up
from tests.receivers import HttpReceiver, MailReceiver
from tests.world import SECRET_KEY, World, living

pytestmark = pytest.mark.anyio

MEMBER = "o'neil&{{7*7}}%s|`x`@example.org"
EVIL = [
    "<script>alert(1)</script>", "<!channel>", "<@U1>", "<http://evil.test|bank>", "\"><img/src=x onerror=x>", "'\"`", "{{7*7}}",
    "%s %n {0} $NAME ${x}", "\u202egnp.exe", "zero\u200bwidth\u2066", "a\r\nBcc: victim@evil.test", "a\nb", "]]>--><!--",
    "&lt;b&gt;", "=?utf-8?q?Bcc?=", "@all ![x](http://evil.test/x.png)", "\\\" , \"x\": 1",
]  # fmt: skip
UNSEEN = re.compile("[\u0000-\u0008\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]")
HARMLESS: dict[str, Any] = {}  # the form of all that a harmless word comes out in, once it was looked at
TEMPLATE = '{"name": "$NAME", "tags": "$TAGS", "why": "$REASON", "explain": "$EXPLAIN"}'


@dataclass
class Form(HTMLParser):
    """The elements of a page or picture, with the names of their attributes, in order."""

    found: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """The parser's hook."""
        self.found.append((tag, *sorted(name for name, _ in attrs)))
        self.links = [value for name, value in attrs if name in ("href", "src", "action")]
        assert all(value is None or not value.startswith(("javascript", "http://evil")) for value in self.links)


def form_of(text: str) -> list[tuple[str, ...]]:
    """What an eye does not see of it."""
    assert not UNSEEN.search(text), repr(UNSEEN.search(text))
    parser = Form()
    parser.feed(text)
    parser.close()
    return parser.found


def shape_of(data: Any) -> Any:
    """JSON without its words."""
    if isinstance(data, dict):
        return {key: shape_of(value) for key, value in data.items()}
    return [shape_of(part) for part in data] if isinstance(data, list) else type(data).__name__


def mail_form(mail: EmailMessage) -> Any:
    """Its headers by name, its parts, the elements of its HTML."""
    parts = {kind: mail.get_body((kind,)) for kind in ("plain", "html")}
    text, page = (part.get_content() if part is not None else "" for part in parts.values())
    assert not UNSEEN.search(text + str(mail["Subject"]))
    return mail.keys(), form_of(page)


async def everything_filled(world: World, browser: Browser, word: str, hooks: HttpReceiver) -> dict[str, Any]:
    """A project whose every name is this word, with an alert, a pause, a deletion, an invitation under way; returns its check."""
    anna = await signed_up(world, MEMBER)
    await joined(world, anna, Role.OWNER)
    browser.client.headers["user-agent"] = word.encode("ascii", "ignore").replace(b"\r", b"").replace(b"\n", b"").decode()
    await browser.sign_in(anna)
    await world.run("UPDATE projects SET name = :word", word=word)
    for kind, more in (("webhook", {"url": hooks.url("/own")}), ("slack", {"url": hooks.url("/slack")}),
                       ("webhook", {"url": hooks.url("/template"), "body_down": TEMPLATE}),
                       ("email", {"address": "ops@example.org"})):  # fmt: skip
        made = await world.api("POST", "channels/", {"kind": kind, "name": word, **more})
        assert made.status_code == 201, made.text
    check = await world.check(name=word, tags="".join(word.split()), desc=word, channels="*")
    await world.ping(check, content=word.encode(), headers={"user-agent": browser.client.headers["user-agent"]})
    await world.ping(check, "/fail", content=word.encode())
    await world.sweep()
    await world.deliver()
    other = await world.check(name=word)
    await world.api("POST", f"checks/{other['uuid']}/pause")
    await world.advance(11)
    await tell_pauses_once(world.sessions, Vault(SECRET_KEY), world.settings.address, True)
    mine = f"/projects/{world.project.id}"
    await browser.send(f"{mine}/keys", {"name": "key", "scope": "ro"})
    await browser.send(f"{mine}/invitations", {"email": "bob@example.org", "role": "viewer"})
    await browser.send("/login/link", {"email": MEMBER})
    (row,) = await world.rows("SELECT name FROM projects WHERE id = :id", id=world.project.id)
    await world.run("UPDATE api_keys SET name = :word, made_by = :word", word=word)
    assert (await browser.send(f"{mine}/delete", {"name": row["name"]})).status == 303
    return check


async def shown_on_pages(world: World, browser: Browser, word: str) -> dict[str, Any]:
    """The form of every page that is looked at, and of forms that come back."""
    paths = [route.path for pages in PAGES for route in pages.router.routes if "GET" in route.methods]  # type: ignore[attr-defined]
    found: dict[str, Any] = {}
    world.web.live.leaving = lambda: True  # a stream that is opened ends at once
    (incident,) = await world.rows("SELECT id FROM incidents")
    channel = (await world.rows("SELECT id FROM channels WHERE kind = 'webhook' ORDER BY created_at, id"))[0]
    ids = {"{project}": str(world.project.id), "{incident}": str(incident["id"]), "{channel}": str(channel["id"])}
    for template in sorted({path for path in paths if "static" not in path and not path.endswith((".csv", ".json"))}):
        path = template
        for name, value in ids.items():
            path = path.replace(name, value)
        page = await browser.see(f"{path}?next=/{word}" if "\n" not in word else path)
        assert page.status in (200, 303, 404, 410), (path, page.text)
        found[template] = form_of(page.html)
    for path in ("/login", "/login/link", "/signup", "/projects", f"/projects/{world.project.id}/invitations", "/account/look"):
        async with Browser(world, "198.51.100.1") as other:
            sender = browser if path.startswith(("/projects", "/account")) else other
            page = await sender.send(path, dict.fromkeys(("email", "next", "role", "zone", "theme"), word) | {"name": ""})
            assert page.status == 400, (path, page.text)
            found[f"POST {path}".replace(str(world.project.id), "")] = form_of(page.html)
    return found


async def gone_out(dsn: str, word: str) -> dict[str, Any]:
    """The form of all that this word comes out in."""
    async with MailReceiver() as mails, HttpReceiver() as hooks:
        mailer = Mailer("127.0.0.1", mails.port, tls="none", sender="Missedbeat <beat@example.com>")
        async with living(dsn, mailer, smtp_host="127.0.0.1", registration="open") as world, Browser(world) as browser:
            check = await everything_filled(world, browser, word, hooks)
            found = await shown_on_pages(world, browser, word)
            while await send_letters_once(world.sessions, Vault(SECRET_KEY), mailer):
                pass
            (row,) = await world.rows("SELECT badge_key FROM monitors WHERE id = :id", id=check["uuid"])
            picture = await world.client.get(f"/b/3/{row['badge_key']}.svg")
            metrics = await world.client.get(f"/projects/{world.project.id}/metrics/{world.project.api_key}")
        found["badge"] = form_of(picture.text)
        found["mails"] = sorted(str(mail_form(mail)) for mail in mails.mails)
        for request in hooks.requests:
            text = request.body.decode()
            for ours in ("@\u200b", "]\u200b("):  # so that Mattermost calls nobody and loads no image
                text = text.replace(ours, ours.replace("\u200b", ""))
            assert not UNSEEN.search(text)
            found[request.target] = shape_of(json.loads(text))
            if request.target == "/slack":
                read = "".join(re.findall(r"<[^>]*>", json.loads(text)["text"]))  # blocks are plain_text, shown as written
                assert all(part.startswith("http://missedbeat.test/") for part in re.findall(r"<([^>]*)>", read))
        found["metrics"] = [line.partition("{")[0] for line in metrics.text.splitlines()]
        assert set(mails.recipients) == {MEMBER, "bob@example.org", "ops@example.org"}
        return found


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
async def test_hostile_words_come_out_as_words_wherever_they_were_put(dsn: str, anyio_backend: str, evil: str) -> None:
    """Names of projects, checks, tags, channels and keys, bodies, user agents, addresses; pages, badge, mail, Slack, webhooks."""
    harmless = HARMLESS or await gone_out(dsn, "word")
    HARMLESS.update(harmless)
    assert len(harmless) > 30
    there = await gone_out(dsn, evil)
    assert set(there) == set(harmless)
    for place, form in harmless.items():
        assert there[place] == form, (evil, place)
