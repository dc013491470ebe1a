"""A Celery app as its owner would write it, watched by the Python package cronradar-celery. The broker is a folder.

The package connects functions that nobody else holds, which Celery's signals forget at once, as they do by default: in version
0.1.0 no task would be told. So the signals are told to hold what is connected to them.
"""

import functools
import os

import cronradar
from celery import Celery
from celery.schedules import crontab
from celery.signals import task_failure, task_prerun, task_success
from cronradar_celery import setup_cronradar, skip_monitor

for signal in (task_prerun, task_success, task_failure):
    signal.connect = functools.partial(signal.connect, weak=False)

cronradar.BASE_URL = os.environ["CRONRADAR_URL"]
folder = os.environ["BROKER_FOLDER"]
app = Celery("nightly", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": f"{folder}/control"}
app.conf.beat_schedule = {
    "backup": {"task": "nightly.back_up", "schedule": crontab(hour=2, minute=0)},
    "report": {"task": "nightly.report", "schedule": crontab(minute="*/30")},
}


@app.task
def back_up():
    """Goes well."""


@app.task
def report():
    """Breaks."""
    raise RuntimeError("the report broke")


@app.task
@skip_monitor
def tidy():
    """Nobody's business."""


setup_cronradar(app)
