"""Badges: public pictures of how checks stand. What they show, who finds them, and that any name is only text."""

import re
import xml.etree.ElementTree as ET
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.manage.badge import LONGEST, clipped, drawn, one_line, width
from app.store.vault import Vault
from tests.many import copy, statements
from tests.world import SECRET_KEY, World

pytestmark = pytest.mark.anyio

FORMS = {"svg", "svg3", "json", "json3", "shields", "shields3"}
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    '"><script>alert(1)</script>', "</title></svg><img/src=x>", "&amp;", "'\"`", "a/b", "../../etc/passwd", "/", "..", ".svg",
    "%2F", "100%", "%", "?x=1#y", "a\\b", "Größe", "备份", "🚀🚀", "a-2", "-2", "x.json", "*.*", "a+b", "{badge_key}", "x" * 500,
]  # fmt: skip
# status as it was brought about -> (what is shown with two states, with three, how many late, how many down)
SHOWN = {
    "new": ("up", "up", 0, 0), "up": ("up", "up", 0, 0), "started": ("up", "up", 0, 0), "late": ("up", "late", 1, 0),
    "down": ("down", "down", 0, 1), "failed": ("down", "down", 0, 1), "paused": ("up", "up", 0, 0),
    "started and down": ("down", "down", 0, 1), "overrun": ("down", "down", 0, 1),
}  # fmt: skip


async def brought_to(world: World, status: str, **fields: Any) -> dict[str, Any]:
    """A check in that state, which no sweeper has looked at."""
    check = await world.check(timeout=60, grace=30, **{"name": "nightly", "tags": "prod db", **fields})
    for suffix in {"up": [""], "started": ["/start"], "late": [""], "down": [""], "failed": ["/fail"], "paused": [""],
                   "started and down": ["/fail", "/start"], "overrun": ["", "/start"]}.get(status, []):  # fmt: skip
        await world.ping(check, suffix)
    if status == "paused":
        await world.api("POST", f"checks/{check['uuid']}/pause")
    await world.advance({"late": 70, "down": 95, "overrun": 45}.get(status, 0))
    return check


async def addresses(world: World, key: str | None = None) -> dict[str, dict[str, str]]:
    """The badges that the API lists, by tag and form."""
    answer = await world.api("GET", "badges/", key=key)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["badges"])


async def check_address(world: World, check: dict[str, Any], form: str, states: int) -> str:
    """The path of one check's badge."""
    (row,) = await world.rows("SELECT badge_key FROM monitors WHERE id = :id", id=check["uuid"])
    return f"/b/{states}/{row['badge_key']}.{form}"


def texts(answer: httpx.Response) -> list[str]:
    """Title, label and word of a badge, as an XML reader finds them; there is nothing else in it that could act."""
    root = ET.fromstring(answer.text)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {"svg", "title", "rect", "path", "g", "text"}
    assert not [name for element in root.iter() for name in element.attrib if "href" in name or name.startswith("on")]
    return [root.findtext(f"{SVG}title") or "", *(text.text or "" for text in root.iter(f"{SVG}text"))]


# ---- what is shown


@pytest.mark.parametrize("status", SHOWN)
async def test_a_status_is_shown_as_of_now_in_every_form_with_two_and_with_three_states(world: World, status: str) -> None:
    """A check's own badge, its tag's and the project's agree, though no sweeper runs; with two states late is up."""
    check = await brought_to(world, status)
    two, three, late, down = SHOWN[status]
    listed = await addresses(world)
    assert set(listed) == {"*", "prod", "db"}
    for states, word in ((2, two), (3, three)):
        more = "3" if states == 3 else ""
        for label, at in (
            ("nightly", {form: await check_address(world, check, form, states) for form in ("svg", "json", "shields")}),
            ("prod", {form: listed["prod"][form + more] for form in ("svg", "json", "shields")}),
            ("Test", {form: listed["*"][form + more] for form in ("svg", "json", "shields")}),
        ):
            assert (await world.client.get(at["json"])).json() == {"status": word, "total": 1, "grace": late, "down": down}
            colour = {"up": "success", "late": "important", "down": "critical"}[word]
            assert (await world.client.get(at["shields"])).json() == {
                "schemaVersion": 1, "label": label, "message": word, "color": colour,
            }  # fmt: skip
            assert texts(await world.client.get(at["svg"])) == [f"{label}: {word}", label, word]


