"""The mail server."""

import asyncio
from collections.abc import Iterator

from app.doctor.check import Check
from app.settings import Settings

PATIENCE = 8.0  # seconds


def check_mail(settings: Settings) -> Iterator[Check]:
    """Connects and signs in; no mail is sent."""
    if not settings.smtp_host:
        remedy = "Set MISSEDBEAT_SMTP_HOST for e-mail channels, owners and the operator"
        yield Check("mail", "wrong" if settings.operator_email else "note", "no SMTP server is set, so no mail goes out", remedy)
        return
    from app.worker import mailer_of

    server = f"{settings.smtp_host}:{settings.smtp_port}"
    failure = asyncio.run(mailer_of(settings).try_out(PATIENCE))
    if failure:
        yield Check("mail", "wrong", f"{server}: {failure}", "Check the MISSEDBEAT_SMTP_ settings")
        return
    yield Check("mail", "ok", f"{server} answers{' and takes the login' if settings.smtp_user else ''}")
    if not settings.operator_email:
        yield Check("operator", "note", "nobody hears of trouble with the service", "Set MISSEDBEAT_OPERATOR_EMAIL")
