"""Keyword filters over the API: kept, merged, shown under Healthchecks' older names too, and in force at once."""

import asyncio
from typing import Any

import pytest

from tests.world import World

pytestmark = pytest.mark.anyio

NONE: dict[str, Any] = {
    "subject": "", "subject_fail": "", "start_kw": "", "success_kw": "", "failure_kw": "", "filter_subject": False,
    "filter_body": False, "filter_http_body": False, "filter_default_fail": False,
}  # fmt: skip


async def filters(world: World, check: dict[str, Any], **given: Any) -> dict[str, Any]:
    """What an edit makes of the filters: the fields that differ from none."""
    answer = await world.api("POST", f"checks/{check['uuid']}", given)
    assert answer.status_code == 200, answer.text
    shown = {name: answer.json()[name] for name in NONE}
    assert {name: (await world.seen(check))[name] for name in NONE} == shown
    return {name: value for name, value in shown.items() if value != NONE[name]}


async def test_filters_are_kept_and_read_back(world: World) -> None:
    """Every field, by every way of reading, for a read-only key too; a check without any keeps nothing."""
    said = {
        "start_kw": "START", "success_kw": "SUCCESS,COMPLETE", "failure_kw": "é" * 200, "filter_body": True,
        "filter_http_body": True, "filter_default_fail": True, "filter_subject": True,
    }  # fmt: skip
    made = await world.check(**said)
    assert said.items() <= made.items()
    assert (made["subject"], made["subject_fail"]) == ("SUCCESS,COMPLETE", "é" * 200)
    key = world.project.api_key_readonly
    assert said.items() <= (await world.api("GET", "checks/", key=key)).json()["checks"][0].items()
    plain = await world.check(**NONE)
    assert NONE.items() <= plain.items()
    assert [row["filters"] for row in await world.rows("SELECT filters FROM monitors ORDER BY created_at")] == [said, {}]


async def test_an_edit_changes_the_filters_that_are_given_and_no_others(world: World) -> None:
    """Field by field; the empty text and false take one back."""
    made = await world.check(success_kw="OK", filter_http_body=True)
    assert await filters(world, made) == {"success_kw": "OK", "filter_http_body": True}
    assert await filters(world, made, failure_kw="BAD") == {"success_kw": "OK", "failure_kw": "BAD", "filter_http_body": True}
    assert await filters(world, made, name="other", grace=99, success_kw="") == {"failure_kw": "BAD", "filter_http_body": True}
    assert await filters(world, made, filter_http_body=False, failure_kw="") == {}


async def test_two_edits_of_filters_at_once_both_count(world: World) -> None:
    """They are merged under the lock of the check."""
    made = await world.check()
    for n in range(10):
        edits = ({"start_kw": f"s{n}"}, {"success_kw": f"k{n}"}, {"failure_kw": f"f{n}"})
        await asyncio.gather(*(world.api("POST", f"checks/{made['uuid']}", edit) for edit in edits))
        seen = await world.seen(made)
        assert (seen["start_kw"], seen["success_kw"], seen["failure_kw"]) == (f"s{n}", f"k{n}", f"f{n}")


async def test_the_older_names_mean_keywords_in_the_subject(world: World) -> None:
    """As in Healthchecks: `subject` and `subject_fail` set the keywords and turn filter_subject on, or off where none is left;
    they are shown only while it is on; what is given by its own name wins."""
    made = await world.check(subject="GOOD")
    assert await filters(world, made) == {"subject": "GOOD", "success_kw": "GOOD", "filter_subject": True}
    both = await filters(world, made, subject_fail="BAD")
    assert both == {
        "subject": "GOOD", "success_kw": "GOOD", "subject_fail": "BAD", "failure_kw": "BAD", "filter_subject": True
    }  # fmt: skip
    assert await filters(world, made, subject="") == {"subject_fail": "BAD", "failure_kw": "BAD", "filter_subject": True}
    assert await filters(world, made, subject_fail="") == {}
    assert await filters(world, made, subject="A", filter_subject=False) == {"success_kw": "A"}
    assert await filters(world, made, subject="A", success_kw="B") == {
        "subject": "B", "success_kw": "B", "filter_subject": True
    }  # fmt: skip


async def test_a_filter_is_in_force_from_the_next_ping_on(world: World) -> None:
    """What the API keeps is what pings are judged by."""
    made = await world.check()
    await world.ping(made, content=b"FAILED")
    await world.api("POST", f"checks/{made['uuid']}", {"failure_kw": "FAILED", "success_kw": "DONE", "filter_http_body": True})
    for words in (b"job FAILED", b"job DONE", b"nothing"):
        await world.ping(made, content=words)
    await world.api("POST", f"checks/{made['uuid']}", {"filter_default_fail": True})
    await world.ping(made, content=b"nothing")
    pings = (await world.api("GET", f"checks/{made['uuid']}/pings/")).json()["pings"]
    assert [ping["type"] for ping in pings] == ["fail", "ign", "success", "fail", "success"]
