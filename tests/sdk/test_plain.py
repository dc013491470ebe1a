"""Plain Python programs: a decorator, a block, single words. What arrives of them, and what they never notice of us."""

import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from missedbeat import monitor

from tests.sdk.brokers import free_ports
from tests.sdk.collector import Collector
from tests.sdk.scripts import begun, ran
from tests.sdk.test_transport import Server

Said = dict[str, Any]


def told(collector: Collector) -> list[Said]:
    """What one process said of runs, in the order in which it did: many things happen in a millisecond."""
    return sorted(collector.of("run"), key=lambda event: int(event["id"].rpartition(":")[2]))


def story(collector: Collector) -> list[str]:
    """The words of it."""
    return [event["type"].removeprefix("run.") for event in told(collector)]


def test_a_decorated_function_is_a_run_from_its_first_call_on(tmp_path: Path) -> None:
    """It is registered, begins and ends; what it is given, returns and is called stay what they are."""
    text = """
        @missedbeat.monitor("nightly", schedule="0 3 * * *", tz="Europe/Berlin", grace=300, max_runtime=3600, tags=["db"])
        def work(a, *, b=2):
            "Its words."
            return a + b
        print(work(1), work(1, b=4), work.__name__, work.__doc__)
    """
    with Collector() as collector:
        assert ran(tmp_path, text, collector.url) == (0, "3 5 work Its words.\n", "")
        declared = collector.of("job.declared")[0]
        assert {name: declared[name] for name in ("name", "schedule", "grace", "max_runtime", "tags")} == {
            "name": "nightly", "schedule": {"kind": "cron", "expression": "0 3 * * *", "zone": "Europe/Berlin"},
            "grace": 300.0, "max_runtime": 3600.0, "tags": ["db"],
        }  # fmt: skip
        assert len(collector.of("job.declared")) == 1
        assert story(collector) == ["started", "succeeded"] * 2
        assert {event["monitor"] for event in collector.of("run")} == {"job:nightly"}
        assert len({event["run"] for event in collector.of("run")}) == 2
        envelope = collector.batches[0][0]
        assert (envelope["app"], envelope["heartbeat"]) == ("python", 15.0)


def test_exceptions_pass_unchanged_and_are_told(tmp_path: Path) -> None:
    """A failure by its words; what is no Exception was stopped in the middle; `sys.exit()` and 0 are a success."""
    text = """
        import sys
        exits = SystemExit(), SystemExit(0), SystemExit(3), SystemExit("why")
        for error in (ValueError("no such disk"), KeyboardInterrupt(), *exits):
            try:
                with missedbeat.run("job"):
                    raise error
            except BaseException as caught:
                assert caught is error
        @missedbeat.monitor("job")
        def fails():
            raise LookupError("in a function")
        fails()
    """
    with Collector() as collector:
        code, _, errors = ran(tmp_path, text, collector.url)
        assert code == 1
        assert errors.rstrip().endswith("LookupError: in a function")
        ends = [(e["type"].removeprefix("run."), e.get("error"), e.get("exit")) for e in told(collector)[1::2]]
        assert ends == [
            ("failed", "ValueError: no such disk", None), ("aborted", "KeyboardInterrupt", None), ("succeeded", None, None),
            ("succeeded", None, None), ("failed", "SystemExit: 3", 3), ("failed", "SystemExit: why", None),
            ("failed", "LookupError: in a function", None),
        ]  # fmt: skip


def test_no_nonsense_that_a_run_says_costs_its_end(tmp_path: Path) -> None:
    """A number that is none, a value without words, `sys.exit(True)`, an event that `before_send` spoils: a service that takes no
    such line still hears how each run ended."""
    text = """
        import sys
        class Odd:
            def __str__(self): raise RuntimeError("no words")
        for number in (float("nan"), float("inf"), 10**5000, Odd(), "ten", None):
            with missedbeat.run("job") as r: r.metric(rows=number, good=1); r.progress(float("nan"))
        try:
            with missedbeat.run("job"): sys.exit(True)
        except SystemExit: pass
        missedbeat.start("job", run_id=77); missedbeat.success("job", run_id=77); missedbeat.fail("job", Odd())
        missedbeat.configure(before_send=lambda event: {**event, "odd": Odd(), "nan": float("nan")})
        missedbeat.ping("spoilt")
    """
    with Collector() as collector:
        code, _, errors = ran(tmp_path, text, collector.url)
        assert code == 0
        assert [event["type"] for event in told(collector) if event["monitor"] == "job:spoilt"] == ["run.succeeded"]
        ends = [event for event in told(collector) if event["type"] != "run.started" and event["monitor"] == "job:job"]
        assert [event["type"] for event in ends] == [*["run.succeeded"] * 6, "run.failed", "run.succeeded", "run.failed"]
        assert [event.get("metrics") for event in ends[:6]] == [{"good": 1}] * 6
        assert (ends[6]["exit"], type(ends[6]["exit"]), ends[7]["run"]) == (1, int, "77")
        assert all("progress" not in event for event in ends)
        assert errors.count("is no number, and is left out") == 6


