"""Delivering: once, in order, again until it works, and never in anybody's way."""

import asyncio
import time

import pytest

from app.notify.deliver import Deliverer
from tests.faults.rig import measured
from tests.notify.hooks import hook, states
from tests.receivers import HttpReceiver, MailReceiver, Reply
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_a_slack_that_answers_500_for_a_while_hears_once(house: World) -> None:
    """Three 500s, then 200: delivered once, every attempt on record with its answer."""
    async with HttpReceiver(Reply(500), Reply(502), Reply(503)) as slack:
        channel = await hook(house, slack, "slack")
        check = await house.check(channels="*")
        await house.ping(check, "/fail")
        for _ in range(4):
            await house.deliver()
            await house.advance(200)
        await house.deliver()
        assert len(slack.requests) == 4
        assert await states(house) == [("delivered", 4)]
        (delivery,) = (await house.api("GET", f"channels/{channel['id']}/deliveries/")).json()["deliveries"]
        assert [a["status"] for a in delivery["attempts"]] == [500, 502, 503, 200]


async def test_a_black_hole_and_a_refusing_mail_server_delay_nobody_else(house: World, mail: MailReceiver) -> None:
    """While a webhook hangs and mail is refused, another channel and another project hear at once."""
    mail.refuse["RCPT"] = "451 try later"
    async with HttpReceiver(*[Reply(hang=True)] * 10) as hole, HttpReceiver() as good:
        await hook(house, hole, name="hole")
        await hook(house, good, name="good")
        await house.api("POST", "channels/", {"kind": "email", "name": "mail", "address": "a@example.org"})
        checks = [await house.check(channels="*") for _ in range(6)]
        await asyncio.gather(*(house.ping(c, "/fail") for c in checks))
        house.project = await house.new_project("Neighbour")
        await hook(house, good, name="neighbour")
        await house.ping(await house.check(channels="*"), "/fail")
        began = time.monotonic()
        for _ in range(4):
            await house.deliverer.deliver_once()
            await asyncio.sleep(0.2)
        await good.heard(7, within=3)
        measured(f"the last of 7 arrived {time.monotonic() - began:.2f} s after the first round of sending")
        assert hole.connections <= 4


async def test_two_senders_at_once_deliver_each_message_once(house: World) -> None:
    """Deliveries are claimed: forty messages, three senders, forty requests, forty webhook-ids."""
    async with HttpReceiver() as receiver:
        await hook(house, receiver)
        checks = [await house.check(channels="*") for _ in range(40)]
        await asyncio.gather(*(house.ping(c, "/fail") for c in checks))
        others = [Deliverer(house.sessions, house.sender) for _ in range(2)]

        async def all_of_it(deliverer: Deliverer) -> None:
            for _ in range(20):
                await deliverer.deliver_once()
                await deliverer.settled()

        await asyncio.gather(*(all_of_it(d) for d in (house.deliverer, *others)))
        assert len(receiver.requests) == 40
        assert len({r.headers["webhook-id"] for r in receiver.requests}) == 40
        assert set(await states(house)) == {("delivered", 1)}


async def test_messages_of_a_monitor_keep_their_order_on_a_channel(house: World) -> None:
    """The recovery waits until the alarm before it got through; another channel is not held up by that."""
    async with HttpReceiver(Reply(500), Reply(500)) as slow, HttpReceiver() as quick:
        await hook(house, slow, name="slow")
        await hook(house, quick, name="quick")
        check = await house.check(channels="*")
        await house.ping(check, "/fail")
        await house.deliver()
        await house.ping(check)
        await house.deliver()
        assert [r.json()["type"] for r in quick.requests] == ["monitor.down", "monitor.up"]
        for _ in range(4):
            await house.advance(60)
            await house.deliver()
        assert [r.json()["type"] for r in slow.requests] == ["monitor.down"] * 3 + ["monitor.up"]


