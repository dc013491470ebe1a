"""Drives the Python packages healthchecks-decorator and healthchecks-wrapper: work that goes well and work that does not."""

import asyncio
import contextlib
import json
import sys

from healthchecks_decorator import healthcheck
from healthchecks_wrapper import HealthCheck

TOLD = json.loads(sys.argv[1])


@healthcheck(url=TOLD["decorated"], send_start=True, send_diagnostics=True)
def decorated():
    """A job whose result goes along."""
    return {"rows": 12, "größe": "1 GB"}


@healthcheck(url=TOLD["decorated"], send_start=True)
def broken():
    """A job that fails."""
    raise RuntimeError("the job broke")


def wrapped(goes_well):
    """A block of work."""
    with HealthCheck(TOLD["wrapped"], suppress_exceptions=True):
        if not goes_well:
            raise RuntimeError("the block broke: ümlaut")


async def wrapped_too():
    """A block of asynchronous work."""
    async with HealthCheck(TOLD["wrapped"]):
        await asyncio.sleep(0)


decorated()
with contextlib.suppress(RuntimeError):
    broken()
wrapped(goes_well=True)
wrapped(goes_well=False)
asyncio.run(wrapped_too())
json.dump({}, sys.stdout)