def test_coroutines_and_threads_each_know_their_own_run(tmp_path: Path) -> None:
    """`current_run` is that of the task or thread; one that is cancelled was stopped in the middle."""
    text = """
        import asyncio, threading
        @missedbeat.monitor("job")
        async def work(n):
            mine = missedbeat.current_run()
            await asyncio.sleep(0.05)
            assert missedbeat.current_run() is mine
            mine.log(f"number {n}")
            if n == 3:
                await asyncio.sleep(60)
        async def main():
            tasks = [asyncio.create_task(work(n)) for n in range(4)]
            await asyncio.wait(tasks[:3])
            tasks[3].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        asyncio.run(main())
        def thread():
            with missedbeat.run("job") as r:
                assert missedbeat.current_run() is r
                missedbeat.current_run().log("thread")
        threads = [threading.Thread(target=thread) for _ in range(2)]
        [t.start() for t in threads]; [t.join() for t in threads]
        missedbeat.current_run().log("nobody hears this")
    """
    with Collector() as collector:
        assert ran(tmp_path, text, collector.url) == (0, "", "")
        ends = [(e["type"].removeprefix("run."), e["log"]) for e in collector.of("run") if e["type"] != "run.started"]
        assert sorted(ends) == sorted(
            [("succeeded", f"number {n}") for n in range(3)] + [("aborted", "number 3")] + [("succeeded", "thread")] * 2
        )


def test_a_function_that_returns_a_coroutine_has_run_when_that_is_over(tmp_path: Path) -> None:
    """What decorators make of an `async def` is often none, and would have ended well before it did anything."""
    text = """
        import asyncio, functools
        def decorated(function):
            @functools.wraps(function)
            def inner(*args):
                if not args: raise LookupError("at once")
                return function(*args)
            return inner
        @missedbeat.monitor("job")
        @decorated
        async def work(words):
            await asyncio.sleep(0)
            missedbeat.current_run().log(words)
            if words == "bad": raise ValueError("no disk")
            return words
        async def main():
            try: work()
            except LookupError as error: print(error)
            print(await asyncio.gather(work("good"), work("bad"), return_exceptions=True), missedbeat.current_run().id == "")
        asyncio.run(main())
    """
    with Collector() as collector:
        assert ran(tmp_path, text, collector.url) == (0, "at once\n['good', ValueError('no disk')] True\n", "")
        assert story(collector) == ["started", "failed", "started", "started", "succeeded", "failed"]
        assert [e.get("log") for e in told(collector) if e["type"] != "run.started"] == [None, "good", "bad"]


def test_what_a_run_says_arrives_while_it_runs_and_with_its_end(tmp_path: Path) -> None:
    """Lines since the last heartbeat, the newest numbers, how far it is; and that it lives, as often as it should."""
    text = """
        import pathlib, time
        missedbeat.configure(heartbeat=1)
        with missedbeat.run("job") as r:
            r.log("first"); r.log(2); r.metric(rows=10, MB=1.5); r.progress(0.4)
            while not pathlib.Path("go").exists(): time.sleep(0.05)
            r.metric(rows=20); r.progress(7); r.progress("nonsense")
            for n in range(10_000): r.log(n)
    """
    with Collector() as collector:
        process = begun(tmp_path, text, collector.url)
        alive = collector.wait_for(lambda events: [e for e in events if e["type"] == "runs.alive"][1:])[0]
        (tmp_path / "go").touch()
        assert process.communicate(timeout=30) == ("", "")
        said, *_ = collector.of("run.log")
        assert (said["log"], said["metrics"], said["progress"]) == ("first\n2", {"rows": 10, "MB": 1.5}, 0.4)
        end = collector.of("run.succeeded")[0]
        assert (end["log"][-9:], len(end["log"])) == ("9998\n9999", 4000)
        assert (end["metrics"], end["progress"]) == ({"rows": 20, "MB": 1.5}, 1.0)
        assert alive["active"][0][:3] == ["job:job", end["run"], end["x"]]
        assert alive["active"][0][3] >= 1
        assert {(e["run"], e["x"]) for e in collector.of("run")} == {(end["run"], end["x"])}


