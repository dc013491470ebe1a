"""A channel as it is asked for and shown."""

from typing import Literal

from pydantic import BaseModel, Field

from app.manage.api.described import AT
from app.manage.api.wire import EXAMPLE_ID

EXAMPLE = {"kind": "email", "name": "On call", "address": "ops@example.com"}
EXAMPLE_EDIT = {"name": "On call", "hears": "down"}


class ChannelHours(BaseModel):
    """The days on which, and the time of day at which a channel is told, by the clock of a zone."""

    zone: str = Field(default="UTC", examples=["Europe/Berlin"])
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = Field(default=[], description="None: each of them")
    start: str = Field(alias="from", examples=["08:00"])
    end: str = Field(alias="to", description="24:00: the end of the day; not after `from`: on the day after", examples=["18:00"])


TAGS = "Only of checks with one of these tags, separated by spaces; empty: of all"
HOURS = "Only in these hours: what comes outside of them waits until they begin. null: at any time"


class ChannelBody(BaseModel):
    """A channel: what every kind has, then the settings of the kinds. Unknown keys are refused; secrets are never read back."""

    kind: Literal["email", "slack", "webhook"]
    name: str = Field(default="", max_length=100, examples=["On call"])
    hears: Literal["all", "down", "up"] = "all"
    tags: str = Field(default="", max_length=500, description=TAGS, examples=["billing production"])
    hours: ChannelHours | None = Field(default=None, description=HOURS)
    url: str = Field(default="", description="slack, webhook: where to post to", examples=["https://hooks.example.com/T000/B000"])
    address: str = Field(default="", description="email", examples=["ops@example.com"])
    method: Literal["POST", "PUT", "PATCH", "GET"] = Field(default="POST", description="webhook")
    headers: dict[str, str] = Field(default={}, description="webhook")
    body_down: str = Field(default="", max_length=10_000, description="webhook: a template with $NAME, $STATUS, $SINCE and so on")
    body_up: str = Field(default="", max_length=10_000, description="webhook")
    secret: str = Field(default="", description="webhook: the signing secret; one is made where none is given")
    secret_before: str = Field(default="", description="webhook: the one before, while the receiver changes over")


class ChannelEdit(ChannelBody):
    """The same; settings of the kind are replaced as a whole, and stay where none is given."""

    kind: Literal["email", "slack", "webhook"] = Field(default="webhook", description="Cannot be changed")


class Channel(BaseModel):
    """A channel, without its secrets."""

    id: str = Field(examples=[EXAMPLE_ID])
    name: str = Field(examples=["On call"])
    kind: Literal["email", "slack", "webhook"]
    hears: Literal["all", "down", "up"]
    tags: str = Field(description=TAGS)
    hours: ChannelHours | None = Field(description=HOURS)
    disabled: bool = Field(description="The receiver is gone for good; edit the channel to use it again")
    why: str | None = Field(description="Why it is disabled")
    created_at: str = Field(examples=[AT])
    failing_since: str | None = Field(description="Since when every attempt failed; null while they go through")
    breaker: Literal["closed", "open"] = Field(
        description="open after five failures in a row: until `next_try` nothing but tests is sent, then the oldest message "
        "alone, and all of them once that goes through. An edit closes it"
    )
    next_try: str | None = Field(description="While the breaker is open: when the next message may be tried")
    host: str = Field(default="", description="slack, webhook: of the URL, which is itself a secret")
    method: str = Field(default="", description="webhook")
    address: str = Field(default="", description="email")


class NewChannel(Channel):
    """A channel just made."""

    secret: str = Field(default="", description="webhook: the signing secret made for it, shown this once")


class Channels(BaseModel):
    """All channels, oldest first."""

    channels: list[Channel]


class Tested(BaseModel):
    """How a test message fared."""

    error: str = ""
    id: str = Field(description="The delivery", examples=[EXAMPLE_ID])
    state: str = Field(examples=["delivered"])
    answer: str | None = Field(default=None, description="What the receiver said", examples=["200 ok"])
