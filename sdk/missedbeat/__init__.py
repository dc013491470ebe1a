"""Missedbeat tells you when a scheduled job does not run.

For any Python program: `@missedbeat.monitor("nightly", schedule="0 3 * * *")`, or `with missedbeat.run("nightly"):`. For Celery:
`missedbeat.celery.instrument(app)`. Importing this reads no file, opens no connection and starts no thread; what is used of it is
imported then.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` takes longer to import than the probe runs
if TYPE_CHECKING:
    from typing import Any

    from missedbeat.plain import configure, current_run, fail, flush, monitor, ping, run, start, success
    from missedbeat.run_of_job import Run
    from missedbeat.wanted import Monitor

__all__ = [
    "Monitor", "Run", "__version__", "configure", "current_run", "fail", "flush", "monitor", "ping", "run", "start", "success",
]  # fmt: skip

__version__ = "0.1.0"

_ELSEWHERE = {"Monitor": "missedbeat.wanted", "Run": "missedbeat.run_of_job"}


def __getattr__(name: str) -> Any:
    """What is asked for, from where it lives."""
    if name not in __all__:
        raise AttributeError(f"module 'missedbeat' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as above

    found = globals()[name] = getattr(import_module(_ELSEWHERE.get(name, "missedbeat.plain")), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
