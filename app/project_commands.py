"""`missedbeat-server project …`: projects, by whoever has a shell on the service."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from app.command_session import AsJson, Data, OpenDatabase, command_session
from app.domain.audit_action import AuditAction
from app.domain.plan import PlanName
from app.errors import BadSettings, NotFound

if TYPE_CHECKING:
    from app.store.accounts import NewProject, Summary


def project_commands(database: OpenDatabase) -> typer.Typer:
    """The commands, on the database that the command line is given."""
    projects = typer.Typer(no_args_is_help=True, help="Projects, their keys and plans.")

    @projects.command("create")
    def create(
        name: str,
        email: Annotated[str | None, typer.Option(help="The owner's address, told when all else fails.")] = None,
        monitor_limit: Annotated[int | None, typer.Option(min=1, help="How many checks it may have; none: no limit.")] = None,
        plan: Annotated[PlanName, typer.Option(help="What it may have: docs/teams.md.")] = PlanName.UNLIMITED,
        as_json: AsJson = False,
        data: Data = None,
    ) -> None:
        """Make a project and print its keys. The API keys are shown this once."""
        with database(data) as (settings, dsn):
            fields = _as_json(asyncio.run(create_project(dsn, name, email, monitor_limit, plan)), settings.address)
        lines = [f"{label:<17} {value}" for label, value in fields.items()]
        typer.echo(json.dumps(fields) if as_json else "\n".join(lines))

    @projects.command("list")
    def list_(as_json: AsJson = False, data: Data = None) -> None:
        """Print each project: its id, plan, how many checks and members it has, and its name."""
        with database(data) as (_, dsn):
            found = asyncio.run(_list(dsn))
        fields = [
            {"project_id": str(one.id), "plan": one.plan, "checks": one.monitors, "members": one.members, "name": one.name}
            for one in found
        ]
        lines = (f"{f['project_id']}  {f['plan']:<9}  {f['checks']:>7}  {f['members']:>7}  {f['name']}" for f in fields)
        head = f"{'project_id':<36}  {'plan':<9}  {'checks':>7}  {'members':>7}  name"
        typer.echo(json.dumps(fields) if as_json else "\n".join([head, *lines]))

    @projects.command("plan")
    def plan(project_id: UUID, plan: PlanName, data: Data = None) -> None:
        """Put a project on another plan. One that has more than it allows keeps what it has, and makes no more."""
        with database(data) as (_, dsn):
            before = asyncio.run(_set_plan(dsn, project_id, plan))
        typer.echo(f"the project is on the plan {plan.value}" + (f", was on {before}" if before != plan else " as before"))

    return projects


async def create_project(
    dsn: str, name: str, email: str | None, monitor_limit: int | None = None, plan: PlanName = PlanName.UNLIMITED
) -> "NewProject":
    """A project with all its keys. Raises Invalid for an address that is none, BadSettings for a name that cannot be shown."""
    from app.notify.senders import check_settings
    from app.store import accounts, blackouts

    if email is not None:
        check_settings("email", {"address": email})
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise BadSettings("the project's name must have 1 to 100 printable characters")
    async with command_session(dsn) as session:
        return await accounts.create_project(session, name, email, await blackouts.now(session), monitor_limit, plan)


async def _list(dsn: str) -> "list[Summary]":
    from app.store import accounts

    async with command_session(dsn) as session:
        return await accounts.summaries(session)


async def _set_plan(dsn: str, project: UUID, plan: PlanName) -> str:
    """The plan that it was on. Raises NotFound."""
    from app.store import accounts, audit_entries, blackouts
    from app.store.audit_entries import COMMAND_LINE, Entry

    async with command_session(dsn) as session:
        before = await accounts.set_plan(session, project, plan)
        if before is None:
            raise NotFound("there is no project of this id: see `project list`")
        if before != plan:
            entry = Entry(AuditAction.PLAN_CHANGED, plan.value, project, {"before": before})
            await audit_entries.write(session, COMMAND_LINE, entry, await blackouts.now(session))
        return before


def _as_json(made: "NewProject", base_url: str) -> dict[str, str]:
    return {
        "project_id": str(made.id), "name": made.name, "api_key": made.api_key, "api_key_readonly": made.api_key_readonly,
        "ping_key": made.ping_key, "ping_url": f"{base_url}/ping/{made.ping_key}",
    }  # fmt: skip
