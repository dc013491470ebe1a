"""Time in which the service could not hear, or did not judge."""

from pydantic import BaseModel, Field

from app.manage.api.described import AT


class Blackout(BaseModel):
    """Nobody is called missed for what was due in it."""

    start: str = Field(alias="from", examples=[AT])
    end: str = Field(alias="to", examples=[AT])
    seconds: float = Field(examples=[16.2])


class Hold(BaseModel):
    """So many jobs fell silent at once that verdicts waited: what was due after `from`, until `released_at` or `until`."""

    start: str = Field(alias="from", examples=[AT])
    opened_at: str = Field(examples=[AT])
    until: str = Field(examples=[AT])
    released_at: str | None


class Blackouts(BaseModel):
    """Newest first."""

    blackouts: list[Blackout]
    holds: list[Hold]
