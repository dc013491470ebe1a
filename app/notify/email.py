"""Mail: a text and an HTML dress for a message, and the way to the SMTP server. What is said stands in `domain/message.py`."""

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.policy import EmailPolicy
from email.utils import format_datetime, parseaddr
from html import escape
from typing import Any, Literal

import aiosmtplib

from app.domain.mailbox import is_mailbox
from app.domain.message import Message, Outcome, Parcel, Verdict, clean
from app.errors import Invalid

TIME_LIMIT = 17.0  # seconds until the mail is accepted; less than an attempt may take, so that an accepted one is known as such
QUIT_LIMIT = 1.0
ANSWER_LIMIT = 300
SUBJECT_LIMIT = 200
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
NO_SERVER = "no SMTP server is set: set MISSEDBEAT_SMTP_HOST"


@dataclass(frozen=True, slots=True)
class Mailer:
    """The operator's SMTP server. `sender` is an address or 'Name <address>'; `context` stands in for the usual roots.

    `tls` auto: from the first byte on port 465, else STARTTLS where the server offers it; a password goes in clear to this
    machine alone, so with one STARTTLS is a must elsewhere.
    """

    host: str = ""
    port: int = 587
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Literal["auto", "none", "starttls", "tls"] = "auto"
    sender: str = "Missedbeat <missedbeat@localhost>"
    context: ssl.SSLContext | None = None

    @property
    def domain(self) -> str:
        """The sender's, which names our messages and greets the server."""
        domain = parseaddr(self.sender)[1].rpartition("@")[2]
        return domain if re.fullmatch(r"[A-Za-z0-9.-]+", domain) else "localhost"

    def _start_tls(self) -> bool | None:
        """Must, must not, or (None) where it is offered."""
        if self.tls == "auto" and not (self.user and self.host not in LOOPBACK):
            return None if self.port != 465 else False
        return self.tls == "starttls" or (self.tls == "auto" and self.port != 465)

    async def hand_over(self, mail: EmailMessage) -> str:
        """One connection, one mail; returns what the server answered to it. Raises what aiosmtplib and sockets raise."""
        client = self._client()
        try:
            async with asyncio.timeout(TIME_LIMIT):
                await client.connect()
                _, answer = await client.send_message(mail)
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=QUIT_LIMIT)
        finally:
            client.close()
        return answer

    async def try_out(self, time_limit: float) -> str:
        """Connect, sign in where a user is set, hang up, within so many seconds; returns what went wrong, empty where nothing
        did. No mail is sent."""
        client = self._client()
        try:
            async with asyncio.timeout(time_limit):
                await client.connect()
                await client.quit(timeout=QUIT_LIMIT)
        except TimeoutError:
            return f"no answer within {time_limit:g} s"
        except (aiosmtplib.SMTPException, OSError) as error:
            return clean(str(error), ANSWER_LIMIT) or type(error).__name__
        finally:
            client.close()
        return ""

    def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            username=self.user or None,
            password=self.password or None,
            use_tls=self.tls == "tls" or (self.tls == "auto" and self.port == 465),
            start_tls=self._start_tls(),
            tls_context=self.context,
            local_hostname=self.domain,
            timeout=TIME_LIMIT,
        )


