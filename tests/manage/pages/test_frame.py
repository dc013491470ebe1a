"""What all pages have in common: headers, errors, forms that only we may send, files for good."""

import gzip
import re
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import brotli
import httpx
import pytest
from fastapi import Request, Response

from app.domain.role import Role
from app.main import Web
from app.manage.access import ANYONE, PageRoutes
from app.manage.pages.frame import render
from app.manage.pages.static import FOLDER, assets, static_path
from app.settings import Settings
from tests.manage.pages.visitor import PASSWORD, Browser, Page, Person, joined
from tests.world import SECRET_KEY, World

pytestmark = pytest.mark.anyio

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
ROOT = Path(__file__).parents[3]
HTML = {"accept": "text/html"}


@asynccontextmanager
async def asking(web: Web) -> AsyncIterator[httpx.AsyncClient]:
    """A client that gets the answer to a bug as the world does."""
    transport = httpx.ASGITransport(web, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://missedbeat.test", headers=HTML) as client:
        yield client


def is_strict(page: Page) -> bool:
    """Whether nothing but our own files may be loaded, nothing inline runs, and nothing of it is kept."""
    given = page.headers
    return (
        given["content-security-policy"] == STRICT
        and given["cache-control"] == "no-store"
        and given["referrer-policy"] == "same-origin"
        and given["x-content-type-options"] == "nosniff"
        and given["x-frame-options"] == "DENY"
    )


async def test_every_page_and_every_error_is_strict_and_holds_nothing_inline(
    world: World, browser: Browser, anna: Person
) -> None:
    """Signed in or not, found or not, refused or not: the same policy, and nothing that it would forbid."""
    await joined(world, anna, Role.VIEWER)
    own = f"/projects/{world.project.id}"
    pages = [
        await browser.see("/login"), await browser.see("/"), await browser.see("/nowhere/at/all"),
        await browser.send("/login", {"email": "<b>", "password": "x"}), await browser.send("/login", origin="https://evil.example"),
        await browser.sign_in(anna), await browser.see("/?all"), await browser.see("/nowhere/at/all"),
        await browser.see(own), await browser.see(f"{own}/monitors"), await browser.see(f"{own}/settings"),
    ]  # fmt: skip
    assert [page.status for page in pages] == [200, 303, 404, 400, 403, 303, 200, 404, 200, 200, 200]
    for page in pages:
        assert is_strict(page)
        assert not re.search(r"<script(?! defer src=\"/static/)|<style|\sstyle=|\son\w+=|javascript:", page.html)
        assert page.goes_to or page.headers["content-type"].startswith("text/html")
    assert "Sign out" in pages[6].text


async def test_hostile_words_are_shown_as_words(world: World, browser: Browser, anna: Person) -> None:
    """A project's name, an address that was typed, a place to go on to."""
    await joined(world, anna, Role.VIEWER)
    await world.run("UPDATE projects SET name = :name", name="<script>alert(1)</script>")
    await browser.sign_in(anna)
    assert "<script>alert(1)</script>" in (await browser.see("/?all")).text
    async with Browser(world) as other:
        page = await other.send("/login", {"email": '"><script>x</script>', "next": '/"><i>'})
    assert "<script" not in page.html
    assert "<i>" not in page.html
    assert page.value("email") == '"><script>x</script>'
    assert page.value("next") == '/"><i>'


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"sec_fetch_site": "none"}, 303),
        ({"sec_fetch_site": ""}, 303),  # over http browsers say the origin alone
        ({"origin": ""}, 303),
        ({"origin": "", "sec_fetch_site": ""}, 303),  # a program: it holds nobody's cookie
        ({"origin": "null"}, 303),  # a page that sends no referrer
        ({"origin": "http://192.168.1.5:8000", "host": "192.168.1.5:8000", "sec_fetch_site": ""}, 303),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "https://evil.example", "sec_fetch_site": ""}, 403),
        ({"origin": "null", "sec_fetch_site": ""}, 403),
        ({"origin": "null", "sec_fetch_site": "cross-site"}, 403),
        ({"origin": "", "sec_fetch_site": "cross-site"}, 403),
        ({"origin": "", "sec_fetch_site": "same-site"}, 403),  # a neighbour's subdomain
        ({"origin": "http://missedbeat.test.evil.example", "sec_fetch_site": ""}, 403),
        ({"origin": "http://missedbeat.test:8000", "sec_fetch_site": ""}, 403),
    ],
)
async def test_a_form_is_believed_from_a_page_of_ours_alone(
    world: World, browser: Browser, anna: Person, headers: dict[str, str], status: int
) -> None:
    """What browsers say of where it comes from must be us; then the cookie, too, is only sent by us."""
    page = await browser.send("/login", {"email": anna.email, "password": PASSWORD}, **headers)
    assert page.status == status
    assert len(await world.rows("SELECT * FROM user_sessions")) == (status == 303)
    if status == 403:
        assert "This form was not sent from a page of this service" in page.text


