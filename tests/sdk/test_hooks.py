"""What the hooks say of a task, in this very process: Celery's own tracer runs the tasks, with a broker and a backend in memory.
What only several processes can show stands in test_truth_table.py and test_kills.py.
"""

import gc
import logging
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import missedbeat
import pytest
from celery import Celery, Task
from celery.app.trace import build_tracer, trace_task
from celery.backends.cache import CacheBackend
from celery.exceptions import Ignore, Reject
from celery.worker import state
from missedbeat import Monitor
from missedbeat.celery import instrument
from missedbeat.celery.handle import Handle, handles
from missedbeat.celery.worker import Main
from missedbeat.guard import guard
from missedbeat.testing import capture, dispatch
from pydantic import BaseModel

CANARY = "s3cret-argument"
UNTYPED: Any = "soon"
Said = dict[str, Any]


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No address and no key: what is said is captured. No app outlives its test."""
    for variable in ("URL", "KEY", "ENVIRONMENT", "DISABLED", "OFFLINE"):
        monkeypatch.delenv(f"MISSEDBEAT_{variable}", raising=False)
    before = dict(handles)
    yield
    for handle in list(handles.values()):
        if id(handle.app) not in before:
            handle.close()


def shop(name: str = "shop", backend: Any = "cache+memory://", **given: Any) -> Celery:
    """An instrumented app with a task for each way to end."""
    app = Celery(name, broker="memory://", backend=backend, set_as_current=False)
    app.conf.update(task_publish_retry=False, beat_schedule={"nightly": {"task": "works", "schedule": 3600}})
    task = partial(app.task, bind=True, shared=False)

    @task(name="works")
    def works(self: Any, *_: Any) -> str:
        return CANARY

    @task(name="fails")
    def fails(self: Any, *_: Any) -> None:
        raise ValueError("no such customer")

    @task(name="retries")
    def retries(self: Any, *_: Any) -> None:
        raise self.retry(exc=RuntimeError("busy"), countdown=60, max_retries=3)

    @task(name="ignores")
    def ignores(self: Any, *_: Any) -> None:
        raise Ignore

    @task(name="rejects")
    def rejects(self: Any, *_: Any) -> None:
        raise Reject("not mine", requeue=False)

    @task(name="leaves")
    def leaves(self: Any, *_: Any) -> None:
        sys.exit(3)

    @task(name="gives_way")
    def gives_way(self: Any, *_: Any) -> None:
        raise self.replace(works.s())

    app.finalize()
    instrument(app, **given)
    return app


def trace(app: Celery, task: str, headers: Said | None = None, *args: Any, **request: Any) -> list[Said]:
    """Run a task as a worker's process does, sent by the entry `nightly` if nothing else is said; what was reported."""
    given = {"missedbeat": {"e": "nightly", "p": 1}} if headers is None else headers
    run = str(uuid.uuid4())
    message = {"id": run, "retries": 0, "delivery_info": {"routing_key": "celery"}, "is_eager": False, **given, **request}
    tracer = build_tracer(task, app.tasks[task], app=app)
    with capture() as events, suppress(SystemExit, ConnectionError):
        tracer(run, args, {}, message)
    assert all(event["run"] == run for event in events)
    return events


def test_a_run_that_ends_well_says_its_start_and_its_end() -> None:
    """Under the name of its entry, as one execution of one try."""
    started, succeeded = trace(shop(), "works")
    assert (started["type"], succeeded["type"]) == ("run.started", "run.succeeded")
    assert started["monitor"] == succeeded["monitor"] == "entry:nightly"
    assert started["x"] == succeeded["x"]
    assert started["att"] == succeeded["att"] == 0
    assert started["queue"] == "celery"
    assert started["wait_ms"] > 0
    assert succeeded["duration_ms"] >= 0
    assert started["id"] != succeeded["id"]


