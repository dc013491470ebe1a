"""A command that runs as our child, as if we were not there: its input, output, signals and end are its own.

The main thread waits for signals and for the end, a thread for each stream copies what comes. Nobody here waits for the network.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

FORWARDED = tuple(
    getattr(signal, f"SIG{name}") for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2") if hasattr(signal, f"SIG{name}")
)
PIECE = 65_536
MOST_KEPT = 100_000
QUIET = 50  # ms without output after its end: somebody else holds the pipe
NOT_FOUND, NOT_EXECUTABLE, NOT_WRITTEN = 127, 126, 1


class Ended(NamedTuple):
    """`code` as a shell has it; `signal` that killed it, 0 if none did; `was_told`: we had handed that signal on, or its terminal
    had; `problem`: why it never began, or that what it wrote is lost."""

    code: int
    signal: int = 0
    was_told: bool = False
    problem: str = ""


class Tail:
    """The last of what a command wrote, both streams in the order in which it came."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def keep(self, piece: bytes) -> None:
        """Add it; what is over MOST_KEPT goes."""
        with self._lock:
            self._pieces.append(piece)
            self._size += len(piece)
            while self._size - len(self._pieces[0]) >= MOST_KEPT:
                self._size -= len(self._pieces.popleft())

    def bytes(self) -> bytes:
        """What is kept."""
        with self._lock:
            return b"".join(self._pieces)[-MOST_KEPT:]


class Stream:
    """One of its outputs, copied to ours as it comes."""

    def __init__(self, target: int, tail: Tail) -> None:
        self.reads, self.writes = os.pipe()
        self._target, self._tail = target, tail
        self._is_over = False
        self.is_open = True
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="missedbeat-output", daemon=True)

    def start(self) -> None:
        """The child has its end."""
        os.close(self.writes)
        self._thread.start()

    def finish(self) -> None:
        """The child is gone: copy what it left. It stays open where another process of it still holds it."""
        self._is_over = True
        self._thread.join()

    def copy(self) -> None:
        """Until nobody holds the other end any more, or nobody reads ours."""
        while self.is_open:
            self._copy_once()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self.reads, select.POLLIN)
        while self.is_open:
            was_over = self._is_over
            if poll.poll(QUIET):
                self._copy_once()
            elif was_over:
                return

    def _copy_once(self) -> None:
        piece = os.read(self.reads, PIECE)
        self._tail.keep(piece)
        error = _write(self._target, piece)
        if not piece or error is not None:
            self.is_open = False
            os.close(self.reads)  # whoever writes now hears what it would hear without us
        if error is not None and error.errno != errno.EPIPE:
            self.problem = f"its output could not be written: {error.strerror or error}"


class Child:
    """The command. `wait` returns when it has ended; signals that come until then are handed on."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], tail: Tail | None) -> None:
        self._command, self._environment = command, environment
        self._streams = _streams(tail) if tail is not None else {}
        self._signals = {number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN}
        self._heard: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Ended | None:
        """Begin; how it ended, if it could not."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, *self._signals})
        try:
            self._process = self._begin(self._command, before)
        except OSError as error:
            return self.not_begun(error)
        for stream in set(self._streams.values()):
            stream.start()
        return None

    def wait(self) -> Ended:
        """Its end, once all is copied that it wrote."""
        process = self._process
        assert process is not None  # noqa: S101 - `start` came before
        while process.poll() is None:
            self._hand_on(process)
        for stream in set(self._streams.values()):
            stream.finish()
        self._leave_the_rest()
        problem = next((stream.problem for stream in self._streams.values() if stream.problem), "")
        if process.returncode >= 0:  # what is lost it took for written, and a success that is none is the worst that we can tell
            return Ended(process.returncode or (NOT_WRITTEN if problem else 0), problem=problem)
        number = -process.returncode
        return Ended(128 + number, number, number in self._heard, problem)

    def not_begun(self, error: OSError) -> Ended:
        """How it ended that could not begin, as a shell has it."""
        name = self._command[0]
        if isinstance(error, FileNotFoundError) or not self._is_found(name):
            return Ended(NOT_FOUND, problem=f"{name}: command not found")
        return Ended(NOT_EXECUTABLE, problem=f"{name}: {error.strerror or error}")

    def _is_found(self, name: str) -> bool:
        """Whether there is such a file: folders of PATH that we may not look into are refused where a shell passes them over."""
        from shutil import which  # noqa: PLC0415 - only for who cannot begin

        return "/" in name or which(name, os.F_OK, os.pathsep.join(os.get_exec_path(self._environment))) is not None

    def is_told_to_stop(self) -> bool:
        """Whether a signal came since the last one that was handed on: whoever waits should not any more."""
        return bool(signal.sigpending() & self._signals)

    @property
    def was_stopped(self) -> bool:
        """Whether a signal came that was meant to end it."""
        return bool(self._heard - {signal.SIGUSR1, signal.SIGUSR2})

    def _begin(self, command: Sequence[str], mask: set[Any]) -> subprocess.Popen[bytes]:
        given: dict[str, Any] = {name: stream.writes for name, stream in self._streams.items()}

        def as_before() -> None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

        try:
            given["preexec_fn"] = as_before  # there is no thread yet
            return subprocess.Popen(command, env=self._environment, close_fds=False, **given)  # noqa: S603 - what we are asked for
        except OSError as error:
            if error.errno != errno.ENOEXEC or command[0] == "/bin/sh":
                raise
        return self._begin(["/bin/sh", *command], mask)  # a script without its first line, as every shell runs it

    def _hand_on(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for a signal. What a terminal sends, the child has too."""
        number, from_terminal = _next_signal({signal.SIGCHLD, *self._signals})
        if number == signal.SIGCHLD:
            return
        self._heard.add(number)
        if not from_terminal:
            process.send_signal(number)

    def _leave_the_rest(self) -> None:
        """What the command left running may write as long as it likes: a process of ours stays to copy it."""
        still_open = {stream for stream in self._streams.values() if stream.is_open}
        if still_open and os.fork() == 0:
            with suppress(OSError):
                _copy_all(still_open, self._signals)
            os._exit(0)


def _copy_all(streams: set[Stream], signals: set[Any]) -> None:
    for number in signals:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    threads = [threading.Thread(target=stream.copy) for stream in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _streams(tail: Tail) -> dict[str, Stream]:
    """What is to be copied: not what is a terminal, which stays one; both through one pipe where they go to the same place, for
    their order."""
    copied = {name: Stream(number, tail) for name, number in (("stdout", 1), ("stderr", 2)) if _is_copied(number)}
    if len(copied) == 2 and _place(1) == _place(2):
        copied["stderr"] = copied["stdout"]
    return copied


def _is_copied(number: int) -> bool:
    return _place(number) is not None and not os.isatty(number)


def _place(number: int) -> tuple[int, int] | None:
    """Which file a descriptor is; None for one that is closed."""
    try:
        status = os.fstat(number)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _next_signal(those: set[Any]) -> tuple[int, bool]:
    """The next of these, and whether the kernel sent it, for a terminal, to all processes of its foreground."""
    if hasattr(signal, "sigwaitinfo"):
        info = signal.sigwaitinfo(those)
        return info.si_signo, info.si_code > 0
    number = signal.sigwait(those)
    return number, sys.stdin is not None and sys.stdin.isatty()


def _write(target: int, piece: bytes) -> OSError | None:
    """All of it; or why not: nobody reads any more, the disk is full."""
    left = memoryview(piece)
    while left:
        try:
            left = left[os.write(target, left) :]
        except BlockingIOError:
            select.select([], [target], [])
        except OSError as error:
            return error
    return None
