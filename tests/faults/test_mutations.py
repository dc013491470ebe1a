"""The tests, tested: what holds a promise is taken out of a copy of the tree, and the tests named here must notice it.

To add one: a line in MUTATIONS. The text must stand exactly once in its file; at least one of the tests must go red.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.rig import ROOT, measured

CLAIMS = "tests/faults/test_claims.py::"
COPIED = ("app", "tests", "migrations", "sdk", "pyproject.toml", "Makefile")


@dataclass(frozen=True)
class Mutation:
    """What is replaced, and who must notice."""

    name: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]
    with_belt: bool = True  # False: row security, which would hide that a statement forgot its project, is out as well


BELT, NO_BELT = "return func.missedbeat_confine(project)", "return func.coalesce(project)"
BELT_FILE = "app/store/row_security.py"
MUTATIONS = (
    Mutation(
        "no guard",
        "app/ingest/record.py",
        "and now - at >= margin}",
        "and now - at >= margin * 1000}",
        ("tests/ingest/test_recording.py::test_what_took_longer_than_the_margin_is_refused_and_not_recorded",),
    ),
    Mutation(
        "no margin",
        "app/domain/horizon.py",
        "    if newest_tick is None:\n        return Horizon(",
        "    margin = timedelta()\n    if newest_tick is None:\n        return Horizon(",
        (CLAIMS + "test_a_deadline_is_judged_only_once_the_margin_has_passed",),
    ),
    Mutation(
        "no horizon",
        "app/domain/horizon.py",
        "at = min(now, newest_tick) - margin",
        "at = now - margin",
        ("tests/sweeper/test_sweep.py::test_silence_is_judged_only_up_to_the_horizon",),
    ),
    Mutation(
        "no fence",
        "app/store/claims.py",
        "AND d.owner = :owner AND d.claim_no = :claim_no",
        "AND :owner <> d.id AND :claim_no > 0",
        (CLAIMS + "test_who_lost_the_lease_settles_nothing_while_another_sends",),
    ),
    Mutation(
        "no fence in a group",
        "app/store/claims.py",
        "WHERE o.owner = :owner AND o.claim_no = v.claim_no AND o.state = 'sending'",
        "WHERE (o.owner <> CAST(:owner AS uuid) OR o.state = 'sending')",
        ("tests/notify/test_settle.py::test_in_a_group_too_the_fence_holds_for_each",),
    ),
    Mutation(
        "a group waits for whoever holds one of its rows",
        "app/store/claims.py",
        "FOR NO KEY UPDATE OF o SKIP LOCKED",
        "FOR NO KEY UPDATE OF o",
        ("tests/notify/test_settle.py::test_a_row_that_somebody_holds_keeps_no_other_waiting",),
    ),
    Mutation(
        "no SKIP LOCKED in the sweep",
        "app/store/monitors.py",
        "FOR NO KEY UPDATE OF m SKIP LOCKED",
        "FOR NO KEY UPDATE OF m",
        (CLAIMS + "test_a_locked_row_holds_up_no_other",),
    ),
    Mutation(
        "the outbox in a transaction of its own",
        "app/store/decisions.py",
        "    await outbox.put(session, deliveries)",
        "    await session.commit()\n    await outbox.put(session, deliveries)",
        (CLAIMS + "test_what_cannot_be_told_does_not_happen",),
    ),
    Mutation(
        "no tenant in a list",
        "app/store/incidents.py",
        "query = select(IncidentRow).where(IncidentRow.project_id == project)\n    if monitor",
        "query = select(IncidentRow)\n    if monitor",
        ("tests/manage/test_tenants.py::test_lists_and_bodies_do_not_reach_into_another_project",),
        with_belt=False,
    ),
    Mutation(
        "no row security",
        BELT_FILE,
        BELT,
        NO_BELT,
        ("tests/store/test_row_security.py::test_a_statement_without_its_project_sees_nothing_of_another",),
    ),
    Mutation(
        "no tenant behind a unique key",
        "app/store/monitors.py",
        "MonitorRow.project_id == project, MonitorRow.unique_key == key",
        "MonitorRow.unique_key == key",
        ("tests/manage/test_tenants.py::test_a_unique_key_leads_nowhere_in_another_project",),
        with_belt=False,
    ),
    Mutation(
        "no blackout at a first tick",
        "app/store/blackouts.py",
        "FIRST_HOLE if first else HOLE",
        "HOLE",
        (CLAIMS + "test_a_first_tick_ends_a_hole_of_over_two_seconds",),
    ),
    Mutation(
        "no blackout at all",
        "app/domain/horizon.py",
        "now - previous_tick <= limit",
        "now > previous_tick",
        ("tests/sweeper/test_sweep.py::test_a_hole_in_the_ticks_is_a_blackout_and_nobody_is_blamed_for_it",),
    ),
    Mutation(
        "no patience with a process that is gone",
        "app/domain/horizon.py",
        "for t in processes if at < t + 2 * PATIENCE",
        "for t in processes if at > t + 2 * PATIENCE",
        ("tests/sweeper/test_blackouts.py::test_what_a_dead_process_may_have_refused_is_judged_half_a_minute_later",),
    ),
    Mutation(
        "the newest tick is forgotten",
        "app/store/blackouts.py",
        ", TickRow.at < newest",
        "",
        ("tests/sweeper/test_blackouts.py::test_after_days_of_outage_the_next_tick_still_finds_the_hole",),
    ),
    Mutation(
        "time runs back with the clock",
        "app/store/blackouts.py",
        "now = row.clock if row.tick is None else max(row.clock, row.tick)",
        "now = row.clock",
        ("tests/sweeper/test_blackouts.py::test_a_clock_set_back_stands_still_and_loses_no_ping",),
    ),
    Mutation(
        "nobody is told what was not heard",
        "app/store/decisions.py",
        ", *unheard.adding(made)]",
        "]",
        ("tests/sweeper/test_blackouts.py::test_jobs_expected_in_a_blackout_are_told_in_one_message_for_each_project",),
    ),
    Mutation(
        "a hold never ends",
        "app/domain/mass_silence.py",
        "HELD_AT_MOST = timedelta(minutes=10)",
        "HELD_AT_MOST = timedelta(hours=10)",
        ("tests/sweeper/test_mass_silence.py::test_mass_silence_is_held_for_ten_minutes_and_then_told_as_it_was",),
    ),
    Mutation(
        "no order of a monitor's messages",
        "app/store/claims.py",
        "ORDER BY o.seq LIMIT 1))",
        "ORDER BY o.seq DESC LIMIT 1))",
        ("tests/notify/test_deliver.py::test_messages_of_a_monitor_keep_their_order_on_a_channel",),
    ),
    Mutation(
        "repeats not remembered",
        "app/ingest/record.py",
        ", *checkins.remembering(list(recording.remembered.values()))]",
        "]",
        ("tests/ingest/test_ping_options.py::test_a_repeat_is_answered_like_the_first_time",),
    ),
    Mutation(
        "one queue for all projects",
        "app/ingest/inbox.py",
        "project = self._whose.project(ping.target.address)",
        "project = 0",
        ("tests/faults/test_floods.py::test_a_flood_of_one_project_is_refused_at_once_and_no_other_feels_it",),
    ),
    Mutation(
        "a batch as large as it may be, however long it takes",
        "app/ingest/inbox.py",
        "self._most = self._pace.most(self._patience / 2, BATCH)",
        "pass",
        ("tests/faults/test_floods.py::test_a_flood_of_one_project_is_refused_at_once_and_no_other_feels_it",),
    ),
    Mutation(
        "acknowledged without COMMIT",
        "app/ingest/record.py",
        "warned = await warnings_of(session)\n        await session.commit()",
        "warned = await warnings_of(session)",
        ("tests/ingest/test_recording.py::test_a_missing_partition_is_made_on_the_way",),
    ),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, whose tests run on the copy."""
    folder = tmp_path_factory.mktemp("mutated")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
        elif source.exists():
            shutil.copy(source, folder / name)
    where = subprocess.run([sys.executable, "-c", "import app; print(app.__file__)"], cwd=folder, env=environ(folder),
                           capture_output=True, text=True, check=True)  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(folder)
    return folder


