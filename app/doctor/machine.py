"""The machine we run on, and whoever watches us from outside."""

import os
import resource
import shutil
import stat
from collections.abc import Iterator

from app.doctor.check import Check
from app.settings import Settings

LEAST_FREE = 1_000_000_000  # bytes
FEW_FILES = 4096


def check_machine(settings: Settings) -> Iterator[Check]:
    """The folder of a private PostgreSQL, the limit of open files, the heartbeat."""
    if not settings.database_url:
        yield from _folder(settings)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < FEW_FILES:
        words = f"a process may open {files} files, and each client is one"
        yield Check("files", "note", words, "Raise it: LimitNOFILE=65536 in the unit, or ulimit -n")
    if not settings.heartbeat_url:
        remedy = "Set MISSEDBEAT_HEARTBEAT_URL to a check of another service"
        yield Check("heartbeat", "note", "nobody outside notices when this service stops", remedy)


def _folder(settings: Settings) -> Iterator[Check]:
    data = settings.data
    if not data.is_dir() or not os.access(data, os.W_OK | os.X_OK):
        yield Check("data", "wrong", f"{data} is not a folder we may write to", "Set MISSEDBEAT_DATA, or mend its owner")
        return
    key = data / "secret.key"
    if key.exists() and stat.S_IMODE(key.stat().st_mode) & 0o077:
        yield Check("data", "wrong", f"{key} can be read by others", f"chmod 600 {key}")
    usage = shutil.disk_usage(data)
    free = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.0f} GB are free under {data}"
    if usage.free < max(LEAST_FREE, usage.total // 50):
        yield Check("disk", "wrong", free, "Make room: a full disk stops PostgreSQL, and every ping is refused then")
    else:
        yield Check("disk", "ok", free)
