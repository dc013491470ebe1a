"""What goes in and comes out, described for OpenAPI. What counts is how the routes read and shape it; a test holds both
together."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.manage.api.wire import EXAMPLE_ID, Problem

YEAR = 31_536_000
AT = "2026-10-18T03:00:00+00:00"
EXAMPLE_URL = f"https://ping.example.com/ping/{EXAMPLE_ID}"
EXAMPLE_BACK = f"https://ping.example.com/api/v3/checks/{EXAMPLE_ID}"
ON_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "It is not in a state in which this can be done"}
}


class CheckBody(BaseModel):
    """What a check is to be. Everything is optional; unknown keys are ignored."""

    name: str = Field(default="", max_length=100, examples=["Nightly backup"])
    slug: str = Field(default="", max_length=100, pattern="^[a-z0-9_-]*$", examples=["nightly-backup"])
    tags: str = Field(default="", max_length=500, description="Separated by spaces", examples=["prod db"])
    desc: str = Field(default="", max_length=10_000)
    timeout: int = Field(default=86400, ge=1, le=YEAR, description="Expected so many seconds after the last success or fail")
    grace: int = Field(default=3600, ge=1, le=YEAR, description="How many seconds late it may be")
    schedule: str = Field(default="", max_length=100, description="Cron or OnCalendar; wins over timeout", examples=["0 3 * * *"])
    tz: str = Field(default="UTC", description="IANA time zone of the schedule", examples=["Europe/Berlin"])
    early: int | None = Field(
        default=None, ge=0, le=YEAR, description="How many seconds before its slot a success already counts"
    )
    max_runtime: int | None = Field(
        default=None, ge=1, le=YEAR, description="Seconds a run may take; null: grace, from its start"
    )
    failures_to_alert: int = Field(default=1, ge=1, le=100, description="Failures in a row until it is down")
    successes_to_recover: int = Field(default=1, ge=1, le=100, description="Successes in a row until it is up again")
    expect_first: bool = Field(default=False, description="Its very first check-in is expected too, from now on")
    manual_resume: bool = Field(default=False, description="Paused until resumed: pings are ignored meanwhile")
    methods: Literal["", "POST"] = Field(default="", description="POST: other pings are ignored")
    channels: str = Field(default="", description="*, or ids and names separated by commas", examples=["*"])
    unique: list[Literal["name", "slug", "tags", "timeout", "grace"]] = Field(
        default=[], description="Edit the check that agrees in these, if there is one", examples=[["name"]]
    )
    subject: str = Field(default="", max_length=0, description="Not supported yet, like the filters below")
    subject_fail: str = Field(default="", max_length=0)
    start_kw: str = Field(default="", max_length=0)
    success_kw: str = Field(default="", max_length=0)
    failure_kw: str = Field(default="", max_length=0)
    filter_subject: Literal[False] = False
    filter_body: Literal[False] = False
    filter_http_body: Literal[False] = False
    filter_default_fail: Literal[False] = False


class Check(BaseModel):
    """A check. With a read-only key `unique_key` stands in place of uuid, URLs and channels."""

    name: str = Field(examples=["Nightly backup"])
    slug: str = Field(examples=["nightly-backup"])
    tags: str = Field(examples=["prod db"])
    desc: str
    grace: int = Field(examples=[3600])
    n_pings: int
    status: Literal["new", "up", "grace", "down", "paused", "started"]
    started: bool = Field(description="A start waits for its end")
    last_ping: str | None = Field(description="The last success or fail", examples=[AT])
    next_ping: str | None = Field(description="When the next is expected", examples=[AT])
    manual_resume: bool
    methods: Literal["", "POST"]
    subject: str
    subject_fail: str
    start_kw: str
    success_kw: str
    failure_kw: str
    filter_subject: bool
    filter_body: bool
    filter_http_body: bool
    filter_default_fail: bool
    badge_url: str | None
    last_duration: int = Field(default=0, description="Seconds; only where there is one")
    uuid: str = Field(default="", examples=[EXAMPLE_ID])
    ping_url: str = Field(default="", examples=[EXAMPLE_URL])
    update_url: str = Field(default="", examples=[EXAMPLE_BACK])
    pause_url: str = Field(default="", examples=[f"{EXAMPLE_BACK}/pause"])
    resume_url: str = Field(default="", examples=[f"{EXAMPLE_BACK}/resume"])
    channels: str = Field(default="", description="Ids separated by commas")
    unique_key: str = ""
    timeout: int = Field(default=0, description="Only of a check with a period")
    schedule: str = Field(default="", description="Only of a check with a calendar", examples=["0 3 * * *"])
    tz: str = Field(default="", examples=["Europe/Berlin"])
    kind: Literal["every", "cron", "oncalendar"]
    early: int | None
    max_runtime: int | None
    failures_to_alert: int
    successes_to_recover: int
    deadline: str | None = Field(description="Not heard by then, it is down", examples=[AT])


class Checks(BaseModel):
    """All checks."""

    checks: list[Check]


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
    duration: float = Field(default=0, description="Seconds since its start; only where there is one")


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


class Runs(BaseModel):
    """Newest first."""

    runs: list[Run]


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


class ChannelBody(BaseModel):
    """A channel: what every kind has, then the settings of the kinds. Unknown keys are refused; secrets are never read back."""

    kind: Literal["email", "slack", "webhook"]
    name: str = Field(default="", max_length=100, examples=["On call"])
    hears: Literal["all", "down", "up"] = "all"
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
    disabled: bool = Field(description="The receiver is gone for good; edit the channel to use it again")
    why: str | None = Field(description="Why it is disabled")
    created_at: str = Field(examples=[AT])
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


def body(model: type[BaseModel], required: bool = False) -> dict[str, Any]:
    """`openapi_extra` for a body that the route reads by hand."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}
