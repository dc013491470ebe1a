"""Telling whoever runs the service: notices by mail, those that come together in one, tried again until it is taken."""

from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from app.clock import utc_now
from app.domain.message import Message, Parcel, Told, Verdict, clean
from app.notify import email
from app.notify.email import Mailer
from app.store import blackouts, notices
from app.store.engine import Sessions
from app.store.notices import Notice

log = structlog.get_logger()

GATHER = timedelta(seconds=5)
PAUSE = timedelta(minutes=5)  # between two mails, so that a storm is one
LISTED = 50
SUBJECT_LIMIT = 120
WORDS_LIMIT = 1000


async def tell_operator_once(sessions: Sessions, mailer: Mailer, address: str, base_url: str) -> int:
    """Tell what is untold; returns how many notices are out.

    1. Claim them under a lease. 2. Write a line each to the log, and send one mail where an `address` is set. 3. Only once
    that is taken they count as told: a crash between 2 and 3 tells them twice, never not at all.
    """
    async with sessions() as session:
        now = await blackouts.now(session)
        found = await notices.claim(session, now, GATHER, PAUSE if address else timedelta())
        await session.commit()
    if not found:
        return 0
    for notice in found[:LISTED]:
        log.warning("notice", kind=notice.kind, key=notice.key, words=notice.words, at=notice.at.isoformat())
    if address and not await _mail(found, mailer, address, base_url):
        return 0
    async with sessions() as session:
        await notices.told(session, found, await blackouts.now(session))
        await session.commit()
    return len(found)


async def _mail(found: list[Notice], mailer: Mailer, address: str, base_url: str) -> bool:
    """Whether the mail was taken; if not the lease runs out and it is tried again, however long that takes."""
    parcel = Parcel(f"notice-{uuid4()}", compose_notice(found, base_url), {"address": address}, "", utc_now())
    outcome = await email.send(parcel, mailer)
    if outcome.verdict is not Verdict.DELIVERED:
        log.error("the operator could not be told by mail", notices=len(found), answer=outcome.answer)
    return outcome.verdict is Verdict.DELIVERED


def compose_notice(found: list[Notice], base_url: str) -> Message:
    """One mail for all of them: the first in the subject, a line each, the oldest first."""
    first = clean(found[0].words, SUBJECT_LIMIT)
    title = f"Missedbeat: {first}" if len(found) == 1 else f"Missedbeat: {len(found)} notices, the first: {first}"
    facts = [(_stamp(notice.at), clean(f"{notice.words} ({notice.kind})", WORDS_LIMIT)) for notice in found[:LISTED]]
    if len(found) > LISTED:
        facts.append(("and", f"{len(found) - LISTED} more, in the table notices"))
    sentence = f"You run the Missedbeat at {base_url}. It has something to tell you about itself:"
    return Message("notice", title, sentence, tuple(facts), "", "", "", Told(kind="notice", at=found[0].at, project=""))


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
