"""Whose a ping is, as far as this process remembers: the project of what stands in its URL, learned from what was looked up.

Only fairness hangs on it: who is taken for another, or for nobody, waits in their turn and is recorded all the same. So it may
forget, and takes the same few megabytes however many addresses there are: a table of slots, in which the last one learned counts.
"""

from uuid import UUID

from app.store.addresses import Address

SLOTS = 1 << 19  # of eight bytes
UNKNOWN = 0  # whose project was not asked for yet, or is none: all of them are as one project
HALF = 0xFFFFFFFF


class Whose:
    """Remembers projects as numbers, by the hash of an address, of which a slot keeps one half to know it again.

    An id or a key belongs to one project for good; what is named beside a key belongs to the key's project. So a flood of names
    under one key needs one slot, and one of ids that nobody has needs none.
    """

    def __init__(self) -> None:
        self._slots = memoryview(bytearray(8 * SLOTS)).cast("Q")

    def project(self, address: Address) -> int:
        """The number of its project; UNKNOWN where that was not learned or is forgotten."""
        mark = hash(address[:2])
        slot = self._slots[mark % SLOTS]
        return slot & HALF if slot >> 32 == mark >> 32 & HALF else UNKNOWN

    def learn(self, address: Address, project: UUID) -> None:
        """From now on it is of this project."""
        mark = hash(address[:2])
        self._slots[mark % SLOTS] = (mark >> 32 & HALF) << 32 | (hash(project.bytes) & HALF or 1)
