"""Which kinds of channel there are. A new one is its sender, its test, and one line in SENDERS; what a kind accepts and how it
says things stands in its own module."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.message import Outcome, Parcel, Verdict
from app.errors import Invalid
from app.notify import email, slack, webhook
from app.notify.email import Mailer
from app.notify.outbound import Network, Outbound, check_address

__all__ = ["SENDERS", "Mailer", "Outbound", "Outcome", "Parcel", "Post", "Verdict", "check_settings", "checking"]

TIME_LIMIT = 20.0  # seconds for one attempt, whatever it does

Checked = tuple[dict[str, Any], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Sender:
    """One kind of channel: what it accepts as settings, and how it hands a parcel over."""

    check_settings: Callable[[Mapping[str, Any]], Checked]
    send: "Callable[[Parcel, Post], Awaitable[Outcome]]"


class Post:
    """The ways out of the house, and who takes which."""

    def __init__(self, outbound: Outbound, mailer: Mailer, *, time_limit: float = TIME_LIMIT) -> None:
        self.outbound = outbound
        self.mailer = mailer
        self._time_limit = time_limit

    async def send(self, kind: str, parcel: Parcel) -> Outcome:
        """One attempt, over within the time limit. Never raises for what the network or the receiver does."""
        sender = SENDERS.get(kind)
        if sender is None:
            return Outcome(Verdict.REFUSED, f"there is no channel of the kind {kind!r}")
        try:
            async with asyncio.timeout(self._time_limit):
                return await sender.send(parcel, self)
        except TimeoutError:
            return Outcome(Verdict.RETRY, f"no answer within {self._time_limit:g} s")

    async def aclose(self) -> None:
        """Close what is open."""
        await self.outbound.aclose()


def by_http(send: Callable[[Parcel, Outbound], Awaitable[Outcome]]) -> Callable[[Parcel, Post], Awaitable[Outcome]]:
    """A sender that needs the way out by HTTP only."""
    return lambda parcel, post: send(parcel, post.outbound)


def by_mail(send: Callable[[Parcel, Mailer], Awaitable[Outcome]]) -> Callable[[Parcel, Post], Awaitable[Outcome]]:
    """A sender that needs the mail server only."""
    return lambda parcel, post: send(parcel, post.mailer)


SENDERS = {
    "slack": Sender(slack.check_settings, by_http(slack.send)),
    "email": Sender(email.check_settings, by_mail(email.send)),
    "webhook": Sender(webhook.check_settings, by_http(webhook.send)),
}


def check_settings(kind: str, given: Mapping[str, Any]) -> Checked:
    """What the API was given, as (settings to store in clear, secrets to encrypt). Raises Invalid naming the field and what
    to do."""
    sender = SENDERS.get(kind)
    if sender is None:
        raise Invalid(f"kind: choose one of {', '.join(sorted(SENDERS))}")
    return sender.check_settings(given)


def checking(allowed: Sequence[Network]) -> Callable[[str, Mapping[str, Any]], Checked]:
    """The same for a service that may reach these networks of its own besides public addresses: whoever makes a channel is told
    at once of an address that would be refused when connecting."""

    def check(kind: str, given: Mapping[str, Any]) -> Checked:
        settings, secrets = check_settings(kind, given)
        if "url" in secrets:
            check_address(secrets["url"], allowed)
        return settings, secrets

    return check
