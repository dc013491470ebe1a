"""The days and months of a check: which share of each it was down. A day's colour is its share, so that ten seconds of downtime
make no red day."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import sqrt

from markupsafe import Markup

from app.domain.horizon import Blackout
from app.domain.uptime import Stretch, Uptime, uptime, within
from app.manage.pages.when import When, short

STEP, BAR, HEIGHT, LEAST = 6, 5, 32, 4
MUCH = 0.05  # of a day: from here on it is red


@dataclass(frozen=True, slots=True)
class Part:
    """A day or a month: its first instant, how long it was up and down, and how often it was down."""

    start: datetime
    label: str
    up: Uptime
    downs: int

    @property
    def look(self) -> str:
        """none, up, little or much."""
        if self.up.share is None:
            return "none"
        down = 1 - self.up.share
        return "up" if not self.up.down else "little" if down < MUCH else "much"

    @property
    def title(self) -> str:
        """As in: Sat 5 Dec: up 99.98 %, down 10 s, once."""
        if self.up.share is None:
            return f"{self.label}: nothing to count"
        if not self.up.down:
            return f"{self.label}: never down"
        times = "once" if self.downs == 1 else f"{self.downs} times"
        return f"{self.label}: up {self.up.in_words}, down {short(self.up.down)}, {times}"

    @property
    def down(self) -> str:
        """How long it was down; a dash for never."""
        return short(self.up.down) if self.up.down else "–"

    @property
    def counted(self) -> str:
        """The denominator."""
        return short(self.up.counted) if self.up.counted else "–"


def days(found: Sequence[Stretch], blackouts: Sequence[Blackout], when: When, count: int) -> list[Part]:
    """The last days on the reader's calendar, today's so far, oldest first."""
    return _parts(found, blackouts, [*when.midnights(count), when.now], [f"{at:%a %-d %b}" for at in when.local_days(count)])


def months(found: Sequence[Stretch], blackouts: Sequence[Blackout], when: When, count: int) -> list[Part]:
    """The last months in the same way, oldest first."""
    return _parts(found, blackouts, [*when.first_days(count), when.now], [f"{at:%B %Y}" for at in when.local_months(count)])


def timeline(parts: Sequence[Part]) -> Markup:
    """A bar for each day; from below it is filled by the share of its downtime, again as a square root."""
    drawn = Markup("").join(
        Markup('<g><title>{}</title><path class="day-{}" d="M{} 0h{}v{}h-{}z"/>{}</g>').format(
            part.title, "none" if part.look == "none" else "up", n * STEP, BAR, HEIGHT, BAR, _filled(part, n * STEP)
        )
        for n, part in enumerate(parts)
    )
    down = sum(bool(part.up.down) for part in parts)
    label = f"The last {len(parts)} days: {f'down on {down} of them' if down else 'never down'}"
    return Markup('<svg class="days" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>').format(
        len(parts) * STEP, HEIGHT, label, drawn
    )


def _filled(part: Part, x: int) -> Markup:
    if not part.up.down or part.up.share is None:
        return Markup("")
    height = min(HEIGHT, max(LEAST, round(HEIGHT * sqrt(1 - part.up.share))))
    return Markup('<path class="day-{}" d="M{} {}h{}v{}h-{}z"/>').format(part.look, x, HEIGHT - height, BAR, height, BAR)


def _parts(
    found: Sequence[Stretch], blackouts: Sequence[Blackout], edges: Sequence[datetime], labels: Sequence[str]
) -> list[Part]:
    starts, ends = [s.start for s in found], [s.end for s in found]
    parts = []
    for start, end, label in zip(edges, edges[1:], labels, strict=False):
        near = found[bisect_right(ends, start) : bisect_left(starts, end)]  # few of many
        inside = within(near, start, end)
        deaf = [b for b in blackouts if b.start < end and b.end > start]
        parts.append(Part(start, label, uptime(inside, deaf), sum(s.status == "down" for s in inside)))
    return parts
