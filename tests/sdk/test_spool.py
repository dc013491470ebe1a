"""The spool: what hooks have put down outlives the processes that saw it, and arrives once."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from missedbeat import sender, spool
from missedbeat.reporter import Reporter, now_ms
from missedbeat.settings import read
from missedbeat.spool_file import SpoolFile

from tests.sdk.brokers import ROOT, tied
from tests.sdk.celery_processes import wait_until
from tests.sdk.collector import Collector
from tests.sdk.gate import REFUSE, UNANSWERED, Gate
from tests.sdk.spooling import NOBODY, Program, reporting, waiting

LONG = 100.0  # whoever was refused comes back within half a minute


@pytest.fixture
def reporters() -> Iterator[Callable[..., Reporter]]:
    """Makes those of a test; they end with it."""
    made: list[Reporter] = []

    def make(url: str, folder: Path, **given: Any) -> Reporter:
        made.append(reporting(url, folder, **given))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """The server."""
    with Collector() as server:
        yield server


@pytest.fixture
def gate(collector: Collector) -> Iterator[Gate]:
    """The way to it, closed at first."""
    with Gate(collector.port) as way:
        way.now(REFUSE)
        yield way


def arrived(collector: Collector, *runs: str) -> None:
    """All of these came, each once, and nothing else did."""
    collector.wait_for(lambda events: {e["run"] for e in events if "run" in e} >= set(runs), within=LONG)
    assert Counter(e["run"] for _, events in collector.batches for e in events if "run" in e) == dict.fromkeys(runs, 1)


def left_behind(gate: Gate, folder: Path) -> tuple[list[str], Path]:
    """The three runs of a program that was killed, and the file in which they wait."""
    with Program(gate.url, folder, 3) as program:
        program.kill()
    return program.runs, next(folder.glob("*.spool"))


def test_what_a_killed_process_saw_is_sent_by_the_next(
    tmp_path: Path, reporters: Callable[..., Reporter], collector: Collector, gate: Gate
) -> None:
    """With its own id and time, and marked as old news; the folder is empty then."""
    with Program(gate.url, tmp_path, 20) as program:
        before = int(time.time() * 1000)
        program.kill()
        gate.now()
        reporter = reporters(gate.url, tmp_path)
        reporter.record("run.succeeded", "entry:n", "new")
        arrived(collector, *program.runs, "new")
        old = [e for e in collector.of("run") if e["run"] != "new"]
        assert {e["id"].partition(":")[0] for e in old} & {reporter.boot} == set()
        assert all(e["ts"] <= before and e["replayed"] is True for e in old)
        assert "replayed" not in next(e for e in collector.of("run") if e["run"] == "new")
        wait_until(lambda: not list(tmp_path.iterdir()), LONG)


def test_what_has_arrived_waits_nowhere(
    tmp_path: Path, reporters: Callable[..., Reporter], collector: Collector, gate: Gate
) -> None:
    """A file is there while something waits, only its owner may read it, and the end of a process leaves nothing behind."""
    folder = tmp_path / "deep" / "folder"
    reporter = reporters(gate.url, folder)
    reporter.record("run.started", "entry:n", "r")
    file = wait_until(lambda: list(folder.glob("*.spool")))[0]
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    gate.now()
    assert reporter.flush(30)
    assert not list(folder.iterdir())
    arrived(collector, "r")


def test_a_server_that_comes_back_hears_everything_in_order(
    tmp_path: Path, reporters: Callable[..., Reporter], collector: Collector, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also far more than memory holds; what it took without our hearing so it gets again, under the same id."""
    monkeypatch.setattr(sender, "PATIENCE", 1_000)  # however long it takes to write them all, the batch itself is tried again
    reporter = reporters(gate.url, tmp_path, max_buffer=100)
    for number in range(2_000):
        reporter.record("run.started", "entry:n", f"{number}")
        if number % 50 == 0:
            wait_until(lambda: not len(reporter._buffer))
    gate.now(UNANSWERED)
    while not collector.events:
        assert not reporter.flush(10)
    gate.now()
    assert reporter.flush(LONG)
    events = [e for _, events in collector.batches for e in events]
    first = list({e["id"]: e["run"] for e in events}.values())
    assert first == [f"{number}" for number in range(2_000)]
    assert len(events) > 2_000
    assert reporter.stats()["dropped"] == {}