async def test_a_channel_that_is_gone_is_disabled_and_the_owner_told(house: World, mail: MailReceiver) -> None:
    """410: never again, until somebody edits it. The owner hears that, and the alarm itself, by mail; so also later alarms."""
    async with HttpReceiver(Reply(410)) as receiver:
        channel = await hook(house, receiver)
        check = await house.check(channels="*")
        await house.ping(check, "/fail")
        await house.deliver()
        subjects = sorted(str(m["subject"]) for m in mail.mails)
        assert len(subjects) == 2
        assert any("DOWN" in s for s in subjects)
        shown = (await house.api("GET", f"channels/{channel['id']}")).json()
        assert shown["disabled"] is True
        await house.ping(check)
        await house.deliver()
        assert len(receiver.requests) == 1
        assert len(mail.mails) == 3
        assert "UP" in str(mail.mails[2]["subject"])
        await house.api("POST", f"channels/{channel['id']}", {"name": "mended"})
        await house.ping(check, "/fail")
        await house.deliver()
        assert len(receiver.requests) == 2


async def test_ten_minutes_of_failure_tell_the_owner_and_a_day_ends_it(house: World, mail: MailReceiver) -> None:
    """A receiver that stays broken: after 10 min the owner hears the alarm by mail, after 24 h the delivery is dead."""
    async with HttpReceiver(*[Reply(500)] * 200) as receiver:
        await hook(house, receiver)
        await house.ping(await house.check(channels="*"), "/fail")
        for _ in range(5):
            await house.deliver()
            await house.advance(120)
        assert mail.mails == []
        for _ in range(4):
            await house.advance(300)
            await house.deliver()
        assert ["DOWN" in str(m["subject"]) for m in mail.mails] == [True]
        for _ in range(30):
            await house.advance(3600)
            await house.deliver()
        dead = await house.rows("SELECT state, reason, tries FROM deliveries ORDER BY seq LIMIT 1")
        assert dead[0]["state"] == "dead"
        assert "24 h" in dead[0]["reason"]
        assert len(receiver.requests) == dead[0]["tries"] < 30


async def test_too_many_requests_costs_no_attempt_and_waits_as_told(house: World) -> None:
    """429 with Retry-After 60: not before a minute, and not counted."""
    async with HttpReceiver(Reply(429, (("retry-after", "60"),))) as receiver:
        await hook(house, receiver)
        await house.ping(await house.check(channels="*"), "/fail")
        await house.deliver()
        assert await states(house) == [("waiting", 0)]
        await house.advance(50)
        await house.deliver()
        assert len(receiver.requests) == 1
        await house.advance(12)
        await house.deliver()
        assert await states(house) == [("delivered", 1)]


async def test_a_zombie_behind_the_fence_changes_nothing(house: World) -> None:
    """A sender that froze past its lease settles nothing: the delivery is another's by then, and keeps its webhook-id."""
    async with HttpReceiver(Reply(hang=True)) as receiver:
        await hook(house, receiver)
        await house.ping(await house.check(channels="*"), "/fail")
        zombie = Deliverer(house.sessions, house.sender)
        await zombie.deliver_once()
        await receiver.heard(1)
        await house.advance(31)
        await house.deliver()
        assert await states(house) == [("delivered", 1)]
        receiver.hang_up()
        await zombie.settled()
        assert await states(house) == [("delivered", 1)], "what the zombie heard is too late to count"
        await zombie.drain(1)
        assert await states(house) == [("delivered", 1)]
        assert len({r.headers["webhook-id"] for r in receiver.requests}) == 1


async def test_what_was_claimed_and_not_sent_is_given_back_on_the_way_out(house: World) -> None:
    """A sender that stops leaves its deliveries due at once, not after the lease."""
    async with HttpReceiver(Reply(hang=True)) as receiver:
        await hook(house, receiver)
        await house.ping(await house.check(channels="*"), "/fail")
        leaving = Deliverer(house.sessions, house.sender)
        await leaving.deliver_once()
        await receiver.heard(1)
        await leaving.drain(0.1)
        assert await states(house) == [("waiting", 0)]
        assert await house.deliver() == 1


async def test_a_channel_that_hears_only_downs_is_told_no_ups(house: World) -> None:
    """`hears` limits what a channel is told."""
    async with HttpReceiver() as receiver:
        await hook(house, receiver, hears="down")
        check = await house.check(channels="*")
        await house.ping(check, "/fail")
        await house.ping(check)
        await house.deliver()
        assert [r.json()["type"] for r in receiver.requests] == ["monitor.down"]