async def test_another_site_signs_nobody_out_and_keys_need_no_origin(world: World, browser: Browser, anna: Person) -> None:
    """Programs that call the API from pages of other sites are as welcome as before."""
    await browser.sign_in(anna)
    assert (await browser.send("/logout", sec_fetch_site="cross-site", origin="https://evil.example")).status == 403
    assert (await browser.see("/?all")).status == 200
    headers = {"X-Api-Key": world.project.api_key, "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    made = await world.client.post("/api/v3/checks/", json={"name": "job"}, headers=headers)
    assert made.status_code == 201


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"email=" + b"x" * 64_000, "application/x-www-form-urlencoded", 413, "larger than 64 kB"),
        (b"a=b&" * 300, "application/x-www-form-urlencoded", 400, "too many fields"),
        (b'{"email": "x"}', "application/json", 400, "not a form"),
        (b"--x\r\n", "multipart/form-data; boundary=x", 400, "not a form"),
        (b"email=%00%ff%zz&=&&password", "application/x-www-form-urlencoded", 400, "do not belong together"),
        (b"", "", 400, "do not belong together"),
    ],
)
async def test_what_is_no_form_of_ours_is_refused_in_words(
    world: World, browser: Browser, body: bytes, kind: str, status: int, words: str
) -> None:
    """Too large, too many fields, of another kind, with bytes that no text has: a page says so, and no bug is met."""
    answer = await browser.client.post("/login", content=body, headers={"content-type": kind, "origin": browser.origin})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert words in answer.text


async def test_errors_are_pages_for_browsers_and_json_for_programs(world: World, browser: Browser) -> None:
    """Whoever asks for text/html outside of the API, pings and badges reads a page; all others read what they always read."""
    page = await browser.see("/nowhere/at/all")
    assert (page.status, "There is nothing at this address, or nothing that you may see." in page.text) == (404, True)
    answer = await browser.client.put("/login")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert "<h1>Not allowed</h1>" in answer.text
    page = await browser.see("/login/link/x/y")
    assert (page.status, 'href="/">To the first page' in page.html) == (404, True)
    for path in ("/api/v3/nowhere", "/api/v3/checks/", "/badge/x/y.svg", "/b/2/x.svg", "/projects/x/metrics/y"):
        html, plain = await browser.client.get(path), await world.client.get(path)
        assert html.status_code == plain.status_code
        assert plain.headers["content-type"] == "application/json"
        if not path.startswith("/projects/"):
            assert html.content == plain.content
    assert (await world.client.get("/nowhere/at/all")).json() == {"error": "not found"}


async def test_headers_that_are_no_addresses_meet_no_bug(browser: Browser, world: World, anna: Person) -> None:
    """No browser sends them; whoever does is answered like others from elsewhere."""
    await browser.sign_in(anna)
    assert (await browser.send("/account/look", {"zone": "UTC", "theme": "dark"}, origin="http://[bad")).status == 403
    await world.advance(21 * 60)
    page = await browser.send("/account/delete", {"address": anna.email}, referer="http://[bad")
    assert page.goes_to == "/confirm?next=%2F"


