"""What settings would have alerted, as it is asked for and shown."""

from pydantic import BaseModel, Field

from app.manage.api.described import AT, YEAR

EXAMPLE = {"schedule": "0 3 * * *", "tz": "Europe/Berlin", "grace": 600}


class SimulateBody(BaseModel):
    """The settings to try, as on a check. Everything is optional: what is not given is as the check has it. Its other fields
    change nothing, unknown keys are ignored."""

    timeout: int = Field(default=86400, ge=1, le=YEAR, description="Expected so many seconds after the last success or fail")
    grace: int = Field(default=3600, ge=1, le=YEAR, description="How many seconds late it may be")
    schedule: str = Field(default="", max_length=100, description="Cron or OnCalendar; wins over timeout", examples=["0 3 * * *"])
    tz: str = Field(default="UTC", description="IANA time zone of the schedule", examples=["Europe/Berlin"])
    early: int | None = Field(default=None, ge=0, le=YEAR, description="Seconds before its slot that a success already counts")
    max_runtime: int | None = Field(default=None, ge=1, le=YEAR, description="Seconds a run may take")
    failures_to_alert: int = Field(default=1, ge=1, le=100, description="Failures in a row until it is down")
    successes_to_recover: int = Field(default=1, ge=1, le=100, description="Successes in a row until it is up again")
    manual_resume: bool = Field(default=False, description="Paused until resumed: pings are ignored meanwhile")


class SimulatedAlert(BaseModel):
    """A time for which it would have been down."""

    down_at: str = Field(examples=[AT])
    up_at: str | None = Field(description="When it was up again, or paused; null while it lasts", examples=[AT])
    reason: str = Field(examples=["missed"])
    explain: str = Field(description="One sentence: what was expected, what was heard")


class Simulation(BaseModel):
    """What the settings would have alerted, and when they expect it next."""

    from_: str = Field(alias="from", description="30 days ago; later where more check-ins were heard than are looked at")
    to: str = Field(
        description="Now; earlier where so much would have been missed that the rest was not looked at", examples=[AT]
    )
    check_ins: int = Field(description="How many were heard in that time")
    alerts: list[SimulatedAlert] = Field(description="The last 200, newest first")
    alert_count: int = Field(description="How many in all")
    words: str = Field(description="The schedule in words", examples=["at 03:00 every day, Europe/Berlin"])
    next: list[str] = Field(
        description="The next five times, in the zone of the schedule; of a timeout as if it was heard now", examples=[[AT]]
    )
    notes: list[str] = Field(description="What a change of the clock does to these times, and what of the past cannot be known")