@pytest.mark.parametrize(
    ("task", "kind", "error"),
    [
        ("fails", "run.failed", "ValueError: no such customer"),
        ("retries", "run.retry", "RuntimeError: busy"),
        ("ignores", "run.ignored", None),
        ("rejects", "run.rejected", "Reject: not mine"),
        ("leaves", "run.aborted", "SystemExit: 3"),
        ("gives_way", "run.retry", None),
    ],
)
def test_each_other_end_is_told_by_its_name(task: str, kind: str, error: str | None) -> None:
    """With its reason, if there is one. A task that another one replaces goes on under its id: that is no end."""
    *_, end = trace(shop(), task)
    assert (end["type"], end.get("error")) == (kind, error)


def test_what_a_task_says_is_told_with_its_end() -> None:
    """`current_run` is that of the task, without any block; outside of one it takes everything and tells nothing."""
    app = shop()

    @app.task(name="speaks", shared=False)
    def speaks() -> None:
        missedbeat.current_run().log("half of it")
        missedbeat.current_run().metric(rows=10)

    *_, end = trace(app, "speaks")
    assert (end["type"], end["log"], end["metrics"]) == ("run.succeeded", "half of it", {"rows": 10})
    assert trace(app, "speaks", {}) == []
    assert "log" not in trace(app, "works")[-1]


def test_a_retry_says_when_it_will_be_and_goes_on_as_the_next_try() -> None:
    """The try is the number that Celery counts."""
    app = shop()
    *_, retry = trace(app, "retries")
    assert retry["eta"] > retry["ts"] + 50_000
    started, _ = trace(app, "retries", retries=2)
    assert started["att"] == 2


class Away(CacheBackend):  # type: ignore[misc]
    """A result backend that lost its server."""

    def __init__(self, *_: Any, **given: Any) -> None:
        super().__init__(backend="memory", app=given["app"])

    def store_result(self, _: Any, result: Any, *__: Any, **___: Any) -> None:
        raise ConnectionError(f"no backend for {result}")


