"""What the commands of the command line share: how they are told where the database is, and a transaction in it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Data = Annotated[Path | None, typer.Option(help="Folder of the private PostgreSQL and the secret key.")]
OpenDatabase = Callable[[Path | None], AbstractContextManager[tuple[Settings, str]]]
"""The settings, and a migrated database as they name it."""


@asynccontextmanager
async def command_session(dsn: str) -> "AsyncIterator[AsyncSession]":
    """The transaction of one command, committed at its end, unless it failed."""
    from app.store.engine import make_engine, make_sessions

    engine = make_engine(dsn, "cli", 1)
    try:
        async with make_sessions(engine)() as session:
            yield session
            await session.commit()
    finally:
        await engine.dispose()
