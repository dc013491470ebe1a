"""The application of the tests inside a Django project with django-celery-beat; its database is the one of PostgreSQL that
TEST_DATABASE names. `python -m tests.sdk.django_app` reads Python from its input and runs it beside these models."""

import os
import sys

import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

NAMES = {"name": "dbname", "user": "user", "password": "password", "host": "host", "port": "port"}
place = conninfo_to_dict(os.environ["TEST_DATABASE"])

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "CONN_MAX_AGE": 600,
            **{name.upper(): place.get(said, "") for name, said in NAMES.items()},
        }
    },
    INSTALLED_APPS=["django_celery_beat"],
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    USE_TZ=True,
    TIME_ZONE="Europe/Berlin",
)
django.setup()

from tests.sdk.truth_app import app  # noqa: E402 - where Django is

app.autodiscover_tasks(lambda: [])

if __name__ == "__main__":
    from datetime import timedelta

    from django.core.management import call_command  # noqa: F401 - for what is read
    from django.utils.timezone import now  # noqa: F401
    from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask  # noqa: F401

    exec(sys.stdin.read(), {**globals(), "timedelta": timedelta})
