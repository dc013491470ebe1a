"""`missedbeat run`: a command, watched. What it does, and when, is never changed by us or by the server."""

from __future__ import annotations

import errno
import os
import re
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from missedbeat.child import Child, Ended, Tail

if TYPE_CHECKING:
    from missedbeat.announce import Announcement

PING_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
RUN_ID = "MISSEDBEAT_RUN_ID"


def run_command(said: Namespace, command: Sequence[str]) -> int:
    """Run it and tell of it; its exit code. Does not return where nothing is told: then it takes our place."""
    given: dict[str, Any] = {"url": said.url, "key": said.key, "environment": said.environment}
    target = said.monitor or said.target or os.environ.get("MISSEDBEAT_MONITOR", "")
    if _is_on("MISSEDBEAT_DISABLED") or not _is_set_up(target, given):
        return _replaced_by(command)
    run_id = _new_id()
    tail = None if said.no_output else Tail()
    child = Child(command, {**os.environ, RUN_ID: run_id}, tail)
    ended = child.start()
    announcement = _announcement(said, target, given, run_id)  # what this imports the command does not wait for
    announcement.began()
    ended = ended or child.wait()
    _say(ended.problem)
    _tell(announcement, child, ended, tail)
    return ended.code


def _tell(announcement: Announcement, child: Child, ended: Ended, tail: Tail | None) -> None:
    """The end; whoever was told to stop is not kept for long."""
    from missedbeat.announce import PATIENCE, STOPPED  # noqa: PLC0415 - not before the command runs

    patience = STOPPED if child.was_stopped else PATIENCE
    output = tail.bytes() if tail is not None else b""
    if not announcement.ended(ended, output, patience, child.is_told_to_stop):
        spool = ": it waits in the spool for the next run" if announcement.is_kept else ""
        _say(f"the server was not told how this run ended{spool}")


def _say(words: str) -> None:
    """One line, if there is anything to say and a place for it: a disk that is full must not keep us from the rest."""
    if words and sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(f"missedbeat: {words}", file=sys.stderr)


def _announcement(said: Namespace, target: str, given: Mapping[str, Any], run_id: str) -> Announcement:
    from missedbeat import announce, program  # noqa: PLC0415 - as above
    from missedbeat.guard import logger  # noqa: PLC0415

    _log_to_stderr(logger)
    url = _ping_url(target, given)
    if url:
        return announce.Pings(url, run_id)
    program.configure({name: value for name, value in given.items() if value})
    limits = {"schedule": said.schedule, "tz": said.tz, "grace": said.grace, "max_runtime": said.max_runtime}
    return announce.Events(target, run_id, {name: _number(value) for name, value in limits.items() if value is not None})


def _is_set_up(target: str, given: Mapping[str, Any]) -> bool:
    """Whether there is somebody to tell; said in one line where there is not, for the command runs all the same."""
    if not target:
        missing = "which check: say its key, or its ping URL"
    elif _ping_url(target, given) or _is_on("MISSEDBEAT_OFFLINE"):
        return True
    else:
        names = [name for name in ("MISSEDBEAT_URL", "MISSEDBEAT_KEY") if not _of(given, name)]
        missing = f"{' and '.join(names)}, or the ping URL of the check" if names else ""
    _say(f"this run is not watched; missing: {missing}" if missing else "")
    return not missing


def _ping_url(target: str, given: Mapping[str, Any]) -> str:
    """The URL, where a check is named by it, or by its ping id without a key of the project; else empty."""
    if target.startswith(("http://", "https://")):
        return target
    if PING_ID.fullmatch(target) and _of(given, "MISSEDBEAT_URL") and not _of(given, "MISSEDBEAT_KEY"):
        return f"{_of(given, 'MISSEDBEAT_URL').rstrip('/')}/ping/{target.lower()}"
    return ""


def _replaced_by(command: Sequence[str]) -> int:
    """The command in our place; the exit code if it cannot be."""
    try:
        try:
            os.execvp(command[0], list(command))  # noqa: S606 - no shell is wanted
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            os.execv("/bin/sh", ["/bin/sh", *command])  # noqa: S606 - as every shell does
    except OSError as error:
        ended = Child(command, os.environ, None).not_begun(error)
    _say(ended.problem)
    return ended.code


def _log_to_stderr(logger: Any) -> None:
    import logging  # noqa: PLC0415 - as above

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("missedbeat: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False


def _of(given: Mapping[str, Any], variable: str) -> str:
    return str(given[variable.rpartition("_")[2].lower()] or os.environ.get(variable, "")).strip()


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in ("1", "true", "yes", "on")


def _number(said: str) -> Any:
    """A number of seconds as one; anything else as it is, for a schedule may be words."""
    try:
        return float(said)
    except ValueError:
        return said


def _new_id() -> str:
    """A UUID, for pings name runs by one."""
    said = os.urandom(16).hex()
    return f"{said[:8]}-{said[8:12]}-4{said[13:16]}-8{said[17:20]}-{said[20:]}"


def finish(code: int) -> None:
    """The end of this process, whatever our threads do."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
    os._exit(code)
