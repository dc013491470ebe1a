"""A key as it is asked for and shown."""

from typing import Literal

from pydantic import BaseModel, Field

from app.manage.api.described import AT, without_default
from app.manage.api.wire import EXAMPLE_ID

Scope = Literal["rw", "ro", "ping"]
Keyed = Literal["cronitor", "cronradar", "sentry"]
EXAMPLE = {"name": "deploy", "scope": "rw"}


class KeyBody(BaseModel):
    """A key to make: `scope`; or a key of another service to take over: `service` and `key`. Unknown keys are refused."""

    name: str = Field(default="", max_length=100, examples=["deploy"])
    scope: Scope = Field(
        default="ping",
        description="rw: everything; ro: read, without ping ids; ping: only send pings",
        json_schema_extra=without_default,
    )
    service: Keyed = Field(default="cronitor", description="Whose key it is", json_schema_extra=without_default)
    key: str = Field(
        default="",
        min_length=12,
        max_length=200,
        description="That service's key; only its hash is kept",
        json_schema_extra=without_default,
    )


class Key(BaseModel):
    """A key, without itself."""

    id: str = Field(examples=[EXAMPLE_ID])
    name: str = Field(examples=["deploy"])
    scope: Scope
    service: Literal["", "cronitor", "cronradar", "sentry"] = Field(description="Of another service: whose it is")
    hint: str = Field(description="How it begins", examples=["mb_rw_4fK8"])
    created_at: str = Field(examples=[AT])
    made_by: str = Field(description="Who made it, in words; empty: it came with the project", examples=["anna@example.com"])
    last_used_at: str | None = Field(description="When the API was last called with it, to the minute", examples=[AT])


class NewKey(Key):
    """A key just made."""

    key: str = Field(default="", description="The key, shown this once; not where it was given", examples=["mb_rw_…"])


class Keys(BaseModel):
    """Oldest first, without those revoked."""

    keys: list[Key]
