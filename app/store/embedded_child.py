"""A process of PostgreSQL: as whom it runs, how it is tied to us, how one is recognised. What it is run for is not known here."""

import ctypes
import os
import pwd
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.clock import monotonic
from app.errors import BadSettings, Unavailable
from app.store.embedded_folder import POLL

NOBODY = 65534
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
PATIENCE = 120.0
PROC = Path("/proc")
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Identity:
    """As whom PostgreSQL runs. `owner`: the (uid, gid) its files must have, None where that is us; `become` runs in the child."""

    name: str
    become: Callable[[], None]
    owner: tuple[int, int] | None = None

    def take_over(self, path: Path) -> None:
        """Give the folder and all in it to this identity; the folder itself last, so that a broken attempt is done again."""
        if self.owner is None or path.lstat().st_uid == self.owner[0]:
            return
        for each in (*path.rglob("*"), path):
            os.chown(each, *self.owner, follow_symlinks=False)

    def take_entry(self, data: Path) -> None:
        """Make this identity the owner of the data folder, not of what is in it, where it could not pass otherwise."""
        status = data.stat()
        if self.owner is not None and status.st_uid != self.owner[0] and not status.st_mode & 0o001:
            os.chown(data, *self.owner)


def choose_identity(binaries: Path, data: Path, cluster: Path) -> tuple[Identity, int]:
    """As whom PostgreSQL can run here, tried by running it, and its major version. Raises BadSettings when nobody can."""
    refused = []
    for identity in _candidates(cluster if cluster.exists() else data):
        try:
            return identity, _major_version(binaries, identity, data.parent)
        except subprocess.SubprocessError:
            refused.append(f"{identity.name}: refused, or no way in")
        except OSError as error:
            refused.append(f"{identity.name}: {error}")
    raise BadSettings(
        f"PostgreSQL cannot be run in {data}. It refuses to be root; as whom it runs must reach {data.parent} and {binaries}: "
        f"use another data folder, start as a normal user, or set DATABASE_URL. Tried: {'; '.join(refused)}"
    )


def _candidates(kept: Path) -> Iterator[Identity]:
    """Ourselves when we are nobody special. Root: the files' owner, else root under another number, else an account."""
    owner = kept.stat()
    if os.geteuid() != 0:
        if not _is_known(os.geteuid()):  # initdb insists on a name; `docker run --user 1234` has none
            yield _in_namespace()
        yield Identity("this user", lambda: None)
    elif owner.st_uid != 0:
        yield _as_account(f"owner {owner.st_uid} of {kept}", owner.st_uid, owner.st_gid)
    else:
        if sys.platform == "linux":
            yield _in_namespace()
        for name in ("postgres", "nobody"):
            with suppress(KeyError):
                account = pwd.getpwnam(name)
                yield _as_account(name, account.pw_uid, account.pw_gid)


def _is_known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _in_namespace() -> Identity:
    """We ourselves under the number of nobody (or of the first account there is): nothing is chowned and no account is made."""
    inside = NOBODY if _is_known(NOBODY) else next((account.pw_uid for account in pwd.getpwall() if account.pw_uid), NOBODY)
    return Identity("user namespace", partial(_enter_namespace, inside))


def _enter_namespace(inside: int) -> None:
    """user_namespaces(7): setgroups must be denied before gid_map may be written by an ordinary process."""
    uid, gid = os.geteuid(), os.getegid()
    if _LIBC.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    (PROC / "self/setgroups").write_text("deny")
    (PROC / "self/uid_map").write_text(f"{inside} {uid} 1")
    (PROC / "self/gid_map").write_text(f"{inside} {gid} 1")


def _as_account(name: str, uid: int, gid: int) -> Identity:
    def become() -> None:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)

    return Identity(name, become, (uid, gid))


def _major_version(binaries: Path, identity: Identity, reach: Path) -> int:
    """What `postgres --version` says, run as that identity, which must be able to enter the folder `reach`."""

    def begin() -> None:
        identity.become()
        os.chdir(reach)

    answer = subprocess.run(  # noqa: S603  # the path is find_binaries'
        [str(binaries / "postgres"), "--version"],
        preexec_fn=begin,
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if answer.returncode != 0:
        raise OSError(answer.stderr.strip() or f"postgres --version ended with {answer.returncode}")
    number = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if number is None:
        raise OSError(f"{binaries / 'postgres'} is no PostgreSQL")
    return int(number[1])


def spawn(command: Sequence[str | Path], identity: Identity, output: int, dies_by: signal.Signals) -> subprocess.Popen[bytes]:
    """Run a program in a session of its own (a terminal's Ctrl-C is ours alone), which gets `dies_by` when this thread ends.

    The kernel forgets the parent-death signal when the uid changes, so it is set after that; the parent may be gone by then.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("PostgreSQL would stop when this thread ends: start it in the main thread")
    parent = os.getpid()

    def begin() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # `nohup` and `&` hand down an ignored one
        identity.become()
        if sys.platform == "linux":
            _LIBC.prctl(PR_SET_PDEATHSIG, int(dies_by), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return subprocess.Popen(  # noqa: S603  # the path is find_binaries'
        command,
        preexec_fn=begin,  # noqa: PLW1509  # little but system calls: no thread's lock is asked for
        start_new_session=True,
        cwd="/",
        umask=0o077,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )


def wait_until_deserted(folder: Path) -> None:
    """Return when no process of PostgreSQL works in the folder (one may still be shutting down); Unavailable after 120 s.

    Processes are recognised by the folder they stand in, never by a number in a file, and none is signalled.
    """
    until = monotonic() + PATIENCE
    while at_work := processes_in(folder):
        if monotonic() > until:
            raise Unavailable(f"PostgreSQL still works in {folder} (processes {at_work}): end it, then start again")
        time.sleep(POLL)


def processes_in(folder: Path) -> list[int]:
    """The processes of PostgreSQL that work in this folder; none where there is no /proc."""
    if not folder.exists():
        return []
    return [int(entry.name) for entry in PROC.glob("[0-9]*") if _works_in(entry, folder)]


def _works_in(process: Path, folder: Path) -> bool:
    try:
        if (process / "comm").read_bytes() != b"postgres\n":
            return False
        return (process / "cwd").samefile(folder)
    except PermissionError:  # another account's, and we lack CAP_SYS_PTRACE, as in Docker: its command line is open to all
        return os.fsencode(folder) in (process / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
