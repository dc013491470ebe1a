"""Trouble, and who was told of it."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.manage.api.described import AT
from app.manage.api.wire import EXAMPLE_ID


class Incident(BaseModel):
    """Trouble from open to close."""

    id: str = Field(examples=[EXAMPLE_ID])
    check: str = Field(default="", description="The check's id; with a read-only key check_unique_key stands in its place")
    check_unique_key: str = ""
    name: str = Field(description="The check's name when it opened")
    reason: str = Field(examples=["missed"])
    explain: str
    opened_at: str = Field(examples=[AT])
    closed_at: str | None
    closed_by: str | None = Field(examples=["heard"])
    acknowledged_at: str | None
    fine_until: str | None = Field(
        description="Late news showed that the check was fine until then; until it closed, where it was a false alarm"
    )


class Incidents(BaseModel):
    """Newest first."""

    incidents: list[Incident]


class Explained(BaseModel):
    """Why an incident opened."""

    incident: Incident
    explain: str = Field(
        examples=["Expected at 2026-10-18 03:00:00 UTC (every 1 d), and not heard of by 2026-10-18 04:00:00 UTC."]
    )
    evidence: dict[str, Any] = Field(
        description="Schedule, slot, deadline, horizon, last check-ins: what the verdict was decided from"
    )


class Attempt(BaseModel):
    """One try to hand a message over."""

    at: str = Field(examples=[AT])
    outcome: str = Field(examples=["delivered"])
    status: int | None = Field(description="The receiver's number, of HTTP or SMTP", examples=[200])
    answer: str = Field(description="What the receiver said", examples=["200 ok"])
    took: float = Field(description="Seconds")


class Delivery(BaseModel):
    """One message to one channel."""

    id: str = Field(description="The same in every attempt: the webhook-id", examples=[EXAMPLE_ID])
    kind: str = Field(examples=["monitor.down"])
    channel: str = Field(examples=[EXAMPLE_ID])
    channel_name: str | None = Field(description="null once the channel is deleted")
    check: str | None
    incident: str | None
    state: Literal["waiting", "sending", "delivered", "dead", "suppressed"]
    reason: str | None
    tries: int
    attempts: list[Attempt]
    created_at: str = Field(examples=[AT])
    next_try: str | None
    settled_at: str | None


class Deliveries(BaseModel):
    """Messages with their attempts."""

    deliveries: list[Delivery]
