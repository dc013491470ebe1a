"""`missedbeat run`: real commands, real signals, real terminals. The command must not notice us, the server must notice it."""

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psutil

from tests.sdk.brokers import free_ports, tied
from tests.sdk.celery_processes import wait_until
from tests.sdk.collector import Collector
from tests.sdk.scripts import environment
from tests.sdk.test_transport import Server

BY_HAND = ("env", "--default-signal=INT,QUIT,HUP")  # which a shell ignores for what is in its background, as tests may be
WRAPPER = [sys.executable, "-m", "missedbeat.cli", "run"]
COUNTS = """
import signal, sys, time
heard = []
for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2"):
    signal.signal(getattr(signal, f"SIG{name}"), lambda number, frame: (heard.append(number), print(number, flush=True)))
print("ready", sys.stdin.isatty(), sys.stdout.isatty(), flush=True)
while signal.SIGUSR2 not in heard:
    time.sleep(0.02)
sys.exit(7)
"""


def wrapped(*command: str, url: str | None, options: tuple[str, ...] = ("job",), **more: Any) -> "subprocess.Popen[bytes]":
    """A command below `missedbeat run`; it dies with the test run."""
    given = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    said = {name: given.pop(name) for name in list(given) if name.isupper()}
    return subprocess.Popen(tied(*BY_HAND, *WRAPPER, *options, "--", *command), env=environment(url, **said), **given)


def ran(*command: str, url: str | None, given: bytes = b"", **more: Any) -> tuple[int, bytes, bytes]:
    """The same, run to its end: exit code, output, errors."""
    process = wrapped(*command, url=url, **more)
    out, errors = process.communicate(given, timeout=60)
    return process.returncode, out, errors


def read_until(process: "subprocess.Popen[bytes]", words: bytes) -> bytes:
    """Its output up to these words."""
    said = b""
    assert process.stdout is not None
    while words not in said:
        piece = os.read(process.stdout.fileno(), 4096)
        assert piece, said
        said += piece
    return said


def ends(collector: Collector) -> list[tuple[str, Any, Any]]:
    """How runs ended."""
    return [
        (e["type"].removeprefix("run."), e.get("exit"), e.get("error")) for e in collector.of("run") if e["type"] != "run.started"
    ]


def test_input_output_and_errors_pass_through_byte_by_byte(tmp_path: Path) -> None:
    """And the server is told the start, the end, and what was written."""
    given = bytes(range(256)) * 2000
    with Collector() as collector:
        script = "tee copy; printf 'oops\\377' >&2"
        code, out, errors = ran("sh", "-c", script, url=collector.url, given=given, cwd=tmp_path)
        assert (code, out, errors) == (0, given, b"oops\xff")
        assert (tmp_path / "copy").read_bytes() == given
        started, end = collector.of("run")
        assert (started["type"], started["monitor"]) == ("run.started", "job:job")
        assert (end["type"], end["run"], end["x"], end["exit"]) == ("run.succeeded", started["run"], started["x"], 0)
        assert len(end["log"]) == 100_000
        assert "oops\ufffd" in end["log"]
        assert end["duration_ms"] >= 0


def test_what_may_be_said_on_the_line(tmp_path: Path) -> None:
    """A schedule and limits, which the first run registers; the run's id for the command."""
    options = (
        "--monitor", "nightly", "--schedule", "0 3 * * *", "--tz", "Europe/Berlin", "--grace", "300", "--max-runtime", "60",
        "--environment", "staging",
    )  # fmt: skip
    with Collector() as collector:
        code, out, errors = ran("sh", "-c", "printf %s $MISSEDBEAT_RUN_ID", url=collector.url, options=options)
        declared = collector.of("job.declared")[0]
        assert {name: declared[name] for name in ("name", "schedule", "grace", "max_runtime")} == {
            "name": "nightly", "schedule": {"kind": "cron", "expression": "0 3 * * *", "zone": "Europe/Berlin"},
            "grace": 300.0, "max_runtime": 60.0,
        }  # fmt: skip
        assert (code, errors, out.decode()) == (0, b"", collector.of("run.started")[0]["run"])
        assert collector.batches[0][0]["environment"] == "staging"


