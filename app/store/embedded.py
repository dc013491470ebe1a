"""The private PostgreSQL of `serve` without DATABASE_URL: a real server, a child of this process, watched and stopped by it.

Where its programs are: `embedded_binaries.py`. As whom it runs and how it is tied to us: `embedded_child.py`. What stands in the
data folder and who holds it: `embedded_folder.py`. How its files are made: `embedded_cluster.py`. Only this module is for others.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg

from app.clock import monotonic
from app.errors import Conflict, Unavailable
from app.store.embedded_binaries import find_binaries
from app.store.embedded_child import Identity, choose_identity, spawn, wait_until_deserted
from app.store.embedded_cluster import OWNER, create_cluster, has_cluster
from app.store.embedded_folder import POLL, PORT, SOCKET, Folder, Running, hold, is_held, release, socket_folder, tail

__all__ = ["Running", "Server", "borrowed", "dsn_of_running", "find_binaries", "start"]

DATABASE = "missedbeat"
START_PATIENCE = 60.0
STOP_PATIENCE = 60.0
SETTINGS = {
    "jit": "off",
    "listen_addresses": "",
    "log_timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "unix_socket_permissions": "0700",
}


class Server:
    """A running PostgreSQL that is ours to watch and to stop; made by `start`."""

    def __init__(self, folder: Folder, lock: int, identity: Identity, socket_at: Path, command: list[str | Path]) -> None:
        self.dsn = f"postgresql+psycopg://{OWNER}@/{DATABASE}?host={socket_at}&port={PORT}"
        self._folder = folder
        self._lock: int | None = lock
        self._identity = identity
        self._socket_at = socket_at
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The postmaster's, alive or not."""
        if self._child is None:
            raise Unavailable("PostgreSQL was not started")
        return self._child.pid

    def alive(self) -> bool:
        """Whether the postmaster runs; a dead one is reaped."""
        return self._child is not None and self._child.poll() is None

    def restart(self) -> None:
        """Bring a dead server back under the same DSN and wait until it answers; nothing when it is alive.

        Main thread only. Recovery may take as long as it takes; raises Unavailable with the log's end when PostgreSQL gives up.
        """
        if self._lock is None:
            raise Conflict("this PostgreSQL was stopped: start a new one")
        if self.alive():
            return
        # 1. Nobody may work in the cluster: we hold the lock, so what is left there is on its way out.
        wait_until_deserted(self._folder.cluster)
        # 2. Then what the dead left behind means nothing, whatever process has its number now.
        self._clear_stale_files()
        # 3. Only then a new one.
        log = self._folder.open_log()
        try:
            earlier = os.fstat(log).st_size
            self._child = spawn(self._command, self._identity, log, dies_by=signal.SIGINT)
        finally:
            os.close(log)
        self._wait_until_ready(earlier)

    def stop(self) -> None:
        """Shut down (fast: clients are cut off, a checkpoint is written), wait, let the data folder go. May be repeated."""
        if self._lock is None:
            return
        self._folder.dsn.unlink(missing_ok=True)
        if self._child is not None:
            self._child.send_signal(signal.SIGINT)
            try:
                self._child.wait(STOP_PATIENCE)
            except subprocess.TimeoutExpired:
                self._child.send_signal(signal.SIGQUIT)  # at once, by recovery at the next start
                self._child.wait()
        with suppress(OSError):
            self._socket_at.rmdir()
        lock, self._lock = self._lock, None
        release(lock)

    def _clear_stale_files(self) -> None:
        if sys.platform != "linux":  # without /proc we do not know, and leave the judgement to PostgreSQL itself
            return
        (self._folder.cluster / "postmaster.pid").unlink(missing_ok=True)
        for name in (SOCKET, f"{SOCKET}.lock"):
            (self._socket_at / name).unlink(missing_ok=True)

    def _wait_until_ready(self, earlier: int) -> None:
        """postmaster.pid: the first line is the process, the last one its state (src/include/utils/pidfile.h)."""
        while self.alive():
            with suppress(OSError):
                lines = (self._folder.cluster / "postmaster.pid").read_text("utf-8", "replace").split("\n")
                if lines[0] == str(self.pid) and lines[7:] and lines[7].strip() == "ready":
                    return
            time.sleep(POLL)
        with self._folder.log.open("rb") as log:
            log.seek(earlier)
            raise Unavailable(f"PostgreSQL did not start in {self._folder.cluster}:\n{tail(log.read())}")


