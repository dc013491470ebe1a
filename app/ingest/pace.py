"""The pace: how long a batch takes, by its size, as the last ones did; so how many may be in one, and how long others wait."""

from dataclasses import dataclass

NEWEST = 0.25  # the weight of the last batch, beside all before it
ALIKE = 0.05  # sizes that differ by less of their mean say nothing of what each ping costs
FEWEST = 20


@dataclass(slots=True)
class Pace:
    """Seconds: `fixed` for a batch, `each` for every ping in it. A line through the last batches (least squares, the older the
    less they count)."""

    fixed: float = 0.0
    each: float = 0.0
    _size: float = 0.0  # means, and how sizes vary, by themselves and with the seconds
    _seconds: float = 0.0
    _varies: float = 0.0
    _together: float = 0.0

    def took(self, size: int, seconds: float) -> None:
        """A batch of so many did."""
        more, longer = (size - self._size, seconds - self._seconds) if self._size else (0.0, 0.0)
        self._size = self._size + NEWEST * more if self._size else size
        self._seconds = self._seconds + NEWEST * longer if self._seconds else seconds
        self._varies = (1 - NEWEST) * (self._varies + NEWEST * more * more)
        self._together = (1 - NEWEST) * (self._together + NEWEST * more * longer)
        if self._varies > (ALIKE * self._size) ** 2:
            self.each = self._together / self._varies
        self.each = min(max(0.0, self.each), self._seconds / self._size)
        self.fixed = self._seconds - self.each * self._size

    def of(self, size: int) -> float:
        """Seconds that a batch of so many is likely to take."""
        return self.fixed + self.each * size

    def most(self, seconds: float, limit: int) -> int:
        """How many can be recorded in so many seconds, at most `limit`. Not fewer than take as long as what is fixed, for a
        database that is slow whatever it is asked would then only be asked more often."""
        if not self.each:
            return limit
        return min(limit, max(FEWEST, int(max(seconds - self.fixed, self.fixed) / self.each)))
