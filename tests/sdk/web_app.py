"""A web application (WSGI) that is loaded before its server forks. It has run a task by then, so that the SDK's thread is alive
in the process that forks; each request runs another one in the process that answers, and sends one to the workers."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from tests.sdk.truth_app import adds, app

adds.apply(task_id="before-the-fork")


def application(asked: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """The ids of both tasks, and of the process."""
    here = adds.apply().id
    there = app.send_task("succeeds").id
    start("200 OK", [("Content-Type", "text/plain")])
    return [f"{here} {there} {os.getpid()}".encode()]
