"""The application of the tests, instrumented where it is too late for the main process: when a child of the pool begins."""

import json
import os
from typing import Any

told = json.loads(os.environ.pop("TEST_INSTRUMENT"))
os.environ["TEST_INSTRUMENT"] = "null"

from celery.signals import worker_process_init  # noqa: E402
from missedbeat.celery import instrument  # noqa: E402

from tests.sdk.truth_app import app  # noqa: E402 - which is not to call it

__all__ = ["app"]


def instrument_late(**_: Any) -> None:
    """As those do who have everything of theirs begin there."""
    instrument(app, **told)


worker_process_init.connect(instrument_late)
