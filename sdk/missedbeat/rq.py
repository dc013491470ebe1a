"""RQ: `rq worker -w missedbeat.rq.Worker`, and the jobs of its cron, and those that you name, are checks.

All is told by the worker, never by its work-horse, which is forked for each job and has neither thread nor socket of ours: it
hands its last words over through a pipe. So even the run of a work-horse that is killed in the middle is told, and at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

import rq
from rq.job import JobStatus

from missedbeat import plain
from missedbeat.guard import guard
from missedbeat.program import flush_all, this_program
from missedbeat.rq_cron import MARK, register, watch
from missedbeat.run_of_job import Run
from missedbeat.words import words_of

__all__ = ["SimpleWorker", "Watching", "Worker", "register", "watch"]

MOST_SAID = 65_536
WAITING = (JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.DEFERRED)


class Watching:
    """What makes a class of workers watch: `class Mine(Watching, rq.Worker)`."""

    _execution: Execution | None = None

    def key_of(self, job: Any) -> str | None:
        """The key of the check of a job; None, and it is not watched. By default those whose `meta` says one: jobs of `register`
        and `watch`, and `queue.enqueue(function, meta={"missedbeat": "nightly"})`."""
        key = job.meta.get(MARK)
        return key if isinstance(key, str) else None

    def execute_job(self, job: Any, *args: Any, **named: Any) -> Any:
        """In the worker: from before the fork to after the end."""
        self._execution = guard.run(self._begin, job)
        try:
            return super().execute_job(job, *args, **named)  # type: ignore[misc]
        finally:
            execution, self._execution = self._execution, None
            if execution is not None:
                guard.run(execution.over, job)

    def perform_job(self, job: Any, *args: Any, **named: Any) -> Any:
        """In the work-horse; a SimpleWorker is its own."""
        try:
            return super().perform_job(job, *args, **named)  # type: ignore[misc]
        finally:
            if self._execution is not None:
                guard.run(self._execution.say)
            if getattr(self, "is_horse", False):
                guard.run(flush_all)  # what the job reported by itself: it ends by `os._exit`

    def handle_exception(self, job: Any, *exc_info: Any) -> Any:
        """In the work-horse: the job raised."""
        if self._execution is not None and len(exc_info) > 1:
            self._execution.error = exc_info[1]
        return super().handle_exception(job, *exc_info)  # type: ignore[misc]

    def handle_job_failure(self, job: Any, *args: Any, **named: Any) -> Any:
        """In the work-horse, or in the worker where that was killed: failed, and it may be tried again."""
        return self._heed(job, super().handle_job_failure, _interval, job, *args, **named)  # type: ignore[misc]

    def handle_job_retry(self, job: Any, *args: Any, **named: Any) -> Any:
        """In the work-horse: it wants to be tried again, and may or may not be."""
        return self._heed(job, super().handle_job_retry, _interval_said, job, *args, **named)  # type: ignore[misc]

    def handle_work_horse_killed(self, job: Any, retpid: Any, ret_val: Any, rusage: Any) -> Any:
        """In the worker: it died in the middle of the job."""
        if self._execution is not None:
            self._execution.killed = _how(ret_val)
            guard.run(job.get_meta)  # RQ saves our copy where it tries again: it is not empty, and so must be the newest
        return super().handle_work_horse_killed(job, retpid, ret_val, rusage)  # type: ignore[misc]

    def _begin(self, job: Any) -> Execution | None:
        key = self.key_of(job)
        return Execution(key, job) if key and this_program().reporter is not None else None

    def _heed(self, job: Any, work: Callable[..., Any], pause: Callable[..., float], *args: Any, **named: Any) -> Any:
        seconds = guard.run(pause, *args, **named) or 0.0
        try:
            return work(*args, **named)
        finally:
            if self._execution is not None:
                guard.run(self._execution.failed, job, seconds)


class Execution:
    """One try of a job. `say` is called where the job ran, `over` in the worker."""

    def __init__(self, key: str, job: Any) -> None:
        self._worker = os.getpid()
        self._reads, self._writes = os.pipe()
        os.set_blocking(self._reads, False)
        os.set_blocking(self._writes, False)
        self.error: BaseException | None = None
        self.killed: tuple[str, str] | None = None
        self._kind, self._eta = "run.succeeded", 0.0
        _running.append(self)
        self.run = Run(key, run_id=_id(job)).begin(0, _waited(job))  # tries are not numbered: the newest execution speaks

    def failed(self, job: Any, seconds: float) -> None:
        """RQ has dealt with its failure: it is due again in so many seconds, or never."""
        status = job.get_status(refresh=False)
        if status in WAITING:
            self._kind, self._eta = "run.retry", datetime.now(timezone.utc).timestamp() + seconds
        else:
            self._kind = "run.revoked" if status == JobStatus.STOPPED else "run.failed"

    def say(self) -> None:
        """How it ended, and what it said, for the worker; for the service where that was killed, and is taken for dead."""
        more = (*self._more(), *self.run.news())
        reporter, run = this_program().reporter, self.run
        if os.getpid() == self._worker or os.getppid() == self._worker:
            os.write(self._writes, json.dumps({"kind": self._kind, "more": more}, default=str).encode())
        elif reporter is not None:
            reporter.record(self._kind, f"job:{run.key}", run.id, run.att, run.x, more)

    def over(self, job: Any) -> None:
        """It is, however it ended."""
        _running.remove(self)
        said = guard.run(self._heard)
        os.close(self._reads)
        os.close(self._writes)
        if said is not None:
            self.run.over(said["kind"], tuple(said["more"]))
        elif self._kind == "run.revoked":
            self.run.over("run.revoked", ("error", "it was stopped on request"))
        elif self.killed is not None:
            words, reason = self.killed
            is_retried = self._kind == "run.retry"
            more = self._more(words) if is_retried else ("error", words, "reason", reason)
            self.run.over("run.retry" if is_retried else "run.lost", more)
        else:
            self._guess(job)

    def _guess(self, job: Any) -> None:
        """Its work-horse was none of ours, or the worker was told twice to stop; RQ knows."""
        status = job.get_status(refresh=True)
        if status == JobStatus.FINISHED:
            self.run.succeed()
        elif status in WAITING:
            self.run.over("run.retry")
        elif status == JobStatus.FAILED:
            self.run.fail("it failed; RQ has the traceback")
        else:
            self.run.over("run.aborted", ("error", "its worker was stopped"))

    def _more(self, words: str = "") -> tuple[Any, ...]:
        if not words and self.error is not None:
            words = words_of(self.error, this_program().settings.exceptions)
        more: tuple[Any, ...] = ("error", words) if words else ()
        return (*more, "eta", round(self._eta * 1000)) if self._kind == "run.retry" else more

    def _heard(self) -> Any:
        with suppress(BlockingIOError):  # nothing was said
            return json.loads(os.read(self._reads, MOST_SAID))
        return None


_running: list[Execution] = []


def _current() -> Run | None:
    return _running[-1].run if _running else None


plain.elsewhere.append(_current)


class Worker(Watching, rq.Worker):
    """RQ's own worker, watching."""


