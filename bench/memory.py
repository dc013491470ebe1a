"""Prints how many events wait in the SDK when its server hangs, and how many bytes this process holds more than before them."""

import gc
import tracemalloc

from bench.shop import HANDLE, nothing

QUEUED = 10_000
WARM = 100


def main() -> None:
    """Two events for each task that is executed in this process."""
    for _ in range(WARM):
        nothing.apply()
    tracemalloc.start()
    before = held()
    while HANDLE.stats()["queued"] < QUEUED and not HANDLE.stats()["dropped"]:
        nothing.apply()
    print(HANDLE.stats()["queued"], held() - before)


def held() -> int:
    """Bytes that are in use."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


if __name__ == "__main__":
    main()
