"""What the SDK said of a case, in words that are the same on every run: a line for each execution. golden.txt has how it must be.

    task:retries try 0: started, retry "Boom: try 0"
    task:retries try 1: started; another process: lost signal "signal 9 (SIGKILL)"

What another process than the executing one said comes last, for which of the two was first is chance; and only if it is something
else, for whether the main process gets to repeat it is chance too.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from celery import __version__ as installed

from tests.sdk.collector import Event

FILE = Path(__file__).with_name("golden.txt")
CHANGING = [(r"Job: \d+", "Job: n"), (r"0x[0-9a-f]+", "0x…"), (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>")]
SAID = ("reason", "redelivered", "warning", "error")


class Where(NamedTuple):
    """Where cases are played: the words that a head of golden.txt may have in brackets."""

    broker: str
    pool: str = "prefork"
    celery: str = installed[:3]


def known(where: Where) -> dict[str, str]:
    """The blocks of golden.txt by their heads, as they are there: of those with brackets the one that says most of it. What
    stands above the first is for people."""
    found: dict[str, str] = {}
    blocks = [text.partition("\n") for text in FILE.read_text(encoding="utf-8").split("\n== ")[1:]]
    for full, _, body in sorted(blocks, key=lambda block: len({kind(word) for word in conditions(block[0])})):
        if all(any(word in where for word in words) for words in by_kind(conditions(full)).values()):
            found[full.partition(" [")[0]] = body.strip("\n")
    return found


def conditions(head: str) -> list[str]:
    """The words in its brackets."""
    return head.partition(" [")[2].rstrip("]").split()


def by_kind(words: list[str]) -> dict[str, list[str]]:
    """Words of one kind are choices, of different kinds they hold together."""
    return {each: [word for word in words if kind(word) == each] for each in map(kind, words)}


def kind(word: str) -> str:
    """Of what it says something: the broker, the pool, or the Celery."""
    return "celery" if word[0].isdigit() else "broker" if word in ("redis", "rabbitmq") else "pool"


def text(blocks: Mapping[str, str]) -> str:
    """Blocks as the file has them."""
    return "".join(f"\n== {head}\n{body}\n" for head, body in blocks.items())


def block(events: Iterable[Event], runs: list[str]) -> str:
    """All that was said of these runs: in their order, then by try, then as they began."""
    executions: dict[tuple[int, int, str], list[Event]] = {}
    for event in events:
        if event.get("run") in runs:
            key = (runs.index(event["run"]), event.get("att", 0), event.get("x", ""))
            executions.setdefault(key, []).append(event)
    order = sorted(executions, key=lambda key: (*key[:2], executions[key][0]["ts"]))
    return "\n".join(line(executions[key]) for key in order) or "nothing"


def line(events: list[Event]) -> str:
    """One execution."""
    executing = next((process(event) for event in events if event["type"] == "run.started"), None)
    told = sorted(events, key=lambda event: int(str(event["id"]).rpartition(":")[2]))  # two may fall into one millisecond
    own = ", ".join(longest([words(event) for event in told if process(event) == executing]))
    known = {event["type"] for event in told if process(event) == executing}
    others = ", ".join(words(event) for event in told if process(event) != executing and event["type"] not in known)
    all_words = "; ".join([*([own] if own else []), *([f"another process: {others}"] if others else [])])
    return f"{events[0]['monitor']} try {events[0].get('att', 0)}: {all_words}"


def longest(said: list[str]) -> list[str]:
    """Without what is said again with more words: of what tears a greenlet down both ends tell, if both get to it."""
    return [word for word in said if not any(other.startswith(f"{word} ") for other in said)]


def process(event: Event) -> str:
    """Who said it: ids are boot:pid:number."""
    return str(event["id"]).rpartition(":")[0]


def words(event: Event) -> str:
    """One event, without what changes from run to run."""
    said = [str(event["type"]).removeprefix("run.")]
    for name in SAID:
        if event.get(name):
            said.append(steady(event[name]) if name == "reason" else f'{name} "{steady(event[name])}"')
    return " ".join(said)


def steady(value: object) -> str:
    """The value on one line, with what changes taken out."""
    found = str(value).splitlines()[0][:120] if value is not True else "yes"
    for pattern, word in CHANGING:
        found = re.sub(pattern, word, found)
    return found
