"""The mail that pages send, as people get it: through the worker's job and a real mail server."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from app.notify.email import Mailer
from app.notify.letters import send_letters_once
from app.store.vault import Vault
from tests.manage.pages.visitor import Browser, Page, signed_up
from tests.receivers import MailReceiver
from tests.world import SECRET_KEY, World, living

LINK = re.compile(r"http://missedbeat\.test(/\S+)")


@dataclass
class Mailbox:
    """`await mailbox.mails()` sends what waits and returns what came since: (to, subject, path of its link)."""

    world: World
    receiver: MailReceiver
    seen: int = 0
    last: EmailMessage = field(default_factory=EmailMessage)

    async def mails(self) -> list[tuple[str, str, str]]:
        """All that came since the last look."""
        mailer = Mailer("127.0.0.1", self.receiver.port, tls="none", sender="Missedbeat <beat@example.com>")
        while await send_letters_once(self.world.sessions, Vault(SECRET_KEY), mailer):
            pass
        new, self.seen = self.receiver.mails[self.seen :], len(self.receiver.mails)
        self.last = new[-1] if new else self.last
        return [(str(mail["To"]), str(mail["Subject"]), _link(mail)) for mail in new]

    async def link(self) -> str:
        """The path of the link in the one letter that came."""
        ((_, _, path),) = await self.mails()
        assert path
        return path


@asynccontextmanager
async def mailing(dsn: str, **settings: Any) -> AsyncIterator[tuple[World, Mailbox]]:
    """A world that sends mail, in which somebody, `first@example.org`, has an account already."""
    async with MailReceiver() as receiver, living(dsn, smtp_host="127.0.0.1", **settings) as world:
        await signed_up(world, "first@example.org")
        yield world, Mailbox(world, receiver)


async def pressed(browser: Browser, path: str) -> Page:
    """Open a link and press its button."""
    page = await browser.see(path)
    assert page.status == 200, page.text
    return await browser.send(path.partition("?")[0], {"token": page.value("token")})


def _link(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    found = LINK.search(body.get_content())
    return found[1] if found else ""
