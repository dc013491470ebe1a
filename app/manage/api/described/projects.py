"""A project as it is edited and shown."""

from pydantic import BaseModel, Field

from app.manage.api.described import AT, without_default
from app.manage.api.wire import EXAMPLE_ID

EXAMPLE = {"name": "Backups"}


class ProjectBody(BaseModel):
    """What is to change. Unknown keys are refused."""

    name: str = Field(default="", min_length=1, max_length=100, examples=["Backups"], json_schema_extra=without_default)
    ping_key: str | None = Field(
        default=None,
        pattern="^(new|[A-Za-z0-9_-]{20,100})$",
        description="new: another one, or one that was in use elsewhere; the one before opens nothing any more. "
        "null: no pings by slug",
        json_schema_extra=without_default,
    )


class Project(BaseModel):
    """A project."""

    id: str = Field(examples=[EXAMPLE_ID])
    name: str = Field(examples=["Backups"])
    ping_key: str | None = Field(
        default=None, description="For pings by slug, null while that is off; not with a read-only key", examples=["9XcVtPq1"]
    )
    monitor_limit: int | None = Field(description="How many checks it may have; null: as many as it likes")
    n_checks: int = Field(description="How many it has", examples=[12])
    badges_url: str = Field(examples=["https://ping.example.com/api/v3/badges/"])
    created_at: str = Field(examples=[AT])
    plan: str = Field(description="What limits it has: `unlimited` or `free`", examples=["unlimited"])
    delete_at: str | None = Field(description="When it goes, since an owner deleted it; null: it stays")


class Projects(BaseModel):
    """The project of the key."""

    projects: list[Project]
