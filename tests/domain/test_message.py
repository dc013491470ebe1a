"""What a message says, whatever it is given to say."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.message import Parcel, Told, clean, compose, duration, plain

AT = datetime(2026, 3, 1, 2, 5, tzinfo=UTC)
BASE = "https://beat.example"
UNSEEN = "\r\n\x00\x1b\x7f\u2028\u202e\u2066\u200b\ud800"
PING = "https://beat.example/ping/5b4e1c9e-8d0f-4d0a-9f3e-0123456789ab"


def told(**changes: Any) -> Told:
    """A down by silence, as the outbox tells it."""
    given: dict[str, Any] = {
        "kind": "monitor.down",
        "at": AT,
        "project": "shop",
        "name": "nightly-backup",
        "slug": "nightly-backup",
        "tags": ("db", "prod"),
        "unique_key": "u1",
        "schedule": "cron 0 3 * * * (Europe/Berlin)",
        "reason": "missed",
        "explain": "No check-in came by 03:05.",
        "last_success": AT - timedelta(days=1),
        "incident_id": "i-1",
        "zone": "Europe/Berlin",
    }
    return Told(**(given | changes))


def up(**changes: Any) -> Told:
    """The same monitor, back."""
    return told(
        **({"kind": "monitor.up", "at": AT + timedelta(minutes=12, seconds=3), "down_since": AT, "explain": ""} | changes)
    )


def test_state_and_monitor_come_first_in_the_title() -> None:
    """A phone shows thirty characters of it."""
    assert compose(told(), base_url=BASE).title == "DOWN: nightly-backup"


def test_a_recovery_says_how_long_it_was_down() -> None:
    """In the title, in the facts, and in the sentence where nothing better is known."""
    message = compose(up(), base_url=BASE)
    assert message.title == "UP: nightly-backup (down for 12 min 3 s)"
    assert message.sentence == "It is up again after 12 min 3 s."
    assert ("Down for", "12 min 3 s") in message.facts


def test_the_facts_answer_in_the_monitors_own_time() -> None:
    """Since when, what was expected, the last good check-in, and where it belongs."""
    assert compose(told(), base_url=BASE).facts == (
        ("Since", "2026-03-01 03:05:00 CET"),
        ("Expected", "cron 0 3 * * * (Europe/Berlin)"),
        ("Reason", "missed"),
        ("Last success", "2026-02-28 03:05:00 CET"),
        ("Project", "shop"),
        ("Tags", "db, prod"),
    )


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "Europe"])
def test_an_unknown_zone_is_told_in_utc(zone: str) -> None:
    """A zone that tzdata dropped loses no alert."""
    assert ("Since", "2026-03-01 02:05:00 UTC") in compose(told(zone=zone), base_url=BASE).facts


@pytest.mark.parametrize(
    ("what", "status_now", "said"),
    [
        (told(), "up", "No check-in came by 03:05. It is up again by now."),
        (told(), "paused", "No check-in came by 03:05. It is paused by now."),
        (told(), "down", "No check-in came by 03:05."),
        (told(), None, "No check-in came by 03:05."),
        (up(), "down", "It is up again after 12 min 3 s. It is down again by now."),
        (up(), "up", "It is up again after 12 min 3 s."),
        (told(kind="test", explain=""), "up", "This is a test: messages to this channel get through."),
    ],
)
def test_a_message_says_what_has_changed_since(what: Told, status_now: str | None, said: str) -> None:
    """P9: a late message is not mistaken for the state now."""
    assert compose(what, base_url=BASE, status_now=status_now).sentence == said


@pytest.mark.parametrize("reason", ["missed", "overrun", "failed", "unheard-of"])
def test_every_reason_has_words_without_an_explanation(reason: str) -> None:
    """No message goes out with an empty sentence."""
    assert compose(told(explain="", reason=reason), base_url=BASE).sentence.endswith(".")


def test_a_failing_channel_is_named_with_its_failure() -> None:
    """The owner reads which channel, and what the receiver said."""
    message = compose(told(kind="channel.failed", channel="ops slack", failure="no_service", explain=""), base_url=BASE)
    assert message.title == "CHANNEL FAILED: ops slack"
    assert ("Why", "no_service") in message.facts


def test_a_blackout_says_from_when_to_when() -> None:
    """Of the project, as no single monitor is meant."""
    deaf = told(kind="blackout", name="", down_since=AT - timedelta(minutes=1), explain="14 jobs were expected.")
    message = compose(deaf, base_url=BASE)
    assert message.title == "COULD NOT HEAR: shop"
    assert message.facts[:2] == (("Since", "2026-03-01 03:04:00 CET"), ("Until", "2026-03-01 03:05:00 CET"))


def test_the_only_link_is_the_incidents() -> None:
    """Anything else in the id stays inside its path segment."""
    assert compose(told(), base_url=BASE + "/").link == f"{BASE}/incidents/i-1"
    assert compose(told(incident_id="a/../b|c>"), base_url=BASE).link == f"{BASE}/incidents/a%2F..%2Fb%7Cc%3E"
    assert compose(told(incident_id=""), base_url=BASE).link == ""


def test_a_ping_url_never_gets_into_a_message() -> None:
    """P19: `curl -v` prints it, and so it stands in many an output; also where a limit cuts through it."""
    for output in (f"calling {PING} now", "x" * 5_000 + PING + "y" * 1_010, PING + " " + "y" * 970):
        message = compose(told(output=output, name=PING, explain=f"see {PING}"), base_url=BASE)
        assert "5b4e1c9e" not in repr((message.title, message.sentence, message.facts, message.output))
        assert "0123456789ab" not in message.output


@pytest.mark.parametrize(
    "secret",
    [
        "https://beat.example/p/0123456789abcdef0123/secret-job?state=run",
        "https://beat.example/api/push/secretToken?status=up",
        "https://beat.example/api/v1/heartbeat/secretToken/fail",
        "https://beat.example/api/12/cron/a-slug/secret0123456789/",
        "X-Api-Key: mb_rw_secret" + "0" * 30,
    ],
)
def test_what_other_services_put_in_urls_and_keys_of_ours_stay_out_too(secret: str) -> None:
    """The secret part goes, the rest of the output stays readable."""
    message = compose(told(output=f"$ curl {secret}\nfailed", explain=secret), base_url=BASE)
    assert "secret" not in message.output + message.sentence
    assert message.output.startswith("$ curl ")
    assert message.output.endswith("\nfailed")


def test_the_end_of_a_long_output_is_kept_with_its_lines() -> None:
    """The error stands at the end."""
    output = compose(told(output="a\r\n" * 9_000 + "Traceback:\n\tboom\x00\x1b[31m\u2028\u202e!\n"), base_url=BASE).output
    assert output.startswith("…")
    assert output.endswith("Traceback:\n\tboom  [31m !")
    assert len(output) == 1_000
    assert "\r" not in output


@pytest.mark.parametrize(
    "field", ["name", "project", "schedule", "reason", "explain", "channel", "failure", "zone", "incident_id"]
)
@pytest.mark.parametrize("kind", ["monitor.down", "monitor.up", "channel.failed", "test", "blackout", "of tomorrow"])
def test_no_field_breaks_out_of_its_line(kind: str, field: str) -> None:
    """Line breaks, NUL, escapes, direction marks and lone surrogates are gone; ten thousand characters are clipped."""
    evil = f"evil{UNSEEN}{'x' * 10_000}"
    message = compose(told(**{"kind": kind, field: evil}), base_url=BASE)
    lines = [message.title, message.sentence, message.link, message.thread, *(text for fact in message.facts for text in fact)]
    assert not any(char in line for line in lines for char in UNSEEN)
    assert all(len(line) <= 700 for line in lines if line is not message.link)


def test_emoji_and_letters_of_any_script_stay() -> None:
    """Cleaning is no excuse to mangle a name."""
    for name in ("Sicherung täglich", "👩‍💻 build", "می‌خواهم", "日次バックアップ"):
        assert clean(name, 100) == name


@given(st.text(max_size=300), st.integers(min_value=1, max_value=50))
def test_clean_text_is_one_short_line_and_stays_as_it_is_when_cleaned_again(text: str, limit: int) -> None:
    """It can be cleaned at the door and again when rendered."""
    once = clean(text, limit)
    assert len(once) <= limit
    assert len(once.splitlines()) <= 1
    assert clean(once, limit) == once
    once.encode()


@pytest.mark.parametrize(
    ("delta", "words"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(minutes=12, seconds=3), "12 min 3 s"),
        (timedelta(hours=1), "1 h"),
        (timedelta(hours=1, seconds=5), "1 h"),
        (timedelta(days=2, hours=4, minutes=9), "2 d 4 h"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(delta: timedelta, words: str) -> None:
    """Exact enough for people."""
    assert duration(delta) == words


def test_what_is_told_survives_json() -> None:
    """It waits in the outbox as JSON."""
    for what in (told(), up(last_success=None), told(kind="test")):
        assert Told.from_json(json.loads(json.dumps(what.to_json()))) == what


def test_what_another_version_told_can_be_read() -> None:
    """Two versions run side by side while one is rolled out."""
    data = told().to_json()
    del data["zone"]
    assert Told.from_json(data | {"of_tomorrow": 1}) == told(zone="UTC")


def test_the_fallback_needs_nothing_to_be_right() -> None:
    """It goes out when composing failed, so it must not fail for the same reason."""
    broken = Told(kind="monitor.down", at=None, project="p", name=f"back{UNSEEN}up", tags=None)  # type: ignore[arg-type]
    message = plain(broken)
    assert message.title.startswith("DOWN: back")
    assert message.title.isprintable()
    assert plain(Told(kind="monitor.down", at=AT, project="p", name=None)).title == "DOWN: p"  # type: ignore[arg-type]


def test_a_parcel_opens_its_secrets() -> None:
    """A channel without any has none."""
    message = plain(told())
    assert Parcel("d", message, {}, '{"url": "https://x"}', AT).secrets() == {"url": "https://x"}
    assert Parcel("d", message, {}, "", AT).secrets() == {}


def test_a_recovery_tells_of_the_alarm_that_it_overtook() -> None:
    """From when to when, in the monitor's own time, and why."""
    message = compose(up(earlier=(told().to_json(),)), base_url=BASE)
    assert message.sentence == (
        "It is up again after 12 min 3 s. It was down from 2026-03-01 03:05:00 CET to 2026-03-01 03:17:03 CET: "
        "No check-in came by 03:05."
    )