async def test_a_clock_set_back_holds_up_no_retry(house: World) -> None:
    """Verdicts wait until the clock is there again; what is told meanwhile is tried again after seconds, as ever."""
    async with HttpReceiver(Reply(500), Reply(500)) as receiver:
        await hook(house, receiver)
        check = await house.check(channels="*")
        await house.advance(1)
        house.sleep(-3600)
        await house.ping(check, "/fail")
        await house.deliver()
        for _ in range(2):
            house.sleep(60)
            await house.deliver()
        assert await states(house) == [("delivered", 3)]


async def test_an_alarm_that_is_over_when_it_is_told_says_so(house: World) -> None:
    """A message says its own time and the state now, and brings the job's last output."""
    async with HttpReceiver() as receiver:
        await hook(house, receiver, "slack")
        check = await house.check(channels="*")
        await house.ping(check, "/fail", content=b"disk full: <!channel>")
        await house.deliver()
        assert "disk full" in str(receiver.requests[0].body)
        assert check["uuid"] not in str(receiver.requests[0].body)


CROWD = """
    INSERT INTO deliveries (project_id, id, channel_id, monitor_id, cause_kind, cause_id, told, due_at, created_at)
    SELECT project_id, gen_random_uuid(), channel_id, gen_random_uuid(), cause_kind, n::text, told, due_at, created_at
    FROM deliveries, generate_series(1, 6000) AS n"""


async def test_a_mass_failure_of_one_project_keeps_nobody_else_waiting(house: World) -> None:
    """Six thousand messages wait for a channel that hangs: the next claim is quick, and another project's message goes out."""
    async with HttpReceiver(*[Reply(hang=True)] * 100) as hole, HttpReceiver() as good:
        await hook(house, hole)
        await house.ping(await house.check(channels="*"), "/fail")
        await house.run(CROWD)
        house.project = await house.new_project("Neighbour")
        await hook(house, good)
        await house.ping(await house.check(channels="*"), "/fail")
        await house.run("ANALYZE deliveries")
        began = time.monotonic()
        for _ in range(3):
            await house.deliverer.deliver_once()
        await good.heard(1, within=3)
        measured(f"the neighbour's arrived {time.monotonic() - began:.2f} s after the first round of sending")
        assert hole.connections <= 4
        hole.hang_up()


async def test_a_monitor_paused_or_deleted_during_an_attempt_is_not_told_again(house: World) -> None:
    """An attempt under way is the last: what fails then is suppressed with its reason, not tried for a day."""
    async with HttpReceiver(Reply(hang=True), Reply(hang=True), Reply(hang=True)) as receiver:
        channel = await hook(house, receiver)
        checks = [await house.check(channels="*") for _ in range(3)]
        for check in checks:
            await house.ping(check, "/fail")
        await house.deliverer.deliver_once()
        await receiver.heard(3)
        await house.api("POST", f"checks/{checks[0]['uuid']}/pause")
        await house.api("DELETE", f"checks/{checks[1]['uuid']}")
        await house.api("DELETE", f"channels/{channel['id']}")
        receiver.hang_up()
        await house.deliverer.settled()
        rows = await house.rows("SELECT state, reason FROM deliveries ORDER BY seq")
        assert [r["state"] for r in rows] == ["suppressed"] * 3
        assert all("paused" in r["reason"] or "deleted" in r["reason"] for r in rows)


async def test_a_database_that_goes_away_during_an_attempt_makes_no_duplicate(house: World) -> None:
    """The outcome is written once the database is back, inside the lease: one request, delivered."""
    async with HttpReceiver() as receiver:
        await hook(house, receiver)
        await house.ping(await house.check(channels="*"), "/fail")
        await house.deliverer.deliver_once()
        await house.run("ALTER TABLE deliveries RENAME TO deliveries_away")
        await receiver.heard(1)
        await asyncio.sleep(0.3)
        await house.run("ALTER TABLE deliveries_away RENAME TO deliveries")
        await house.deliverer.settled()
        await house.deliver()
        assert len(receiver.requests) == 1
        assert await states(house) == [("delivered", 1)]
