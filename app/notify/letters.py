"""Sending mail to people: claimed under a lease, handed to the mail server, tried again while it is of use, then given up."""

import asyncio
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from html import escape
from random import random

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import utc_now
from app.domain.letter import Letter
from app.domain.message import Outcome, Verdict
from app.domain.retry import GIVE_UP_AFTER, next_try
from app.notify import email
from app.notify.email import Mailer
from app.store import blackouts, letters, notices
from app.store.engine import Sessions
from app.store.letters import Posted
from app.store.vault import Vault

log = structlog.get_logger()

AT_ONCE = 8  # all at the same time, each well within the lease
NOT_OURS = "it was sealed with another MISSEDBEAT_SECRET_KEY"


async def send_letters_once(sessions: Sessions, vault: Vault, mailer: Mailer) -> int:
    """Send what is due; returns how many the mail server took.

    1. Claim some under a lease. 2. Hand each over, with no database held. 3. Delete what was taken, put off or give up the rest:
    a crash between 2 and 3 sends a letter twice, never not at all.
    """
    async with sessions() as session:
        found = await letters.claim(session, vault, await blackouts.now(session), AT_ONCE)
        await session.commit()
    outcomes = await asyncio.gather(*(_send(posted, mailer) for posted in found))
    for posted, outcome in zip(found, outcomes, strict=True):
        await _settle(sessions, posted, outcome)
    return sum(outcome.verdict is Verdict.DELIVERED for outcome in outcomes)


async def _send(posted: Posted, mailer: Mailer) -> Outcome:
    letter = posted.letter
    if letter is None:
        return Outcome(Verdict.REFUSED, NOT_OURS)
    return await email.hand_over(mailer, lambda: compose_mail(posted, letter, mailer))


async def _settle(sessions: Sessions, posted: Posted, outcome: Outcome) -> None:
    async with sessions() as session:
        now = await blackouts.now(session)
        if outcome.verdict is Verdict.DELIVERED:
            await letters.taken(session, posted.id)
        else:
            again = next_try(posted.attempts, now, random())
            if _is_hopeless(posted, outcome, again):
                await letters.give_up(session, posted.id, now, outcome.answer)
                if not _is_theirs(outcome):
                    await _tell_operator(session, posted, outcome, now)
            else:
                await letters.put_off(session, posted.id, again, outcome.answer)
            log.warning(
                "a letter was not taken", letter=str(posted.id), kind=posted.kind, answer=_without_address(posted, outcome)
            )
        await session.commit()


def _is_theirs(outcome: Outcome) -> bool:
    """Whether the address itself was refused, which its owner alone can mend."""
    return outcome.verdict is Verdict.REFUSED and outcome.status is not None


def _is_hopeless(posted: Posted, outcome: Outcome, again: datetime) -> bool:
    """For good: refused, past its use by then, or a day old. A missing mail server is not: the operator may set one yet."""
    refused = outcome.verdict is Verdict.REFUSED and outcome.answer != email.NO_SERVER
    return refused or again >= posted.expires_at or again - posted.created_at > GIVE_UP_AFTER


async def _tell_operator(session: AsyncSession, posted: Posted, outcome: Outcome, now: datetime) -> None:
    """Once an hour: whoever could not be mailed may be locked out. No address stands in it."""
    words = f"Mail to people who sign in could not be sent ({posted.kind}): {_without_address(posted, outcome)}"
    await notices.notice(session, "letter", f"{now:%Y-%m-%dT%H}", words, now)


def _without_address(posted: Posted, outcome: Outcome) -> str:
    return outcome.answer.replace(posted.recipient, "…")


def compose_mail(posted: Posted, letter: Letter, mailer: Mailer) -> EmailMessage:
    """The same Message-ID over all attempts."""
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["From"] = mailer.sender
    mail["To"] = posted.recipient
    mail["Subject"] = email.subject_of(letter.subject)
    mail["Date"] = format_datetime(utc_now())
    mail["Message-ID"] = f"<letter-{posted.id}@{mailer.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(text_of(letter))
    mail.add_alternative(html_of(letter), subtype="html")
    return mail


def text_of(letter: Letter) -> str:
    """The mail as plain text, the link on a line of its own."""
    link = f"{letter.label}:\n{letter.link}" if letter.link else ""
    notes = "\n".join(part for part in (letter.valid, letter.asked) if part)
    return "\n\n".join(part for part in (letter.sentence, link, notes, letter.closing) if part) + "\n"


def html_of(letter: Letter) -> str:
    """The same as HTML; every word escaped, nothing loaded from anywhere."""
    link = f'<p><a href="{escape(letter.link)}">{escape(letter.label)}</a></p>' if letter.link else ""
    notes = "".join(f"<p><small>{escape(part)}</small></p>" for part in (letter.valid, letter.asked) if part)
    closing = f"<p>{escape(letter.closing)}</p>" if letter.closing else ""
    title = escape(letter.subject)
    body = f"<h2>{title}</h2><p>{escape(letter.sentence)}</p>{link}{notes}{closing}"
    return f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>{title}</title></head><body>{body}</body></html>\n'