def start(data: Path, *, fsync: bool = True, binaries: str | None = None, settings: Mapping[str, str] = {}) -> Server:
    """Run the PostgreSQL of this data folder, made on first start, until `stop` or until this process ends, however it ends.

    Main thread only. `binaries` is what `find_binaries` takes, `settings` are PostgreSQL's own. Raises Running when another
    process does so already, BadSettings when it cannot be done here, Unavailable when PostgreSQL gives up.
    """
    folder = Folder(data.resolve())
    folder.create()
    with ExitStack() as when_it_fails:
        lock = hold(folder)
        when_it_fails.callback(release, lock)
        server = _prepare(folder, lock, find_binaries(binaries), fsync, settings)
        when_it_fails.pop_all()
        when_it_fails.callback(server.stop)
        server.restart()
        _ensure_database(folder, server)
        folder.announce(server.dsn)
        when_it_fails.pop_all()
    return server


def _prepare(folder: Folder, lock: int, binaries: Path, fsync: bool, settings: Mapping[str, str]) -> Server:
    """All that comes before the first process: whose it is, a cluster of the right version, a place for the socket."""
    folder.dsn.unlink(missing_ok=True)
    wait_until_deserted(folder.cluster)
    identity, major = choose_identity(binaries, folder.data, folder.cluster)
    identity.take_entry(folder.data)
    if not has_cluster(folder.cluster, major):
        create_cluster(folder, identity, binaries, major, fsync)
    identity.take_over(folder.cluster)
    socket_at = socket_folder(folder, identity.owner or (os.geteuid(), os.getegid()))
    ours = {"port": str(PORT), "unix_socket_directories": str(socket_at)}
    given = {**SETTINGS, "fsync": "on" if fsync else "off", **settings, **ours}
    options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
    return Server(folder, lock, identity, socket_at, [binaries / "postgres", "-D", folder.cluster, *options])


def _ensure_database(folder: Folder, server: Server) -> None:
    """First that it is our server that answers, then that it has our database."""
    with _connect(server.dsn, "postgres") as connection:
        answers = connection.execute("show data_directory").fetchone()
        if answers is None or not Path(answers[0]).samefile(folder.cluster):
            raise Unavailable(f"another PostgreSQL than that of {folder.cluster} answers")
        if connection.execute("select from pg_database where datname = %s", [DATABASE]).fetchone() is None:
            connection.execute(f"create database {DATABASE}")


def _connect(dsn: str, database: str = DATABASE) -> psycopg.Connection:
    return psycopg.connect(
        dsn.replace("+psycopg", "", 1), dbname=database, autocommit=True, connect_timeout=10, client_encoding="utf8"
    )


def dsn_of_running(data: Path, patience: float = START_PATIENCE) -> str | None:
    """The DSN of the server that a supervisor runs in this data folder, None when nobody does.

    While it starts, or recovers, this waits; raises Unavailable after `patience` seconds.
    """
    folder = Folder(data.resolve())
    until = monotonic() + patience
    while is_held(folder):
        try:
            dsn = folder.dsn.read_text()
            _connect(dsn).close()
        except (OSError, psycopg.OperationalError) as error:
            if monotonic() > until:
                raise Unavailable(
                    f"The PostgreSQL of {folder.data} is held by a process, but does not answer: {error}"
                ) from error
        else:
            return dsn
        time.sleep(2 * POLL)
    return None


@contextmanager
def borrowed(data: Path, *, binaries: str | None = None) -> Iterator[str]:
    """A DSN for as long as the block lasts: that of the server that runs, else of one started now and stopped after.

    Whoever started it stops it only when all others who borrowed it are done. Main thread only when nobody runs it.
    """
    folder = Folder(data.resolve())
    folder.create()
    borrowers = folder.open(folder.borrowers)
    try:
        fcntl.flock(borrowers, fcntl.LOCK_SH)
        dsn, server = _running_or_started(data, binaries)
        try:
            yield dsn
        finally:
            if server is not None:
                _stop_after_the_last(borrowers, server)
    finally:
        os.close(borrowers)


def _running_or_started(data: Path, binaries: str | None) -> tuple[str, Server | None]:
    while True:
        dsn = dsn_of_running(data)
        if dsn is not None:
            return dsn, None
        with suppress(Running):  # somebody was faster: theirs will do
            server = start(data, binaries=binaries)
            return server.dsn, server


def _stop_after_the_last(borrowers: int, server: Server) -> None:
    try:
        fcntl.flock(borrowers, fcntl.LOCK_EX)
    finally:
        server.stop()
