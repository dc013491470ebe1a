"""Asking the audits: what they find is kept for /metrics and /healthz/deep, written to the log, and told to the operator."""

from datetime import datetime, timedelta

import structlog

from app.store import audit, blackouts, notices
from app.store.audit import Finding
from app.store.engine import Sessions

log = structlog.get_logger()

ASKED_LATELY = timedelta(seconds=50)


async def audit_once(sessions: Sessions) -> dict[str, int]:
    """Ask every audit, each in a transaction of its own; returns what each found. Nothing where another worker just did.

    The operator hears of an audit once a day while it finds something.
    """
    async with sessions() as session:
        now, asked = await blackouts.now(session), await audit.newest(session)
        if asked is not None and timedelta() <= now - asked < ASKED_LATELY:
            return {}
        await audit.forget_others(session)
        await session.commit()
    counts = {}
    for name in (*audit.AUDITS, audit.PARTITIONS):
        async with sessions() as session:
            counts[name], findings = await audit.find(session, name, now)
            words = _words(findings)
            await audit.keep(session, name, counts[name], words, now)
            if findings:
                await notices.notice(session, "audit", f"{name} {now:%Y-%m-%d}", _notice(name, counts[name], words), now)
            await session.commit()
        _log(name, findings, now)
    return counts


def _log(name: str, findings: list[Finding], now: datetime) -> None:
    for finding in findings:
        project = str(finding.project) if finding.project else ""
        log.error("audit", audit=name, project=project, unique_key=finding.unique_key, found=finding.detail, at=now.isoformat())


def _words(findings: list[Finding]) -> str:
    """The first of them, as who looks for it needs it."""
    if not findings:
        return ""
    first = findings[0]
    where = f" (project {first.project}, check {first.unique_key})" if first.project else ""
    return f"{first.detail}{where}"


def _notice(name: str, found: int, words: str) -> str:
    return f"Audit {name} found {found}: {words}. Alerts may be missing; docs/operations/README.md says what to do."
