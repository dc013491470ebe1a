"""A shop's jobs. The two lines about `missedbeat` are all that watching them takes.

MISSEDBEAT_URL and MISSEDBEAT_KEY say where to and as whom; BROKER_URL is Celery's own.
"""

import os
import random
import time

from celery import Celery
from celery.schedules import crontab
from missedbeat.celery import instrument

app = Celery("shop", broker=os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(task_ignore_result=True, task_time_limit=300, broker_connection_retry_on_startup=True, timezone="Europe/Berlin")
app.conf.beat_schedule = {
    "count the orders": {"task": "shop.count_orders", "schedule": 10.0},
    "send the invoices": {"task": "shop.send_invoices", "schedule": 20.0},
    "call the bank": {"task": "shop.call_the_bank", "schedule": 30.0},
    "nightly backup": {"task": "shop.backup", "schedule": crontab(minute=30, hour=3)},
}

instrument(app)


class BankIsBusy(Exception):
    """It often is at first."""


@app.task(name="shop.count_orders")
def count_orders() -> int:
    """A short job."""
    return random.randrange(100)


@app.task(name="shop.send_invoices")
def send_invoices() -> None:
    """A job that takes its time."""
    time.sleep(3)


@app.task(name="shop.call_the_bank", autoretry_for=(BankIsBusy,), retry_backoff=2, max_retries=3)
def call_the_bank() -> None:
    """A job that needs a second try now and then: no alert, as long as one of them ends well."""
    if random.random() < 0.3:
        raise BankIsBusy("try again in a moment")


@app.task(name="shop.backup")
def backup() -> None:
    """A job of the night."""
    time.sleep(1)