def test_the_dead_are_inherited_once_and_the_living_not_at_all(tmp_path: Path, collector: Collector, gate: Gate) -> None:
    """Several workers of one host share the folder: whoever finds an orphan first has it; a file in use is nobody's."""
    with ExitStack() as stack:
        living, *dead = [stack.enter_context(Program(gate.url, tmp_path, 300, name)) for name in ("living", "dead", "dead too")]
        living.process.send_signal(signal.SIGSTOP)
        for each in dead:
            each.kill()
        gate.now()
        for _ in range(3):
            stack.enter_context(Program(gate.url, tmp_path, 0))
        arrived(collector, *dead[0].runs, *dead[1].runs)
        wait_until(lambda: waiting(tmp_path) == len(living.runs), LONG)


def test_what_is_not_ours_to_send_stays_where_it_is(
    tmp_path: Path, reporters: Callable[..., Reporter], collector: Collector, gate: Gate
) -> None:
    """Of another key, and so of another project; of another environment; and files that are none of ours."""
    for given in ({"key": "another"}, {"environment": "staging"}):
        other = reporters(gate.url, tmp_path, **given)
        other.record("run.started", "entry:n", "not ours")
        wait_until(lambda: waiting(tmp_path))
        other.close()
    notes = tmp_path / "notes"
    notes.write_text("nobody's business\n")
    (tmp_path / f"{next(tmp_path.glob('*.spool')).name[:16]}-link.spool").symlink_to(notes)
    gate.now()
    reporter = reporters(gate.url, tmp_path)
    reporter.record("run.started", "entry:n", "ours")
    arrived(collector, "ours")
    wait_until(lambda: len(list(tmp_path.iterdir())) == 4)
    assert notes.read_text() == "nobody's business\n"


def test_a_torn_end_and_a_broken_line_cost_only_themselves(
    tmp_path: Path, reporters: Callable[..., Reporter], collector: Collector, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """What a power cut leaves: half a line, or a page of zeros."""
    runs, file = left_behind(gate, tmp_path)
    head, *lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([head, lines[0], b"\0" * 100 + b"\n", *lines[1:], lines[0][:40]]))
    gate.now()
    reporters(gate.url, tmp_path).beat("worker.beat", [()])
    arrived(collector, *runs)
    wait_until(lambda: not list(tmp_path.iterdir()), LONG)
    assert sum("cannot be read" in r.message for r in caplog.records) == 1


def test_a_file_without_its_first_line_is_sent_from_the_start(
    tmp_path: Path, reporters: Callable[..., Reporter], collector: Collector, gate: Gate
) -> None:
    """It says how far it was sent: without it all is sent again, which the server takes once."""
    runs, file = left_behind(gate, tmp_path)
    head, *lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([b"\0" * len(head), *lines]))
    gate.now()
    reporters(gate.url, tmp_path).beat("worker.beat", [()])
    arrived(collector, *runs)


def test_what_a_newer_version_wrote_is_left_to_it(
    tmp_path: Path, reporters: Callable[..., Reporter], collector: Collector, gate: Gate
) -> None:
    """After a release that was taken back: what these lines say is not guessed, and not thrown away."""
    _, file = left_behind(gate, tmp_path)
    written = file.read_bytes().replace(b"missedbeat-spool 1 ", b"missedbeat-spool 2 ", 1)
    file.write_bytes(written)
    gate.now()
    reporter = reporters(gate.url, tmp_path)
    reporter.record("run.started", "entry:n", "ours")
    arrived(collector, "ours")
    wait_until(lambda: list(tmp_path.iterdir()) == [file])
    assert file.read_bytes() == written


def test_what_arrived_before_the_kill_is_not_sent_again(
    tmp_path: Path, reporters: Callable[..., Reporter], collector: Collector, gate: Gate
) -> None:
    """The file says how far it was sent, batch by batch."""
    reporter = reporters(gate.url, tmp_path)
    file = SpoolFile.create(tmp_path, f"{spool.target_of(reporter.settings)}-x")
    file.append(
        b"".join(b'run.started\t%d\t{"id":"%d","ts":1,"type":"run.started","run":"%d"}\n' % (now_ms(), n, n) for n in range(4))
    )
    for _ in range(2):
        file.next_line()
    file.settle(file.read_to, 0)
    file.close()
    gate.now()
    reporter.beat("worker.beat", [()])
    arrived(collector, "2", "3")


