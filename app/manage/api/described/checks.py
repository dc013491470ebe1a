"""A check as it is asked for and shown."""

from typing import Literal

from pydantic import BaseModel, Field

from app.domain.alias import Service
from app.manage.api.described import AT, EXAMPLE_BACK, YEAR
from app.manage.api.wire import EXAMPLE_ID

EXAMPLE_URL = f"https://ping.example.com/ping/{EXAMPLE_ID}"
EXAMPLE = {"name": "Nightly backup", "timeout": 86400, "grace": 3600}


class Alias(BaseModel):
    """What a check is called in another service's ping URLs."""

    service: str = Field(json_schema_extra={"enum": [str(service) for service in Service]}, examples=["cronitor"])
    token: str = Field(min_length=1, max_length=320, examples=["nightly-backup"])


class CheckBody(BaseModel):
    """What a check is to be. Everything is optional; unknown keys are ignored."""

    name: str = Field(default="", max_length=100, examples=["Nightly backup"])
    slug: str = Field(default="", max_length=100, pattern="^[a-z0-9_-]*$", examples=["nightly-backup"])
    tags: str = Field(default="", max_length=500, description="Separated by spaces", examples=["prod db"])
    desc: str = Field(default="", max_length=10_000)
    timeout: int = Field(default=86400, ge=1, le=YEAR, description="Expected so many seconds after the last success or fail")
    grace: int = Field(default=3600, ge=1, le=YEAR, description="How many seconds late it may be")
    schedule: str = Field(
        default="",
        max_length=100,
        description="Cron or OnCalendar; wins over timeout. As it is shown: what a program declared stays what it is",
        examples=["0 3 * * *"],
    )
    tz: str = Field(default="UTC", description="IANA time zone of the schedule", examples=["Europe/Berlin"])
    early: int | None = Field(
        default=None, ge=0, le=YEAR, description="How many seconds before its slot a success already counts"
    )
    max_runtime: int | None = Field(
        default=None, ge=1, le=YEAR, description="Seconds a run may take; null: grace, from its start"
    )
    max_wait: int | None = Field(
        default=None, ge=1, le=YEAR, description="Seconds a run that a program put on its way may wait for its start; null: 900"
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
    start_kw: str = Field(
        default="", max_length=200, description="A mail or body with one of these says start", examples=["START"]
    )
    success_kw: str = Field(default="", max_length=200, description="… says success", examples=["SUCCESS,COMPLETE"])
    failure_kw: str = Field(default="", max_length=200, description="… says fail, whatever else it says", examples=["FAILED"])
    filter_subject: bool = Field(default=False, description="Look for the keywords in a mail's subject")
    filter_body: bool = Field(default=False, description="Look for the keywords in a mail's body")
    filter_http_body: bool = Field(default=False, description="Look for the keywords in the body of HTTP pings")
    filter_default_fail: bool = Field(default=False, description="Without any keyword it says fail; else it is ignored")
    subject: str = Field(default="", max_length=200, description="success_kw with filter_subject", deprecated=True)
    subject_fail: str = Field(default="", max_length=200, description="failure_kw with filter_subject", deprecated=True)
    aliases: list[Alias] = Field(default=[], max_length=20, description="All of them; those it had before are gone")


class Check(BaseModel):
    """A check. With a read-only key `unique_key` stands in place of uuid, URLs, channels and aliases."""

    name: str = Field(examples=["Nightly backup"])
    slug: str = Field(examples=["nightly-backup"])
    tags: str = Field(examples=["prod db"])
    desc: str
    grace: int = Field(examples=[3600])
    n_pings: int
    status: Literal["new", "up", "grace", "down", "paused", "started"]
    started: bool = Field(description="A start waits for its end")
    last_ping: str | None = Field(description="The last success or fail", examples=[AT])
    next_ping: str | None = Field(description="Since when or from when it is waited for; then comes grace", examples=[AT])
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
    badge_url: str = Field(examples=["https://ping.example.com/b/2/0b6a8d7e-3c1f-4c52-9e0d-5a7f1b2c3d4e.svg"])
    last_duration: int = Field(default=0, description="Seconds; only where there is one")
    uuid: str = Field(default="", examples=[EXAMPLE_ID])
    ping_url: str = Field(default="", examples=[EXAMPLE_URL])
    ping_email: str = Field(default="", description="Mail to it is a ping; only where the service hears mail")
    update_url: str = Field(default="", examples=[EXAMPLE_BACK])
    pause_url: str = Field(default="", examples=[f"{EXAMPLE_BACK}/pause"])
    resume_url: str = Field(default="", examples=[f"{EXAMPLE_BACK}/resume"])
    channels: str = Field(default="", description="Ids separated by commas")
    aliases: list[Alias] = Field(default=[], description="Its names in other services' ping URLs; not with a read-only key")
    unique_key: str = ""
    timeout: int = Field(default=0, description="Only of a check with a period")
    schedule: str = Field(
        default="", description="Only of a check with a calendar; `declared`: its scheduler says when", examples=["0 3 * * *"]
    )
    tz: str = Field(default="", examples=["Europe/Berlin"])
    kind: Literal["every", "cron", "oncalendar", "crontab", "declared"]
    early: int | None
    max_runtime: int | None
    max_wait: int | None
    failures_to_alert: int
    successes_to_recover: int
    deadline: str | None = Field(description="Not heard by then, it is down", examples=[AT])
    source: str = Field(description="Which program declares it in its syncs; empty: none", examples=["celery"])
    retired: bool = Field(description="Its program no longer names it: paused, and pings are kept as ign, until it does")


class Checks(BaseModel):
    """All checks."""

    checks: list[Check]
