"""The data folder of the private PostgreSQL: the names in it, who holds it, where the socket stands. It starts nothing.

`postgres` is the cluster, `postgres.lock` is held by its supervisor, `postgres.borrowers` by those who only want it to stay,
`postgres.dsn` says where it answers, `postgres.log` is the server's own.
"""

import fcntl
import hashlib
import os
import re
import socket
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.clock import monotonic
from app.errors import BadSettings, Conflict

PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
TRIAL = ".s.PGSQL.test"
LOG_LIMIT = 10 * 1024 * 1024
TAIL_LINES = 20
LOCK_PATIENCE = 0.5
POLL = 0.01


class Running(Conflict):
    """Another supervisor holds this data folder."""


@dataclass(frozen=True)
class Folder:
    """The data folder, its path resolved, and the names in it."""

    data: Path

    @property
    def cluster(self) -> Path:
        return self.data / "postgres"

    @property
    def lock(self) -> Path:
        return self.data / "postgres.lock"

    @property
    def borrowers(self) -> Path:
        return self.data / "postgres.borrowers"

    @property
    def dsn(self) -> Path:
        return self.data / "postgres.dsn"

    @property
    def log(self) -> Path:
        return self.data / "postgres.log"

    def create(self) -> None:
        """0700 when it is new; one that is there stays as it is. Raises BadSettings."""
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise BadSettings(f"The data folder {self.data} cannot be made: {error.strerror}") from error

    def open(self, path: Path, flags: int = os.O_RDWR) -> int:
        """A file of the supervisor: 0600, the data folder's owner's even if root opens it, closed on exec. Raises BadSettings."""
        try:
            file = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BadSettings(f"{path} cannot be opened: {error.strerror}. Is this the user whose data it is?") from error
        if os.geteuid() == 0:
            owner = self.data.stat()
            os.fchown(file, owner.st_uid, owner.st_gid)
        return file

    def open_log(self) -> int:
        """To append to; one that has grown over 10 MB makes room first."""
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.data / "postgres.log.1")
        return self.open(self.log, os.O_WRONLY | os.O_APPEND)

    def announce(self, dsn: str) -> None:
        """Write down where the server answers: all of it or nothing."""
        fresh = self.dsn.with_suffix(".new")
        file = self.open(fresh, os.O_WRONLY | os.O_TRUNC)
        os.write(file, dsn.encode())
        os.close(file)
        fresh.replace(self.dsn)


def hold(folder: Folder) -> int:
    """Take the lock for as long as this process lives; raises Running. Somebody's mere look takes it for a moment, too."""
    lock = folder.open(folder.lock)
    until = monotonic() + LOCK_PATIENCE
    while not _locked(lock, fcntl.LOCK_EX):
        if monotonic() > until:
            holder = os.pread(lock, 20, 0).decode("ascii", "replace")
            os.close(lock)
            raise Running(
                f"The PostgreSQL of {folder.data} is already run by another process ({holder}): "
                "stop that one, or choose another data folder."
            )
        time.sleep(POLL)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)  # for people only
    return lock


def release(lock: int) -> None:
    """Unlock, not only close: a child forked this moment has a copy until its exec."""
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def is_held(folder: Folder) -> bool:
    """Whether a supervisor has the lock now."""
    if not folder.lock.exists():
        return False
    lock = folder.open(folder.lock)
    try:
        return not _locked(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


def _locked(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def socket_folder(folder: Folder, owner: tuple[int, int]) -> Path:
    """A private folder in which a socket can be made: in the data folder when its path is short and plain, else a temporary one.

    The temporary one is named after the data folder's inode, so that a start after a kill -9 uses it again.
    """
    status = folder.data.stat()
    name = "missedbeat-" + hashlib.sha256(f"{status.st_dev}:{status.st_ino}:{owner[0]}".encode()).hexdigest()[:16]
    short = Path("/tmp")  # noqa: S108  # TMPDIR may be too long for a socket, too
    for place in (folder.data / "postgres.socket", Path(tempfile.gettempdir()) / name, short / name):
        if _takes_socket(place, owner):
            return place
    place = Path(tempfile.mkdtemp(prefix="missedbeat-", dir=short))  # somebody else took our name
    os.chown(place, *owner)
    if _takes_socket(place, owner):
        return place
    raise BadSettings("No folder takes the socket of PostgreSQL: set TMPDIR to a short path that you may write to.")


def _takes_socket(place: Path, owner: tuple[int, int]) -> bool:
    """Make the folder, 0700 and the owner's, and try it. One of somebody else, or behind a link, is not taken."""
    if not re.fullmatch(r"[A-Za-z0-9/._-]+", str(place)):  # commas, quotes and colons mean something in a DSN
        return False
    try:
        with suppress(FileExistsError):
            place.mkdir(mode=0o700)
            os.chown(place, *owner)
        status = place.lstat()
        if (status.st_mode, status.st_uid) != (0o040700, owner[0]):
            return False
        (place / TRIAL).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place / TRIAL))  # some file systems take none, and no path over 107 bytes is taken
        (place / TRIAL).unlink()
    except OSError:
        with suppress(OSError):
            place.rmdir()
        return False
    return True


def tail(log: bytes) -> str:
    """The last lines, for a message."""
    return "\n".join(log.decode("utf-8", "replace").splitlines()[-TAIL_LINES:])