async def test_where_forms_are_sent_there_is_a_way_to_their_page(browser: Browser, world: World, anna: Person) -> None:
    """A form that came back stands at an address that cannot be looked at: whoever asks for it anew is led to its page."""
    await browser.sign_in(anna)
    page = await browser.see("/account/second-step/on")
    assert page.status == 405
    assert "Nothing is to be seen where a form is sent" in page.text
    assert 'href="/account/second-step">To its page' in page.html


async def test_a_bug_is_a_page_with_an_id_and_nothing_of_our_insides(world: World) -> None:
    """The id is what the operator finds it by. A template that lacks a value is a bug, not a blank."""
    broken = PageRoutes()

    @broken.get("/broken/page", ANYONE)
    async def page(request: Request) -> Response:
        return render(request, "error.html")

    world.web.app.include_router(broken.router)
    async with asking(world.web) as client:
        answer = await client.get("/broken/page")
    assert answer.status_code == 500
    assert re.search(r"by the id\s+<code>[0-9a-f]{16}</code>", answer.text)
    assert "undefined" not in answer.text.lower()
    assert answer.headers["content-security-policy"] == STRICT


async def test_without_its_database_pages_say_that_they_are_back_in_a_moment() -> None:
    """503 with Retry-After, whoever asks."""
    dsn = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    web = Web(Settings(_env_file=None, database_url=dsn, secret_key=SECRET_KEY, base_url="http://missedbeat.test"), dsn)
    async with asking(web) as client:
        client.cookies.set("missedbeat", "x" * 43)
        answer = await client.get("/")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "Back in a moment" in answer.text
        assert (await client.get("/static/x/style.css")).status_code == 200
    await web.dispose()


async def test_files_are_kept_for_good_under_the_name_of_their_content_and_packed(
    world: World, browser: Browser, anna: Person
) -> None:
    """Every page names the content, so a new version is a new name; a page of another version still gets a file."""
    await joined(world, anna, Role.VIEWER)
    await browser.sign_in(anna)
    page = await browser.see(f"/projects/{world.project.id}")
    for name, asset in assets().items():
        path = static_path(name)
        assert path in page.html or name == "favicon-down.svg"
        for form, unpack in (("br", brotli.decompress), ("gzip", gzip.decompress), ("identity", bytes)):
            async with browser.client.stream("GET", path, headers={"accept-encoding": form}) as answer:
                raw = b"".join([chunk async for chunk in answer.aiter_raw()])
            assert unpack(raw) == asset.forms[""]
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["vary"] == "Accept-Encoding"
            assert answer.headers["content-type"].startswith(("text/css", "image/svg+xml", "text/javascript"))
        other = await browser.client.get(f"/static/0123456789ab/{name}")
        assert (other.status_code, other.headers["cache-control"]) == (200, "no-cache")
    for path in ("/static/x/nothing.css", "/static/x/..%2Fframe.html", "/static/style.css"):
        assert (await browser.client.get(path)).status_code == 404
    assert (await browser.client.get("/favicon.ico")).headers["content-type"] == "image/svg+xml"


async def test_the_theme_is_right_at_the_first_paint(browser: Browser) -> None:
    """A cookie says it; anything else in it is as none."""
    for said, shown in (("dark", ' data-theme="dark"'), ("light", ' data-theme="light"'), ('"><b>', ""), ("", "")):
        browser.client.cookies.set("theme", said)
        assert f'<html lang="en"{shown}>' in (await browser.see("/login")).html


def test_the_package_ships_every_template_and_every_file() -> None:
    """Each kind of them stands in the package data, which setuptools takes from every folder of the tree."""
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert "app.*" in setup["packages"]["find"]["include"]
    there = [path for folder in (FOLDER, FOLDER.with_name("templates")) for path in folder.iterdir()]
    assert len(there) >= 7
    for path in there:
        assert any(path.match(kind) for kind in setup["package-data"]["*"]), path
