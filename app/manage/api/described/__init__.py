"""What goes in and comes out, described for OpenAPI, a module for each resource. What counts is how the routes read and shape it;
a test holds both together."""

from typing import Any

from pydantic import BaseModel

from app.manage.api.wire import EXAMPLE_ID, Problem

YEAR = 31_536_000
AT = "2026-10-18T03:00:00+00:00"
EXAMPLE_BACK = f"https://ping.example.com/api/v3/checks/{EXAMPLE_ID}"
ON_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "It is not in a state in which this can be done"}
}


def without_default(schema: dict[str, Any]) -> None:
    """For a field that may be left out and then stands for nothing."""
    schema.pop("default", None)


def body(model: type[BaseModel], example: dict[str, Any], required: bool = False) -> dict[str, Any]:
    """`openapi_extra` for a body that the route reads by hand, with one that it takes as it stands: of the fields' own examples
    all at once make none. Models inside it must be part of some answer too."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema, "example": example}}}}
