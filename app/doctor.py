"""`missedbeat-server doctor`: what is misconfigured, and how to mend it, a line each. Changes nothing, sends nothing, prints no
secret; every question has a time limit."""

import asyncio
import os
import resource
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from app.clock import utc_now
from app.domain.fitness import CLOCK, SWEEP_EVERY
from app.errors import BadSettings, Unavailable
from app.settings import Settings
from app.store.inspection import Inspection, Life, inspect

WEB_CONNECTIONS = 11  # the sum of the pools of one web process; a test holds it
WORKER_CONNECTIONS = 10
SPARE_CONNECTIONS = 5  # for migrate, project create, psql
SMTP_PATIENCE = 8.0
START_PATIENCE = 5.0
LEAST_FREE = 1_000_000_000  # bytes
FEW_FILES = 4096


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `wrong` makes the exit status 1, a `note` is worth knowing."""

    about: str
    state: Literal["ok", "note", "wrong"]
    words: str
    remedy: str = ""

    def line(self) -> str:
        """As it is printed."""
        return f"{self.state:<5} {self.about:<12} {self.words}{'. ' + self.remedy if self.remedy else ''}"

    def as_json(self) -> dict[str, Any]:
        """As --json prints it."""
        return asdict(self)


def examine(settings: Settings) -> Iterator[Check]:
    """Everything, in the order in which it is best mended."""
    yield from _database(settings)
    yield from _address(settings)
    yield from asyncio.run(_mail(settings))
    yield from _machine(settings)


# the database


def _database(settings: Settings) -> Iterator[Check]:
    try:
        dsn = settings.database_url or _private(settings)
        if not dsn:
            words = f"DATABASE_URL is empty and no `serve` runs on {settings.data}"
            yield Check("database", "wrong", words, "Start `missedbeat-server serve`, or name the database")
            return
        seen = inspect(dsn)
    except Unavailable as error:
        words = f"it cannot be reached or refuses: {error}"
        yield Check("database", "wrong", words, "Check DATABASE_URL, the server, and its pg_hba.conf")
        return
    yield _version(seen)
    yield from _durable(seen)
    yield from _rights(settings, seen)
    yield _connections(settings, seen)
    yield _clock(seen)
    yield from _schema(seen.life)
    if seen.life is not None:
        yield from _alive(seen.life)
        yield _secret_key(settings, seen)


def _private(settings: Settings) -> str | None:
    from app.store import embedded

    return embedded.dsn_of_running(settings.data, patience=START_PATIENCE)


def _version(seen: Inspection) -> Check:
    if seen.number < 150000:
        return Check("database", "wrong", f"PostgreSQL {seen.version} is too old", "Upgrade it to 15 or newer")
    return Check("database", "ok", f"PostgreSQL {seen.version} answers")


def _durable(seen: Inspection) -> Iterator[Check]:
    """What may lose a ping that was answered 2xx."""
    off = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if seen.settings[name] == "off"]
    if off:
        words = f"{' and '.join(off)} off: a crash loses pings that were answered OK"
        yield Check("durability", "wrong", words, "Switch on in postgresql.conf, and ALTER ROLE … RESET synchronous_commit")
    else:
        yield Check("durability", "ok", "what is committed survives a crash")


def _rights(settings: Settings, seen: Inspection) -> Iterator[Check]:
    if seen.missing_rights:
        remedy = "Let this role own the tables: run `missedbeat-server migrate` as it"
        yield Check("rights", "wrong", f"the role lacks {'; '.join(seen.missing_rights)}", remedy)
    elif seen.superuser and settings.database_url:
        remedy = "CREATE ROLE missedbeat LOGIN, give it the database, and REASSIGN OWNED"
        yield Check("rights", "wrong", "the role is a superuser, which the service never needs", remedy)
    else:
        yield Check("rights", "ok", "the role may do what it must")
    if seen.settings["statement_timeout"] not in ("", "0"):
        words = f"the role has statement_timeout = {seen.settings['statement_timeout']}, which may cut a migration short"
        yield Check("rights", "note", words, "ALTER ROLE … RESET statement_timeout: we set limits ourselves")


def _connections(settings: Settings, seen: Inspection) -> Check:
    webs = max(settings.workers, seen.life.webs if seen.life is not None else 0)
    need = webs * WEB_CONNECTIONS + WORKER_CONNECTIONS + SPARE_CONNECTIONS
    have = int(seen.settings["max_connections"]) - int(seen.settings["superuser_reserved_connections"])
    words = f"{webs} web processes and a worker take up to {need} connections, the server has {have}"
    if have < need:
        return Check("connections", "wrong", words, f"Raise max_connections; each further worker takes {WORKER_CONNECTIONS}")
    return Check("connections", "ok", words)


def _clock(seen: Inspection) -> Check:
    apart = abs((utc_now() - seen.clock).total_seconds())
    if apart > CLOCK:
        words = f"this machine and the database are {apart:.0f} s apart"
        return Check("clock", "wrong", words, "Let both set their clocks by NTP; verdicts take the database's")
    return Check("clock", "ok", "this machine and the database agree")


def _schema(life: Life | None) -> Iterator[Check]:
    from app.store.migrate import head

    if life is None or life.revision < head():
        found = "not migrated" if life is None else f"at revision {life.revision}, this version needs {head()}"
        yield Check("schema", "wrong", f"the database is {found}", "Run: missedbeat-server migrate")
    else:
        newer = "" if life.revision == head() else ", newer than this version, which is fine while an upgrade rolls"
        yield Check("schema", "ok", f"revision {life.revision}{newer}")


def _alive(life: Life) -> Iterator[Check]:
    for about, what, age, command in (
        ("worker", "sweeps", life.sweep_age, "worker"),
        ("worker", "delivers", life.deliver_age, "worker"),
        ("web", "takes pings", life.tick_age, "web"),
    ):
        if age is None or age > SWEEP_EVERY:
            since = "and never did" if age is None else f"for {age:.0f} s"
            yield Check(about, "wrong", f"nothing {what} {since}", f"Start `missedbeat-server {command}`, or read its log")
        else:
            yield Check(about, "ok", f"it {what}")


def _secret_key(settings: Settings, seen: Inspection) -> Check:
    from app.store.vault import Vault

    key = settings.secret_key or _own_key(settings)
    if not key:
        remedy = "Set it for web and worker: openssl rand -hex 32"
        return Check("secret key", "wrong", "MISSEDBEAT_SECRET_KEY is not set", remedy)
    if seen.sealed is None:
        return Check("secret key", "ok", "set; no channel has a secret yet")
    try:
        Vault(key).open(*seen.sealed)
    except BadSettings:
        remedy = "Restore the old key from a backup, or enter the channels again"
        return Check("secret key", "wrong", "it is not the one that the channels were sealed with", remedy)
    return Check("secret key", "ok", "it opens the channels' secrets")


def _own_key(settings: Settings) -> str:
    path = settings.data / "secret.key"
    return path.read_text().strip() if not settings.database_url and os.access(path, os.R_OK) else ""


# the address


def _address(settings: Settings) -> Iterator[Check]:
    parts = urlsplit(settings.address)
    host = parts.hostname or ""
    if not settings.base_url:
        words = f"MISSEDBEAT_BASE_URL is empty, so ping URLs begin with {settings.address}"
        yield Check("address", "wrong", words, "Set it to the address that jobs reach, such as https://ping.example.com")
    elif _is_local(host):
        words = f"MISSEDBEAT_BASE_URL is {settings.base_url}, which only this machine reaches"
        yield Check("address", "wrong", words, "Set it to the address that jobs on other machines reach")
    elif parts.scheme == "http":
        words = f"MISSEDBEAT_BASE_URL is {settings.base_url}: ping URLs, which are secrets, travel in clear"
        yield Check("address", "wrong", words, "Put a proxy with TLS in front; docs/self-hosting.md has one")
    else:
        yield Check("address", "ok", settings.base_url)
    if parts.scheme == "https" and not settings.trusted_proxies:
        words = "the address is https, so a proxy stands in front, but MISSEDBEAT_TRUSTED_PROXIES is empty"
        yield Check("proxy", "wrong", words, "Set it to the proxy's address, else every ping seems to come from the proxy")


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


# mail


async def _mail(settings: Settings) -> list[Check]:
    """Connects and signs in; no mail is sent."""
    from app.worker import mailer_of

    if not settings.smtp_host:
        remedy = "Set MISSEDBEAT_SMTP_HOST for e-mail channels, owners and the operator"
        return [
            Check("mail", "wrong" if settings.operator_email else "note", "no SMTP server is set, so no mail goes out", remedy)
        ]
    server = f"{settings.smtp_host}:{settings.smtp_port}"
    failure = await mailer_of(settings).try_out(SMTP_PATIENCE)
    if failure:
        return [Check("mail", "wrong", f"{server}: {failure}", "Check the MISSEDBEAT_SMTP_ settings")]
    found = [Check("mail", "ok", f"{server} answers{' and takes the login' if settings.smtp_user else ''}")]
    if not settings.operator_email:
        found.append(Check("operator", "note", "nobody hears of trouble with the service", "Set MISSEDBEAT_OPERATOR_EMAIL"))
    return found


# the machine


def _machine(settings: Settings) -> Iterator[Check]:
    if not settings.database_url:
        yield from _folder(settings)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < FEW_FILES:
        words = f"a process may open {files} files, and each client is one"
        yield Check("files", "note", words, "Raise it: LimitNOFILE=65536 in the unit, or ulimit -n")
    if not settings.heartbeat_url:
        remedy = "Set MISSEDBEAT_HEARTBEAT_URL to a check of another service"
        yield Check("heartbeat", "note", "nobody outside notices when this service stops", remedy)


def _folder(settings: Settings) -> Iterator[Check]:
    data = settings.data
    if not data.is_dir() or not os.access(data, os.W_OK | os.X_OK):
        yield Check("data", "wrong", f"{data} is not a folder we may write to", "Set MISSEDBEAT_DATA, or mend its owner")
        return
    key = data / "secret.key"
    if key.exists() and stat.S_IMODE(key.stat().st_mode) & 0o077:
        yield Check("data", "wrong", f"{key} can be read by others", f"chmod 600 {key}")
    usage = shutil.disk_usage(data)
    free = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.0f} GB are free under {data}"
    if usage.free < max(LEAST_FREE, usage.total // 50):
        yield Check("disk", "wrong", free, "Make room: a full disk stops PostgreSQL, and every ping is refused then")
    else:
        yield Check("disk", "ok", free)