class SimpleWorker(Watching, rq.SimpleWorker):
    """The one without work-horses, watching: a job that kills it is found by its silence."""


def _id(job: Any) -> str:
    """The same over retries, and another one for a job that repeats, or is enqueued anew under the id that it had before."""
    made = f"{job.id}@{round(job.created_at.timestamp() * 1000)}"
    left = getattr(job, "repeats_left", None)
    return made if left is None else f"{made}-{left}"


def _interval(job: Any, *args: Any, **named: Any) -> float:
    return float(job.get_retry_interval()) if job.retries_left else 0.0


def _interval_said(job: Any, queue: Any, retry: Any, *args: Any, **named: Any) -> float:
    return float(rq.Retry.get_interval(job.number_of_retries or 0, retry.intervals))


def _how(ret_val: int | None) -> tuple[str, str]:
    """Why a work-horse is gone: in words, and in one."""
    if ret_val is None:
        return "it ran a minute over its timeout, and its work-horse was killed", "time_limit"
    if os.WIFSIGNALED(ret_val):
        return f"its work-horse was killed by signal {os.WTERMSIG(ret_val)}", "signal"
    return f"its work-horse ended in the middle, with exit code {os.WEXITSTATUS(ret_val)}", "exit"


def _waited(job: Any) -> tuple[Any, ...]:
    if job.enqueued_at is None:
        return ("queue", str(job.origin))
    since = job.enqueued_at if job.enqueued_at.tzinfo is not None else job.enqueued_at.replace(tzinfo=timezone.utc)
    waited = datetime.now(timezone.utc) - since
    return ("queue", str(job.origin), "wait_ms", max(round(waited.total_seconds() * 1000), 0))
