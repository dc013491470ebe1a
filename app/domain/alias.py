"""Other services' names for a monitor: which there are, and what they may look like. How their URLs are read stands in
`ingest/dialects.py`."""

import re
from enum import StrEnum

from app.errors import Invalid

LONGEST = 200
LONGEST_CELERY = 320
CELERY = re.compile(r".+/((entry|task|job)/.+|beat|workers)")
CELERY_FORM = (
    "<source>/entry/<name>, <source>/task/<name>, <source>/beat, <source>/workers or @<environment>/job/<key>, "
    f"{LONGEST_CELERY} characters at most"
)
TOKEN = re.compile(r"[A-Za-z0-9_-]{4,200}")
OURS = frozenset({
    "account", "api", "apple-touch-icon.png", "badge", "docs", "email", "favicon.ico", "healthz", "invitation", "invitations",
    "link", "links", "live", "livez", "login", "logout", "metrics", "password", "ping", "project", "projects", "readyz",
    "recover", "robots.txt", "security.txt", "setup", "signup", "static", "verify",
})  # fmt: skip
"""Paths at the root that are this service's own, where those of Dead Man's Snitch stand too."""
PING_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Service(StrEnum):
    """Whose ping URLs are understood; and Celery, whose schedules and runs come as events, as those of plain programs do."""

    HEALTHCHECKS = "healthchecks"
    CRONRADAR = "cronradar"
    CRONITOR = "cronitor"
    SENTRY = "sentry"
    SNITCH = "deadmanssnitch"
    BETTER_STACK = "betterstack"
    UPTIME_KUMA = "uptimekuma"
    CELERY = "celery"


WITH_KEYS = frozenset({Service.CRONRADAR, Service.CRONITOR, Service.SENTRY})
"""Their URLs hold a project's key beside the monitor's, which is unique in its project only; those of the others hold a token
that stands for the monitor alone."""
KEYED = WITH_KEYS | {Service.CELERY}
"""What a monitor is called there is unique in its project only."""


def entry_token(source: str, name: str) -> str:
    """An entry of a source's schedule."""
    return f"{source}/entry/{name}"


def task_token(source: str, name: str) -> str:
    """A task that is watched whoever starts it."""
    return f"{source}/task/{name}"


def job_token(environment: str, key: str) -> str:
    """What plain programs call a job: the same in all programs of an environment."""
    return f"@{environment}/job/{key}"


def group_token(source: str, group: str) -> str:
    """All schedulers of a source, `beat`, or all its `workers`."""
    return f"{source}/{group}"


def check_alias(service: str, token: str) -> tuple[Service, str]:
    """The alias, if it can stand for a check in that service. Raises Invalid, saying what is wrong."""
    if service not in set(Service):
        raise Invalid(f"service: say one of {', '.join(Service)}")
    known = Service(service)
    token = token.lower() if known is Service.HEALTHCHECKS else token
    problem = _problem(known, token)
    if problem:
        raise Invalid(f"token: {problem}")
    return known, token


def _problem(service: Service, token: str) -> str:
    """What is wrong with a token; empty where nothing is."""
    if service is Service.HEALTHCHECKS:
        return "" if PING_ID.fullmatch(token) else "a check of healthchecks has a UUID, with its dashes"
    if service is Service.CELERY:
        return "" if len(token) <= LONGEST_CELERY and token.isprintable() and CELERY.fullmatch(token) else CELERY_FORM
    if service in KEYED:
        fine = 0 < len(token) <= LONGEST and token.isprintable() and "/" not in token
        return "" if fine else f"a key of {service} has 1 to {LONGEST} characters, none of them a slash"
    if service is Service.SNITCH and token.lower() in OURS:
        return f"/{token} is an address of this service itself"
    return "" if TOKEN.fullmatch(token) else f"a token of {service} has 4 to {LONGEST} letters, digits, - and _"
