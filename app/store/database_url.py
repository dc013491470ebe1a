"""Whether DATABASE_URL can be understood at all, asked before anything is connected to."""

from psycopg import ProgrammingError
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from app.errors import BadSettings

SHAPE = "postgresql://user:password@host:5432/database, with : / @ ? # in user and password as %3A %2F %40 %3F %23"


def check(dsn: str) -> None:
    """Raises BadSettings, in one line without the password, where the port is no port, the host no name, or an option is none
    that PostgreSQL's client library knows."""
    try:
        url = make_url(dsn)
        (url.host or "").encode("idna")
    except (ArgumentError, ValueError):  # their own words may hold a piece of the password
        raise BadSettings(f"DATABASE_URL: its host or port cannot be read; write it like {SHAPE}") from None
    if url.port is not None and not 0 < url.port <= 65535:
        raise BadSettings(f"DATABASE_URL: the port {url.port} is not between 1 and 65535")
    for name, value in url.query.items():
        try:
            make_conninfo(**{name: value if isinstance(value, str) else ",".join(value)})
        except ProgrammingError:
            raise BadSettings(f"DATABASE_URL: {name!r} is not an option of PostgreSQL's, such as ?sslmode=require") from None
        if name == "connect_timeout" and not str(value).isdecimal():
            raise BadSettings("DATABASE_URL: connect_timeout must be a whole number of seconds")