def test_single_words_of_a_run(tmp_path: Path) -> None:
    """`start`, then `success` or `fail` of what was started; a ping alone is a run that ended well."""
    text = """
        missedbeat.ping("a", "all fine")
        missedbeat.start("b"); missedbeat.success("b")
        missedbeat.start("b"); missedbeat.fail("b", "no disk")
        missedbeat.fail("b", "nothing was started")
        run = missedbeat.start("c", run_id="mine"); assert run == "mine"
        missedbeat.start("c"); missedbeat.success("c", run_id=run)
        missedbeat.success("c", run_id="of another process")
    """
    with Collector() as collector:
        assert ran(tmp_path, text, collector.url) == (0, "", "")
        runs: dict[str, list[str]] = {}
        for event in told(collector):
            runs.setdefault(event["run"], []).append(event["monitor"][4:] + " " + event["type"].removeprefix("run."))
        assert list(runs.values()) == [
            ["a succeeded"], ["b started", "b succeeded"], ["b started", "b failed"], ["b failed"],
            ["c started", "c succeeded"], ["c started"], ["c succeeded"],
        ]  # fmt: skip
        assert list(runs)[4::2] == ["mine", "of another process"]
        assert [e["error"] for e in told(collector) if e["type"] == "run.failed"] == ["no disk", "nothing was started"]
        assert told(collector)[0]["log"] == "all fine"


@pytest.mark.parametrize("spool", [False, True], ids=["memory", "spool"])
def test_a_script_of_a_moment_says_all_of_it(tmp_path: Path, spool: bool) -> None:
    """Even what is said at exit, or when no thread can be started any more."""
    late = "import atexit\natexit.register(missedbeat.ping, 'job')"
    alone = "import threading\nthreading.stack_size(1 << 46)\nmissedbeat.ping('job')"  # more than there is, of any machine
    told = {"MISSEDBEAT_SPOOL": str(tmp_path / "spool")} if spool else {}
    for text in ("missedbeat.ping('job')", late, alone, "missedbeat.ping('job')\nraise SystemExit(3)"):
        with Collector() as collector:
            _, _, errors = ran(tmp_path, text, collector.url, **told)
            assert (story(collector), "failed" in errors) == (["succeeded"], False), errors


def test_a_server_that_is_away_or_hangs_costs_the_end_of_a_script_two_seconds_at_most(tmp_path: Path) -> None:
    """The job has the time it needs, and one line says what was not told."""
    text = """
        import time
        began = time.monotonic()
        with missedbeat.run("job", schedule=60): pass
        print(time.monotonic() - began < 5)
    """
    (port,) = free_ports(1)
    hang = Server(lambda lines: (time.sleep(60), (200, {}, b"{}"))[1])  # type: ignore[func-returns-value]
    broken = Server(lambda lines: (500, {}, b"{}"))
    with hang, broken:
        for url, why in (
            (f"http://127.0.0.1:{port}", "The server cannot be reached ("), (hang.url, "The server did not answer in time."),
            (broken.url, "The server answers 500"),
        ):  # fmt: skip
            code, out, errors = ran(tmp_path, text, url)
            assert (code, out) == (0, "True\n")
            assert errors.count("The program ends, and the server was not told everything: 2 events could not be sent.") == 1
            assert errors.count(why) == 1


def test_a_script_tries_again_where_the_server_is_busy_for_a_moment_and_says_what_a_person_can_mend(tmp_path: Path) -> None:
    """It is over before the next attempt of a program that lives longer; a key that is refused is refused the next time too."""
    text = 'with missedbeat.run("job", schedule=60): pass'
    asked: list[int] = []

    def busy(lines: list[Said]) -> tuple[int, dict[str, str], bytes]:
        asked.append(len(lines))
        return (429 if len(asked) == 1 else 200), {}, b"{}"

    with Server(busy) as server:
        assert ran(tmp_path, text, server.url) == (0, "", "")
        assert [said["type"] for said in server.events] == ["run.started", "run.succeeded", "job.declared"]
    asked.clear()
    with Server(lambda lines: (asked.append(1), (401, {}, b"{}"))[1]) as server:  # type: ignore[func-returns-value]
        code, _, errors = ran(tmp_path, text, server.url)
        assert (code, len(asked)) == (0, 1)
        assert "The server refuses the key (401): set MISSEDBEAT_KEY to a read-write key of the project." in errors