def test_an_alarm_tells_of_the_turns_that_it_overtook() -> None:
    """Oldest first, the newest ten; through the outbox and back."""
    turns = (told(explain="").to_json(), up().to_json())
    again = Told.from_json(json.loads(json.dumps(told(earlier=turns * 9).to_json())))
    assert len(again.before()) == 18
    few, many = compose(told(earlier=turns), base_url=BASE), compose(again, base_url=BASE)
    assert few.sentence == (
        "No check-in came by 03:05. Not told by itself: down 2026-03-01 03:05:00 CET, up 2026-03-01 03:17:03 CET."
    )
    assert many.sentence.count("CET") == 10


def test_a_message_that_comes_another_way_says_instead_of_which() -> None:
    """As a fact, clean like any other."""
    assert ("Instead of", "pa ger") in compose(told(instead_of="pa\r\nger"), base_url=BASE).facts


def test_a_false_alarm_is_no_return() -> None:
    """It says so in its title, names no downtime, and when what was told and taken back."""
    message = compose(up(reason="withdrawn"), base_url=BASE)
    assert message.title.startswith("FALSE ALARM: ")
    assert "down for" not in message.title
    assert {"Alarm of", "Withdrawn at"} <= {label for label, _ in message.facts}
    assert "Down for" not in dict(message.facts)
    assert message.sentence.startswith("The alarm was wrong")
