"""A process that has loaded the whole service and forks it on demand: `web` and `worker` as they run anywhere, without the second
that loading takes, so that many of them can be killed in a minute. One order a line on stdin, one pid a line on stdout."""

import ctypes
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from app import failpoint

PR_SET_PDEATHSIG = 1


def preload() -> None:
    """Everything that both commands import."""
    import uvloop  # noqa: F401

    import app.cli
    import app.connection
    import app.main
    import app.serve
    import app.worker  # noqa: F401


def live(order: dict[str, Any]) -> None:
    """In the child: become that command, and end as it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    told, tell = os.pipe()
    os.write(tell, order["environment"]["DATABASE_URL"].encode() + b"\n")
    os.close(tell)
    for source, target in ((told, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    sys.stdin = os.fdopen(0)
    os.environ.update(order["environment"])
    os.chdir(Path(order["log"]).parent)
    sys.argv = ["missedbeat-server", *order["words"], "--dsn-on-stdin"]
    failpoint.armed = failpoint.read(os.environ.get("MISSEDBEAT_FAILPOINTS", ""))
    from app.cli import main

    try:
        main()
    finally:
        sys.stderr.flush()


def become(order: dict[str, Any]) -> NoReturn:
    """Live, and never come back into the nursery."""
    code = 1
    try:
        live(order)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        if code:
            sys.excepthook(*sys.exc_info())
        os._exit(code)


def main() -> None:
    """Load, say so, and fork for every order."""
    preload()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here; the dead leave at once
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    sys.stdout.write("loaded\n")
    sys.stdout.flush()
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            become(json.loads(line))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