def test_it_exits_as_the_command_does(tmp_path: Path) -> None:
    """Its code; 128 and the signal; 127 not found, 126 not to be executed; a script without its first line is one for sh."""
    (tmp_path / "plain").write_text("exit 5\n")
    (tmp_path / "script").write_text("exit 4\n")
    (tmp_path / "script").chmod(0o755)
    (tmp_path / "no-such-command").mkdir()  # in PATH what is no file is passed over
    path = f"{tmp_path}:{os.environ['PATH']}"
    for command, code, how in (
        (("true",), 0, ("succeeded", 0, None)),
        (("sh", "-c", "exit 3"), 3, ("failed", 3, "exit code 3")),
        (("sh", "-c", "kill -9 $$"), 137, ("lost", 137, "its process was killed by signal 9 (SIGKILL)")),
        (("no-such-command", "x"), 127, ("failed", 127, "no-such-command: command not found")),
        (("./plain",), 126, ("failed", 126, "./plain: Permission denied")),
        (("./script",), 4, ("failed", 4, "exit code 4")),
    ):
        with Collector() as collector:
            done, out, errors = ran(*command, url=collector.url, cwd=tmp_path, PATH=path)
            assert (done, out, ends(collector)) == (code, b"", [how])
            assert errors.decode() == (f"missedbeat: {how[2]}\n" if code in (126, 127) else "")


def test_signals_are_handed_on_each_once(tmp_path: Path) -> None:
    """The command decides what they mean; we wait for it."""
    with Collector() as collector:
        process = wrapped(sys.executable, "-c", COUNTS, url=collector.url)
        read_until(process, b"ready")
        for name in ("TERM", "INT", "HUP", "QUIT", "USR1"):
            number = getattr(signal, f"SIG{name}")
            process.send_signal(number)
            read_until(process, f"{number}\n".encode())
        process.send_signal(signal.SIGUSR2)
        out, errors = process.communicate(timeout=30)
        assert (process.returncode, out, errors) == (7, f"{signal.SIGUSR2}\n".encode(), b"")
        assert ends(collector) == [("failed", 7, "exit code 7")]


def test_a_command_that_a_signal_ends_was_stopped() -> None:
    """As an orchestrator stops it: the exit code says so, and so does the end that is told."""
    with Collector() as collector:
        process = wrapped("sh", "-c", "echo ready; exec sleep 60", url=collector.url)
        read_until(process, b"ready")
        process.terminate()
        assert process.wait(30) == 143
        assert ends(collector) == [("aborted", 143, "stopped by signal 15 (SIGTERM)")]
        process.communicate()


def test_ignored_signals_stay_ignored() -> None:
    """As below nohup."""
    with Collector() as collector:
        script = "from signal import *; print(getsignal(SIGHUP) is SIG_IGN, pthread_sigmask(SIG_BLOCK, []))"
        process = subprocess.run(
            ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *WRAPPER, "job", "--", sys.executable, "-c", script],
            env=environment(collector.url), stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=True,
        )  # fmt: skip
        assert process.stdout == b"True set()\n"


def test_a_terminal_stays_one_and_its_interrupt_comes_once() -> None:
    """The keys of a terminal signal the command by themselves; a second one from us would be taken for force."""
    with Collector() as collector:
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(sys.executable, [*WRAPPER, "job", "--", sys.executable, "-c", COUNTS], environment(collector.url))
        said = b""

        def heard(words: bytes) -> Callable[[], bool]:
            def read() -> bool:
                nonlocal said
                said += os.read(terminal, 4096)
                return words in said

            return read

        wait_until(heard(b"ready True True"))
        os.write(terminal, b"\x03")
        wait_until(heard(b"2\r\n"))
        os.kill(pid, signal.SIGUSR2)
        _, status = os.waitpid(pid, 0)
        with_rest = said + os.read(terminal, 4096)
        os.close(terminal)
        assert os.waitstatus_to_exitcode(status) == 7
        assert with_rest.split() == [b"ready", b"True", b"True", b"^C2", str(int(signal.SIGUSR2)).encode()]
        assert [(e["type"], e.get("log")) for e in collector.of("run.failed")] == [("run.failed", None)]


def test_a_server_that_is_away_changes_nothing_but_the_wait_at_the_end(tmp_path: Path) -> None:
    """Refused, hanging, broken: the command begins at once, writes and ends as ever; one line says what was not told."""
    (port,) = free_ports(1)
    hang = Server(lambda lines: (time.sleep(60), (200, {}, b"{}"))[1])  # type: ignore[func-returns-value]
    broken = Server(lambda lines: (500, {}, b"{}"))
    with hang, broken:
        processes = []
        for n, url in enumerate((f"http://127.0.0.1:{port}", hang.url, broken.url)):
            processes.append(wrapped("sh", "-c", f"touch {n}; echo out; sleep 1; touch {n}.done; exit 3", url=url, cwd=tmp_path))
        for n, process in enumerate(processes):
            out, errors = process.communicate(timeout=60)
            assert (process.returncode, out) == (3, b"out\n")
            assert errors.decode().splitlines()[-1] == "missedbeat: the server was not told how this run ended"
            lasted = (tmp_path / f"{n}.done").stat().st_mtime - (tmp_path / str(n)).stat().st_mtime
            assert lasted < 60


