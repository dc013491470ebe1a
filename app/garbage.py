"""How seldom this process looks for what nobody refers to any more, and how soon it gives back what is free."""

import ctypes
import gc

YOUNG = 5_000  # objects made, beyond those that went again, before the youngest are looked through
OLDER = 20  # looks at the younger before one at the older
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
GIVEN_BACK = 128 * 1024  # bytes that are free at the end of the heap, or of one piece: what malloc itself begins with


def look_later() -> None:
    """Until `spare_what_stays` look for none: it took a fifth of the time of a start, and as much again of the end of a command
    that is done at once. To be called before anything large is imported."""
    gc.disable()


def spare_what_stays() -> None:
    """What is there once a process has started stays until it ends: 200,000 objects, through which every full collection went
    again, and for 0.1 to 0.2 s nobody was answered. From now on only what was made since is looked through. To be called once
    everything is imported and set up, in every process that runs for long."""
    gc.collect()
    _give_back_at_once()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLDER)
    gc.enable()


def _give_back_at_once() -> None:
    """glibc keeps the more for itself the larger a piece was that once became free: a process that has made one long page stays
    20 MB larger for ever. Told a limit, it no longer moves it. Other C libraries know no such call, and no such habit."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, GIVEN_BACK)
        mallopt(M_TRIM_THRESHOLD, GIVEN_BACK)
