"""The address that people and jobs use: whether it can be right, and whether we answer there."""

import asyncio
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from app.doctor.check import Check
from app.notify.outbound import Answer, Outbound, OutboundError
from app.settings import Settings

PATIENCE = 4.0  # seconds
ANYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
GUARDED = (401, 403, 429)  # what stands in front lets this machine no further, and others perhaps


def check_address(settings: Settings) -> Iterator[Check]:
    """Where it is set, one call of its /livez."""
    yield from _written(settings)
    if settings.base_url:
        yield asyncio.run(_called(settings.base_url))


def is_local(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _written(settings: Settings) -> Iterator[Check]:
    parts = urlsplit(settings.address)
    if not settings.base_url:
        words = f"MISSEDBEAT_BASE_URL is empty, so ping URLs begin with {settings.address}"
        yield Check("address", "wrong", words, "Set it to the address that jobs reach, such as https://ping.example.com")
    elif is_local(parts.hostname or ""):
        words = f"MISSEDBEAT_BASE_URL is {settings.base_url}, which only this machine reaches"
        yield Check("address", "wrong", words, "Set it to the address that jobs on other machines reach")
    elif parts.scheme == "http":
        words = f"MISSEDBEAT_BASE_URL is {settings.base_url}: ping URLs, which are secrets, travel in clear"
        yield Check("address", "wrong", words, "Put a proxy with TLS in front; docs/self-hosting.md has one")
    else:
        yield Check("address", "ok", settings.base_url)
    if parts.scheme == "https" and not settings.trusted_proxies:
        words = "the address is https, so a proxy stands in front, but MISSEDBEAT_TRUSTED_PROXIES is empty"
        yield Check("proxy", "wrong", words, "Set it to the proxy's address, else every ping seems to come from the proxy")


async def _called(base_url: str) -> Check:
    """That nothing answers here may be the network between; that something else answers is not."""
    url = f"{base_url}/livez"
    try:
        async with Outbound(allow_networks=ANYWHERE, time_limit=PATIENCE) as outbound:
            answer = await outbound.post(url, content=b"", headers={}, method="GET")
    except OutboundError as error:
        remedy = "Try it from outside: where nothing answers there either, mend proxy, DNS or certificate"
        return Check("reached", "note", f"nothing answers this machine at {url}: {error.words}", remedy)
    return _judged(url, answer)


def _judged(url: str, answer: Answer) -> Check:
    if answer.status == 200 and answer.text == "alive":
        return Check("reached", "ok", f"{url} answers")
    if answer.status in GUARDED:
        words = f"{url} answers {answer.status}: what stands in front keeps this machine out"
        return Check("reached", "note", words, "See that jobs get through, and the worker's own check-in")
    if answer.status >= 500:
        words = f"{url} answers {answer.status}: what stands in front does not get through to us"
        return Check("reached", "wrong", words, "Start `missedbeat-server web`, and see where the proxy leads")
    if 300 <= answer.status < 400:
        return Check("reached", "wrong", f"{url} leads elsewhere", "Set MISSEDBEAT_BASE_URL to the address that answers itself")
    words = f"{url} answers {answer.status}, and not as this service does"
    return Check("reached", "wrong", words, "Set MISSEDBEAT_BASE_URL to where the proxy leads to us, with its path if it has one")