NO_ROOM = """
import resource, sys, time
from pathlib import Path
from tests.sdk.spooling import reporting

reporter = reporting(sys.argv[1], Path(sys.argv[2]))
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
for number in range(40):
    reporter.record("run.started", "entry:n", str(number))
    time.sleep(0.02)
print("full", flush=True)
while not reporter.flush(20):
    time.sleep(0.1)
print(reporter.stats()["dropped"])
"""


def test_a_full_disk_is_said_once_and_costs_nothing(tmp_path: Path, collector: Collector, gate: Gate) -> None:
    """Here a file may not grow any more: events wait in memory, as without a spool, and all of them arrive."""
    command = [sys.executable, "-c", NO_ROOM, gate.url, str(tmp_path)]
    with subprocess.Popen(tied(*command), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "full\n"
        gate.now()
        out, words = process.communicate(timeout=LONG)
    assert out == "{}\n"
    assert words.count("Nothing can be written into the spool") == 1
    arrived(collector, *map(str, range(40)))


@pytest.mark.parametrize("broken", ["a file", "a folder that is not there and cannot be made", "read only"])
def test_a_folder_that_cannot_be_used_is_said_once(
    broken: str, tmp_path: Path, reporters: Callable[..., Reporter], caplog: pytest.LogCaptureFixture
) -> None:
    """The job is unharmed, and what it says arrives as without a spool."""
    folder = tmp_path / "spool"
    if broken == "a file":
        folder.write_text("")
    elif broken == "read only":
        if os.geteuid() == 0:
            folder = Path("/proc/self/fdinfo")  # where root may not write either
        else:
            folder.mkdir(mode=0o500)
    else:
        folder = Path("/proc/missedbeat/spool")
    with Collector() as collector:
        reporter = reporters(collector.url, folder)
        for number in range(5):
            reporter.record("run.started", "entry:n", f"{number}")
            assert reporter.flush(30)
        arrived(collector, *map(str, range(5)))
    assert sum("spool" in r.message for r in caplog.records) == 1


def test_a_full_spool_is_said_and_what_does_not_fit_is_counted(
    tmp_path: Path,
    reporters: Callable[..., Reporter],
    collector: Collector,
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its size is bounded; beyond it memory takes over, with its own rule for what must go."""
    monkeypatch.setattr(spool, "MOST", 50_000)
    reporter = reporters(gate.url, tmp_path, max_buffer=100)
    for number in range(3_000):
        reporter.record("run.started", "entry:n", f"{number}")
        if number % 50 == 0:
            time.sleep(0.06)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 150_000
    dropped = reporter.stats()["dropped"]["run.started"]
    gate.now()
    assert reporter.flush(LONG)
    assert len({e["run"] for e in collector.of("run")}) == 3_000 - dropped
    assert sum(envelope["dropped"].get("run.started", 0) for envelope, _ in collector.batches) >= dropped
    assert sum("is full" in r.message for r in caplog.records) == 1


def test_what_must_not_go_out_is_not_written_either(
    tmp_path: Path, reporters: Callable[..., Reporter], collector: Collector, gate: Gate
) -> None:
    """`before_send` sees an event before the disk does, and only once."""
    seen: list[str] = []

    def hide(said: dict[str, Any]) -> dict[str, Any] | None:
        seen.append(said["run"])
        return None if said["run"] == "secret" else {**said, "error": "hidden"}

    reporter = reporters(gate.url, tmp_path, before_send=hide)
    for run in ("secret", "plain"):
        reporter.record("run.failed", "entry:n", run, more=("error", "the password is 1234"))
    wait_until(lambda: waiting(tmp_path) == 1)
    assert b"1234" not in next(tmp_path.glob("*.spool")).read_bytes()
    gate.now()
    assert reporter.flush(30)
    assert [(e["run"], e["error"]) for e in collector.of("run")] == [("plain", "hidden")]
    assert seen == ["secret", "plain"]


def test_only_runs_are_old_news(tmp_path: Path, reporters: Callable[..., Reporter], collector: Collector, gate: Gate) -> None:
    """That a worker lived, stopped or began is of no meaning after its death."""
    before = reporters(gate.url, tmp_path)
    for kind in ("worker.up", "worker.stopping", "run.started"):
        before.record(kind, "entry:n", kind)
    wait_until(lambda: waiting(tmp_path) == 3)
    before.close()
    gate.now()
    reporters(gate.url, tmp_path).beat("worker.beat", [()])
    arrived(collector, "run.started")
    wait_until(lambda: not list(tmp_path.iterdir()), LONG)
    assert not collector.of("worker.up", "worker.stopping")


FORKING = """
import os, sys, time
from pathlib import Path
from tests.sdk.spooling import reporting, waiting

folder = Path(sys.argv[2])
reporter = reporting(sys.argv[1], folder)
reporter.record("run.started", "entry:n", "of the parent")
while waiting(folder) < 1:
    time.sleep(0.01)
if os.fork() == 0:
    reporter.record("run.started", "entry:n", "of the child")
    while waiting(folder) < 2:
        time.sleep(0.01)
    print("forked", flush=True)
time.sleep(600)
"""


def test_a_forked_process_has_a_file_of_its_own(tmp_path: Path, collector: Collector, gate: Gate) -> None:
    """As the children of a web server: the parent is killed and its file is free, though the child that it made lives."""
    command = [sys.executable, "-W", "ignore", "-c", FORKING, gate.url, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"forked\n"
            process.kill()
            gate.now()
            with Program(gate.url, tmp_path, 0):
                arrived(collector, "of the parent", "of the child")
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_where_the_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As an argument, else in the environment; the same folder wherever the process stands later. Nonsense is said."""
    monkeypatch.setenv("MISSEDBEAT_SPOOL", "in/the/environment")
    monkeypatch.chdir(tmp_path)
    assert read("shop", {}).spool == str(tmp_path / "in/the/environment")
    assert read("shop", {"spool": tmp_path}).spool == str(tmp_path)
    assert read("shop", {"spool": ""}).spool == ""
    assert read("shop", {"spool": 7}).spool == ""
    assert "spool=7" in caplog.text


def test_offline_nothing_is_written(tmp_path: Path, reporters: Callable[..., Reporter]) -> None:
    """Nor in tests of one's own."""
    reporter = reporters(NOBODY, tmp_path, offline=True)
    reporter.record("run.started", "entry:n", "r")
    assert reporter.flush(30)
    assert not list(tmp_path.iterdir())


def test_a_script_that_could_not_tell_is_told_of_by_the_next(tmp_path: Path, collector: Collector, gate: Gate) -> None:
    """As cron starts them, one after the other: each lives a moment, and the server was away for the first."""
    told = {**os.environ, "MISSEDBEAT_URL": gate.url, "MISSEDBEAT_KEY": "a-key", "MISSEDBEAT_SPOOL": str(tmp_path)}
    for run in ("first", "second"):
        script = f"import missedbeat; missedbeat.configure(flush_timeout=10); missedbeat.success('backup', run_id={run!r})"
        done = subprocess.run(tied(sys.executable, "-c", script), env=told, check=True, timeout=60, capture_output=True)
        assert done.stderr.decode().count("not told everything: it waits in the spool for the next one.") == (run == "first")
        gate.now()
    arrived(collector, "first", "second")
    wait_until(lambda: not list(tmp_path.iterdir()), LONG)


ENDING = """
import os, sys
from pathlib import Path
from tests.sdk.spooling import reporting

reporter = reporting(sys.argv[1], Path(sys.argv[2]))
for number in range(5):
    reporter.record("run.started", "entry:n", str(number))
reporter.flush(0)
os._exit(0)
"""


def test_the_end_of_a_process_leaves_in_the_spool_what_was_said_last(tmp_path: Path, gate: Gate) -> None:
    """It waits for no server; what it said a millisecond before is kept all the same."""
    subprocess.run(tied(sys.executable, "-c", ENDING, gate.url, str(tmp_path)), cwd=ROOT, check=True, timeout=60)
    assert waiting(tmp_path) == 5
