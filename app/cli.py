"""The command `missedbeat-server`: serve, web, worker, smtpd, migrate, project …, user …, doctor, dsn, demo."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from app.command_session import AsJson, Data, command_session
from app.errors import BadSettings, MissedbeatError
from app.garbage import look_later
from app.log import set_up_logs
from app.project_commands import create_project, project_commands
from app.settings import Settings, load
from app.user_commands import user_commands

if TYPE_CHECKING:
    from app.store.accounts import NewProject

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Dead man's switch for jobs.")

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
OnStdin = Annotated[bool, typer.Option(hidden=True, help="Wait for serve to say where the database is.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any.")]


@cli.command()
def serve(
    host: Host = None,
    port: Port = None,
    data: Data = None,
    workers: Annotated[int | None, typer.Option(help="Web processes.")] = None,
) -> None:
    """Run everything: web, worker, smtpd where it has a domain, and a private PostgreSQL unless DATABASE_URL is set."""
    from app.serve import Serve

    settings = load(host=host, port=port, data=data, workers=workers)
    running: list[Serve] = []
    running.append(Serve(settings, lambda dsn: _announce(running[0].settings, dsn)))
    running[0].run()


@cli.command()
def web(
    host: Host = None,
    port: Port = None,
    fd: Annotated[int | None, typer.Option(hidden=True, help="A listening socket handed down by serve.")] = None,
    dsn_on_stdin: OnStdin = False,
) -> None:
    """Run one web process: pings, API, health. Needs DATABASE_URL and MISSEDBEAT_SECRET_KEY."""
    settings = load(host=host, port=port)  # what is wrong with them is said before anything large is imported
    import uvicorn

    from app.connection import configured
    from app.main import create_app
    from app.serve import listen

    settings = _deployed(settings, dsn_on_stdin)
    listener = socket.socket(fileno=fd) if fd is not None else listen(settings)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again after its own shutdown
        signal.signal(number, lambda *_: None)
    app = create_app(settings, settings.database_url)
    config = configured(app)
    server = uvicorn.Server(config)
    app.live.leaving = lambda: server.should_exit
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))


@cli.command()
def worker(dsn_on_stdin: OnStdin = False) -> None:
    """Run one worker: sweeps, sends, keeps house. Needs DATABASE_URL and MISSEDBEAT_SECRET_KEY."""
    settings = load()
    from app.worker import run_worker

    settings = _deployed(settings, dsn_on_stdin)
    asyncio.run(run_worker(settings, settings.database_url))


@cli.command()
def smtpd(
    host: Host = None,
    port: Port = None,
    fd: Annotated[int | None, typer.Option(hidden=True, help="A listening socket handed down by serve.")] = None,
    dsn_on_stdin: OnStdin = False,
) -> None:
    """Run one mail door: pings by e-mail. Needs DATABASE_URL and MISSEDBEAT_PING_EMAIL_DOMAIN."""
    settings = load(smtpd_host=host, smtpd_port=port)
    if not settings.ping_email_domain:
        raise BadSettings("MISSEDBEAT_PING_EMAIL_DOMAIN: must be set for this command, such as ping.example.com")
    from app.serve import listen_for_mail
    from app.smtpd import run_smtpd

    settings = _deployed(settings, dsn_on_stdin, keeps_secrets=False)
    listener = socket.socket(fileno=fd) if fd is not None else listen_for_mail(settings)
    asyncio.run(run_smtpd(settings, settings.database_url, listener))


@cli.command()
def migrate(data: Data = None) -> None:
    """Bring the database up to date. Safe to repeat, and to run beside a running service."""
    settings = load(data=data)
    from app.store.migrate import migrate as run

    with _database(settings) as dsn:
        typer.echo(f"the database is at revision {run(dsn)}")


@cli.command()
def doctor(
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Say what is misconfigured and how to mend it; exit status 1 where anything is wrong. Changes nothing, sends nothing."""
    settings = load(data=data)
    from app.doctor.examine import examine

    checks = list(examine(settings))
    wrong = any(check.state == "wrong" for check in checks)
    if as_json:
        typer.echo(json.dumps({"healthy": not wrong, "checks": [check.as_json() for check in checks]}))
    else:
        typer.echo("\n".join(check.line() for check in checks))
    raise typer.Exit(1 if wrong else 0)


