"""The page that helps to a badge: whatever is chosen on it stands where it says."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app.domain.role import Role
from tests.manage.pages.visitor import Browser, Page, Person, joined, signed_up
from tests.manage.test_docs import served
from tests.world import World

pytestmark = pytest.mark.anyio

HOSTILE = '[x](javascript:1) <b>*bold*</b> "&` ![y'


@pytest.fixture
async def anna(world: World) -> Person:
    """Somebody who may only look."""
    person = await signed_up(world)
    await joined(world, person, Role.VIEWER)
    return person


def copied(page: Page) -> list[str]:
    """What there is to copy: Markdown, HTML, address, address of JSON."""
    return [unescape(text) for text in re.findall(r'<code id="copy-\d">(.*?)</code>', page.html, re.DOTALL)]


def picture(page: Page) -> str:
    """The address of the one that is shown."""
    (found,) = re.findall(r'<section id="badge".*?<img src="([^"]*)"', page.html, re.DOTALL)
    return unescape(found)


async def choose(browser: Browser, world: World, **query: str) -> Page:
    """Send the form."""
    return await browser.see(str(httpx.URL(f"/projects/{world.project.id}/badges", params=query)))


async def test_each_choice_shows_its_badge_and_where_it_stands(world: World, anna: Person) -> None:
    """The project, a tag with a slash, one check; two states and three: picture, Markdown, HTML and JSON lead to one badge."""
    backup = await world.check(name="nightly backup", tags="prod/eu db", timeout=60, grace=3600)
    await world.ping(backup)
    await world.advance(120)
    async with Browser(world) as browser:
        await browser.sign_in(anna)
        for of, label in (("*", "Test"), ("tag:prod/eu", "prod/eu"), (f"check:{backup['uuid']}", "nightly backup")):
            for states, word in (("2", "up"), ("3", "late")):
                page = await choose(browser, world, of=of, states=states)
                assert page.status == 200
                shown = await world.client.get(picture(page))
                assert f'aria-label="{label}: {word}"' in shown.text
                markdown, html, address, as_json = copied(page)
                assert urlsplit(address).path == picture(page)
                assert markdown == f"![{label}]({address})"
                assert html == f'<img alt="{label}" src="{address}">'
                assert (await world.client.get(as_json)).json()["status"] == word
                assert f'value="{of}" selected' in page.html


async def test_the_addresses_are_those_of_the_api(world: World, anna: Person) -> None:
    """A badge that stands somewhere already is the same one."""
    check = await world.check(tags="db")
    listed = (await world.api("GET", "badges/")).json()["badges"]
    async with Browser(world) as browser:
        await browser.sign_in(anna)
        assert copied(await choose(browser, world))[2] == listed["*"]["svg"]
        assert copied(await choose(browser, world, of="tag:db", states="3"))[2] == listed["db"]["svg3"]
        one = copied(await choose(browser, world, of=f"check:{check['uuid']}"))[2]
        assert one == (await world.seen(check))["badge_url"]


async def test_shields_io_is_given_our_endpoint_and_not_asked_by_the_page(world: World, anna: Person) -> None:
    """The picture on the page stays ours."""
    async with Browser(world) as browser:
        await browser.sign_in(anna)
        page = await choose(browser, world, style="shields")
        address = copied(page)[2]
        assert address.startswith("https://img.shields.io/endpoint?url=")
        (endpoint,) = parse_qs(urlsplit(address).query)["url"]
        assert (await world.client.get(endpoint)).json()["schemaVersion"] == 1
        assert picture(page).endswith(".svg")
        assert picture(page).startswith("/badge/")


async def test_a_name_breaks_out_of_nothing(world: World, anna: Person) -> None:
    """Not out of the page, not out of the Markdown or HTML that is copied."""
    check = await world.check(name=HOSTILE)
    async with Browser(world) as browser:
        await browser.sign_in(anna)
        page = await choose(browser, world, of=f"check:{check['uuid']}")
        assert "<b>" not in page.html
        markdown, html, address, _ = copied(page)
        assert markdown == rf'![\[x\](javascript:1) \<b\>\*bold\*\</b\> "\&\` \!\[y]({address})'
        assert html == (f'<img alt="[x](javascript:1) &lt;b&gt;*bold*&lt;/b&gt; &quot;&amp;` ![y" src="{address}">')


async def test_what_is_not_there_is_said_and_the_projects_badge_is_shown(world: World, anna: Person) -> None:
    """A tag that no check has any more; another project's check, which is as one that nobody has."""
    other = await world.new_project("Other")
    made = await world.api("POST", "checks/", {"name": "theirs", "tags": "theirs"}, key=other.api_key)
    async with Browser(world) as browser:
        await browser.sign_in(anna)
        usual = copied(await choose(browser, world))
        for of in ("tag:theirs", f"check:{made.json()['uuid']}", "", "x\0"):
            page = await choose(browser, world, of=of)
            assert page.status == 400
            assert "That tag or check is not there any more" in page.text
            assert copied(page) == usual
            assert "theirs" not in page.html


async def test_behind_a_path_pictures_and_addresses_have_it_too(world: World, anna: Person) -> None:
    """The public address is what others ask; the page asks its own."""
    async with served(world, base_url="https://beat.acme.test/under") as client, Browser(world) as browser:
        await browser.sign_in(anna)
        token = browser.client.cookies["missedbeat"]
        answer = await client.get(
            f"/under/projects/{world.project.id}/badges", headers={"cookie": f"__Host-missedbeat={token}", "accept": "text/html"}
        )
        page = Page(answer)
        assert picture(page).startswith("/under/badge/")
        assert copied(page)[2].startswith("https://beat.acme.test/under/badge/")
        assert (await client.get(picture(page))).status_code == 200
