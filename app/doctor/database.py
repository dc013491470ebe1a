"""The database: whether it is the right one, takes what we write, has room for us, and whether somebody is at work on it."""

import os
from collections.abc import Iterator

from app.clock import utc_now
from app.doctor.check import Check
from app.domain.fitness import CLOCK, SWEEP_EVERY
from app.errors import BadSettings, Unavailable
from app.settings import Settings
from app.store.inspection import Inspection, Life, inspect

WEB_CONNECTIONS = 11  # the sum of the pools of one web process; a test holds it
WORKER_CONNECTIONS = 10
MAIL_CONNECTIONS = 4
SPARE_CONNECTIONS = 5  # for migrate, project create, psql
START_PATIENCE = 5.0
SHOWN = 6  # of what may be a long list


def check_database(settings: Settings) -> Iterator[Check]:
    """Server, rights, limits, clock, schema, and whether somebody is at work on it."""
    try:
        dsn = settings.database_url or _private(settings)
        if not dsn:
            words = f"DATABASE_URL is empty and no `serve` runs on {settings.data}"
            yield Check("database", "wrong", words, "Start `missedbeat-server serve`, or name the database")
            return
        seen = inspect(dsn)
    except Unavailable as error:
        words = f"it cannot be reached or refuses: {str(error).splitlines()[0]}"
        yield Check("database", "wrong", words, "Check DATABASE_URL, the server, and its pg_hba.conf")
        return
    yield _version(seen)
    yield from _durable(seen)
    yield from _takes_writes(seen)
    yield from _rights(settings, seen)
    yield _connections(settings, seen)
    yield _clock(seen)
    if seen.revision is not None:
        yield _schema(seen, seen.revision)
    if seen.life is not None:
        yield _tenants(seen)
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


def _takes_writes(seen: Inspection) -> Iterator[Check]:
    if seen.standby:
        words = "the server is a standby: it takes no ping and no check"
        yield Check("writing", "wrong", words, "Name the primary in DATABASE_URL: ?target_session_attrs=read-write finds it")
    elif seen.read_only:
        words = "default_transaction_read_only is on: every ping is refused"
        yield Check("writing", "wrong", words, "ALTER ROLE … RESET default_transaction_read_only, the same for the database")


def _rights(settings: Settings, seen: Inspection) -> Iterator[Check]:
    if seen.missing_rights:
        remedy = "Let this role own the tables: run `missedbeat-server migrate` as it"
        yield Check("rights", "wrong", f"the role lacks {_some(seen.missing_rights)}", remedy)
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
    mail = MAIL_CONNECTIONS if settings.ping_email_domain else 0
    need = webs * WEB_CONNECTIONS + WORKER_CONNECTIONS + mail + SPARE_CONNECTIONS
    who, have = min(seen.limits.items(), key=lambda limit: limit[1])
    ours = f"{webs} web processes, {'a mail door ' if mail else ''}and a worker".replace(", and", " and")
    words = f"{ours} take up to {need} connections, {who} has {have}"
    if have >= need:
        return Check("connections", "ok", words)
    more = f"each further worker takes {WORKER_CONNECTIONS}"
    mend = {"the role": "ALTER ROLE … CONNECTION LIMIT -1", "the database": "ALTER DATABASE … CONNECTION LIMIT -1"}
    return Check("connections", "wrong", words, f"{mend.get(who, 'Raise max_connections')}; {more}")


def _clock(seen: Inspection) -> Check:
    apart = abs((utc_now() - seen.clock).total_seconds())
    if apart > CLOCK:
        words = f"this machine and the database are {apart:.0f} s apart"
        return Check("clock", "wrong", words, "Let both set their clocks by NTP; verdicts take the database's")
    return Check("clock", "ok", "this machine and the database agree")


def _schema(seen: Inspection, revision: str) -> Check:
    from app.store.revision import head

    if seen.elsewhere is not None:
        path = seen.settings["search_path"]
        words = f"our tables stand in the schema {seen.elsewhere}, to which the search_path ({path}) does not lead"
        return Check("schema", "wrong", words, "ALTER ROLE … SET search_path to that schema, and give the role USAGE on it")
    if revision < head():
        found = f"at revision {revision}, this version needs {head()}" if revision else "not migrated"
        return Check("schema", "wrong", f"the database is {found}", "Run: missedbeat-server migrate")
    if seen.unseen:
        words = f"at revision {revision}, and yet these tables are missing: {_some(seen.unseen)}"
        return Check("schema", "wrong", words, "Is it another program's database? Else restore it from a backup")
    newer = "" if revision == head() else ", newer than this version, which is fine while an upgrade rolls"
    return Check("schema", "ok", f"revision {revision}{newer}")


def _tenants(seen: Inspection) -> Check:
    if seen.confines:
        return Check("tenants", "ok", "row security keeps what is asked for one project to it")
    words = "row security is off, for the role could not make another: only the project in each statement keeps projects apart"
    remedy = "CREATE ROLE missedbeat_tenant NOLOGIN; GRANT it to the role; then run `missedbeat-server migrate`"
    return Check("tenants", "note", words, remedy)


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


def _some(names: list[str]) -> str:
    more = f"; and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return "; ".join(names[:SHOWN]) + more
