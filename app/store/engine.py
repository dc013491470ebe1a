"""Connections: one engine per purpose, so that none can starve another, with time limits on everything a server may hold."""

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

STATEMENT_LIMIT = 2000  # milliseconds
TIMEOUTS = {
    "lock_timeout": "1000",
    "idle_in_transaction_session_timeout": "5000",
    "timezone": "UTC",
}
Sessions = async_sessionmaker[AsyncSession]


def make_engine(dsn: str, purpose: str, size: int = 5, patience: int = STATEMENT_LIMIT) -> AsyncEngine:
    """An engine whose pool refuses after half a second instead of queueing, and whose connections notice a dead server.

    `patience`: how long a statement may take, in milliseconds.
    """
    options = " ".join(f"-c {name}={value}" for name, value in {**TIMEOUTS, "statement_timeout": patience}.items())
    return create_async_engine(
        dsn,
        pool_size=size,
        max_overflow=0,
        pool_timeout=0.5,
        pool_pre_ping=False,
        connect_args={
            "options": options,
            "application_name": f"missedbeat-{purpose}",
            "connect_timeout": 2,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 2,
            "tcp_user_timeout": 5000,
        },
    )


def make_sessions(engine: AsyncEngine) -> Sessions:
    """Sessions that begin a transaction with their first statement and keep what they read after a commit."""
    return async_sessionmaker(engine, expire_on_commit=False)
