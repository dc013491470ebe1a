"""The web door: wires settings, engines, the ping routes and the API into one ASGI app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import structlog
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from app.api_limit import ApiLimit
from app.events.record import Recorder
from app.events.routes import events_routes
from app.garbage import spare_what_stays
from app.health import health_routes
from app.ingest.by_hand import ByHand
from app.ingest.canary import CanaryDoor
from app.ingest.inbox import Inbox
from app.ingest.read import Reader
from app.ingest.reply import Dress
from app.ingest.routes import PingRoutes
from app.ingest.tick import Ticker
from app.ingest.translate import Translator
from app.manage.api import api_routes
from app.manage.badge_routes import routes as badge_routes
from app.manage.live import Live
from app.manage.pages import ROUTES
from app.manage.pages.frame import error_page, send_to_sign_in
from app.manage.passwords import Passwords
from app.manage.project_metrics import routes as metrics_routes
from app.manage.reconcile import register
from app.manage.sync import routes as sync_routes
from app.manage.upsert import Upserts
from app.notify.senders import checking
from app.outside import Outside
from app.proxies import Proxies
from app.settings import Settings
from app.store.engine import make_engine, make_sessions
from app.store.vault import Vault
from app.web import Shared, answer_errors

log = structlog.get_logger()

DRAIN_LIMIT = 8.0
API_WAITS = 2.0  # seconds for a connection: its clients rarely ask again by themselves
EVENTS_WAIT = 5.0  # seconds for a connection: batches of many programs may come at once, and each can wait
INGEST_HOLDS = 5.0  # seconds for a batch, COMMIT included; then its pings are answered 503


class Web:
    """The whole service as one ASGI app: `/ping/` goes straight to its routes, everything else through FastAPI."""

    def __init__(self, settings: Settings, dsn: str) -> None:
        margin = timedelta(seconds=settings.guard_seconds)
        self._engines: list[AsyncEngine] = [
            make_engine(dsn, "ingest", 3, held_at_most=INGEST_HOLDS),
            make_engine(dsn, "web", 5, wait=API_WAITS),
            make_engine(dsn, "events", 3, wait=EVENTS_WAIT),
        ]
        ingest, pages, events = (make_sessions(engine) for engine in self._engines)
        self.inbox = Inbox(ingest, margin, settings.ping_limit)
        self.ticker = Ticker(ingest, self.inbox)
        dress = Dress(settings.address.startswith("https://"))
        self._canary = CanaryDoor(ingest, settings.secret_key, dress)
        self._flushing: asyncio.Task[None] | None = None
        self._prefix = settings.prefix
        self.app = FastAPI(
            title="Missedbeat", version="3", lifespan=self._lifespan, openapi_url=None, docs_url=None, redoc_url=None,
            redirect_slashes=False, strict_content_type=False,
        )  # fmt: skip
        self.app.state.shared = Shared(
            sessions=pages, margin=margin, vault=Vault(settings.secret_key), base_url=settings.address,
            min_period=settings.min_period, log_limit=settings.log_limit, check_channel=checking(settings.allow_networks),
            api_limit=ApiLimit(settings.api_limit) if settings.api_limit else None,
            ping_email_domain=settings.ping_email_domain, proxies=Proxies(settings.trusted_proxies),
            sends_mail=bool(settings.smtp_host), registration_open=settings.registration == "open", plans=settings.plans,
        )  # fmt: skip
        reader = Reader(settings.ping_body_limit, settings.trusted_proxies)
        self._translator = Translator(self.inbox, reader, Upserts(self.app.state.shared), dress)
        self._pings = PingRoutes(self.inbox, reader, self._translator, dress)
        self.app.state.passwords, self.app.state.live = self._passwords, self.live = Passwords(), Live(pages)
        self.app.state.heard_by_hand = ByHand(self.inbox)
        answer_errors(self.app, error_page)
        send_to_sign_in(self.app)
        self.recorder = Recorder(events, margin, timedelta(seconds=settings.min_period), register)
        self.app.router.routes += [  # as they are: `include_router` would make each of them again
            *health_routes(self.accepting, settings.metrics_token).routes,
            *badge_routes.routes, *metrics_routes.routes, *sync_routes.routes,
            *api_routes(self.app, docs=settings.docs, beside=events_routes(self.recorder)), *ROUTES,
        ]  # fmt: skip
        self.app.router.default = self._translator.or_snitch(self.app.router.default)
        self._outside = Outside(self.app, self.is_https)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request, with or without the prefix of the public address: proxies differ in whether they strip it."""
        if scope["type"] == "http":
            path = scope["path"]
            if self._prefix and (path == self._prefix or path.startswith(self._prefix + "/")):
                path, raw = path[len(self._prefix) :] or "/", scope["raw_path"]
                raw = raw[len(self._prefix) :] if raw.startswith(self._prefix.encode()) else path.encode(errors="replace")
                scope = {**scope, "path": path, "raw_path": raw or b"/"}
            if path == self._canary.path:
                await self._canary(scope, send)
                return
            if path.startswith("/ping/"):
                await self._pings(scope, receive, send)
                return
            call = self._translator.below(scope) if path.startswith(("/p/", "/api/")) else None
            if call is not None:
                await self._translator(call, receive, send)
                return
        await self._outside(scope, receive, send)

    @property
    def is_https(self) -> bool:
        """Whether people reach it by https: what the connection itself refuses says so too."""
        return bool(self.app.state.shared.is_https)

    def accepting(self) -> bool:
        """Whether pings are taken: the inbox runs, and a tick was committed just now."""
        return self._flushing is not None and not self._flushing.done() and self.ticker.fresh

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """One tick before the first check-in; on the way out refuse, record what waits, sign off."""
        await self.ticker.tick_once()
        flushing, ticking = asyncio.create_task(self.inbox.run()), asyncio.create_task(self.ticker.run())
        self._flushing = flushing
        spare_what_stays()
        try:
            yield
        finally:
            self._flushing = None
            self.inbox.close()
            ticking.cancel()
            await asyncio.wait([flushing], timeout=DRAIN_LIMIT)
            await self.ticker.tick_once(last=True)
            await self.dispose()

    async def dispose(self) -> None:
        """Close every connection to the database, and let the threads go."""
        self._passwords.close()
        for engine in self._engines:
            await engine.dispose()


def create_app(settings: Settings, dsn: str) -> Web:
    """The web app for these settings on this database."""
    return Web(settings, dsn)
