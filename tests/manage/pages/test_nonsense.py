"""Whatever is sent to a form, and whatever a page is asked with: no bug, words, and nothing changed where it is refused."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote_from_bytes, unquote_plus

import httpx
import pytest
from hypothesis import strategies as st
from sqlalchemy import text

from app.domain.role import Role
from app.manage.access import ANYONE
from app.manage.pages.form import KIND, MOST_BYTES, MOST_FIELDS
from app.manage.pages.frame import LEFT_OUT
from app.store.tables import Base
from tests.faults.rig import measured
from tests.generated import each
from tests.manage.pages.test_second_step import turned_on
from tests.manage.pages.visitor import PASSWORD, Browser, Page, joined, signed_up
from tests.manage.test_every_route import Route, routes, things
from tests.world import World, living

pytestmark = pytest.mark.anyio

COUNTED = ("attempts", "ticks", "heartbeats")  # what counts whoever asks
NOTED = "ARRAY['last_seen_at', 'expires_at']"  # of sessions, once a minute
FIELDS = (
    "name", "email", "password", "present", "code", "token", "next", "role", "scope", "session", "zone", "theme", "address",
)  # fmt: skip
NO_FORM = re.compile(
    r"/(remove|revoke|again|leave|keep|role|accept|sessions|logout|checks)$|^/invitations/|^/setup$|/confirm$|/open$"
)
"""Forms of a single button, and what only a link leads to: an error page says what is wrong."""
WORDS = (
    "", " ", "\t\n", "x", "0", "-1", "null", "None", "true", "[]", "{}", "../../etc/passwd", "<script>alert(1)</script>",
    "'; DROP TABLE users; --", "{{ 7*7 }}", "%s%n", "a\r\nSet-Cookie: x=y", "\0", "\x7f\x1b[31m", "\u202eevil", "\ufeff",
    "e\u0301" * 90, "\U0001f9ff" * 201, "x" * 255, "y" * 5000, "owner", "rw", "others", "Europe/Paris", "dark", "@", "a@b",
    "anna@example.org", "a@" + "b" * 300, "//evil.example", "/\\evil.example", "/projects/new", "1e999", "\uff19\uff19",
    "00000000-0000-0000-0000-000000000000", PASSWORD, "http://10.0.0.1/", "https://example.com/$NAME", "A: b\nC",
)  # fmt: skip
TEXTS = st.sampled_from(WORDS) | st.text(max_size=40)
AS_BYTES = TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=40)
PAIRS = st.lists(st.tuples(st.sampled_from(FIELDS).map(str.encode) | AS_BYTES, AS_BYTES), max_size=8)
FORMS = PAIRS.map(lambda pairs: b"&".join(_quoted(name) + b"=" + _quoted(value) for name, value in pairs))
CHANNEL = {
    "kind": st.sampled_from([b"email", b"slack", b"webhook", b"pigeon"]), "hears": st.sampled_from([b"all", b"up", b"x"]),
    **{name: AS_BYTES for name in ("url", "method", "headers", "body_down", "body_up", "secret", "drop", "renew", "everything")},
    **{name: AS_BYTES for name in ("tags", "days", "from", "to", "zone")}, "when": st.sampled_from([b"always", b"hours", b"x"]),
}  # fmt: skip
KNOWN = (
    (
        st.fixed_dictionaries({}, optional={name: AS_BYTES for name in FIELDS})
        | st.fixed_dictionaries({"name": AS_BYTES, "address": AS_BYTES}, optional=CHANNEL)
    )
    .map(lambda known: list(known.items()))
    .map(lambda pairs: b"&".join(name.encode() + b"=" + _quoted(value) for name, value in pairs))
)
FILES = (  # what is no page
    "/static/{version}/{name}", "/favicon.ico", "/projects/{project}/live", "/projects/{project}/incidents.csv",
    "/projects/{project}/monitors/{check}/log/{n}", "/projects/{project}/export.json",
)  # fmt: skip
LARGE = (b"name=" + b"x" * MOST_BYTES, b"a=b&" * (MOST_FIELDS + 1), b"&" * 1000, b"=" * 1000)
FILE = b'--x\r\nContent-Disposition: form-data; name="name"; filename="a.exe"\r\n\r\nMZ\r\n--x--\r\n'
BODIES = st.one_of(
    st.tuples(st.just(KIND), KNOWN),
    st.tuples(st.just(KIND), KNOWN),
    st.tuples(st.just(KIND), FORMS),
    st.tuples(st.sampled_from([KIND, f"{KIND}; charset=utf-16", KIND.upper()]), st.binary(max_size=200) | st.sampled_from(LARGE)),
    st.tuples(
        st.sampled_from(["application/json", "text/plain", "", "\xff", "multipart/form-data; boundary=x"]),
        st.sampled_from([b'{"name": "x", "role": "owner"}', b"[]", b"name=x", b"", b"\xff\xfe", FILE]),
    ),
)
HEADERS = st.fixed_dictionaries({}, optional={
    "user-agent": st.sampled_from([b"", b"\xff\xfe", b"x" * 5000, b"\xe2\x80\xae", b"<script>"]),
    "referer": st.sampled_from([b"", b"http://[", b"//", b"\xff", b"http://missedbeat.test/\xff%00", b"javascript:x"]),
    "x-forwarded-for": st.sampled_from([b"", b"::1%x", b"\xff", b"1.2.3.4, x", b"," * 999]),
    "accept-language": st.just(b"\xff"),
})  # fmt: skip
COOKIES = st.dictionaries(
    st.sampled_from([b"missedbeat-browser", b"missedbeat-known", b"theme", b"x", b"missedbeat-step", b""]),
    st.sampled_from([b"", b"\xff", b"x" * 101, b'"', b"a.b", b".", b"\xc3\xa9.\xff", b"dark", b"\x7f"]),
    max_size=3,
)
QUERIES = FORMS | st.sampled_from([
    b"", b"done=", b"before=x", b"before=99999999999999999999", b"token=%00", b"next=%5C%5Cevil", b"%", b"&&&=", b"before=-1",
    b"done=%7B%7B", b"next=/%0d%0aX:y", b"token=%ff&token=x",
    b"after=99999999999999999-f618072a-7bde-4eee-af63-71a77c5723bc",
    b"since=0000-00-00&until=9999-12-31&state=x", b"channel=%00&test=x",
])  # fmt: skip
OWN = ["own"] * 4
NO_IDS = ["%00", "%ff", "x", "..%2f..", "00000000-0000-0000-0000-00000000000g", "%E2%80%AE"]
CASES = st.fixed_dictionaries({
    "body": BODIES, "headers": HEADERS, "cookies": COOKIES, "query": QUERIES,
    "ids": st.sampled_from(OWN + NO_IDS),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asker:
    """A browser, and who is in it."""

    name: str
    browser: Browser


def _quoted(text: bytes) -> bytes:
    return quote_from_bytes(text, safe="").encode()


async def rows(world: World) -> dict[str, str]:
    """The whole database by table, without what is counted of whoever asks; that begins anew, so that nobody is throttled."""
    tables = [name for name in Base.metadata.tables if name not in COUNTED]
    lines = f"SELECT (to_jsonb(t) - {NOTED})::text AS line FROM {{0}} t"
    of_one = f"SELECT '{{0}}' AS name, coalesce(string_agg(line, E'\\n' ORDER BY line), '') AS lines FROM ({lines}) {{0}}"
    async with world.sessions() as session:
        await session.execute(text("DELETE FROM attempts"))
        found = (await session.execute(text(" UNION ALL ".join(of_one.format(name) for name in tables)))).all()
        await session.commit()
    return {row.name: row.lines for row in found}


@asynccontextmanager
async def asking(world: World) -> AsyncIterator[list[Asker]]:
    """An owner, one with a second step, one who has still to give its code, and nobody."""
    async with AsyncExitStack() as stack:
        browsers = [await stack.enter_async_context(Browser(world)) for _ in range(4)]
        anna, bob = await signed_up(world, "owner@example.org"), await signed_up(world, "coded@example.org")
        for person in (anna, bob):
            await joined(world, person, Role.OWNER)
        await browsers[0].sign_in(anna)
        await browsers[0].send("/account/second-step")
        await browsers[1].sign_in(bob)
        await turned_on(world, browsers[1])
        await browsers[2].sign_in(bob)
        yield [
            Asker(name, browser) for name, browser in zip(("owner", "with a code", "half in", "nobody"), browsers, strict=True)
        ]


class Walk:
    """Sends what was drawn, and looks at what came of it."""

    def __init__(self, world: World, ids: dict[str, str]) -> None:
        self.world, self.ids = world, ids
        self.before: dict[str, str] | None = None
        self.statuses: dict[int, int] = {}
        self.came_back = 0

    async def meet(self, asker: Asker, route: Route, case: dict[str, Any]) -> None:
        """One request: no bug, a page, and a database as it was where it was refused or only looked at."""
        self.before = self.before or await rows(self.world)
        page = Page(await self._send(asker, route, case))
        about = (asker.name, route.method, route.path, case, page.status)
        assert page.status < 500, (about, page.text)
        assert not [value for value in page.headers.values() if not value.isprintable()], about
        assert page.goes_to or page.headers["content-type"].startswith("text/html"), about
        if page.goes_to:
            assert re.match(r"/(?![/\\\\])", page.goes_to), about
        if page.status >= 400 or route.method == "GET":
            assert await rows(self.world) == self.before, about
        else:
            self.before = None
        if page.status >= 400:
            self._in_words(page, route, case, about)
        self.statuses[page.status] = self.statuses.get(page.status, 0) + 1

    def _in_words(self, page: Page, route: Route, case: dict[str, Any], about: object) -> None:
        """A page with a heading and a sentence; where a form was sent that is one, the form, with what was typed in it."""
        assert re.search(r"<h1\b", page.html), about
        kind, body = case["body"]
        is_form = kind.lower().startswith(KIND) and len(body) <= MOST_BYTES and body.count(b"&") < MOST_FIELDS
        if page.status not in (400, 429) or not is_form or NO_FORM.search(route.path):
            assert re.search(r"<p[^>]*>[^<]{8,}", page.html), about
            return
        assert re.search(r'<form class="[^"]*" method="post"', page.html), (about, page.text)
        assert re.search(r'class="(fault|notice bad)"', page.html), (about, page.text)
        typed = _first(body)
        for name in typed.keys() & {"email", "name", "address"}:
            if page.value(name) is not None:
                assert page.value(name) == LEFT_OUT.sub("", typed[name]), (about, name)
                self.came_back += 1

    async def _send(self, asker: Asker, route: Route, case: dict[str, Any]) -> httpx.Response:
        path = re.sub(r"{(\w+)}", lambda found: self._id(found[1], case["ids"]), route.path)
        client, (kind, body) = asker.browser.client, case["body"]
        kept = [f"{name}={value}".encode() for name, value in client.cookies.items()]
        cookies = b"; ".join([*kept, *(name + b"=" + value for name, value in case["cookies"].items())])
        headers = [(b"cookie", cookies), (b"sec-fetch-site", b"same-origin"), (b"origin", b"http://missedbeat.test")]
        headers += [(name.encode(), value) for name, value in case["headers"].items()]
        if route.method == "GET":
            return await client.get(f"{path}?{case['query'].decode('latin-1')}", headers=headers)
        headers += [(b"content-type", kind.encode("latin-1"))] if kind else []
        return await client.post(path, content=body, headers=headers)

    def _id(self, name: str, instead: str) -> str:
        return self.ids.get(name, "1") if instead == "own" or name == "project" else instead


def _first(body: bytes) -> dict[str, str]:
    """What a browser would have typed: of several fields of one name the first."""
    pairs = [pair.partition(b"=") for pair in body.split(b"&")]
    read = [tuple(unquote_plus(part.decode("latin-1"), errors="replace") for part in (name, value)) for name, _, value in pairs]
    return {name: value.replace("\0", "") for name, value in reversed(read)}


def in_order(world: World) -> list[Route]:
    """All pages; what ends a session or a membership goes last."""
    found = [route for route in routes(world) if route.rule and route.method in ("GET", "POST") and route.path not in FILES]
    return sorted(found, key=lambda route: (route.path.endswith(("/leave", "/logout")), route.method))


def meets(asker: Asker, route: Route, all_of_it: bool) -> bool:
    """Whether what somebody is told there may differ from what the owner is, and nobody."""
    if asker.name == "with a code":
        return all_of_it or "second-step" in route.path
    if asker.name == "half in":
        return route.rule == ANYONE and (all_of_it or route.path == "/login/code")
    return asker.name == "owner" or route.rule == ANYONE


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [1, pytest.param(20, marks=pytest.mark.prove)])
async def test_no_form_and_no_page_meets_a_bug_whatever_is_sent(dsn: str, examples: int) -> None:
    """Every form and every page, for whoever is signed in, half in, or not at all: what is refused is refused on a page, in
    words, with what was typed, and changes nothing; nobody is sent elsewhere."""
    async with living(dsn, smtp_host="127.0.0.1", registration="open") as world, asking(world) as askers:
        carol = await signed_up(world, "carol@example.org")
        await joined(world, carol, Role.VIEWER)
        walk, walked = Walk(world, await things(world, carol)), in_order(world)
        for route in walked:
            for asker in askers:
                if meets(asker, route, examples > 1):
                    times = examples * (3 if route.method == "POST" else 1)
                    await each(CASES, times, f"{asker.name} {route.method} {route.path}", partial(walk.meet, asker, route))
        assert walk.came_back >= 2 * examples
    assert len(walked) >= 50
    measured(f"{len(walked)} pages and forms: {dict(sorted(walk.statuses.items()))}, {walk.came_back} fields came back")
