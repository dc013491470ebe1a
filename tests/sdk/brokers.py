"""Real brokers for tests: Redis on a socket in a folder, RabbitMQ on free ports, each with data, name and cookie of its own.
Started when first asked for, once for all processes of a test run, and ended with the last of them, however that ends.

`python -m tests.sdk.brokers redis|rabbitmq FOLDER` is the keeper: the process that a broker hangs on. Whoever uses the broker
holds a shared lock on FOLDER/users, which the kernel takes from the dead too; when the keeper gets it for itself, nobody is left.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import redis

ROOT = Path(__file__).resolve().parent.parent.parent
SEARCHED = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"  # where Debian keeps servers, and a user's PATH may not look
DATABASES = 4096
PATIENCE = 60.0


def tied(*command: str) -> list[str]:
    """The command, as a process that the kernel kills when the thread that starts it is gone."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *command]


class Redis:
    """`with Redis(folder) as broker:` is a redis-server that keeps nothing on disk. `stop` and `start` are what happens to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        options = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", "", "--appendonly", "no"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                tied(found("redis-server"), *options, "--databases", str(DATABASES)),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(self._answers, self._process, self.folder / "log")

    def stop(self) -> None:
        """It is gone at once, as after a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """It takes connections, and answers nothing, until `thaw`."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        self._send(signal.SIGCONT)

    def _send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def url(self, database: int = 0) -> str:
        """As Celery is told of it."""
        return f"redis+socket://{self.socket}?virtual_host={database}"

    def fresh(self) -> str:
        """The URL of a database that nobody else uses."""
        return self.url(next_number(self.folder) % DATABASES)

    def _answers(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=str(self.socket)) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


@dataclass
class RabbitMQ:
    """A RabbitMQ node with an epmd of its own, both on this machine only."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Return when it listens. A port that somebody else took meanwhile is tried again."""
        for attempt in range(3):
            self.ports = dict(zip(("amqp", "dist", "epmd"), free_ports(3), strict=True))
            try:
                return self._start()
            except BrokerDied:
                self.stop()
                if attempt == 2:
                    raise
        return None

    def stop(self) -> None:
        """It is gone at once, as after a crash."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes = []

    def fresh(self) -> str:
        """The URL of a virtual host that nobody else uses."""
        name = f"test{next_number(self.folder)}"
        made = (
            f'rabbit_vhost:add(<<"{name}">>, <<"tests">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"tests">>).'
        )
        subprocess.run(
            [script("rabbitmqctl"), "--quiet", "eval", made],
            env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True, check=True,
        )  # fmt: skip
        return f"amqp://guest:guest@127.0.0.1:{self.ports['amqp']}/{name}"

    def _start(self) -> None:
        (self.folder / "plugins").write_text("[].")
        (self.folder / "rabbitmq.conf").write_text("loopback_users = none\nvm_memory_high_watermark.absolute = 2GB\n")
        log = self.folder / "log"
        commands = [["epmd", "-port", str(self.ports["epmd"]), "-address", "127.0.0.1"], [script("rabbitmq-server")]]
        for command in commands:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    tied(*command), env=self._environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
                self._processes.append(process)
        wait_until(lambda: b"startup complete" in log.read_bytes(), self._processes[-1], log)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": SEARCHED,
            "HOME": str(self.folder),  # where Erlang keeps its cookie
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self.ports["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"missedbeat{self.ports['amqp']}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.ports["amqp"]),
            "RABBITMQ_DIST_PORT": str(self.ports["dist"]),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RUNNING_UNDER_SYSTEMD": "true",  # the script then becomes the server, instead of waiting for it
        }


Broker = Redis | RabbitMQ
KINDS: dict[str, type[Redis] | type[RabbitMQ]] = {"redis": Redis, "rabbitmq": RabbitMQ}


class BrokerDied(Exception):
    """It ended, or never listened: with its own words."""


@contextmanager
def shared(kind: str, folder: Path) -> Iterator[Broker]:
    """The one broker of this kind whose data is in `folder`; started by whoever comes first."""
    folder.mkdir(exist_ok=True)
    with (folder / "users").open("ab") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        with locked(folder / "starting"):
            if not (folder / "ports").exists():
                _start_keeper(kind, folder)
        broker = KINDS[kind](folder)
        if isinstance(broker, RabbitMQ):
            broker.ports = json.loads((folder / "ports").read_text())
        yield broker


def _start_keeper(kind: str, folder: Path) -> None:
    with (folder / "keeper.log").open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.sdk.brokers", kind, str(folder)],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    wait_until((folder / "ports").exists, keeper, folder / "keeper.log")
    keeper.returncode = 0  # it outlives this process: no complaint about that


def keep(kind: str, folder: Path) -> None:
    """Run the broker until nobody uses it, and take its data away."""
    broker = KINDS[kind](folder)
    broker.start()
    ports = getattr(broker, "ports", {})
    (folder / "ports.new").write_text(json.dumps(ports))
    (folder / "ports.new").rename(folder / "ports")
    with (folder / "users").open("ab") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
    broker.stop()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among all processes that lock this file."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def next_number(folder: Path) -> int:
    """1, 2, 3, …: another one at each call, whichever process calls."""
    with locked(folder / "counting"), (folder / "count").open("ab") as count:
        count.write(b".")
        return count.tell()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until(true: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when it is; raises BrokerDied when the process ended first, or nothing came."""
    until = time.monotonic() + PATIENCE
    while not true():
        if process.poll() is not None or time.monotonic() > until:
            raise BrokerDied(log.read_text(errors="replace")[-3000:])
        time.sleep(0.02)


def found(program: str) -> str:
    """Where a program is; `make test` has seen to it."""
    path = shutil.which(program, path=SEARCHED)
    assert path is not None, f"{program} is not installed: sh scripts/debian.sh"
    return path


def script(name: str) -> str:
    """A script of RabbitMQ itself: what Debian puts on the PATH insists on being root or rabbitmq, and on their folders."""
    return str(Path(found("rabbitmq-server")).resolve().with_name(name))


if __name__ == "__main__":
    keep(sys.argv[1], Path(sys.argv[2]))
