"""The clock door: what runs how often. APScheduler is a plain ticker; everything due stands in SQL."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy.exc import SQLAlchemyError

from app import metrics
from app.clock import utc_now
from app.domain.horizon import CANARY_EVERY
from app.errors import in_words
from app.garbage import spare_what_stays
from app.notify.canary import Canary
from app.notify.deliver import Deliverer, Sender
from app.notify.email import Mailer
from app.notify.heartbeat import Heartbeat
from app.notify.letters import send_letters_once
from app.notify.operator import tell_operator_once
from app.notify.outbound import Outbound
from app.notify.pauses import tell_pauses_once
from app.notify.senders import Post
from app.settings import Settings
from app.store.engine import make_engine, make_sessions
from app.store.vault import Vault
from app.sweeper.audit import audit_once
from app.sweeper.breaker import Breaker
from app.sweeper.count import count_once
from app.sweeper.prune import keep_partitions, prune_once
from app.sweeper.sweep import sweep

log = structlog.get_logger()

DRAIN_LIMIT = 8.0


@dataclass(frozen=True, slots=True)
class Job:
    """A loop of the worker: every so many seconds, never twice at once; the first time `after` so many."""

    name: str
    seconds: float
    run: Callable[[], Awaitable[object]]
    after: float = 0.0


class Worker:
    """Sweeper and sender of one process."""

    def __init__(self, settings: Settings, dsn: str) -> None:
        self._engines = [
            make_engine(dsn, "sweep", 3),
            make_engine(dsn, "deliver", 4),
            make_engine(dsn, "house", 1, patience=600_000, held_at_most=900),
            make_engine(dsn, "watch", 2, patience=10_000, held_at_most=60),
        ]
        sweeping, delivering, house, watching = (make_sessions(engine) for engine in self._engines)
        margin = timedelta(seconds=settings.guard_seconds)
        breaker = Breaker() if settings.hold_mass_silence else None
        self._canary = Canary(sweeping, settings.base_url, settings.secret_key) if settings.base_url else None
        mailer = mailer_of(settings)
        vault = Vault(settings.secret_key)
        self._post = Post(Outbound(allow_networks=settings.allow_networks), mailer)
        self.deliverer = Deliverer(delivering, Sender(self._post, vault, settings.address))
        self._heartbeat = Heartbeat(settings.heartbeat_url, margin)
        self.jobs: tuple[Job, ...] = (
            Job("sweep", 1, lambda: sweep(sweeping, margin, breaker)),
            Job("deliver", 1, self.deliverer.deliver),
            Job("letters", 1, lambda: send_letters_once(watching, vault, mailer)),
            Job("tell_pauses", 5, lambda: tell_pauses_once(watching, vault, settings.address, bool(settings.smtp_host))),
            Job("heartbeat", 5, lambda: self._heartbeat.beat_once(watching), after=3),
            Job("count", 60, lambda: count_once(watching), after=10),
            Job("audit", 60, lambda: audit_once(watching), after=20),  # a fresh database has no partitions yet
            Job("tell_operator", 5, lambda: tell_operator_once(watching, mailer, settings.operator_email, settings.address)),
            Job("keep_partitions", 3600, lambda: keep_partitions(house, settings.retention_days, settings.log_limit)),
            Job("prune", 600, lambda: prune_once(house, settings.retention_days)),
        )
        if self._canary is not None:
            self.jobs = (*self.jobs, Job("canary", CANARY_EVERY.total_seconds(), self._canary.send_once))
        self._busy: set[asyncio.Task[object] | None] = set()

    async def run(self, until: asyncio.Event) -> None:
        """Tick until told to stop; then finish what is under way, give back what is not, and close."""
        scheduler = AsyncIOScheduler(timezone="UTC")
        for job in self.jobs:
            scheduler.add_job(
                self.run_job, "interval", args=[job], seconds=job.seconds,
                next_run_time=utc_now() + timedelta(seconds=job.after), misfire_grace_time=None, coalesce=True, max_instances=1,
            )  # fmt: skip
        scheduler.start()
        await until.wait()
        scheduler.pause()
        await self._drain()
        scheduler.shutdown(wait=False)

    async def run_job(self, job: Job) -> None:
        """One round of a job. What goes wrong is logged and counted, and the next round comes."""
        this = asyncio.current_task()
        self._busy.add(this)
        try:
            await job.run()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            metrics.JOB_FAILURES.labels(job.name).inc()
            log.warning("round failed", job=job.name, error=in_words(error))
        except Exception:  # the job wrapper: one bad round must not end the loop
            metrics.JOB_FAILURES.labels(job.name).inc()
            log.exception("round failed", job=job.name)
        finally:
            self._busy.discard(this)

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_LIMIT):
                rounds = [task for task in self._busy if task is not None]
                if rounds:
                    await asyncio.wait(rounds, timeout=DRAIN_LIMIT / 2)
                await self.deliverer.drain(DRAIN_LIMIT / 2)
        except (TimeoutError, SQLAlchemyError, OSError) as error:
            log.warning("not everything was finished", error=in_words(error))
        await self._heartbeat.aclose()
        await self._post.aclose()
        if self._canary is not None:
            await self._canary.aclose()
        for engine in self._engines:
            await engine.dispose()


def mailer_of(settings: Settings) -> Mailer:
    """The mail server, as the settings name it."""
    return Mailer(
        host=settings.smtp_host, port=settings.smtp_port, user=settings.smtp_user, password=settings.smtp_password,
        tls=settings.smtp_tls, sender=settings.smtp_from,
    )  # fmt: skip


async def run_worker(settings: Settings, dsn: str) -> None:
    """Sweep and deliver until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    worker = Worker(settings, dsn)
    spare_what_stays()
    log.info("worker started")
    await worker.run(stop)
    log.info("worker stopped")
