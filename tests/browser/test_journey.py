"""The whole way of somebody new: from the sign-up to the mail in the night, in one browser and one sitting."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from app.notify.email import Mailer
from tests.browser.screen import listening, screen, see
from tests.browser.test_channels import make, working
from tests.manage.pages.mailbox import Mailbox
from tests.manage.pages.visitor import PASSWORD, signed_up
from tests.receivers import HttpReceiver, MailReceiver
from tests.world import living

pytestmark = pytest.mark.anyio


@pytest.mark.timeout(180)
async def test_from_sign_up_to_the_mail_in_the_night(dsn: str, window: Browser, tmp_path: Path) -> None:
    """Sign up, open the mailed link, make channels and a check by hand, ping it with curl as the page says: it turns up without a
    reload; it falls silent: mail and Slack say so and the page shows who was told; it is back: they are told again."""
    async with MailReceiver() as mails, HttpReceiver() as slack:
        mailer = Mailer("127.0.0.1", mails.port, tls="none", sender="Missedbeat <beat@example.com>")
        async with (
            living(dsn, mailer, guard_seconds=30, smtp_host="127.0.0.1", registration="open") as world,
            listening(world) as site,
            screen(window, site) as page,
        ):
            await signed_up(world, "first@example.org")
            mailbox = Mailbox(world, mails)
            await see(page, "/signup")
            await page.get_by_label("E-mail address").fill("carol@example.org")
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Mail me a link").click()
            await expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()
            await see(page, await mailbox.link())
            await page.get_by_role("main").get_by_role("button").click()
            await expect(page.get_by_role("heading", name="Waiting for your first ping")).to_be_visible()
            async with working(world):
                await make(page, "E-mail", Name="night shift", Address="night@example.org")
                await make(page, "Slack", Name="ops", URL=f"http://127.0.0.1:{slack.port}/services/T/B/X")
                await page.get_by_role("link", name="Checks", exact=True).click()
                await page.get_by_role("link", name="Make a check by hand").click()
                await page.get_by_label("Name", exact=True).fill("nightly backup")
                await page.get_by_role("button", name="Make the check").click()
                await expect(page.get_by_role("heading", name="nightly backup")).to_be_visible()
                await page.evaluate("window.mark = 1")
                url = await page.locator("#ping-url").text_content()
                assert url is not None
                line = [
                    "curl",
                    "-fsS",
                    "-m",
                    "10",
                    "-o",
                    str(tmp_path / "answer"),
                    url.replace("http://missedbeat.test", site.url),
                ]
                done = await asyncio.create_subprocess_exec(*line)
                assert await done.wait() == 0
                state = page.locator("main .state").first
                await expect(state).to_have_text("up")
                await world.advance(86_400 + 3_600 + 60)
                await world.sweep()
                await expect(state).to_have_text("down")
                await expect(page.get_by_text("night shift was told of this")).to_be_visible()
                await expect(page.get_by_text("ops was told of this")).to_be_visible()
                done = await asyncio.create_subprocess_exec(*line)
                assert await done.wait() == 0
                await expect(state).to_have_text("up")
                await expect(page.get_by_text("ops was told of the recovery")).to_be_visible()
                await expect(page.get_by_text("night shift was told of the recovery")).to_be_visible()
                assert await page.evaluate("window.mark") == 1, "it was loaded anew"
            told = [str(mail["Subject"]) for mail in mails.mails if mail["To"] == "night@example.org"]
            assert [subject.split(":")[0] for subject in told] == ["DOWN", "UP"]
            assert len(slack.requests) == 2
