"""The disk under PostgreSQL is full: pings are refused, nothing acknowledged is lost, and once there is room all goes on.

Where a small file system can be mounted (root on Linux) it is really full. Elsewhere PostgreSQL's files may not grow beyond a
limit (RLIMIT_FSIZE), which fails at the same places with another word.
"""

import asyncio
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from app.errors import Unavailable
from tests.faults.ending import hold, settle
from tests.faults.history import Crowd, History
from tests.faults.jobs import Hook, crowded
from tests.faults.rig import Rig, measured, rigged, seed
from tests.journeys.running import Service, gone, serving, until

SIZE = 192_000_000  # bytes of the disk: a cluster and its log fit well
FILE = 1_000_000  # bytes of a file where only files are limited


class Disk:
    """Under `folder`; `fill` it, and `clear` it."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / "data" / "filler"
        (folder / "data").mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(folder / "data")]
        self.mounted = os.geteuid() == 0 and subprocess.run(words, check=False, capture_output=True).returncode == 0

    def fill(self, postmaster: psutil.Process) -> None:
        """From now on nothing of this PostgreSQL can grow."""
        if not self.mounted:
            self._limit(postmaster, FILE)
            return
        with suppress(OSError), self._filler.open("wb", buffering=0) as filler:
            while True:
                filler.write(b"\0" * 65536)

    def clear(self, postmaster: psutil.Process) -> None:
        """There is room again."""
        self._filler.unlink(missing_ok=True)
        if not self.mounted:
            self._limit(postmaster, resource.RLIM_INFINITY)

    def _limit(self, postmaster: psutil.Process, size: int) -> None:
        with suppress(psutil.NoSuchProcess):
            for process in (postmaster, *postmaster.children(recursive=True)):
                process.rlimit(psutil.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """Taken away at the end."""
    disk = Disk(folder)
    try:
        yield disk
    finally:
        if disk.mounted:
            subprocess.run(["umount", str(folder / "data")], check=True)


def ask_for_more(dsn: str) -> None:
    """New pages, and a new piece of the write-ahead log, for which PostgreSQL may stop altogether."""
    wishes = ("CREATE TABLE more AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)", *["SELECT pg_switch_wal()"] * 3)
    for wish in wishes:
        with suppress(psycopg.Error), psycopg.connect(dsn.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(wish)


def revive(rig: Rig) -> None:
    """As whoever supervises it would: again and again."""
    give_up_at = time.monotonic() + 60
    while not rig.server.alive():
        with suppress(Unavailable):
            rig.server.restart()
        assert time.monotonic() < give_up_at


@pytest.mark.timeout(180)
def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """Acknowledged before it was full, or while it was: there. Once there is room the service works again by itself."""
    seed()
    history, hook = History(), Hook()
    with small_disk(tmp_path) as disk, rigged(tmp_path) as rig:
        rig.receive(hook)
        crowd = Crowd(rig.port, history)
        rig.background.run(crowded(rig, crowd, hook, many=3, lasting=6))
        rig.until(lambda: history.acknowledged() > 100, 30, "nobody is heard")
        began = time.time()
        postmaster = psutil.Process(rig.server.pid)
        disk.fill(postmaster)
        ask_for_more(rig.dsn)
        rig.until(
            lambda: any(c.status == 503 and c.began > began for s in history.said for c in s.calls), 30, "nobody is refused"
        )
        time.sleep(3)
        died = not rig.server.alive()
        disk.clear(postmaster)
        revive(rig)
        rig.note("trouble", "full disk", began)
        since = time.time()
        rig.until(lambda: history.acknowledged(since), 30, "nobody is heard after there was room")
        rig.works("sweep", since)
        measured(
            f"{'a disk' if disk.mounted else 'files'} full for {since - began:.1f} s, PostgreSQL {'died' if died else 'lived'}; "
            f"works after {time.time() - since:.1f} s"
        )
        rig.background.run(crowd.stop())
        settle(rig)
        hold(rig, history, hook)


async def heard(service: Service, path: str) -> bool:
    """Whether a ping is acknowledged now."""
    try:
        return (await service.client.get(path)).status_code < 300
    except httpx.HTTPError:
        return False


@pytest.mark.prove
@pytest.mark.anyio
async def test_serve_outlives_a_full_disk_on_which_postgresql_cannot_start(tmp_path: Path) -> None:
    """PostgreSQL dies and cannot come back while there is no room; `serve` tries again and again, and needs no restart."""
    with small_disk(tmp_path) as disk:
        async with serving(tmp_path / "data") as service:
            path = f"/ping/{service.keys['ping_key']}/job?create=1"
            await until(lambda: heard(service, path), 10)
            dsn = (tmp_path / "data" / "postgres.dsn").read_text()
            postgres = service.children("postgres")[0]
            disk.fill(postgres)
            ask_for_more(dsn)
            await until(lambda: gone(postgres.pid), 30)
            await asyncio.sleep(4)
            assert service.process.poll() is None, "serve gave up"
            assert not await heard(service, path)
            disk.clear(postgres)
            await until(lambda: heard(service, path), 30)
