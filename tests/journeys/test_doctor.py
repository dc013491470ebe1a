"""`doctor`: what is misconfigured is said with its remedy, and nothing secret with it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from app.doctor.database import MAIL_CONNECTIONS, WEB_CONNECTIONS, WORKER_CONNECTIONS
from app.main import Web
from app.settings import Settings
from app.smtpd import MailDoor
from app.store import embedded
from app.store.migrate import migrate
from app.store.revision import head
from app.worker import Worker
from tests.journeys.consulting import asked, refused
from tests.journeys.running import serving
from tests.receivers import MailReceiver
from tests.world import World

pytestmark = pytest.mark.anyio

PASSWORD = "a-password-nobody-may-see"
KEY = "k" * 40
RESET = "ALTER ROLE plain RESET ALL"
FREE = "ALTER DATABASE plain CONNECTION LIMIT -1"


@dataclass(frozen=True)
class Server:
    """One database, by the role of the service and by a superuser."""

    dsn: str
    by_owner: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL of our own, migrated by a role that is not a superuser."""
    running = embedded.start(tmp_path_factory.mktemp("doctor") / "data", fsync=False)
    try:
        for role in ("plain", "stranger"):
            run(running.dsn, f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        for database in ("plain", "other"):
            run(running.dsn, f"CREATE DATABASE {database} OWNER plain")
        by_owner = running.dsn.replace("@/missedbeat", "@/plain")
        dsn = by_owner.replace("//missedbeat@", f"//plain:{PASSWORD}@")
        assert len({running.dsn, by_owner, dsn}) == 3
        migrate(dsn)
        run(dsn, "CREATE SCHEMA elsewhere")
        yield Server(dsn, by_owner)
    finally:
        running.stop()


def run(dsn: str, sql: str) -> None:
    """Statements past the service."""
    with psycopg.connect(dsn.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in sql.split("; "):
            connection.execute(statement)


async def test_a_service_set_up_well_has_nothing_wrong(tmp_path: Path) -> None:
    """With a private PostgreSQL, an https address behind a proxy, and a mail server that takes the login."""
    settings = {"MISSEDBEAT_BASE_URL": "https://ping.example.com", "MISSEDBEAT_TRUSTED_PROXIES": "127.0.0.1/32"}
    async with serving(tmp_path / "data", **settings) as service:
        done = service.command("doctor")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(line.startswith("wrong") for line in lines)
    assert {"database", "durability", "schema", "worker", "web", "address", "disk"} <= {line[6:18].strip() for line in lines}


@pytest.mark.parametrize(
    ("before", "after", "about", "words"),
    [
        ("ALTER ROLE plain SET synchronous_commit = off", RESET, "durability", "synchronous_commit off"),
        ("ALTER ROLE plain SET statement_timeout = '3s'", RESET, "rights", "statement_timeout = 3s"),
        ("ALTER ROLE plain SET default_transaction_read_only = on", RESET, "writing", "every ping is refused"),
        (
            "ALTER DATABASE plain SET default_transaction_read_only = on",
            "SET default_transaction_read_only = off; ALTER DATABASE plain RESET ALL",
            "writing", "every ping is refused",
        ),
        ("ALTER ROLE plain SET search_path = elsewhere", RESET, "schema", "stand in the schema public"),
        ("ALTER ROLE plain CONNECTION LIMIT 20", "ALTER ROLE plain CONNECTION LIMIT -1", "connections", "the role has 20"),
        ("ALTER DATABASE plain CONNECTION LIMIT 9", FREE, "connections", "the database has 9"),
        ("UPDATE alembic_version SET version_num = '0001'", "", "schema", "at revision 0001"),
        ("ALTER TABLE canaries RENAME TO parrots", "ALTER TABLE parrots RENAME TO canaries", "schema", "are missing: canaries"),
        ("REVOKE DELETE ON check_ins FROM plain", "GRANT DELETE ON check_ins TO plain", "rights", "DELETE on check_ins"),
        (
            "REVOKE INSERT, UPDATE ON transitions FROM plain", "GRANT INSERT, UPDATE ON transitions TO plain",
            "rights", "INSERT, UPDATE on transitions",
        ),
        ("REVOKE SELECT ON alembic_version FROM plain", "GRANT SELECT ON alembic_version TO plain", "rights", "alembic_version"),
        (
            "ALTER TABLE runs OWNER TO missedbeat; GRANT ALL ON runs TO plain", "ALTER TABLE runs OWNER TO plain",
            "rights", "ownership of runs",
        ),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_the_database_is_said(
    server: Server, tmp_path: Path, before: str, after: str, about: str, words: str
) -> None:
    """And that nothing sweeps there; never the password."""
    run(server.by_owner, before)
    try:
        status, found, printed = asked(tmp_path, DATABASE_URL=server.dsn, MISSEDBEAT_SECRET_KEY=KEY)
    finally:
        run(server.by_owner, after or f"UPDATE alembic_version SET version_num = '{head()}'")
    assert status == 1
    assert words in found[about][1]
    assert "Traceback" not in printed
    assert PASSWORD not in printed
    assert KEY not in printed


async def test_where_row_security_is_off_is_said_with_what_turns_it_on(server: Server, tmp_path: Path) -> None:
    """Our role may make no other: somebody else makes it, and the next `migrate` lets it in."""
    _, found, _ = asked(tmp_path, DATABASE_URL=server.dsn, MISSEDBEAT_SECRET_KEY=KEY)
    assert "row security is off" in found["tenants"][1]
    run(server.by_owner, "CREATE ROLE missedbeat_tenant NOLOGIN; GRANT missedbeat_tenant TO plain")
    migrate(server.dsn)
    _, found, _ = asked(tmp_path, DATABASE_URL=server.dsn, MISSEDBEAT_SECRET_KEY=KEY)
    assert "row security keeps" in found["tenants"][1]


async def test_a_database_that_takes_no_writes_or_shows_nothing_stops_the_others_with_a_line(
    server: Server, tmp_path: Path
) -> None:
    """`migrate` where nothing may be written, `web` and `worker` where the revision may not be read."""
    other = server.dsn.replace("/plain?", "/other?")
    run(server.by_owner, "ALTER ROLE plain SET default_transaction_read_only = on")
    try:
        assert "read-only transaction" in refused(tmp_path, "migrate", DATABASE_URL=other)
    finally:
        run(server.by_owner, RESET)
    for command in ("web", "worker"):
        stranger = server.dsn.replace("//plain:", "//stranger:")
        said = refused(tmp_path, command, DATABASE_URL=stranger, MISSEDBEAT_SECRET_KEY=KEY)
        assert "permission denied for table alembic_version" in said


async def test_a_role_that_may_do_nothing_is_told_so_in_a_line(server: Server, tmp_path: Path) -> None:
    """The first tables that it may not read, and how many more; one without a way into the schema too."""
    stranger = server.dsn.replace("//plain:", "//stranger:")
    _, found, printed = asked(tmp_path, DATABASE_URL=stranger)
    assert "SELECT, INSERT, UPDATE, DELETE on " in found["rights"][1]
    assert " more" in found["rights"][1]
    assert "schema" not in found
    run(server.by_owner, "REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    try:
        _, found, more = asked(tmp_path, DATABASE_URL=stranger)
    finally:
        run(server.by_owner, "GRANT USAGE ON SCHEMA public TO PUBLIC")
    assert "stand in the schema public" in found["schema"][1]
    assert "Traceback" not in printed + more


async def test_a_database_of_another_program_is_no_newer_schema(server: Server, tmp_path: Path) -> None:
    """One that is empty is not migrated, one whose revisions are not ours lacks our tables."""
    other = server.dsn.replace("/plain?", "/other?")
    assert other != server.dsn
    assert "not migrated" in asked(tmp_path, DATABASE_URL=other)[1]["schema"][1]
    run(other, "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('f00d')")
    assert "tables are missing" in asked(tmp_path, DATABASE_URL=other)[1]["schema"][1]


async def test_a_database_without_a_service_and_a_bad_address_are_said(server: Server, tmp_path: Path) -> None:
    """Nobody sweeps, nobody ticks; an address that only this machine reaches, in clear, or behind a proxy not trusted."""
    for address, about in (
        ("", "address"),
        ("http://localhost:8000", "address"),
        ("http://ping.example.com", "address"),
        ("https://ping.example.com", "proxy"),
    ):
        status, found, _ = asked(tmp_path, DATABASE_URL=server.dsn, MISSEDBEAT_SECRET_KEY=KEY, MISSEDBEAT_BASE_URL=address)
        assert status == 1
        assert found[about][0] == "wrong"
        assert found["worker"][0] == found["web"][0] == "wrong"
    assert found["rights"][0] == "ok"


async def test_another_secret_key_than_the_channels_is_said(world: World, tmp_path: Path) -> None:
    """Before the first alert fails for it."""
    await world.api("POST", "channels/", {"kind": "webhook", "name": "hook", "url": "https://example.org/hook"})
    for key, state in (("another key, of 32 characters or more", "wrong"), (world.settings.secret_key, "ok")):
        _, found, printed = asked(tmp_path, DATABASE_URL=world.dsn, MISSEDBEAT_SECRET_KEY=key)
        assert found["secret key"][0] == state
        assert key not in printed


async def test_the_mail_server_is_asked_for_its_login_and_gets_no_mail(tmp_path: Path) -> None:
    """A wrong password, a server that is away, none at all."""
    async with MailReceiver(user="u", password="right-password") as receiver:
        smtp = {"MISSEDBEAT_SMTP_HOST": "127.0.0.1", "MISSEDBEAT_SMTP_PORT": str(receiver.port), "MISSEDBEAT_SMTP_USER": "u"}
        for password, state in (("right-password", "ok"), ("wrong-password", "wrong")):
            found, printed = (await mailed(tmp_path, **smtp, MISSEDBEAT_SMTP_PASSWORD=password))[1:]
            assert found["mail"][0] == state
            assert password not in printed
        assert receiver.mails == []
    assert (await mailed(tmp_path, **smtp))[1]["mail"][0] == "wrong"
    assert (await mailed(tmp_path))[1]["mail"][0] == "note"
    assert (await mailed(tmp_path, MISSEDBEAT_OPERATOR_EMAIL="ops@example.org"))[1]["mail"][0] == "wrong"


async def mailed(folder: Path, **settings: str) -> tuple[int, dict[str, tuple[str, str]], str]:
    """The doctor's answer while our mail server runs beside it; the database is one that refuses."""
    return await asyncio.to_thread(asked, folder, DATABASE_URL="postgresql://u:p@127.0.0.1:1/x", **settings)


def test_a_database_that_is_away_is_one_line_and_no_hang(tmp_path: Path) -> None:
    """No traceback, no password, exit status 1."""
    status, found, printed = asked(tmp_path, DATABASE_URL=f"postgresql://u:{PASSWORD}@127.0.0.1:1/x")
    assert status == 1
    assert found["database"][0] == "wrong"
    assert PASSWORD not in printed
    status, found, _ = asked(tmp_path, "--data", str(tmp_path / "nothing here"))
    assert "no `serve` runs" in found["database"][1]
    assert found["data"][0] == "wrong"


def test_a_key_that_others_can_read_is_said(tmp_path: Path) -> None:
    """The folder that `serve` made is fine as it made it."""
    (tmp_path / "secret.key").write_text(KEY)
    (tmp_path / "secret.key").chmod(0o644)
    assert "can be read by others" in asked(tmp_path, "--data", str(tmp_path))[1]["data"][1]
    (tmp_path / "secret.key").chmod(0o600)
    assert "data" not in asked(tmp_path, "--data", str(tmp_path))[1]


async def test_the_connections_it_counts_are_those_of_the_pools(dsn: str) -> None:
    """What a web process, a worker and a mail door may take at most."""
    settings = Settings(secret_key=KEY, database_url=dsn, _env_file=None)
    web, worker, mail = Web(settings, dsn), Worker(settings, dsn), MailDoor(settings, dsn)
    for count, part in ((WEB_CONNECTIONS, web), (WORKER_CONNECTIONS, worker), (MAIL_CONNECTIONS, mail)):
        assert sum(engine.pool.size() for engine in part._engines) == count  # type: ignore[attr-defined]
        for engine in part._engines:
            await engine.dispose()
    await worker._heartbeat.aclose()
    await worker._post.aclose()


async def test_dsn_prints_where_the_private_database_is(tmp_path: Path) -> None:
    """In the form that psql and pg_dump take; without a service it says so."""
    async with serving(tmp_path / "data") as service:
        printed = service.command("dsn").stdout.strip()
        with psycopg.connect(printed) as connection:
            assert connection.execute("SELECT count(*) FROM projects").fetchone() == (1,)
    done = service.command("dsn")
    assert (done.returncode, "no `serve` runs" in done.stderr) == (1, True)
