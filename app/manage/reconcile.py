"""A sync on its way through the tables: monitors made, changed and retired in the caller's transaction, with one look at each."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.monitor import on_edit, on_expect_first, on_pause, on_resume
from app.domain.schedule import Declared
from app.domain.slug import free
from app.domain.state import Decision, Monitor, Rule, Status
from app.domain.sync import Stands, Sync, Synced, is_lost
from app.domain.vigil import on_declared
from app.errors import OverLimit
from app.store import accounts, addresses, channels, decisions, holding, monitors, pauses, synced
from app.store.blackouts import Moment
from app.store.rows import Locked
from app.store.synced import Changed, New


async def register(session: AsyncSession, project: UUID, wanted: Sync, moment: Moment) -> Synced:
    """What a program declares, as far as it fits into the plan: the rest is left out."""
    await monitors.one_namer(session, project)
    there = await addresses.called(session, project, wanted.service, wanted.named | wanted.paused)
    slugs = {slug: token for token, slug in wanted.slugs.items() if token not in there}
    there |= {slugs[slug]: id_ for slug, id_ in (await synced.made_by_hand(session, project, slugs)).items()}
    return await Reconciling(session, project, wanted, moment).run(there, partly=True)


class Reconciling:
    """One sync on its way. Syncs of one project come one after the other: the caller is `monitors.one_namer`."""

    def __init__(self, session: AsyncSession, project: UUID, wanted: Sync, moment: Moment) -> None:
        self._session = session
        self._project = project
        self._wanted = wanted
        self._moment = moment
        self._made: list[tuple[Locked, Decision]] = []
        self._changed: list[Changed] = []

    async def run(self, there: Mapping[str, UUID], partly: bool = False) -> Synced:
        """Do it all. `there`: the monitors that stand under these tokens already. Raises OverLimit where those to be made do not
        all fit in, and nothing is done then; `partly`: those that fit are made."""
        mine = await synced.of_source(self._session, self._project, self._wanted.source) if self._wanted.whole else []
        rows, bad = await monitors.lock_readable(self._session, [(self._project, id_) for id_ in {*there.values(), *mine}])
        self._refuse_twins(there)
        self._leave_out(there, {row["id"] for row, _ in bad})
        known = {token: rows[there[token]] for token in self._wanted.items if token in there and there[token] in rows}
        missing = [token for token in self._wanted.items if token not in known]
        held = await holding.down_since(self._session, self._project, self._wanted.source)
        stands = await synced.stand(self._session, self._project, list(known.values()))
        for token, row in known.items():
            self._renew(row, stands[row.id], self._wanted.items[token].after(stands[row.id], self._moment.now), held)
            self._put_off(row, self._wanted.dues.get(token))
        await synced.change(self._session, self._project, self._changed)
        due = {id_ for token, id_ in there.items() if token not in self._wanted.paused}
        watched = sum(rows[id_].monitor.status is not Status.PAUSED for id_ in mine if id_ in rows)
        retired = await self._retire([rows[id_] for id_ in {*mine, *there.values()} - due if id_ in rows], watched)
        await decisions.write(self._session, self._moment.now, self._made)
        fit = await self._create(missing, held, partly)
        return Synced(len(known), fit, retired, tuple(missing[fit:]))

    def _refuse_twins(self, there: Mapping[str, UUID]) -> None:
        """Two names of one monitor, such as an alias and a slug, would change it back and forth."""
        seen: dict[UUID, str] = {}
        for token in [token for token in self._wanted.items if token in there]:
            if seen.setdefault(there[token], token) != token:
                del self._wanted.items[token]
                self._wanted.errors.append({"key": token, "error": f"key: is the same monitor as {seen[there[token]]}"})

    def _leave_out(self, there: Mapping[str, UUID], bad: set[UUID]) -> None:
        """A monitor whose row makes no sense stays as it is, and stops none of the others."""
        for token in [token for token in self._wanted.items if there.get(token) in bad]:
            del self._wanted.items[token]
            self._wanted.errors.append({"key": token, "error": "key: its monitor cannot be read, and is left as it is"})

    def _renew(self, row: Locked, before: Stands, after: Stands, held: datetime | None) -> None:
        """As declared from now on, armed if it is new; resumed, where it was a sync that paused it. What is so already is not
        touched: no deadline moves."""
        now, horizon = self._moment.now, self._moment.horizon
        if after.rule != before.rule:
            self._take(row, self._edited(row, before.rule, after.rule))
        if before.retired and not after.retired and row.monitor.status is Status.PAUSED:
            self._take(row, on_resume(row.monitor, now, horizon))
            row.monitor.held_since = held
        if row.monitor.status is Status.NEW and row.monitor.due is None:
            expected = on_expect_first(row.monitor, now, horizon)
            if expected.monitor.due is not None:
                self._take(row, expected)
        if after != before:
            self._changed.append(Changed(row.id, after))

    def _put_off(self, row: Locked, due: datetime | None) -> None:
        """A scheduler that began its intervals anew sends later than was expected of it."""
        decision = None if due is None else on_declared(row.monitor, due, self._moment.now, self._moment.horizon)
        if decision is not None:
            self._take(row, decision)

    def _edited(self, row: Locked, before: Rule, after: Rule) -> Decision:
        """A newer due of a declared schedule is no edit: the slot before it is judged as ever."""
        now, horizon = self._moment.now, self._moment.horizon
        new, old = after.schedule, before.schedule
        if not isinstance(new, Declared) or not isinstance(old, Declared) or new.due is None:
            return on_edit(row.monitor, after, now, horizon)
        if after != replace(before, schedule=new) or new.zone != old.zone:
            return on_edit(row.monitor, after, now, horizon)
        return on_declared(row.monitor, new.due, now, horizon) or Decision(row.monitor)

    async def _retire(self, rows: list[Locked], watched: int) -> int:
        """Pause them without a word; returns how many. Those that a person paused stay that person's. Where that is most of what
        the source had `watched`, the members are told: a deploy that lost its schedule looks just like it."""
        gone = [row for row in rows if row.monitor.status is not Status.PAUSED]
        if is_lost(len(gone), watched):
            names, actor = [row.name for row in gone], f"A sync of {self._wanted.source}"
            await pauses.note(self._session, self._project, names, actor, self._moment.now)
        for row in gone:
            self._take(row, on_pause(row.monitor, self._moment.now, self._moment.horizon))
        await synced.retire(self._session, self._project, [row.id for row in gone], self._moment.now)
        return len(gone)

    async def _create(self, tokens: list[str], held: datetime | None, partly: bool) -> int:
        """Make them, with all of the project's channels, their first run expected; returns how many fit in."""
        if not tokens:
            return 0
        room = await accounts.room(self._session, self._project)
        fit = tokens if room is None else tokens[:room]
        if len(fit) < len(tokens) and not partly:
            raise OverLimit("the project has as many checks as its plan allows")
        taken, now, made = await synced.slugs(self._session, self._project), self._moment.now, []
        for token in fit:
            wished = self._wanted.items[token].made(now)
            stands = replace(wished, slug=free(wished.slug, taken))
            taken.add(stands.slug)
            state = on_expect_first(Monitor(stands.rule), now, self._moment.horizon).monitor
            state.held_since = held if state.due is not None and stands.source else None
            made.append(New(uuid4(), token, state, stands))
        ears = await channels.ids(self._session, self._project)
        await synced.make(self._session, self._project, self._wanted.service, made, ears, now)
        return len(made)

    def _take(self, row: Locked, decision: Decision) -> None:
        row.monitor = decision.monitor
        self._made.append((row, decision))
