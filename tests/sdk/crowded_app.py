"""The application of the tests together with others who listen: Sentry (which watches Beat too), OpenTelemetry and celery-once.
What they see goes to TEST_SENTRY and into the file TEST_SPANS. They are set up before us or after, as TEST_FIRST says."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import sentry_sdk
from celery.schedules import crontab
from celery_once import QueueOnce
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from sentry_sdk.integrations.celery import CeleryIntegration


def set_up_others() -> None:
    """As their manuals say."""
    sentry_sdk.init(
        dsn=os.environ["TEST_SENTRY"],
        integrations=[CeleryIntegration(monitor_beat_tasks=True)],
        traces_sample_rate=1.0,
        _experiments={"transport_compression_algo": "gzip"},  # type: ignore[typeddict-item] # its name for a type
    )
    spans = Path(os.environ["TEST_SPANS"]).open("a", buffering=1)  # noqa: SIM115 - for as long as the process lives
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=spans, formatter=lambda span: f"{span.name}\n")))
    CeleryInstrumentor().instrument(tracer_provider=provider)  # type: ignore[no-untyped-call]


if os.environ["TEST_FIRST"] == "others":
    set_up_others()

from tests.sdk.truth_app import app  # noqa: E402 - which calls instrument

if os.environ["TEST_FIRST"] == "us":
    set_up_others()

app.conf.beat_schedule["overdue"] = {
    "task": "adds", "args": (1, 1), "schedule": crontab(), "last_run_at": app.now() - timedelta(hours=1),
}  # fmt: skip
"""Sentry watches no entry that is due more often than each minute. This one is due once at the start, too."""

app.conf.ONCE = {
    "backend": "celery_once.backends.Redis",
    "settings": {"url": os.environ["TEST_BROKER"].replace("virtual_host", "db"), "default_timeout": 60},
}


@app.task(name="once", base=QueueOnce, once={"graceful": True})
def once() -> None:
    """It waits where no worker looks, so that each time but the first it is under way already."""


def queue_of_once(name: str, *_: Any, **__: Any) -> dict[str, str] | None:
    """Its own."""
    return {"queue": "nobody's"} if name == "once" else None


app.conf.task_routes = (queue_of_once,)