def environ(folder: Path) -> dict[str, str]:
    """Ours, with the copy in front and without bytecode, which a change within a second would outlive."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    return {**clean, "PYTHONPATH": os.pathsep.join((str(folder), str(folder / "sdk"))), "PYTHONDONTWRITEBYTECODE": "1"}


def run(folder: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Those tests in the copy; 0 when all passed, 1 when one failed."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]
    return subprocess.run(words, cwd=folder, env=environ(folder), capture_output=True, text=True, check=False)


def failed(output: str) -> list[str]:
    """The names of those that did, in pytest's summary."""
    lines = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return [line.split()[1].rpartition("::")[2] for line in lines]


@pytest.mark.prove
def test_without_a_mutation_they_all_pass(tree: Path) -> None:
    """Else it would prove nothing that they fail with one."""
    done = run(tree, tuple(dict.fromkeys(test for mutation in MUTATIONS for test in mutation.tests)))
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.prove
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_each_mutation_is_noticed(tree: Path, mutation: Mutation) -> None:
    """Take it out, and they go red."""
    changes = [(mutation.file, mutation.text, mutation.replacement)]
    changes += [] if mutation.with_belt else [(BELT_FILE, BELT, NO_BELT)]
    before = {tree / file: (tree / file).read_text(encoding="utf-8") for file, _, _ in changes}
    for file, text, replacement in changes:
        was = before[tree / file]
        assert was.count(text) == 1, f"{mutation.name}: its text stands {was.count(text)} times in {file}"
        (tree / file).write_text(was.replace(text, replacement), encoding="utf-8")
    try:
        done = run(tree, mutation.tests)
    finally:
        for path, text in before.items():
            path.write_text(text, encoding="utf-8")
    assert done.returncode == 1, done.stdout[-3000:]
    measured(f"{mutation.name}: caught by {', '.join(failed(done.stdout))}")


def test_each_mutation_finds_its_text_and_its_tests() -> None:
    """A table that no longer fits the code is noticed by the short run already."""
    for mutation in MUTATIONS:
        assert (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.text) == 1, mutation.name
        for test in mutation.tests:
            file, _, name = test.partition("::")
            assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), test