def test_nobody_waits_for_a_server_that_refuses_the_key(tmp_path: Path) -> None:
    """Once that is sure it will not change in ten seconds. With a spool what was not told is not lost, and that is said."""
    with Server(lambda lines: (401, {}, b"{}")) as server:
        code, _, errors = ran("true", url=server.url, MISSEDBEAT_SPOOL=str(tmp_path))
        why, left = errors.decode().splitlines()
        assert (code, why.partition(" (")[0]) == (0, "missedbeat: The server refuses the key")
        assert left == "missedbeat: the server was not told how this run ended: it waits in the spool for the next run"
        assert list(tmp_path.glob("*.spool"))


def test_a_second_signal_ends_the_wait_for_the_server(tmp_path: Path) -> None:
    """Whoever stops us after the command has ended is not kept waiting."""
    (port,) = free_ports(1)
    process = wrapped("sh", "-c", "touch done", url=f"http://127.0.0.1:{port}", cwd=tmp_path)
    wait_until((tmp_path / "done").exists)
    wait_until(lambda: not psutil.Process(process.pid).children())
    process.terminate()
    assert process.wait(30) == 0
    assert b"was not told" in process.communicate()[1]


def test_without_a_server_or_a_check_the_command_runs_as_if_we_were_not_there(tmp_path: Path) -> None:
    """One line says what is missing; switched off, not even that. We are not even its parent then."""
    command = ("sh", "-c", "echo $PPID; exit 3")
    cases: list[tuple[str | None, tuple[str, ...], dict[str, Any], str]] = [
        (None, ("job",), {}, "missing: MISSEDBEAT_URL and MISSEDBEAT_KEY, or the ping URL of the check"),
        (None, ("job", "--url", "http://127.0.0.1:9"), {}, "missing: MISSEDBEAT_KEY, or the ping URL of the check"),
        ("http://127.0.0.1:9", (), {}, "missing: which check: say its key, or its ping URL"),
        (None, ("job",), {"MISSEDBEAT_DISABLED": "1"}, ""),
    ]
    for url, options, more, words in cases:
        code, out, errors = ran(*command, url=url, options=options, **more)
        assert (code, out) == (3, f"{os.getpid()}\n".encode())
        assert errors.decode() == (f"missedbeat: this run is not watched; {words}\n" if words else "")
    assert ran("no-such-command", url=None)[0] == 127
    for line in (("job",), ("job", "true", "-x")):
        refused = subprocess.run([*WRAPPER, *line], env=environment(None), capture_output=True, check=False)
        assert (refused.returncode, b"say the command behind two dashes" in refused.stderr) == (2, True)


def test_a_reader_that_leaves_is_noticed_by_the_command() -> None:
    """As `command | head` does: the command dies of SIGPIPE, as without us."""
    with Collector() as collector:
        process = wrapped("yes", url=collector.url)
        read_until(process, b"y")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(30) == 141
        assert ends(collector) == [("lost", 141, "its process was killed by signal 13 (SIGPIPE)")]
        process.communicate()


def test_output_that_cannot_be_written_is_a_failure() -> None:
    """The disk is full, and the command took for written what it gave to us: without us it would have failed, and so it does."""
    words = "its output could not be written: No space left on device"
    with Collector() as collector, Path("/dev/full").open("wb") as full:
        code, _, errors = ran("sh", "-c", "echo a dump", url=collector.url, stdout=full)
        assert (code, errors.decode()) == (1, f"missedbeat: {words}\n")
        assert ends(collector) == [("failed", 1, words)]
    with Collector() as collector, Path("/dev/full").open("wb") as full:
        assert ran("sh", "-c", "echo a dump; exit 3", url=collector.url, stdout=full, stderr=full)[0] == 3
        assert ran("no-such-command", url=collector.url, stdout=full, stderr=full)[0] == 127
        assert ends(collector) == [("failed", 3, words), ("failed", 127, "no-such-command: command not found")]