async def test_a_tag_counts_its_own_checks_and_the_worst_of_them_wins(world: World) -> None:
    """Down before late before up; a tag that is only part of another does not count."""
    await brought_to(world, "down", name="a", tags="prod web")
    await brought_to(world, "late", name="b", tags="prod")
    await brought_to(world, "up", name="c", tags="prod-2 other")
    listed = await addresses(world)

    async def shown(tag: str) -> dict[str, Any]:
        return dict((await world.client.get(listed[tag]["json3"])).json())

    assert await shown("*") == {"status": "down", "total": 3, "grace": 1, "down": 1}
    assert await shown("prod") == {"status": "down", "total": 2, "grace": 1, "down": 1}
    assert await shown("prod-2") == {"status": "up", "total": 1, "grace": 0, "down": 0}
    assert await shown("web") == {"status": "down", "total": 1, "grace": 0, "down": 1}


async def test_below_its_threshold_a_check_that_missed_is_not_down(world: World) -> None:
    """What the badge says is what the domain says, not what the clock says of a deadline alone."""
    check = await brought_to(world, "down", failures_to_alert=3)
    said = (await world.seen(check))["status"]
    assert said in ("up", "grace")
    shown = (await world.client.get(await check_address(world, check, "json", 3))).json()
    assert (shown["down"], shown["grace"]) == (0, int(said == "grace"))
    assert (await world.client.get((await addresses(world))["*"]["json3"])).json() == shown


async def test_a_row_that_makes_no_sense_is_shown_as_it_is_stored(world: World) -> None:
    """One spoiled row spoils neither its own badge nor the project's."""
    check = await brought_to(world, "late")
    await world.run("UPDATE monitors SET kind = 'nonsense'")
    for at in (await check_address(world, check, "json", 3), (await addresses(world))["*"]["json3"]):
        assert (await world.client.get(at)).json() == {"status": "up", "total": 1, "grace": 0, "down": 0}


async def test_a_check_without_a_name_shows_its_slug_and_never_its_id(world: World) -> None:
    """The ping id is a secret."""
    check = await world.check(slug="backup")
    bare = await world.check()
    for made, label in ((check, "backup"), (bare, "unnamed")):
        answer = await world.client.get(await check_address(world, made, "svg", 2))
        assert texts(answer)[1] == label
        assert made["uuid"] not in answer.text


# ---- where they are found


async def test_badges_are_listed_for_every_key_and_in_every_version(world: World) -> None:
    """Six addresses for the whole project and for each tag, sorted; `-2` stands where Healthchecks has it."""
    await world.check(tags="b a")
    await world.check(tags=" a  c ")
    listed = await addresses(world)
    assert list(listed) == ["*", "a", "b", "c"]
    assert all(set(forms) == FORMS for forms in listed.values())
    base = r"http://missedbeat\.test/badge/[0-9a-f-]{36}/[A-Za-z0-9_-]{22}"
    for tag, rest in (("*", ""), ("a", "/a")):
        for form in ("svg", "json", "shields"):
            assert re.fullmatch(rf"{base}-2{rest}\.{form}", listed[tag][form])
            assert re.fullmatch(rf"{base}{rest}\.{form}", listed[tag][form + "3"])
    assert await addresses(world, key=world.project.api_key_readonly) == listed
    for version in (1, 2, 3):
        for slash in ("", "/"):
            headers = {"X-Api-Key": world.project.api_key}
            answer = await world.client.get(f"/api/v{version}/badges{slash}", headers=headers)
            assert answer.json() == {"badges": listed}
            assert answer.headers["access-control-allow-origin"] == "*"
    assert (await world.client.get("/api/v3/badges/")).json() == {"error": "missing api key"}
    assert (await world.api("POST", "badges/")).status_code == 405


async def test_the_two_states_may_be_asked_for_behind_the_tag_too(world: World) -> None:
    """`<tag>-2.svg` is the same badge; a tag that ends in -2 itself is not mistaken for it."""
    await brought_to(world, "late", tags="web web-2")
    listed = await addresses(world)
    asked = listed["web"]["json3"].replace("/web.json", "/web-2.json")
    assert (await world.client.get(asked)).json()["status"] == "up"
    assert (await world.client.get(listed["web-2"]["json3"])).json()["status"] == "late"
    assert (await world.client.get(listed["web-2"]["json"])).json()["status"] == "up"


