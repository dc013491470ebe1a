"""The guide: every page of docs/ for everybody, with links that lead somewhere and addresses that are ours."""

import re
import tomllib
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urldefrag

import pytest

from app.domain.role import Role
from app.manage import guide
from tests.manage.pages.visitor import Browser, Page, joined, signed_up
from tests.manage.test_docs import Links, served
from tests.world import World

pytestmark = pytest.mark.anyio

ROOT = Path(guide.__file__).parents[2]


def links(page: Page) -> Iterator[str]:
    """The links of a page, as they stand."""
    yield from (unescape(link) for link in re.findall(r'<a [^>]*href="([^"]*)"', page.html))


def anchors(page: Page) -> set[str]:
    """Where links of the kind `#part` may lead."""
    return set(re.findall(r'\sid="([^"]*)"', page.html))


async def test_every_file_for_readers_is_a_page_and_stands_in_the_contents(world: World) -> None:
    """A new file in docs/ turns this red until it is in a group; decisions are for who changes the program."""
    files = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert {file for file in files if not file.startswith("decisions/")} == set(guide.FILES.values())
    assert set(guide.ABOUT) == set(guide.FILES)
    async with Browser(world) as browser:
        found = {link for link in links(await browser.see("/docs")) if link.startswith("/docs/")}
        assert found == {f"/docs/{name}" for name in guide.FILES}
        assert (await browser.see("/docs/")).status == 200


async def test_every_page_is_shown_and_every_link_in_it_leads_somewhere(world: World) -> None:
    """To a page of ours that is there, to a part of it that is there, or to another site by https; nothing is inline."""
    async with Browser(world) as browser:
        pages = {f"/docs/{name}": await browser.see(f"/docs/{name}") for name in guide.FILES}
        pages["/docs"] = await browser.see("/docs")
        for path, page in pages.items():
            assert page.status == 200, path
            assert page.html.count("<h1>") == 1
            strict = Links()
            strict.feed(page.html)
            assert not strict.inline, (path, strict.inline)
            for link in links(page):
                to, anchor = urldefrag(link)
                if to.startswith("https://"):
                    continue
                target = page if not to else pages.get(to) or await browser.see(to)
                assert target.status in (200, 303), (path, link)
                assert not anchor or anchor in anchors(target), (path, link)


async def test_files_that_are_no_pages_are_named_and_not_linked(world: World) -> None:
    """Tests and sources stand in docs/security.md as code; a link to one would lead nowhere."""
    async with Browser(world) as browser:
        page = await browser.see("/docs/security")
        assert "<code>app/manage/passwords.py</code>" in page.html
        assert '<a href="/docs/self-hosting">Hosting it yourself</a>' in page.html


def test_a_link_to_a_file_is_led_to_its_page_or_named() -> None:
    """From a folder below, too; what lies outside docs/ is code, and HTML and pictures stay words."""
    parser = guide.markdown()
    text = "[a](../teams.md#plans) [b](../../app/main.py) [c](https://x.example) <b onclick='x'>d</b> ![e](f.png) `docs/none.md`"
    html = guide.written(parser, parser.parse(text), "operations/x.md", "https://beat.example/under")
    assert '<a href="/under/docs/teams#plans">a</a>' in html
    assert "b<code> (../../app/main.py)</code>" in html
    assert '<a href="https://x.example">c</a>' in html
    assert "&lt;b onclick=" in html
    assert "<img" not in html
    assert "<code>docs/none.md</code>" in html


async def test_examples_name_the_address_of_this_service(world: World) -> None:
    """Behind a path of its public address as well, where links have that path too."""
    async with served(world, base_url="https://beat.acme.test/under") as client:
        page = Page(await client.get("/under/docs/badges"))
        assert "https://beat.acme.test/under/api/v3/badges/" in page.html
        assert "ping.example.com" not in page.html
        assert "MISSEDBEAT_URL=https://beat.acme.test/under " in Page(await client.get("/under/docs/celery")).html
        assert set(links(Page(await client.get("/docs/start")))) >= {"/under/docs/pings", "/under/docs", "/under/"}


async def test_other_names_are_not_found(world: World) -> None:
    """No file is read by a name that was asked for."""
    async with Browser(world) as browser:
        for name in (
            "none",
            "pings.md",
            "..%2fREADME",
            "%2e%2e/app",
            "operations/README",
            "operations/README.md",
            "decisions",
            "pings/",
        ):
            assert (await browser.see(f"/docs/{name}")).status == 404, name


async def test_pages_may_be_kept_and_do_not_show_who_is_signed_in(world: World) -> None:
    """The same bytes for everybody, for five minutes, and after that by their tag; a theme of one's own makes another page."""
    anna = await signed_up(world)
    await joined(world, anna, Role.OWNER)
    async with Browser(world) as anybody, Browser(world) as annas:
        await annas.sign_in(anna)
        page, hers = await anybody.see("/docs/pings"), await annas.see("/docs/pings")
        assert page.html == hers.html
        assert anna.email not in hers.html
        assert page.headers["cache-control"] == "public, max-age=300"
        assert "set-cookie" not in page.headers
        tag = page.headers["etag"]
        again = await anybody.see("/docs/pings", if_none_match=f'"x", W/{tag}')
        assert (again.status, again.html, again.headers["etag"]) == (304, "", tag)
        assert again.headers["cache-control"] == "public, max-age=300"
        assert "default-src 'none'" in again.headers["content-security-policy"]
        assert (await anybody.see("/docs/badges", if_none_match=tag)).status == 200
        dark = await anybody.see("/docs/pings", cookie="theme=dark", if_none_match=tag)
        assert dark.status == 200
        assert 'data-theme="dark"' in dark.html


def test_the_pages_are_installed_with_the_program() -> None:
    """The folders of all pages are packages of the distribution, with their Markdown, and are there where the image is built."""
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {str(Path("docs", file).parent) for file in guide.FILES.values()}
    for folder in folders:
        package = folder.replace("/", ".")
        assert package in built["packages"]["find"]["include"]
        assert "*.md" in built["package-data"][package]
    assert "COPY docs docs" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "!docs" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
