"""A program that runs a worker by itself, and has gevent or eventlet patch Python only when the SDK is imported already; the `-P`
of Celery's own command comes first. `python -m tests.sdk.patched_late gevent` and the arguments of Celery."""

import sys

import missedbeat.celery  # noqa: F401 - before everything else

green = sys.argv.pop(1)
if green == "gevent":
    from gevent.monkey import patch_all as patch
else:
    from eventlet import monkey_patch as patch
patch()

from tests.sdk.truth_app import app  # noqa: E402 - this is what it is about

app.start(sys.argv[1:])
