"""The application of the tests, with a witness beside each hook: what it took is on disk before the process does anything else,
one line each: when, what, which run. WITNESS names the file."""

import os
import time
from typing import Any

from celery import signals

from tests.sdk.truth_app import app

__all__ = ["app"]


def _saw(what: str, run: str) -> None:
    descriptor = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{time.time():.3f} {what} {run}\n".encode())
    os.close(descriptor)


def _began(task_id: str, **_: Any) -> None:
    _saw("start", task_id)


def _ended(task_id: str, state: str, **_: Any) -> None:
    if state == "SUCCESS":
        _saw("success", task_id)


def _sent(headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers and "e" in (headers.get("missedbeat") or {}):
        _saw("log", headers["id"])


signals.task_prerun.connect(_began)
signals.task_postrun.connect(_ended)
signals.after_task_publish.connect(_sent)
