"""`doctor`: what is misconfigured is said with its remedy, and nothing secret with it."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.doctor import WEB_CONNECTIONS, WORKER_CONNECTIONS
from app.main import Web
from app.settings import Settings
from app.store import embedded
from app.store.migrate import migrate
from app.worker import Worker
from tests.journeys.running import COMMAND, environment, serving
from tests.receivers import MailReceiver
from tests.world import World

pytestmark = pytest.mark.anyio

PASSWORD = "a-password-nobody-may-see"
KEY = "k" * 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL of our own, migrated by a role that is not a superuser."""
    running = embedded.start(tmp_path_factory.mktemp("doctor") / "data", fsync=False)
    try:
        run(running.dsn, f"CREATE ROLE plain LOGIN PASSWORD '{PASSWORD}'")
        run(running.dsn, "CREATE DATABASE plain OWNER plain")
        dsn = running.dsn.replace("//missedbeat@/missedbeat", f"//plain:{PASSWORD}@/plain")
        assert dsn != running.dsn
        migrate(dsn)
        yield dsn
    finally:
        running.stop()


def run(dsn: str, sql: str) -> None:
    """One statement past the service."""
    with psycopg.connect(dsn.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(sql)


def asked(folder: Path, *words: str, **settings: str) -> tuple[int, dict[str, tuple[str, str]], str]:
    """Exit status, (state, words) of each thing that is not ok else of any, and all that was printed."""
    command = [COMMAND, "doctor", "--json", *words]
    done = subprocess.run(
        command, env=environment(**settings), capture_output=True, text=True, check=False, cwd=folder, timeout=60
    )
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["healthy"] is (done.returncode == 0)
    found: dict[str, tuple[str, str]] = {}
    for check in said["checks"]:
        assert check["state"] != "wrong" or check["remedy"]
        if check["about"] not in found or check["state"] != "ok":
            found[check["about"]] = (check["state"], check["words"])
    return done.returncode, found, done.stdout + done.stderr


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
    ("before", "about", "words"),
    [
        ("ALTER ROLE plain SET synchronous_commit = off", "durability", "synchronous_commit off"),
        ("ALTER ROLE plain SET statement_timeout = '3s'", "rights", "statement_timeout = 3s"),
        ("UPDATE alembic_version SET version_num = '0001'", "schema", "at revision 0001"),
        ("REVOKE DELETE ON check_ins FROM plain", "rights", "DELETE on check_ins"),
    ],
)
async def test_what_is_wrong_with_the_database_is_said(server: str, tmp_path: Path, before: str, about: str, words: str) -> None:
    """And that nothing sweeps there; never the password."""
    back = {
        "ALTER ROLE": "ALTER ROLE plain RESET ALL",
        "UPDATE ale": f"UPDATE alembic_version SET version_num = '{migrate(server)}'",
        "REVOKE DEL": "GRANT DELETE ON check_ins TO plain",
    }
    run(server, before)
    try:
        status, found, printed = asked(tmp_path, DATABASE_URL=server, MISSEDBEAT_SECRET_KEY=KEY)
    finally:
        run(server, back[before[:10]])
    assert status == 1
    assert words in found[about][1]
    assert PASSWORD not in printed
    assert KEY not in printed


async def test_a_database_without_a_service_and_a_bad_address_are_said(server: str, tmp_path: Path) -> None:
    """Nobody sweeps, nobody ticks; an address that only this machine reaches, in clear, or behind a proxy not trusted."""
    for address, about in (
        ("", "address"),
        ("http://localhost:8000", "address"),
        ("http://ping.example.com", "address"),
        ("https://ping.example.com", "proxy"),
    ):
        status, found, _ = asked(tmp_path, DATABASE_URL=server, MISSEDBEAT_SECRET_KEY=KEY, MISSEDBEAT_BASE_URL=address)
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
    """What a web process and a worker may take at most."""
    settings = Settings(secret_key=KEY, database_url=dsn, _env_file=None)
    web, worker = Web(settings, dsn), Worker(settings, dsn)
    for count, part in ((WEB_CONNECTIONS, web), (WORKER_CONNECTIONS, worker)):
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
