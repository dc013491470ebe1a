"""`make matrix`: each generation of Celery, on both brokers, with every pool, against golden.txt. A difference is played once
more, and shown if it is there again. Not part of `make test`: it takes some twenty minutes on two cores.

Words after it choose: `python -m tests.sdk.matrix 5.4 5.5 redis threads`. What ends a worker is played with prefork on
Redis; with the other pools `make prove` does that, on the newest Celery.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import NamedTuple

from celery import __version__ as installed

from scripts.celeries import Celery, generations
from tests.sdk.brokers import KINDS, ROOT, Broker, shared
from tests.sdk.cases import ENDINGS, ENFORCED, QUIET, Case, played
from tests.sdk.golden import Where
from tests.sdk.playing import Blocks, difference, play, play_endings

AT_ONCE = 3
WORDS = 20  # lines of a worker that died
SDK = str(ROOT / "sdk")


class Field(NamedTuple):
    """One of the matrix, and the Python that plays it."""

    where: Where
    python: str


class Outcome(NamedTuple):
    """What came of it: how many cases were played, what was different, or why nothing could be played."""

    field: Field
    cases: int
    diff: str
    seconds: float


def main(words: list[str]) -> int:
    """Play all, or what the words choose; 0 where everything is as golden.txt has it."""
    fields = list(chosen(set(words)))
    began = time.monotonic()
    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="matrix", ignore_cleanup_errors=True)))
        brokers = {kind: stack.enter_context(shared(kind, folder / kind)) for kind in KINDS}
        outcomes = list(pool.map(lambda field: told(outcome(field, brokers, folder)), fields))
    wrong = sum(bool(one.diff) for one in outcomes)
    print(f"\n{len(outcomes)} played in {(time.monotonic() - began) / 60:.0f} min, {wrong} different")
    return 1 if wrong else 0


def chosen(words: set[str]) -> Iterator[Field]:
    """Of each kind of word those that are said, or all."""
    pythons = {installed[:3]: sys.executable}
    for celery in generations():
        if celery.program.exists():
            pythons[celery.version] = str(celery.program)
        else:
            print(f"Celery {celery.version} is not played: there is no {celery.python} here")
    for celery, broker, pool in product(sorted(pythons), KINDS, ENFORCED):
        where, kinds = Where(broker, pool, celery), (set(KINDS), set(ENFORCED), set(pythons))
        if all(not words & kind or word in words for word, kind in zip(where, kinds, strict=True)):
            yield Field(where, pythons[celery])


def outcome(field: Field, brokers: Mapping[str, Broker], folder: Path) -> Outcome:
    """Play the cases of a field."""
    began, name, where = time.monotonic(), folder / "-".join(field.where), field.where
    told = {"python": field.python, "PYTHONPATH": SDK}

    def survived(cases: list[Case], place: Path) -> Blocks:
        return play(cases, where, brokers[where.broker].fresh(), brokers["redis"].fresh(), place, "-c", "6", **told)

    def ended(cases: list[Case], place: Path) -> Blocks:
        return play_endings(cases, where, brokers[where.broker].fresh(), brokers["redis"].fresh(), place, **told)

    quiet, endings = played(QUIET, where.pool), ENDINGS if where[:2] == ("redis", "prefork") else []
    diffs = [twice(where, quiet, survived, name / "quiet")]
    if endings:
        diffs.append(twice(where, endings, ended, name / "endings"))
    return Outcome(field, len(quiet) + len(endings), "\n".join(filter(None, diffs)), time.monotonic() - began)


def twice(where: Where, cases: list[Case], by: Callable[[list[Case], Path], Blocks], folder: Path) -> str:
    """The difference that is there again when its cases are played once more."""
    for attempt in ("first", "again"):
        try:
            blocks = by(cases, folder / attempt)
        except (AssertionError, OSError, TimeoutError) as error:
            diff = "\n".join(["not played:", *str(error).splitlines()[-WORDS:]])
            continue
        cases = [case for case in cases if difference([case], blocks, where)]
        diff = difference(cases, blocks, where)
        if not cases:
            return ""
    return diff


def told(one: Outcome) -> Outcome:
    """A line of the table, as soon as it is known."""
    where, python = one.field.where, python_of(one.field)
    print(
        f"Celery {where.celery}  Python {python:5} {where.broker:9} {where.pool:9} {one.cases:3} cases {one.seconds:5.0f} s  "
        f"{'DIFFERENT' if one.diff else 'as golden.txt has it'}{one.diff and chr(10)}{one.diff}",
        flush=True,
    )
    return one


def python_of(field: Field) -> str:
    """The Python that plays it, in two numbers."""
    known: dict[str, Celery] = {celery.version: celery for celery in generations()}
    if field.python == sys.executable:
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    return known[field.where.celery].python.removeprefix("python")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
