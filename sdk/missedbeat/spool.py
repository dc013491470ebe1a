"""A folder in which events wait that the server has not taken: what was seen outlives the processes that saw it.

Each process has files of its own here; those of the dead are adopted and sent by whoever finds them first. One thread alone
(`keeper.py`) comes here. Where the folder cannot be used that is said once, and events wait in memory as without it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from missedbeat.event import Told
from missedbeat.settings import Settings
from missedbeat.spool_file import ENDING, SpoolFile

MOST = 32 << 20  # bytes of one process
MOST_IN_FOLDER = 256 << 20
WHOLE_FILE = 1 << 20  # then the next is begun, and this one goes as soon as it has arrived
ADOPTED_AT_ONCE = 20
TRIED_AGAIN = 30.0
KEPT_FOR = 7 * 24 * 3_600_000  # ms; the service knows what it has heard for a day longer

logger = logging.getLogger("missedbeat")


class Line(NamedTuple):
    """One event, and where its file goes on behind it."""

    told: Told
    file: SpoolFile
    position: int


class Spool:
    """What this process wrote and what it adopted. `drop`: told the type of each event that is given up."""

    def __init__(self, settings: Settings, name: str, drop: Callable[[str], None]) -> None:
        self._folder, self._target, self._drop = Path(settings.spool), target_of(settings), drop
        self._names = (f"{self._target}-{name}-{number}" for number in count(1))
        self._own: list[SpoolFile] = []
        self._adopted: list[SpoolFile] = []
        self._others = 0
        self._tried_again_at = 0.0
        self._complaints: set[str] = set()
        self._is_adopted_next = False

    @property
    def is_usable(self) -> bool:
        """Whether more can be written, as far as is known."""
        return time.monotonic() >= self._tried_again_at and self._has_room()

    @property
    def has_more(self) -> bool:
        """Whether something waits that was not read."""
        return any(not file.is_read for file in (*self._own, *self._adopted))

    def write(self, waiting: Sequence[Told]) -> bool:
        """Keep these; False where they could not be."""
        lines = b"".join(b"%s\t%d\t%s\n" % (one.type.encode(), one.ts, one.text) for one in waiting)
        try:
            self._current().append(lines)
        except OSError as error:
            self._tried_again_at = time.monotonic() + TRIED_AGAIN
            self._say(f"Nothing can be written into the spool {self._folder} ({error.strerror}): events wait in memory only.")
            return False
        return True

    def read(self) -> Line | None:
        """The next event that waits, of what was adopted and of our own in turn; None if there is none."""
        for _ in range(2):
            self._is_adopted_next = not self._is_adopted_next
            for file in list(self._adopted if self._is_adopted_next else self._own):
                line = self._next_of(file)
                if line is not None:
                    return line
        return None

    def settle(self, file: SpoolFile, position: int, lines: int) -> None:
        """So many lines of this file, up to there, have arrived."""
        try:
            file.settle(position, lines)
        except OSError as error:
            self._give_up(file, error)

    def tidy(self) -> None:
        """Files of which nothing waits are removed, the one that is written too."""
        for file in [file for file in (*self._own, *self._adopted) if file.is_read and not file.out]:
            self._forget(file)
            try:
                file.remove()
            except OSError as error:
                self._complain(file, error)

    def look(self) -> None:
        """Adopt what the dead left behind, the oldest first."""
        try:
            with os.scandir(self._folder) as entries:
                found = [(one.stat(follow_symlinks=False), Path(one)) for one in entries if one.name.endswith(ENDING)]
        except OSError:
            return  # it is made, or complained of, when something is to be written
        mine = {file.path for file in (*self._own, *self._adopted)}
        others = [(status.st_mtime, path, status.st_size) for status, path in found if path not in mine]
        self._others = sum(size for _, _, size in others)
        for _, path, _ in sorted(others):
            if path.name.startswith(f"{self._target}-") and len(self._adopted) < ADOPTED_AT_ONCE:
                self._adopt(path)

    def close(self) -> None:
        """Leave the files to others; also in a process that was forked from their owner."""
        for file in (*self._own, *self._adopted):
            file.close()
        self._own, self._adopted = [], []

    def _current(self) -> SpoolFile:
        if not self._own or self._own[-1].size > WHOLE_FILE:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._own.append(SpoolFile.create(self._folder, next(self._names)))
        return self._own[-1]

    def _has_room(self) -> bool:
        size = sum(file.size for file in self._own)
        if size < MOST and size + self._others + sum(file.size for file in self._adopted) < MOST_IN_FOLDER:
            return True
        self._say(f"The spool {self._folder} is full: what comes now waits in memory only, and what does not fit is dropped.")
        return False

    def _next_of(self, file: SpoolFile) -> Line | None:
        while not file.is_read:
            try:
                line = file.next_line()
            except OSError as error:
                self._give_up(file, error)
                return None
            told = None if line is None else self._told(line, file in self._adopted)
            if told is not None:
                file.out += 1
                return Line(told, file, file.read_to)
        return None

    def _told(self, line: bytes, is_replayed: bool) -> Told | None:
        """What a line says. Of what others said before they died their runs still count; not that they were alive."""
        kind, _, rest = line.partition(b"\t")
        ts, _, text = rest.partition(b"\t")
        if not (ts.isdigit() and text[:1] == b"{" and text[-1:] == b"}"):
            self._say(f"A line in the spool {self._folder} cannot be read, and is left out.")
            return None
        name = kind.decode("ascii", "replace")
        if not is_replayed:
            return Told(name, int(ts), text, final=True)
        if not name.startswith("run."):
            return None
        if int(ts) < time.time() * 1000 - KEPT_FOR:
            self._drop(name)
            self._say(f"What has waited in the spool {self._folder} for over a week is dropped.")
            return None
        return Told(name, int(ts), text[:-1] + b',"replayed":true}', final=True)

    def _adopt(self, path: Path) -> None:
        try:
            file = SpoolFile.adopt(path)
        except FileNotFoundError:
            return  # another was quicker
        except OSError as error:
            self._say(f"{path} cannot be read ({error.strerror}): what waits in it is not sent.")
            return
        if file is not None:
            self._adopted.append(file)

    def _give_up(self, file: SpoolFile, error: OSError) -> None:
        self._complain(file, error)
        self._forget(file)
        file.close()

    def _complain(self, file: SpoolFile, error: OSError) -> None:
        self._say(f"{file.path} cannot be used any more ({error.strerror}): what waits in it is left to the next start.")

    def _forget(self, file: SpoolFile) -> None:
        self._own = [one for one in self._own if one is not file]
        self._adopted = [one for one in self._adopted if one is not file]

    def _say(self, words: str) -> None:
        if words not in self._complaints and len(self._complaints) < 100:
            self._complaints.add(words)
            logger.warning("%s The job is not affected.", words)


def target_of(settings: Settings) -> str:
    """Whose events may be sent as ours: those with the same address, key and source. Nothing of these can be read from it."""
    said = "\n".join((settings.url, settings.key, settings.app, settings.environment))
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:16]