async def test_any_tag_has_a_badge_that_shows_it_as_text(world: World) -> None:
    """Quoted once or twice, its badge is found; markup in it stays text, in title and label."""
    for tag in HOSTILE:
        await brought_to(world, "up", tags=tag, name="other")
    listed = await addresses(world)
    assert set(listed) == {"*", *HOSTILE}
    for tag in HOSTILE:
        for form in FORMS:
            assert (await world.client.get(listed[tag][form])).status_code == 200, (tag, form)
        stem, _, _ = listed[tag]["svg3"].rpartition("/")
        for at in (listed[tag]["svg3"], f"{stem}/{quote(tag, safe='')}.svg"):
            title, label, word = texts(await world.client.get(at))
            assert (title, word) == (f"{tag}: up", "up")
            assert label == tag or (label.endswith("…") and tag.startswith(label[:-1]))
        assert (await world.client.get(listed[tag]["shields"])).json()["label"] == tag


async def test_any_name_is_shown_as_text(world: World) -> None:
    """A check's name, and a project's, can hold anything."""
    check = await world.check()
    at = [await check_address(world, check, "svg", 3), (await addresses(world))["*"]["svg"]]
    for name in (*HOSTILE, "two  words", "two\nlines\x01\x7f", "\u202eevil", "👩‍👩‍👧", "a\u0301" * 20, " "):
        await world.run("UPDATE monitors SET name = :name", name=name)
        await world.run("UPDATE projects SET name = :name", name=name)
        for path in at:
            answer = await world.client.get(path)
            assert texts(answer)[0] == f"{one_line(name)}: up"
            assert "\u202e" not in answer.text


async def test_whoever_has_one_badge_cannot_make_up_another(world: World) -> None:
    """A changed signature, tag, key or form finds nothing, and the answer is always the same one."""
    await world.check(tags="a b")
    other = await world.new_project("Other")
    await world.api("POST", "checks/", {"tags": "a"}, key=other.api_key)
    listed, theirs = await addresses(world), await addresses(world, key=other.api_key)
    path = urlsplit(listed["a"]["svg3"]).path
    _, _, key, signed, _ = path.split("/")
    foreign_key, foreign_signed = urlsplit(theirs["a"]["svg3"]).path.split("/")[2:4]
    changed = ("A" if signed[0] != "A" else "B") + signed[1:]
    wrong = [
        f"/badge/{key}/{changed}/a.svg", f"/badge/{key}/{signed[:-1]}/a.svg", f"/badge/{key}/{signed}x/a.svg",
        f"/badge/{key}/{signed}/b.svg", f"/badge/{key}/{signed}/A.svg", f"/badge/{key}/{signed}.svg",
        f"/badge/{key}/{signed}-3/a.svg",
        f"/badge/{key}/{foreign_signed}/a.svg", f"/badge/{foreign_key}/{signed}/a.svg", f"/badge/{uuid4()}/{signed}/a.svg",
        f"/badge/{world.project.id}/{signed}/a.svg", f"/badge/x/{signed}/a.svg", f"/badge/{key}/{signed}/a.png",
        f"/badge/{key}/{signed}/a.svgfoo", f"/badge/{key}/{signed}/a", f"/badge/{key}/{signed}/", f"/badge/{key}/",
        f"/badge/{key}",
        f"/badge/{key}/{signed[:8]}/a.svg", f"/badge/{key}/é{signed[1:]}/a.svg", f"/badge/{key}/{signed}/a%00.svg",
    ]  # fmt: skip
    unknown = await world.client.get(f"/badge/{uuid4()}/{'x' * 22}/a.svg")
    assert (unknown.status_code, unknown.json()) == (404, {"error": "not found"})
    assert (await world.client.get(path)).status_code == 200
    for at in wrong:
        answer = await world.client.get(at)
        assert (answer.status_code, answer.json()) == (404, {"error": "not found"}), at
        if at.count("/") > 2:
            assert answer.headers == unknown.headers, at


async def test_addresses_name_neither_project_nor_ping_id_nor_key(world: World) -> None:
    """A badge in a public page tells nothing that opens anything; the key of a badge is none of a ping."""
    check = await world.check(tags="a")
    shown = str(await addresses(world)) + await check_address(world, check, "svg", 2)
    for secret in (world.project.id, world.project.ping_key, world.project.api_key, check["uuid"]):
        assert str(secret) not in shown
    badge_key = (await check_address(world, check, "svg", 2))[5:-4]
    assert (await world.client.get(f"/ping/{badge_key}")).status_code == 404


