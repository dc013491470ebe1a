"""Failpoints: named places at which a test lets this process die, stand still or fail, by MISSEDBEAT_FAILPOINTS
(`record.locked=kill,sweep.judged=stop`). Without it they do nothing. Not a setting: nobody who runs the service sets it."""

import os
import signal


class Failed(RuntimeError):
    """What the action `raise` raises."""


def read(given: str) -> dict[str, str]:
    """Place and action (`kill`, `stop`, `raise`) of each; each acts once."""
    return dict(part.split("=", 1) for part in given.split(",") if "=" in part)


armed = read(os.environ.get("MISSEDBEAT_FAILPOINTS", ""))


def failpoint(name: str) -> None:
    """Die by SIGKILL, stop until SIGCONT, or raise Failed, where that place is named; the first time only."""
    action = armed.pop(name, "") if armed else ""
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "raise":
        raise Failed(name)