@pytest.mark.parametrize(
    ("task", "kind", "field", "words"),
    [
        ("works", "run.succeeded", "warning", "its result could not be stored: ConnectionError"),
        ("fails", "run.failed", "error", "ValueError: no such customer"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*Exception raised outside body:RuntimeWarning")
def test_a_result_that_cannot_be_stored_does_not_change_what_became_of_the_task(
    task: str, kind: str, field: str, words: str
) -> None:
    """Celery tells no success and no failure then; the job did what it did."""
    *_, end = trace(shop(backend=Away), task)
    assert (end["type"], end[field]) == (kind, words)


@pytest.mark.filterwarnings("ignore:.*Exception raised outside body:RuntimeWarning")
def test_nor_does_it_where_many_tasks_run_at_once() -> None:
    """As in a pool of threads or greenlets: Celery says last that it failed itself, when many others have begun meanwhile."""
    app, count = shop(backend=Away), 120
    all_began = threading.Barrier(count)

    @app.task(name="waits", shared=False)
    def waits() -> None:
        all_began.wait(30)

    def run(number: int) -> None:
        message = {"id": f"run {number}", "retries": 0, "delivery_info": {}, "missedbeat": {"e": "nightly", "p": 1}}
        trace_task(app.tasks["waits"], f"run {number}", [], {}, message, app=app)

    with capture() as events, ThreadPoolExecutor(count) as pool:
        list(pool.map(run, range(count)))
    assert Counter(event["type"] for event in events) == {"run.started": count, "run.succeeded": count}


def test_two_entries_of_one_task_are_told_apart_by_what_travels_with_the_message() -> None:
    """And so is a message that only django-celery-beat marked, or that a Beat without us sent, where there is but one entry."""
    app = shop()
    cases: list[tuple[Said, str]] = [
        ({"missedbeat": {"e": "other"}}, "entry:other"),
        ({"periodic_task_name": "by hand"}, "entry:by hand"),
        ({"celery_beat_task": True}, "entry:nightly"),
    ]
    for headers, monitor in cases:
        started, _ = trace(app, "works", headers)
        assert started["monitor"] == monitor


def test_a_task_that_nobody_asked_for_is_left_alone() -> None:
    """What no entry sent is of no interest, unless a person says so."""
    assert trace(shop(), "works", {}) == []
    assert trace(shop("all", scope="all"), "works", {})[0]["monitor"] == "task:works"
    some = shop("some", scope=lambda task, request: task.name == "fails" and request.id)
    assert trace(some, "works", {}) == []
    assert trace(some, "fails", {})[0]["monitor"] == "task:fails"


def test_a_function_is_asked_of_a_run_that_begins_and_of_nothing_else() -> None:
    """It may look at the request, which nobody else has; what is wrong with it for one task does not touch the others."""
    asked = []

    def chosen(task: Any, request: Any) -> bool:
        asked.append(request.id)
        return bool(task.name == "works" or request.no_such_attribute)

    app = shop(scope=chosen)
    names = handles[id(app)].names
    assert names.monitor_of("works", {}) == ""
    assert names.monitor_of("works", {"missedbeat": {"e": "nightly"}}) == "entry:nightly"
    assert trace(app, "fails", {}) == []
    assert [event["monitor"] for event in trace(app, "works", {})] == ["task:works"] * 2
    assert len(asked) == 2


class Running:
    """A run under way, as a worker knows it."""

    def __init__(self, run: str, task: Any) -> None:
        self.id, self.task, self.request_dict, self.time_start = run, task, {"missedbeat": {"e": "nightly"}}, None


def test_a_run_of_which_nothing_can_be_said_does_not_silence_the_others() -> None:
    """A heartbeat that fails would be taken for a worker that died with all its runs."""
    app = shop()
    handle, running = handles[id(app)], [Running("torn", None), Running("whole", app.tasks["works"])]
    with capture() as events:
        assert handle.reporter is not None
        main = Main(handle, handle.reporter, SimpleNamespace(pool_cls=object, hostname="here"))
        state.active_requests.update(running)
        main.beat()
    assert [event["active"] for event in events] == [[["entry:nightly", "whole", "", 0.0]]]


def test_names_are_taken_in_and_left_out_by_pattern() -> None:
    """Of the entry or of the task; what is left out stays out."""
    assert trace(shop("one", exclude=("night*",)), "works") == []
    assert trace(shop("two", exclude=["work*"]), "works") == []
    assert trace(shop("three", include="day*"), "works") == []
    assert len(trace(shop("four", include="*ly", scope="all"), "works")) == 2
    assert trace(shop("five", exclude="w*", scope="all"), "works", {}) == []


def test_a_task_with_a_check_of_its_own_reports_there_whoever_starts_it() -> None:
    """`missedbeat_monitors` names a check by its id or slug."""
    app = shop()
    app.conf.missedbeat_monitors = {"works": "daily-backup"}
    assert {event["monitor"] for event in trace(app, "works", {}) + trace(app, "works")} == {"check:daily-backup"}


@pytest.mark.parametrize("said", [["works"], "works", 7, {"works": None}, {"works": ["a", "b"]}], ids=str)
def test_checks_that_make_no_sense_are_complained_about_once_and_the_rest_is_watched(
    said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """By the name of the setting; what is named well beside it counts."""
    app = shop()
    app.conf.missedbeat_monitors = {**said, "fails": "daily"} if isinstance(said, dict) else said
    for _ in range(2):
        assert trace(app, "works")[0]["monitor"] == "entry:nightly"
    assert sum("missedbeat_monitors" in record.getMessage() for record in caplog.records) == 1
    if isinstance(said, dict):
        assert trace(app, "fails")[0]["monitor"] == "check:daily"


@pytest.mark.parametrize(
    ("exceptions", "words"),
    [("none", None), ("type", "ValueError"), ("message", "ValueError: no such customer"), ("traceback", "in fails")],
)
def test_no_more_of_an_exception_goes_out_than_is_wanted(exceptions: str, words: str | None) -> None:
    """From nothing at all to the places where it was raised."""
    *_, failed = trace(shop(exceptions=exceptions), "fails")
    said = failed.get("error")
    assert said == words or (exceptions == "traceback" and str(words) in str(said))


def test_arguments_and_results_never_leave_the_process() -> None:
    """In no field of any event, whatever became of the task."""
    app = shop(exceptions="traceback")
    for task in ("works", "fails", "retries", "ignores", "rejects", "leaves"):
        events = trace(app, task, None, CANARY, kwargs={"password": CANARY}, argsrepr=CANARY)
        assert len(events) == 2
        assert CANARY not in str(events)


class Order(BaseModel):
    """What Celery has pydantic make of an argument."""

    card: int


class Odd:
    """Shows what it holds."""

    def __repr__(self) -> str:
        return CANARY


@pytest.mark.filterwarnings("ignore:.*Exception raised outside body:RuntimeWarning")
def test_nor_do_they_in_the_words_of_those_who_carry_them() -> None:
    """Celery's when retries are used up, pydantic's of an argument, a serializer's and a backend's of a result."""
    app = shop(backend="cache+memory://")
    task = partial(app.task, shared=False)

    @task(name="gives_up", bind=True, max_retries=1)
    def gives_up(self: Any, *_: Any) -> None:
        self.retry()

    @task(name="orders", pydantic=True)
    def orders(order: Order) -> None: ...

    @task(name="odd", serializer="yaml")
    def odd() -> Any:
        return Odd()

    app.conf.result_serializer = "yaml"
    told = [
        trace(app, "gives_up", None, CANARY, retries=1),
        trace(app, "orders", None, {"card": CANARY}),
        trace(app, "odd"),
        trace(shop(backend=Away), "works"),
    ]
    assert CANARY not in str(told)
    assert [str(events[-1].get("error", events[-1].get("warning"))).partition("[")[0] for events in told] == [
        "MaxRetriesExceededError: Can't retry gives_up", "ValidationError: Order: int_parsing", "EncodeError: RepresenterError",
        "its result could not be stored: ConnectionError",
    ]  # fmt: skip


class Unspeakable(Exception):
    """It cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_exception_without_words_is_told_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """An end that is not told would be a job taken for lost."""
    app = shop()

    @app.task(name="unspeakable", shared=False)
    def unspeakable() -> None:
        raise Unspeakable

    with caplog.at_level(logging.CRITICAL, "celery"):
        *_, failed = trace(app, "unspeakable")
    assert (failed["type"], failed["error"]) == ("run.failed", "Unspeakable")


def test_a_fault_of_our_own_is_counted_said_once_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The task ends as ever, with its result."""

    def broken(*_: Any) -> bool:
        raise RuntimeError("a broken scope")

    app, before = shop(scope=broken), guard.errors
    handle = handles[id(app)]
    for _ in range(3):
        assert trace(app, "works", {}) == []
    with capture():
        assert app.tasks["works"].apply(task_id="x").get() == CANARY
    assert handle.stats()["hook_errors"] >= before + 3
    assert sum("broken failed" in record.getMessage() for record in caplog.records) == 1


def test_eager_tasks_count_only_if_wanted_or_sent_by_an_entry() -> None:
    """A test suite that runs tasks in place must not make monitors."""
    app, eager = shop(scope="all"), shop("eager", scope="all", eager=True)
    with capture() as events:
        app.tasks["works"].apply()
    assert events == []
    with capture() as events:
        eager.tasks["works"].apply()
    assert [event["monitor"] for event in events] == ["task:works"] * 2


def test_a_users_own_tests_see_what_an_entry_would_report() -> None:
    """`capture` and `dispatch` need no server, no broker and no key."""
    app = shop()
    app.conf.task_always_eager = True
    with capture() as events:
        dispatch(app, "nightly")
    assert [(event["type"], event["monitor"]) for event in events] == [
        ("run.started", "entry:nightly"), ("run.succeeded", "entry:nightly"), ("run.dispatched", "entry:nightly"),
    ]  # fmt: skip
    dispatch_outside = pytest.raises(KeyError)
    with dispatch_outside:
        dispatch(app, "nightly")


class Locked(Task):  # type: ignore[misc]
    """As celery-once has it: while a run is under way, that is what comes back."""

    def apply_async(self, *_: Any, **__: Any) -> Any:
        return self.AsyncResult("still under way")


class Elsewhere(Task):  # type: ignore[misc]
    """Has another task do it, and nothing comes back."""

    def apply_async(self, *_: Any, **__: Any) -> None:
        self.app.tasks["works"].apply_async()


class Announced(Task):  # type: ignore[misc]
    """Sends another task before itself, and one after."""

    def apply_async(self, *args: Any, **options: Any) -> Any:
        self.app.tasks["fails"].apply_async()
        result = super().apply_async(*args, **options)
        self.app.tasks["fails"].apply_async()
        return result


def dispatched(base: type[Task]) -> tuple[list[Said], list[Said]]:
    """What is told of the dispatch of an entry whose task is of this kind, and the headers of all that was sent."""
    app = shop()
    messages(app)

    @app.task(name="own", base=base, shared=False)
    def own() -> None: ...

    app.conf.beat_schedule = {"nightly": {"task": "own", "schedule": 60}}
    with capture() as events:
        dispatch(app, "nightly")
    return events, messages(app)


def test_a_task_that_decides_to_send_nothing_has_not_been_missed() -> None:
    """Neither that run nor the next one: each is told as one that had nothing to do, under an id of its own."""
    runs = set()
    for _ in range(2):
        events, sent = dispatched(Locked)
        assert [(event["type"], event["monitor"]) for event in events] == [
            ("run.dispatched", "entry:nightly"), ("run.ignored", "entry:nightly")
        ]  # fmt: skip
        assert events[0]["run"] == events[1]["run"] != "still under way"
        assert events[1]["error"] == "nothing was published: the task decided so"
        assert sent == []
        runs.add(events[0]["run"])
    assert len(runs) == 2


def test_a_task_that_sends_another_in_its_place_is_watched_as_that() -> None:
    """Whatever its name, and whatever comes back."""
    (event,), (sent,) = dispatched(Elsewhere)
    assert (event["type"], event["run"]) == ("run.dispatched", sent["id"])
    assert (sent["task"], sent["missedbeat"]["e"]) == ("works", "nightly")


def test_a_task_that_sends_others_as_well_is_watched_by_itself() -> None:
    """What is told as dispatched is what its check waits for."""
    (event,), (_, own, after) = dispatched(Announced)
    assert (event["type"], event["run"]) == ("run.dispatched", own["id"])
    assert (own["task"], own["missedbeat"]["e"]) == ("own", "nightly")
    assert "missedbeat" not in after


def messages(app: Celery) -> list[Said]:
    """The headers of all that waits in the queue of the broker in memory."""
    found = []
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("celery")
        while queue.qsize():
            message = queue.get()
            found.append(message.headers)
            message.ack()
        queue.close()
    return found


def test_a_message_learns_its_entry_and_keeps_all_else_that_it_carries() -> None:
    """One header more, on what Beat sends; nothing else is touched, and other messages carry nothing."""
    app = shop()
    messages(app)
    app.conf.beat_schedule["nightly"]["options"] = {"headers": {"tenant": "acme"}}
    with capture() as events:
        dispatch(app, "nightly")
        app.tasks["works"].apply_async(headers={"tenant": "acme"})
    by_beat, by_hand = messages(app)
    assert by_beat["missedbeat"]["e"] == "nightly"
    assert by_beat["tenant"] == by_hand["tenant"] == "acme"
    assert "missedbeat" not in by_hand
    assert [(event["type"], event["run"]) for event in events] == [("run.dispatched", by_beat["id"])]
    assert app.conf.beat_schedule["nightly"]["options"] == {"headers": {"tenant": "acme", "celery_beat_task": True}}


def test_a_retry_and_a_replacement_stay_with_their_monitor() -> None:
    """They are published again from within the run, under its id: with the entry, and with the time of now."""
    app = shop()
    messages(app)
    trace(app, "retries")
    trace(app, "gives_way")
    trace(shop("everything", scope="all"), "gives_way", {})
    again, instead, by_task = (headers["missedbeat"] for headers in messages(app))
    assert again["e"] == instead["e"] == "nightly"
    assert again["p"] > 1
    assert by_task["m"] == "task:gives_way"
    assert trace(app, "works", {"missedbeat": by_task})[0]["monitor"] == "task:gives_way"


def test_receivers_are_alive_after_the_garbage_was_collected() -> None:
    """Celery holds receivers weakly, unless it is told not to."""
    app = shop()
    gc.collect()
    assert len(trace(app, "works")) == 2


def test_a_second_call_changes_nothing() -> None:
    """A settings module is imported twice sooner than one thinks."""
    app = shop()
    first = handles[id(app)]
    assert instrument(app, scope="all") is first
    assert len(trace(app, "works")) == 2


def test_two_apps_of_a_process_do_not_meet() -> None:
    """Each has its own monitors, and its own way to leave things out."""
    one, two = shop("one", exclude=("*",)), shop("two")
    assert trace(one, "works") == []
    assert len(trace(two, "works")) == 2


@pytest.mark.parametrize(
    "given",
    [
        {"heartbeat": "often"}, {"scope": 3}, {"include": 5}, {"monitors": ["nightly"]}, {"exceptions": "loud"},
        {"max_buffer": "many"}, {"flush_timeout": {}}, {"before_send": "me"}, {"url": 8}, {"url": "http://["},
        {"monitors": {"nightly": 3}}, {"monitors": {"nightly": Monitor(grace=UNTYPED)}}, {"colour": "red"},
    ],
    ids=str,
)  # fmt: skip
def test_nonsense_is_complained_about_and_watched_all_the_same(given: Said, caplog: pytest.LogCaptureFixture) -> None:
    """A typing error must not stop a worker from starting."""
    assert len(trace(shop(**given), "works")) == 2
    said = [record.getMessage() for record in caplog.records if record.name == "missedbeat"]
    assert len([words for words in said if "not set up" not in words]) >= 1


@pytest.mark.parametrize("app", [None, 3, "proj.app", object()])
def test_what_is_no_app_is_complained_about(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """And a handle comes back that does nothing."""
    handle = instrument(app)
    assert isinstance(handle, Handle)
    assert handle.flush()
    handle.close()
    assert len(caplog.records) <= 1


def test_without_a_key_one_line_says_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    """And nothing is reported."""
    shop()
    (record,) = [record for record in caplog.records if record.name == "missedbeat"]
    assert "MISSEDBEAT_URL" in record.message
    assert "MISSEDBEAT_KEY" in record.message


def test_to_instrument_an_app_starts_nothing_and_opens_nothing() -> None:
    """It happens while modules are imported: no thread, no descriptor, no settings read."""
    script = """
import os, threading
from celery import Celery
import missedbeat.celery
app = Celery("shop", broker="memory://")
app.config_from_object("no_such_module")
before = os.listdir("/proc/self/fd")
missedbeat.celery.instrument(app, key="k", url="http://127.0.0.1:9")
assert os.listdir("/proc/self/fd") == before
assert threading.active_count() == 1
"""
    subprocess.run([sys.executable, "-c", script], check=True)
