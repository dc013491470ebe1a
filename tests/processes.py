"""Processes that a test looks at while they may end: that they do so meanwhile is no error."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil


def over(pid: int) -> bool:
    """Whether it has ended: gone, or a zombie that its parent has yet to reap."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """SIGSTOP for it and for all below it, itself first, so that it has no more children meanwhile; then SIGCONT for these."""
    parent = psutil.Process(pid)
    parent.suspend()
    frozen = [parent, *parent.children(recursive=True)]
    for process in frozen[1:]:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in frozen:
            with suppress(psutil.NoSuchProcess):
                process.resume()
