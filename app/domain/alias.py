"""Other services' names for a monitor: which there are, and what they may look like. How their URLs are read stands in
`ingest/dialects.py`."""

import re
from enum import StrEnum

from app.errors import Invalid

LONGEST = 200
TOKEN = re.compile(r"[A-Za-z0-9_-]{4,200}")
OURS = frozenset({
    "livez", "readyz", "metrics", "healthz", "docs", "login", "signup", "logout", "static", "favicon.ico", "robots.txt",
})  # fmt: skip
"""Paths at the root that are this service's own, where those of Dead Man's Snitch stand too."""
PING_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Service(StrEnum):
    """Whose ping URLs are understood."""

    HEALTHCHECKS = "healthchecks"
    CRONRADAR = "cronradar"
    CRONITOR = "cronitor"
    SENTRY = "sentry"
    SNITCH = "deadmanssnitch"
    BETTER_STACK = "betterstack"
    UPTIME_KUMA = "uptimekuma"


KEYED = frozenset({Service.CRONRADAR, Service.CRONITOR, Service.SENTRY})
"""Their URLs hold a project's key beside the monitor's, which is unique in its project only; those of the others hold a token
that stands for the monitor alone."""


def check_alias(service: str, token: str) -> tuple[Service, str]:
    """The alias, if it can stand in a URL of that service. Raises Invalid, saying what is wrong."""
    if service not in set(Service):
        raise Invalid(f"service: say one of {', '.join(Service)}")
    known = Service(service)
    if known is Service.HEALTHCHECKS:
        token = token.lower()
        if not PING_ID.fullmatch(token):
            raise Invalid("token: a check of healthchecks has a UUID, with its dashes")
    elif known in KEYED:
        if not (0 < len(token) <= LONGEST) or not token.isprintable() or "/" in token:
            raise Invalid(f"token: a key of {known} has 1 to {LONGEST} characters, none of them a slash")
    elif known is Service.SNITCH and token.lower() in OURS:
        raise Invalid(f"token: /{token} is an address of this service itself")
    elif not TOKEN.fullmatch(token):
        raise Invalid(f"token: a token of {known} has 4 to {LONGEST} letters, digits, - and _")
    return known, token
