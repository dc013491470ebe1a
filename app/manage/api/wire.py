"""What the routes of the API share: the version asked, ids in paths, instants as text."""

import re
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, Field

from app.errors import Invalid, NotFound

PAGE = 100  # how many of a list without an end are given at once
ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
EXAMPLE_ID = "f618072a-7bde-4eee-af63-71a77c5723bc"


class Problem(BaseModel):
    """Why a request was refused."""

    error: str = Field(examples=["json validation error: timeout is too small"])
    detail: str | None = Field(default=None, description="More about it, for people")


def _version(request: Request) -> int:
    asked: int = request.scope.get("api_version", 3)
    return asked


Version = Annotated[int, Depends(_version)]
CheckId = Annotated[str, Path(description="The check's id", examples=[EXAMPLE_ID])]
CheckKey = Annotated[str, Path(description="The check's id, or its unique_key", examples=[EXAMPLE_ID])]
ChannelId = Annotated[str, Path(description="The channel's id", examples=[EXAMPLE_ID])]
IncidentId = Annotated[str, Path(description="The incident's id", examples=[EXAMPLE_ID])]
KeyId = Annotated[str, Path(description="The key's id", examples=[EXAMPLE_ID])]
ProjectId = Annotated[str, Path(description="The project's id", examples=[EXAMPLE_ID])]
Before = Annotated[str | None, Query(description="Only what is older than this", examples=["2026-10-18T03:00:00+00:00"])]


def id_of(text: str) -> UUID:
    """An id as it stands in a path, with its dashes. Raises NotFound, as for an unknown one."""
    if not ID.fullmatch(text):
        raise NotFound("not found")
    return UUID(text)


def instant(at: datetime | None) -> str | None:
    """An instant as our own resources write it, whole, so that it can be given back as `before`."""
    return None if at is None else at.astimezone(UTC).isoformat()


def read_before(text: str | None) -> datetime | None:
    """What `before` says; without a zone it is UTC, and a `+` that became a space in the URL is put back. Raises Invalid."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(re.sub(r"(?<=:\d\d) (?=\d\d:?\d\d$)|(?<=\.\d{6}) (?=\d\d:?\d\d$)", "+", text))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid("before: give an instant such as 2026-10-18T03:00:00+00:00") from None
