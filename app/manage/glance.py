"""How the monitors of a project stand, at a glance: counted, in the order in which people look, filtered by what they type."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.monitor import Seen
from app.manage import standing
from app.store import glances
from app.store.blackouts import Moment
from app.store.rows import Columns

ORDER = ("down", "late", "running", "up", "new", "paused")
"""The states as people look for them, the worst first; one that is up and runs is `running`."""
KINDS = ("every", "cron", "oncalendar", "crontab", "declared")


@dataclass(frozen=True, slots=True)
class Glance:
    """A monitor: its row, and how it stands now."""

    row: Columns
    seen: Seen

    @property
    def id(self) -> UUID:
        """Its id."""
        found: UUID = self.row["id"]
        return found

    @property
    def name(self) -> str:
        """What people call it; one without a name goes by its slug, else by the first letters of its id."""
        return self.row["name"] or self.row["slug"] or f"check {str(self.row['id'])[:8]}"

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        found: str = self.row["tags"]
        return found.split()

    @property
    def state(self) -> str:
        """One word of ORDER."""
        return "running" if self.seen.running and self.seen.status == "up" else self.seen.status

    @property
    def place(self) -> tuple[int, str, str]:
        """Where it stands in a list."""
        return ORDER.index(self.state), self.name.casefold(), str(self.id)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody looks for: words in name, slug or tag; a tag, a kind and a state, each of them empty for any."""

    words: str = ""
    tag: str = ""
    kind: str = ""
    state: str = ""

    def fits(self, glance: Glance) -> bool:
        """Whether this is one of those."""
        text = f"{glance.name}\n{glance.row['slug']}\n{glance.row['tags']}".casefold()
        return (
            all(word in text for word in self.words.casefold().split())
            and (not self.tag or self.tag in glance.tags)
            and self.kind in ("", glance.row["kind"])
            and self.state in ("", glance.state, glance.seen.status)
        )


async def of_project(session: AsyncSession, project: UUID, moment: Moment) -> list[Glance]:
    """All monitors of a project, in the order in which people look."""
    rows = await glances.all_of(session, project, moment.horizon.at)
    return sorted((Glance(row, standing.seen(row, moment)) for row in rows), key=lambda glance: glance.place)


def counts(found: Iterable[Glance]) -> dict[str, int]:
    """How many stand how, in ORDER; only states that there are."""
    counted = Counter(glance.state for glance in found)
    return {state: counted[state] for state in ORDER if counted[state]}


def sentence(counted: dict[str, int]) -> str:
    """As in: 2 down, 1 late, 41 up."""
    return ", ".join(f"{count} {state}" for state, count in counted.items())


def tags(found: Sequence[Glance]) -> list[str]:
    """Every tag that one of them has."""
    return sorted({tag for glance in found for tag in glance.tags})