def check_settings(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Takes `address` alone, one mailbox. Raises Invalid."""
    for name in given:
        if name != "address":
            raise Invalid(f"{clean(name, 60)}: an e-mail channel takes address only")
    address = given.get("address")
    if not isinstance(address, str) or not is_mailbox(address):
        raise Invalid("address: give one e-mail address such as ops@example.com, without a name, in ASCII")
    return {"address": address}, {}


async def send(parcel: Parcel, mailer: Mailer) -> Outcome:
    """One attempt to hand a delivery to the SMTP server."""
    return await hand_over(mailer, lambda: compose_mail(parcel, mailer))


async def hand_over(mailer: Mailer, compose: Callable[[], EmailMessage]) -> Outcome:
    """One attempt to hand a mail to the SMTP server; one that cannot be composed for its addresses is refused."""
    if not mailer.host:
        return Outcome(Verdict.REFUSED, NO_SERVER)
    try:
        answer = await mailer.hand_over(compose())
    except aiosmtplib.SMTPException as error:
        return _outcome_of(error)
    except TimeoutError:
        return Outcome(Verdict.RETRY, f"the SMTP server did not answer within {TIME_LIMIT:g} s")
    except OSError as error:
        return Outcome(Verdict.RETRY, clean(f"the connection to the SMTP server failed: {error}", ANSWER_LIMIT))
    except ValueError:
        return Outcome(Verdict.REFUSED, "the address of the sender or of the recipient is not one mail can be sent with")
    return Outcome(Verdict.DELIVERED, clean(answer, ANSWER_LIMIT) or "accepted", status=250)


def compose_mail(parcel: Parcel, mailer: Mailer) -> EmailMessage:
    """The same Message-ID over all attempts of a delivery; all mails of an incident refer to one root, which threads them."""
    message = parcel.message
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["From"] = mailer.sender
    mail["To"] = str(parcel.settings.get("address", ""))
    mail["Subject"] = subject_of(clean(message.title, SUBJECT_LIMIT))
    mail["Date"] = format_datetime(parcel.attempt_at)
    mail["Message-ID"] = f"<{_token(parcel.delivery_id)}@{mailer.domain}>"
    if message.thread:
        root = f"<incident-{_token(message.thread)}@{mailer.domain}>"
        mail["In-Reply-To"] = root
        mail["References"] = root
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(text_of(message))
    mail.add_alternative(html_of(message), subtype="html")
    return mail


class _Encoded(str):
    """A subject that is encoded as it stands. What has a `name` and can `fold` is taken by the policy as it is."""

    name = "Subject"

    def fold(self, *, policy: EmailPolicy) -> str:
        """The policy's hook."""
        end = policy.linesep
        return f"{self.name}: {Header(str(self), 'utf-8', header_name=self.name).encode(linesep=end)}{end}"


def subject_of(words: str) -> str:
    """A line for the header Subject that is read as it was written. What looks like an encoded word of RFC 2047 the policy would
    decode, and write the line breaks in it into the mail: then whoever chose the name writes our headers and our text."""
    return _Encoded(words) if "=?" in words else words


def text_of(message: Message) -> str:
    """The mail as plain text."""
    parts = [message.sentence, "\n".join(f"{label}: {value}" for label, value in message.facts)]
    if message.output:
        parts.append("Last output:\n\n" + "\n".join(f"  {line}" for line in message.output.splitlines()))
    return "\n\n".join(part for part in (*parts, message.link) if part) + "\n"


def html_of(message: Message) -> str:
    """The same as HTML; every word escaped, nothing loaded from anywhere."""
    rows = "".join(f"<tr><td>{escape(label)}</td><td>{escape(value)}</td></tr>" for label, value in message.facts)
    output = f"<p>Last output:</p><pre>{escape(message.output)}</pre>" if message.output else ""
    link = f'<p><a href="{escape(message.link)}">Incident</a></p>' if message.link else ""
    title, sentence = escape(message.title), escape(message.sentence)
    body = f'<h2>{title}</h2><p>{sentence}</p><table cellpadding="4">{rows}</table>{output}{link}'
    return f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>{title}</title></head><body>{body}</body></html>\n'


def _outcome_of(error: aiosmtplib.SMTPException) -> Outcome:
    """RFC 5321: 4xx is for now, 5xx for good; what is for good with us (sign-in, sender) the operator can mend."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return _outcome_of(error.recipients[0])
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        return Outcome(Verdict.RETRY, clean(error.message, ANSWER_LIMIT) or "the SMTP server hung up")
    words = clean(error.message, ANSWER_LIMIT) or f"SMTP {error.code}"
    return Outcome(_verdict(error), words, status=error.code)


def _verdict(error: aiosmtplib.SMTPResponseException) -> Verdict:
    if error.code < 500:
        return Verdict.RETRY
    if error.code in (530, 534, 535, 538) or isinstance(error, aiosmtplib.SMTPAuthenticationError | aiosmtplib.SMTPSenderRefused):
        return Verdict.UNAUTHORISED
    if isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError):
        return Verdict.REFUSED
    return Verdict.RETRY


def _token(text: str) -> str:
    """Safe inside the angle brackets of a Message-ID."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", text)[:100]
