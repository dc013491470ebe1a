"""`serve`: the whole service in one command. The parent owns the listening socket, the private PostgreSQL and the children
(web processes, a worker, a mail door where it has a domain), starts what dies again, and stops all of it in order."""

import contextlib
import ctypes
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client.multiprocess import mark_process_dead

from app.clock import monotonic
from app.errors import BadSettings, Unavailable
from app.garbage import spare_what_stays
from app.settings import Settings

if TYPE_CHECKING:
    from app.store.embedded import Server

log = structlog.get_logger()

LOOK = 0.1  # seconds
SHORT_REST = 1.0
STOP_LIMIT = 12.0
READY_LIMIT = 60.0
SHORTEST_LIFE = 5.0  # a child that dies sooner is started again after a pause
PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Child:
    """A process that is kept running."""

    name: str
    command: list[str]
    fds: tuple[int, ...] = ()
    told: bool = False
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0


@dataclass(slots=True)
class Serve:
    """One running `serve`. `announce` is called once the service is ready."""

    settings: Settings
    announce: Callable[[str], None]
    children: list[Child] = field(default_factory=list)
    server: "Server | None" = None
    dsn: str = ""
    stopping: bool = False

    def run(self) -> None:
        """Start everything, keep it running, and return once SIGTERM or SIGINT has stopped all of it."""
        listener = listen(self.settings)
        mail = listen_for_mail(self.settings) if self.settings.ping_email_domain else None
        settings = self.settings = served_at(self.settings, listener)
        own_folder(settings.data)
        settings.secret_key = settings.secret_key or own_secret_key(settings.data)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            self._describe_children(listener, mail)
            self._look_after_children()
            self._open_database()
            (settings.data / "base_url").write_text(settings.address)
            self._keep_running(listener)
        finally:
            self._stop_children()
            for door in (listener, mail):
                if door is not None:
                    door.close()
            shutil.rmtree(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""), ignore_errors=True)
            if self.server is not None:
                self.server.stop()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _open_database(self) -> None:
        """Open and migrate it while the children are still loading."""
        from app.store import embedded
        from app.store.migrate import migrate

        if not self.settings.database_url:
            self.server = embedded.start(self.settings.data, binaries=self.settings.postgres_bin or None)
        self.dsn = self.server.dsn if self.server is not None else self.settings.database_url
        migrate(self.dsn)

    def _describe_children(self, listener: socket.socket, mail: socket.socket | None) -> None:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="counters-", dir=self.settings.data)
        os.environ["MISSEDBEAT_SECRET_KEY"] = self.settings.secret_key
        os.environ["MISSEDBEAT_BASE_URL"] = self.settings.base_url  # where it is empty no canary is sent: nothing is public
        os.environ["MISSEDBEAT_HOST"], os.environ["MISSEDBEAT_PORT"] = self.settings.host, str(self.settings.port)
        fd = listener.fileno()
        self.children = [Child(f"web {n + 1}", ["web", "--fd", str(fd)], (fd,)) for n in range(self.settings.workers)]
        self.children.append(Child("worker", ["worker"]))
        if mail is not None:
            self.children.append(Child("smtpd", ["smtpd", "--fd", str(mail.fileno())], (mail.fileno(),)))

    def _keep_running(self, listener: socket.socket) -> None:
        spare_what_stays()
        announced, give_up_at = False, monotonic() + READY_LIMIT
        while not self.stopping:
            if self.server is not None and not self.server.alive():
                self._start_again(self.server)
            self._look_after_children()
            if not announced and is_ready(listener):
                self.announce(self.dsn)
                announced = True
            elif not announced and monotonic() > give_up_at:
                log.error("the service is not ready yet; see the lines above")
                announced = True
            time.sleep(LOOK)

    def _start_again(self, server: "Server") -> None:
        """Try once; where PostgreSQL cannot run now, for the disk is full, the next look tries again."""
        log.error("PostgreSQL died and is started again")
        try:
            server.restart()
        except (Unavailable, OSError, subprocess.SubprocessError) as error:
            log.error("PostgreSQL cannot be started yet", error=str(error)[-500:])
            time.sleep(SHORT_REST)

    def _look_after_children(self) -> None:
        """Start what does not run, and tell what has just loaded where the database is, once that is known."""
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                self._note_death(child, child.process)
            if child.process is None and monotonic() >= child.start_again_at:
                self._start(child)
            if child.process is not None and child.process.stdin is not None and self.dsn and not child.told:
                with contextlib.suppress(BrokenPipeError):
                    child.process.stdin.write(f"{self.dsn}\n".encode())
                    child.process.stdin.close()
                child.told = True

    def _start(self, child: Child) -> None:
        """Try once; where the machine has no process or memory to give now, a later look tries again."""
        try:
            child.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "app.cli", *child.command, "--dsn-on-stdin"],
                stdin=subprocess.PIPE,
                pass_fds=child.fds,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 (this process has one thread)
            )
        except (OSError, subprocess.SubprocessError) as error:
            log.error("a process cannot be started yet", process=child.name, error=str(error))
            child.start_again_at = monotonic() + SHORT_REST
        else:
            child.started_at, child.told = monotonic(), False

    def _note_death(self, child: Child, process: "subprocess.Popen[bytes]") -> None:
        mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
        quick = monotonic() - child.started_at < SHORTEST_LIFE
        log.error("a process died and is started again", process=child.name, code=process.returncode)
        if process.stdin is not None:
            process.stdin.close()
        child.process, child.start_again_at = None, monotonic() + (SHORT_REST if quick else 0.0)

    def _stop_children(self) -> None:
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
            if process.stdin is not None:
                process.stdin.close()
        give_up_at = monotonic() + STOP_LIMIT
        for process in running:
            try:
                process.wait(max(0.1, give_up_at - monotonic()))
            except subprocess.TimeoutExpired:
                log.error("a process did not stop in time and is killed", pid=process.pid)
                process.kill()
                process.wait()


