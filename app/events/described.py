"""The answer and the body of `POST /events`, described for OpenAPI."""

from typing import Any

from pydantic import BaseModel, Field

EXAMPLE = """{"v":1,"app":"shop","environment":"production","sent_at":1760000000123,"heartbeat":15}
{"type":"run.started","id":"a:1","ts":1760000000001,"monitor":"entry:nightly","run":"7d0c","att":0,"x":"a1b2c3d4"}
{"type":"run.succeeded","id":"a:2","ts":1760000000051,"monitor":"entry:nightly","run":"7d0c","att":0,"x":"a1b2c3d4"}
"""
DESCRIBED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/x-ndjson": {"schema": {"type": "string", "format": "binary"}, "example": EXAMPLE}},
    }
}


class LineError(BaseModel):
    """A line, or an entry of a schedule in it, that could not be read."""

    line: int = Field(examples=[3])
    error: str = Field(examples=["monitor: must be entry:<name>, task:<name>, job:<key> or check:<id or slug>"])


class Forbidden(BaseModel):
    """The key may not do this."""

    error: str = Field(examples=["this key may only read: report with a read-write key, or one that may ping"])


class Taken(BaseModel):
    """What was done with the events."""

    accepted: int = Field(description="Recorded now")
    repeated: int = Field(description="Known already")
    ignored: int = Field(description="Of a type that is not known here")
    unknown_monitors: int = Field(description="Of checks that are not there, or may not be made with this key")
    flagged: int = Field(description="Said to be over 5 minutes in the future: they count as of now")
    broken: int = Field(description="Lines, and entries of schedules, that could not be read")
    warnings: list[str] = Field(description="In words, what was not done and why; a hundred at most")
    errors: list[LineError]
    server_time: int | None = Field(description="Milliseconds since 1970", examples=[1760000000200])


class Refused(Taken):
    """Some lines could not be read; the others are recorded and counted."""

    error: str = Field(description="The first of the errors", examples=["line 3: ts: is missing"])
