"""One file of the spool: a first line that says how far it was sent, then lines in the order in which they came.

Whoever holds its lock writes and reads it; the kernel gives the lock back with the process, whatever ended that. Nothing is
synced: what was written survives the death of every process, not that of the machine.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections import deque
from contextlib import suppress
from pathlib import Path

NAME = b"missedbeat-spool "
HEAD = NAME + b"1 %012d\n"
HEAD_SIZE = len(HEAD % 0)
PIECE = 1 << 16
ENDING = ".spool"


class SpoolFile:
    """An open file that this process alone holds. `size`: how many bytes it has; `read_to`, `sent`: up to where it was read, and
    has arrived; `out`: how many lines are between the two. Its methods raise OSError."""

    def __init__(self, path: Path, descriptor: int, sent: int, size: int) -> None:
        self.path, self.size, self.out = path, size, 0
        self._descriptor = descriptor
        self.read_to = self.sent = sent
        self._lines: deque[bytes] = deque()
        self._half = b""

    @classmethod
    def create(cls, folder: Path, name: str) -> SpoolFile:
        """A new one. It has its lock before it has its name, so that nobody takes it for one that was left behind."""
        unnamed, path = folder / f".{name}", folder / f"{name}{ENDING}"
        descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        made = cls(path, descriptor, HEAD_SIZE, 0)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            made.append(HEAD % HEAD_SIZE)
            unnamed.rename(path)
        except OSError:
            os.close(descriptor)
            with suppress(OSError):
                unnamed.unlink()
            raise
        return made

    @classmethod
    def adopt(cls, path: Path) -> SpoolFile | None:
        """One that its owner left behind when it died; None where the owner lives, or it is nobody's of ours, or of a form that
        only a newer version of us can read."""
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status, head = os.fstat(descriptor), os.pread(descriptor, HEAD_SIZE, 0)
            is_newer = head.startswith(NAME) and not head.startswith(HEAD[: len(NAME) + 2])
            if status.st_nlink and status.st_uid == os.geteuid() and not is_newer:
                return cls(path, descriptor, _sent(head), status.st_size)
        except BlockingIOError:
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    @property
    def is_read(self) -> bool:
        """Whether nothing is left to be read."""
        return self.read_to >= self.size

    def append(self, lines: bytes) -> None:
        """Add whole lines, or nothing."""
        if os.pwrite(self._descriptor, lines, self.size) != len(lines):
            os.ftruncate(self._descriptor, self.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size += len(lines)

    def next_line(self) -> bytes | None:
        """The next that was not read; None at the end, or where only half a line is left."""
        while not self._lines:
            at = self.read_to + len(self._half)
            piece = os.pread(self._descriptor, min(PIECE, self.size - at), at) if at < self.size else b""
            if not piece:
                self.read_to, self._half = self.size, b""
                return None
            *lines, self._half = (self._half + piece).split(b"\n")
            self._lines.extend(lines)
        line = self._lines.popleft()
        self.read_to += len(line) + 1
        return line

    def settle(self, position: int, lines: int) -> None:
        """So many lines more, up to this position, have arrived: nobody needs to send them again."""
        self.out -= lines
        self.sent = position
        os.pwrite(self._descriptor, HEAD % position, 0)

    def remove(self) -> None:
        """It is not needed any more."""
        try:
            self.path.unlink()
        finally:
            self.close()

    def close(self) -> None:
        """Leave it to others. In a process that was forked only our copy of the descriptor goes: the lock stays."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _sent(head: bytes) -> int:
    """How far a file was sent, by its first line; where a power cut left none, nothing of it was."""
    number = head[-13:-1]
    return int(number) if head == HEAD % (int(number) if number.isdigit() else 0) else HEAD_SIZE