def listen(settings: Settings) -> socket.socket:
    """The listening socket, which outlives every web process. Raises BadSettings when the address cannot be had."""
    return open_socket(settings.host, settings.port, "--port")


def listen_for_mail(settings: Settings) -> socket.socket:
    """The same for mail: while its process is started again, senders wait. Raises BadSettings."""
    return open_socket(settings.smtpd_host, settings.smtpd_port, "MISSEDBEAT_SMTPD_PORT")


def open_socket(host: str, port: int, chosen_by: str) -> socket.socket:
    """A socket that listens there. Raises BadSettings."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(found[0], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(found[4])
        listener.listen(2048)
    except OSError as error:
        raise BadSettings(
            f"cannot listen on {host}:{port} ({error.strerror}): stop what uses it, or choose another with {chosen_by}"
        ) from None
    return listener


def served_at(settings: Settings, listener: socket.socket) -> Settings:
    """The settings with the port that was really taken (`--port 0` takes any)."""
    return settings.model_copy(update={"port": listener.getsockname()[1]})


def own_folder(data: Path) -> None:
    """The data folder, made where it is missing. Raises BadSettings."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BadSettings(
            f"MISSEDBEAT_DATA: {data} cannot be used as a folder ({error.strerror}); choose another with --data"
        ) from None


def own_secret_key(data: Path) -> str:
    """The secret key in the data folder, made at the first start and readable by its owner only."""
    path = data / "secret.key"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    key = path.read_text().strip()
    if len(key) < 32:
        raise BadSettings(f"{path} holds no key: restore it from a backup; without it channel secrets cannot be read")
    return key


def is_ready(listener: socket.socket) -> bool:
    """Whether /readyz answers 200 on this socket's address."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/readyz"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as answer:
            return bool(json.load(answer)["ready"])
    except (OSError, http.client.HTTPException, ValueError):
        return False


def die_with_parent() -> None:
    """Run in a child before its program: should `serve` be killed, the child stops too. Linux only; elsewhere a no-op."""
    if sys.platform == "linux":
        libc: Any = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
