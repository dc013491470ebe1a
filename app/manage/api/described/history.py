"""What a check said and went through."""

from typing import Literal

from pydantic import BaseModel, Field

from app.manage.api.described import AT, EXAMPLE_BACK


class Ping(BaseModel):
    """A signal heard."""

    type: Literal["success", "start", "fail", "log", "ign"]
    date: str = Field(examples=[AT])
    n: int
    scheme: str = Field(examples=["https"])
    remote_addr: str
    method: str = Field(examples=["POST"])
    ua: str
    rid: str | None
    exitstatus: int | None
    body_url: str | None = Field(examples=[f"{EXAMPLE_BACK}/pings/1/body"])
    body_truncated: bool
    duration: float = Field(default=0, description="Seconds since its start; only where there is one", examples=[12.34])
    reported_at: str = Field(default="", description="When it happened by the client's own time; only where it said so")


class Pings(BaseModel):
    """The newest pings, newest first."""

    pings: list[Ping]


class Flip(BaseModel):
    """A turning of the status."""

    timestamp: str = Field(examples=[AT])
    up: Literal[0, 1]


class Flips(BaseModel):
    """Newest first."""

    flips: list[Flip]


class Transition(BaseModel):
    """A turning of the status, with its reason."""

    n: int
    from_: str = Field(alias="from", examples=["up"])
    to: str = Field(examples=["down"])
    at: str = Field(description="When it became true", examples=[AT])
    noticed_at: str = Field(examples=[AT])
    reason: str = Field(examples=["missed"])
    explain: str = Field(description="One sentence: what was expected, what was heard")
    announced_to: list[str] = Field(default=[], description="Ids of the channels told; not with a read-only key")


class Transitions(BaseModel):
    """Newest first."""

    transitions: list[Transition]


class Run(BaseModel):
    """An execution, or slots nobody was heard in."""

    id: str | None = Field(description="The run id it gave itself")
    attempt: int
    outcome: str | None = Field(description="null while it runs", examples=["success"])
    at: str = Field(examples=[AT])
    slot: str | None = Field(examples=[AT])
    last_slot: str | None = Field(description="Of several missed slots the last")
    count: int = Field(description="How many slots were missed")
    started_at: str | None = Field(examples=[AT])
    ended_at: str | None = Field(examples=[AT])
    duration: float | None = Field(description="Seconds")
    cause: str | None = Field(
        description="Why, in the words of who reported it, or of ours where nobody did", examples=["signal 9 (SIGKILL)"]
    )


class Runs(BaseModel):
    """Newest first."""

    runs: list[Run]
