"""The management API: Healthchecks' resources and ours, in three versions on the same routes."""

from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from app.manage.api.badges import routes as badges
from app.manage.api.blackouts import routes as blackouts
from app.manage.api.channels import routes as channels
from app.manage.api.check_history import routes as check_history
from app.manage.api.checks import routes as checks
from app.manage.api.docs import docs_routes
from app.manage.api.incidents import routes as incidents
from app.manage.api.keys import routes as keys
from app.manage.api.projects import routes as projects
from app.manage.api.simulation import routes as simulation
from app.manage.api.status import routes as status
from app.manage.api.wire import Problem

REFUSALS = {
    400: "What was sent does not make sense; the error names the field",
    401: "No key, an unknown one, or a read-only key for something that writes",
    404: "There is no such thing, or not in this project",
    408: "The body did not arrive in time",
    409: "It is not in a state in which this can be done, or somebody else changed it at the same time",
    413: "The body is larger than 1 MB",
    429: "More calls a minute than this key may make; Retry-After says when to go on",
    503: "Nothing was changed: try again",
}
RESOURCES = (checks, check_history, simulation, channels, incidents, blackouts, badges, keys, projects, status)


PROBLEMS: dict[int | str, dict[str, Any]] = {number: {"model": Problem, "description": why} for number, why in REFUSALS.items()}


def _below_v3(*resources: APIRouter) -> list[BaseRoute]:
    routes = APIRouter()
    for resource in resources:
        routes.include_router(
            resource, prefix="/api/v3", responses=PROBLEMS, generate_unique_id_function=lambda route: route.name
        )
    return routes.routes


OURS = _below_v3(*RESOURCES)  # once for all apps of this process: it takes longer than all else of an app


def api_routes(app: FastAPI, docs: bool, beside: APIRouter) -> list[BaseRoute]:
    """The routes, those of another room `beside` them, and where `docs` is set their description. What was asked of v1 and v2
    comes here too (see `web.Outside`)."""
    routes = [*OURS, *_below_v3(beside)]
    return [*routes, *docs_routes(app, routes).routes] if docs else routes
