"""`missedbeat-server user …`: people, made by whoever has a shell on the service."""

import asyncio
import sys
from typing import Annotated

import typer

from app.command_session import Data, OpenDatabase, command_session
from app.domain import mailbox, password, tokens
from app.domain.audit_action import AuditAction
from app.errors import BadSettings, NotFound


def user_commands(database: OpenDatabase) -> typer.Typer:
    """The commands, on the database that the command line is given."""
    users = typer.Typer(no_args_is_help=True, help="People who sign in.")

    @users.callback()
    def people() -> None:
        """People who sign in."""

    @users.command("create")
    def create(
        address: str,
        make: Annotated[bool, typer.Option("--make-password", help="Make a password and print it.")] = False,
        data: Data = None,
    ) -> None:
        """Make an account: asks for a password, or reads a line of standard input. The first user owns the projects there are."""
        email = mailbox.checked(address)
        chosen = _made(make) or _asked(email)
        with database(data) as (settings, dsn):
            adopted = asyncio.run(_create(dsn, email, chosen))
            base_url = settings.address
        typer.echo(f"{email} can sign in at {base_url}/login")
        if make:
            typer.echo(f"password  {chosen}")
        if adopted:
            typer.echo(f"owner of  {adopted} project{'s' if adopted > 1 else ''}")

    @users.command("link")
    def link(address: str, data: Data = None) -> None:
        """Print a link that signs somebody in: once, within ten minutes, in any browser. For a service without mail."""
        with database(data) as (settings, dsn):
            secret = asyncio.run(_link(dsn, mailbox.checked(address)))
            base_url = settings.address
        typer.echo(f"{base_url}/login/link/open?token={secret}")

    return users


def _made(make: bool) -> str:
    return tokens.new_secret()[:20] if make else ""


def _asked(email: str) -> str:
    """Raises BadSettings for one that is too weak."""
    if sys.stdin.isatty():
        chosen = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    else:
        chosen = sys.stdin.readline().rstrip("\r\n")
    fault = password.problem(chosen, email)
    if fault:
        raise BadSettings(f"the password: {fault}")
    return chosen


async def _create(dsn: str, email: str, chosen: str) -> int:
    """How many projects became theirs."""
    from app.manage.founding import adopt
    from app.manage.passwords import hash_of
    from app.store import audit_entries, blackouts, users
    from app.store.audit_entries import COMMAND_LINE, Actor, Entry

    async with command_session(dsn) as session:
        now, is_first = await blackouts.now(session), not await users.count(session)
        made = await users.create(session, email, hash_of(chosen), now, verified=True)
        actor = Actor(COMMAND_LINE.words, user=made.id)
        await audit_entries.write(session, actor, Entry(AuditAction.USER_CREATED, subject=email), now)
        return await adopt(session, made.id, actor, email, now) if is_first else 0


async def _link(dsn: str, email: str) -> str:
    """Its secret. Raises NotFound."""
    from app.store import audit_entries, blackouts, links, users
    from app.store.audit_entries import COMMAND_LINE, Actor, Entry

    async with command_session(dsn) as session:
        now, user = await blackouts.now(session), await users.of_address(session, email)
        if user is None:
            raise NotFound(f"{email} has no account")
        secret = await links.make(session, links.Link("login", user.email_key, user.id, {"next": "/account"}), now)
        actor = Actor(COMMAND_LINE.words, user=user.id)
        await audit_entries.write(session, actor, Entry(AuditAction.LINK_MADE, subject=user.email), now)
        return secret