def test_without_a_key_or_with_nonsense_a_job_runs_as_ever(tmp_path: Path) -> None:
    """One line in the log for each thing that is wrong."""
    text = """
        class Odd:
            def __str__(self): raise RuntimeError("no words")
        for _ in range(2):
            with missedbeat.run("job", schedule={"nonsense"}) as r:
                r.log("text"); r.metric(rows=1); r.log(Odd()); r.progress(None)
        with missedbeat.run("job", max_runtime=5): pass
        with missedbeat.run("job", schedule=60, grace="soon"): pass
        missedbeat.configure(heartbeat="often", exceptions="loud", color="red")
        missedbeat.ping("job")
        print("done", missedbeat.flush())
    """
    code, out, errors = ran(tmp_path, text, None)
    assert (code, out) == (0, "done True\n")
    assert errors.count("Missedbeat is not set up") == 2, "once for each time that it is set up"
    with Collector() as collector:
        code, out, errors = ran(tmp_path, text, collector.url)
        assert (code, out) == (0, "done True\n")
        assert len(collector.of("run")) == 9
    for words in (
        "The schedule of 'job' is not registered: schedule={'nonsense'}", "grace, max_runtime and tags go with a schedule",
        "The schedule of 'job' is not registered: grace='soon': say a number of seconds, or a timedelta",
        "missedbeat.configure() knows no color", "missedbeat.configure(heartbeat='often')",
        "missedbeat.configure(exceptions='loud')",
    ):  # fmt: skip
        assert errors.count(words) == 1, errors


def test_a_key_may_stand_in_a_file(tmp_path: Path) -> None:
    """As orchestrators hand out secrets; a file that is not there is named."""
    (tmp_path / "key").write_text("mb_rw_from_a_file\n")
    with Collector() as collector:
        ran(tmp_path, "missedbeat.ping('job')", collector.url, MISSEDBEAT_KEY=f"file:{tmp_path / 'key'}")
        assert collector.requests[0][1]["authorization"] == "Bearer mb_rw_from_a_file"
        _, _, errors = ran(tmp_path, "missedbeat.ping('job')", collector.url, MISSEDBEAT_KEY="file:/no/such/file")
        assert "the file that it names cannot be read" in errors
        assert "not set up" in errors


def test_after_a_fork_each_process_speaks_for_itself(tmp_path: Path) -> None:
    """A child that leaves its parent's block ends no run of it, and says what it runs itself; a pool of processes too."""
    text = """
        import os, sys, multiprocessing, concurrent.futures
        def work(n):
            with missedbeat.run(f"child {n}"): return n
        if __name__ == "__main__":
            with missedbeat.run("parent"):
                if os.fork() == 0:
                    missedbeat.ping("forked")
                    sys.exit(0)
                os.wait()
                for how in ("fork", "spawn"):
                    context = multiprocessing.get_context(how)
                    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
                        assert list(pool.map(work, [f"{how} {n}" for n in range(3)]))
    """
    with Collector() as collector:
        assert ran(tmp_path, text, collector.url) == (0, "", "")
        said = sorted((e["monitor"][4:], e["type"].removeprefix("run.")) for e in collector.of("run"))
        children = [f"child {how} {n}" for how in ("fork", "spawn") for n in range(3)]
        assert said == sorted(
            [("parent", "started"), ("parent", "succeeded"), ("forked", "succeeded")]
            + [(child, word) for child in children for word in ("started", "succeeded")]
        )


def test_a_program_that_is_killed_has_told_its_start(tmp_path: Path) -> None:
    """That is all it can: the rest is the server's, which hears no more of the run."""
    text = """
        import time
        missedbeat.configure(heartbeat=1)
        with missedbeat.run("job"):
            time.sleep(60)
    """
    with Collector() as collector:
        process = begun(tmp_path, text, collector.url)
        collector.wait_for(lambda events: [e for e in events if e["type"] == "runs.alive"])
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert story(collector) == ["started"]
        assert collector.batches[0][0]["heartbeat"] == 1


def test_what_is_no_function_is_refused_where_it_is_decorated() -> None:
    """A generator would be a success before it did anything; a static method would get its object, a class would be none."""

    def generator() -> Any:
        yield 1

    async def asynchronous() -> Any:
        yield 1

    class Methods:
        @staticmethod
        def static() -> None: ...

        @classmethod
        def of_class(cls) -> None: ...

    methods = vars(Methods)["static"], vars(Methods)["of_class"]
    no_functions: tuple[Any, ...] = (generator, asynchronous, partial(generator), "no function", Methods, *methods)
    for function in no_functions:
        with pytest.raises(TypeError, match=r"missedbeat\.monitor\('job'\)"):
            monitor("job")(function)


def test_to_import_it_costs_next_to_nothing(tmp_path: Path) -> None:
    """What is not used is not imported: no network, no logging, no asyncio."""
    dear = ("ssl", "logging", "http.client", "celery", "asyncio", "threading")
    assert ran(tmp_path, f"import sys\nprint([m for m in {dear} if m in sys.modules])", None)[1] == "[]\n"


def test_a_command_begins_before_anything_of_the_network_is_imported(tmp_path: Path) -> None:
    """What `missedbeat run` needs for that is next to nothing."""
    text = "from missedbeat import child, run_command, cli\nimport sys\n"
    text += "print([m for m in ('ssl', 'http.client', 'logging', 'json', 'celery') if m in sys.modules])"
    assert ran(tmp_path, text, None) == (0, "[]\n", "")