@cli.command()
def dsn(data: Data = None) -> None:
    """Print where the database is, for psql and pg_dump: DATABASE_URL, else the private one of the `serve` that runs now."""
    settings = load(data=data)
    from app.store import embedded

    found = settings.database_url or embedded.dsn_of_running(settings.data)
    if not found:
        raise BadSettings(f"no `serve` runs on {settings.data}: start it, or name its folder with --data")
    typer.echo(found.replace("postgresql+psycopg://", "postgresql://", 1))


@cli.command()
def demo() -> None:
    """Watch a job go silent and come back, with real mail and a Slack-like receiver, in under a minute."""
    from app.demo import run_demo

    run_demo()


def main() -> None:
    """The command line. What we refuse on purpose is one clear line and exit status 1."""
    look_later()
    set_up_logs()
    try:
        cli()
    except MissedbeatError as error:
        for line in str(error).splitlines():
            typer.echo(f"missedbeat-server: {line}", err=True)
        sys.exit(1)


def _deployed(settings: Settings, dsn_on_stdin: bool, keeps_secrets: bool = True) -> Settings:
    """Settings for one process of a deployment, which must name its database and key."""
    if dsn_on_stdin:
        settings.database_url = sys.stdin.readline().strip()
    if not settings.database_url:
        raise BadSettings("DATABASE_URL: must be set for this command; `serve` runs a private PostgreSQL without it")
    if keeps_secrets and not settings.secret_key:
        raise BadSettings("MISSEDBEAT_SECRET_KEY: must be set for this command; make one with: openssl rand -hex 32")
    if not dsn_on_stdin:
        _check_schema(settings.database_url)
    return settings


def _check_schema(dsn: str) -> None:
    """Refuse to start on a database that was not migrated; one that cannot be reached yet is waited for at work."""
    from sqlalchemy.exc import DBAPIError, OperationalError

    from app.store.migrate import pending

    try:
        if pending(dsn):
            raise BadSettings("the database is not migrated: run `missedbeat-server migrate` first")
    except OperationalError as error:
        structlog.get_logger().warning("the database cannot be reached yet", error=str(error.orig).splitlines()[0])
    except DBAPIError as error:
        words = str(error.orig).splitlines()[0]
        raise BadSettings(f"the database refuses: {words}; see `missedbeat-server doctor`") from None


def _refuse_another_database(settings: Settings) -> None:
    """A project in a database that no service runs on helps nobody: one is made only in a folder that was named."""
    if not settings.database_url and "data" not in settings.model_fields_set and not (settings.data / "postgres").exists():
        raise BadSettings(
            f"there is no service's data in {settings.data}: name its folder with --data, or its DATABASE_URL.\n"
            "`make run` keeps its own in ./data: with --data ./data the command finds it"
        )


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """The database the settings name; else the one a running `serve` started in the data folder, or one for the moment."""
    if settings.database_url:
        yield settings.database_url
        return
    from app.store import embedded

    with embedded.borrowed(settings.data, binaries=settings.postgres_bin or None) as dsn:
        yield dsn


@contextmanager
def _migrated(data: Path | None) -> Iterator[tuple[Settings, str]]:
    """The settings, and the database that they name, up to date."""
    settings = load(data=data)
    from app.store.migrate import migrate as run

    _refuse_another_database(settings)
    with _database(settings) as dsn:
        run(dsn)
        yield settings.model_copy(update={"base_url": _base_url(settings)}), dsn


cli.add_typer(project_commands(_migrated), name="project")
cli.add_typer(user_commands(_migrated), name="user")


def _base_url(settings: Settings) -> str:
    """The public address: as set, else as the `serve` of this data folder last had it."""
    path = settings.data / "base_url"
    if not settings.base_url and not settings.database_url and path.exists():
        return path.read_text().strip()
    return settings.address


def _announce(settings: Settings, dsn: str) -> None:
    """Say that it runs; on the first start make a project and say what to do next."""
    from app.welcome import first_words, later_words, set_up_words

    made, anybody = asyncio.run(_first_start(dsn))
    typer.echo(first_words(settings, made) if made is not None else later_words(settings))
    if not anybody:
        typer.echo(set_up_words(settings))
    sys.stdout.flush()


async def _first_start(dsn: str) -> "tuple[NewProject | None, bool]":
    """A project where there was none, and whether anybody has an account."""
    from app.store import accounts, users

    async with command_session(dsn) as session:
        is_first, anybody = not await accounts.any_project(session), await users.any_user(session)
    return (await create_project(dsn, "My project", None) if is_first else None), anybody


if __name__ == "__main__":
    main()