def test_what_the_command_leaves_running_may_go_on_writing(tmp_path: Path) -> None:
    """We end with the command, and not with its last descendant, whose words arrive all the same."""
    (tmp_path / "out").touch()
    with Collector() as collector, (tmp_path / "out").open("ab") as out:
        script = "(while [ ! -e go ]; do sleep 0.05; done; echo later; echo error >&2) & echo first"
        assert ran("sh", "-c", script, url=collector.url, cwd=tmp_path, stdout=out, stderr=out)[0] == 0
        assert (tmp_path / "out").read_text() == "first\n"
        assert collector.of("run.succeeded")[0]["log"] == "first\n"
        (tmp_path / "go").touch()
        wait_until(lambda: (tmp_path / "out").read_text() == "first\nlater\nerror\n")


def test_both_outputs_into_one_file_keep_their_order(tmp_path: Path) -> None:
    """`2>&1` is what cron lines have."""
    script = "for n in $(seq 200); do echo out $n; echo error $n >&2; done"
    with Collector() as collector, (tmp_path / "out").open("wb") as out:
        assert ran("sh", "-c", script, url=collector.url, stdout=out, stderr=out)[0] == 0
        expected = "".join(f"out {n}\nerror {n}\n" for n in range(1, 201))
        assert (tmp_path / "out").read_text() == expected
        assert collector.of("run.succeeded")[0]["log"] == expected


def test_output_is_left_alone_where_a_person_wants_that(tmp_path: Path) -> None:
    """The command has our own descriptors then, and nothing of it is told."""
    with Collector() as collector, (tmp_path / "out").open("wb") as out:
        script = "import os; print(os.fstat(1).st_ino)"
        options = ("job", "--no-output")
        assert ran(sys.executable, "-c", script, url=collector.url, options=options, stdout=out)[0] == 0
        assert int((tmp_path / "out").read_text()) == (tmp_path / "out").stat().st_ino
        assert "log" not in collector.of("run.succeeded")[0]


class PingServer(ThreadingHTTPServer):
    """Keeps each request; the first `failures` are answered 503."""

    def __init__(self, failures: int = 0, status: int = 200) -> None:
        self.heard: list[tuple[str, bytes]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.heard.append((self.path, body))
                self.send_response(503 if len(server.heard) <= failures else status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        """Of a check."""
        return f"http://127.0.0.1:{self.server_port}/ping/3c1169a0-7b50-11ea-bc55-0242ac130003"

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def test_a_ping_url_alone_is_enough() -> None:
    """No key: start, and the end by its exit code with the output; tried again where the server is busy."""
    with PingServer(failures=2) as server:
        script = "echo $MISSEDBEAT_RUN_ID; exit 3"
        code, out, errors = ran("sh", "-c", script, url=None, options=(server.url,))
        assert (code, errors) == (3, b"")
        run = out.decode().strip()
        path = server.url.partition(":")[2].partition("/ping")[2]
        targets = [(target, body.decode()) for target, body in server.heard]
        assert targets == [
            (f"/ping{path}/start?rid={run}", ""), *[(f"/ping{path}/3?rid={run}", f"exit code 3\n{run}\n")] * 2,
        ]  # fmt: skip
    with PingServer(status=404) as server:
        code, _, errors = ran("true", url=None, options=(server.url,))
        assert (code, b"answers 404: is the ping URL right?" in errors) == (0, True)


def test_an_id_alone_is_pinged_where_there_is_no_key() -> None:
    """MISSEDBEAT_URL says where."""
    with PingServer() as server:
        address, _, id_ = server.url.partition("/ping/")
        assert ran("true", url=None, options=(id_,), MISSEDBEAT_URL=address)[0] == 0
        assert [target.partition("?")[0] for target, _ in server.heard] == [f"/ping/{id_}/start", f"/ping/{id_}/0"]


def test_the_command_inherits_what_it_would_have_without_us(tmp_path: Path) -> None:
    """Descriptors such as the lock of flock and the sockets of systemd; and none of ours."""
    ours, theirs = socket.socketpair()
    with Collector() as collector, ours, theirs:
        script = f"import os; os.write({theirs.fileno()}, b'hello'); print(len(os.listdir('/proc/self/fd')) - 1)"
        code, out, _ = ran(sys.executable, "-c", script, url=collector.url, pass_fds=[theirs.fileno()])
        assert code == 0
        assert ours.recv(5) == b"hello"
        assert out == b"4\n"