async def test_a_deleted_check_has_no_badge_and_other_paths_none_either(world: World) -> None:
    """404, as for one that never was."""
    check = await world.check(name="gone")
    at = await check_address(world, check, "svg", 2)
    assert (await world.client.get(at)).status_code == 200
    wrong = [
        at.replace("/b/2/", "/b/4/"), at.replace("/b/2/", "/b/x/"), at + "x", at.replace(".svg", ".png"),
        f"/b/2/{check['uuid']}.svg", f"/b/2/{uuid4()}.svg", "/b/2/x.svg", "/b/2/" + at[5:].replace("-", ""),
    ]  # fmt: skip
    for path in wrong:
        assert (await world.client.get(path)).json() == {"error": "not found"}, path
    await world.api("DELETE", f"checks/{check['uuid']}")
    assert (await world.client.get(at)).json() == {"error": "not found"}


async def test_pages_everywhere_may_show_a_badge_and_nobody_keeps_it(world: World) -> None:
    """Not cached, readable from other sites, with a policy under which nothing in it could run; HEAD and OPTIONS too."""
    check = await world.check(tags="a")
    for at in ((await addresses(world))["a"]["svg"], await check_address(world, check, "svg", 2)):
        answer = await world.client.get(at)
        assert answer.headers["content-type"].startswith("image/svg+xml")
        assert "no-cache" in answer.headers["cache-control"]
        assert "max-age=0" in answer.headers["cache-control"]
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "style=" not in answer.text
        head = await world.client.head(at)
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", answer.headers["content-length"])
        options = await world.client.options(at)
        assert (options.status_code, options.headers["access-control-allow-origin"]) == (204, "*")
        assert (await world.client.post(at)).status_code == 405


async def test_a_project_of_200_costs_as_many_statements_as_one_of_5(world: World) -> None:
    """Badge and list, however many monitors are down."""
    await brought_to(world, "failed")
    sent = []
    for more in (4, 195):
        await copy(world, more)
        at = (await addresses(world))["prod"]["json"]
        with statements() as badge:
            assert (await world.client.get(at)).json()["status"] == "down"
        with statements() as listed:
            await addresses(world)
        sent.append((badge, listed))
    assert (await world.client.get(at)).json() == {"status": "down", "total": 200, "grace": 0, "down": 200}
    assert sent[0] == sent[1]
    assert len([statement for statement in sent[1][0] if "monitors" in statement]) == 1


# ---- how they are drawn and signed


@given(st.text(max_size=600))
def test_any_text_can_be_drawn(label: str) -> None:
    """Always XML, never wider than its limit, title and word whole."""
    root = ET.fromstring(drawn(label, "down").encode("utf-8"))
    assert root.findtext(f"{SVG}title") == f"{one_line(label)}: down" == root.get("aria-label")
    assert (root.get("role"), root.get("height")) == ("img", "20")
    assert 50 < float(root.get("width") or 0) < LONGEST + 90
    shown = [text.text for text in root.iter(f"{SVG}text")]
    assert shown == [clipped(one_line(label)), "down"]


def test_a_label_is_as_wide_as_its_letters_and_cut_where_it_is_too_long() -> None:
    """Thin letters make a narrow badge; letters of the East are wide, accents have no width."""
    assert width("illi") < width("mmmm") < width("備備備備")
    assert width("e\u0301") == width("e")
    assert clipped("short") == "short"
    cut = clipped("word " * 100)
    assert cut.endswith("d…") or cut.endswith("r…") or cut.endswith("o…") or cut.endswith("w…")
    assert LONGEST - 15 < width(cut) <= LONGEST
    assert len(clipped("\u0301" * 500 + "m" * 100)) <= 201


def test_a_signature_is_bound_to_its_key_purpose_and_text() -> None:
    """The same for the same, another for anything else, and not that of the key that seals secrets."""
    vault = Vault(SECRET_KEY)
    signed = vault.sign("badge", "a")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", signed)
    assert Vault(SECRET_KEY).sign("badge", "a") == signed
    others = {
        vault.sign("badge", "b"),
        vault.sign("other", "a"),
        Vault(SECRET_KEY + "x").sign("badge", "a"),
        vault.sign("badg", "ea"),
    }
    assert len(others - {signed}) == 4
