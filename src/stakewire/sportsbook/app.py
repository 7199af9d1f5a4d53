"""The sportsbook as a running service: its objects built in one place, its tasks, its start and its end."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg
import structlog
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from stakewire.clock import Clock, SystemClock
from stakewire.errors import ConfigError
from stakewire.ids import OwnIds, SystemTokens, Tokens
from stakewire.money import Currencies
from stakewire.net.asgi import AccessLog
from stakewire.net.callback_client import CallbackClient
from stakewire.net.egress import EgressGuard
from stakewire.net.health import health_routes
from stakewire.net.http import AsgiApp, HttpLimits, HttpMetrics, HttpServer
from stakewire.net.metrics import metrics_route
from stakewire.net.signalr import HubServer
from stakewire.net.sockets import origin, raise_open_files_limit
from stakewire.net.tls import server_context
from stakewire.postgres.connect import app_role, open_pool
from stakewire.postgres.crypto import Vault
from stakewire.postgres.migrate import check
from stakewire.postgres.sportsbook import bets as bet_store
from stakewire.postgres.sportsbook import clients as client_store
from stakewire.postgres.sportsbook import matches as match_store
from stakewire.postgres.sportsbook import settlement as settlement_store
from stakewire.sportsbook.access import Access
from stakewire.sportsbook.bets import Bets, Reaper
from stakewire.sportsbook.board import Board
from stakewire.sportsbook.config import SportsbookConfig
from stakewire.sportsbook.delivery.build import SESSION, Delivery, build_delivery
from stakewire.sportsbook.directory import ClientDirectory
from stakewire.sportsbook.events import Events
from stakewire.sportsbook.http.api import api_routes
from stakewire.sportsbook.http.hub import PageHub, page_hub
from stakewire.sportsbook.http.page import Page
from stakewire.sportsbook.http.requests import handlers
from stakewire.sportsbook.importer import Importer
from stakewire.sportsbook.metrics import CountAnswers, SportsbookMetrics
from stakewire.sportsbook.passwords import Passwords
from stakewire.sportsbook.settlement import Rulings, Settler
from stakewire.sportsbook.simulation import Simulation
from stakewire.sportsbook.writers import lease_ids

_DIRECTORY_SECONDS = 1.0
_REAPER_SECONDS = 1.0
_EXPIRY_SECONDS = 60.0
_METRICS_SECONDS = 10.0
_MANY_MATCHES = 10_000  # how far unsettled matches are counted for the gauge

_log = structlog.get_logger("stakewire.sportsbook")

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Sportsbook:
    """The objects of one process."""

    config: SportsbookConfig
    clock: Clock
    pool: Pool
    currencies: Currencies
    directory: ClientDirectory
    access: Access
    bets: Bets
    reaper: Reaper
    rulings: Rulings
    settler: Settler
    importer: Importer
    board: Board
    events: Events
    hub: HubServer[PageHub]
    delivery: Delivery
    metrics: SportsbookMetrics
    registry: CollectorRegistry
    public_url: str

    async def check_database(self) -> None:
        """Health: the database answers."""
        await self.pool.fetchval("SELECT 1")

    async def record_public_url(self) -> None:
        """Let `client add` and its kind, which run elsewhere, tell clients where we are."""
        async with self.pool.acquire() as conn:
            await client_store.record_public_url(conn, self.public_url, self.clock.now())

    async def reap(self) -> None:
        """Give up all bets whose answer can no longer come."""
        while await self.reaper.run_once():
            self.delivery.wake()

    async def measure(self) -> None:
        """Bring the gauges up to date."""
        self.metrics.show_process(bets_in_flight=self.bets.in_flight, open_pages=self.events.open_pages)
        async with self.pool.acquire() as conn:
            money = await bet_store.money_at_risk(conn)
            oldest = await bet_store.oldest_pending(conn)
            unsettled = len(await settlement_store.unpaid_matches(conn, limit=_MANY_MATCHES))
        age = 0.0 if oldest is None else (self.clock.now() - oldest).total_seconds()
        self.metrics.show_database(
            money, self.currencies, oldest_pending_seconds=age, unsettled_matches=unsettled
        )

    def app(self, *, doors: Sequence[str] = ("public", "admin")) -> AsgiApp:
        """The ASGI app of one listener: `public` is the API and the page, `admin` is `/metrics`."""
        routes: list[BaseRoute] = [*health_routes({"database": self.check_database})]
        if "admin" in doors:
            routes.append(metrics_route(self.registry))
        if "public" in doors:
            page = Page(
                self.access,
                self.bets,
                self.board,
                self.directory,
                currencies=self.currencies,
                clock=self.clock,
                public_url=self.public_url,
                bets_per_minute=self.config.bets_per_minute,
            )
            routes += [*api_routes(self.access, self.public_url), *page.routes()]
        app = Starlette(routes=routes, exception_handlers=handlers())
        app.router.redirect_slashes = False
        return AccessLog(CountAnswers(app, self.metrics, self.clock), self.clock)


async def serve(
    config: SportsbookConfig,
    sockets: Sequence[socket.socket],
    stop: asyncio.Event,
    *,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Run one worker until `stop` is set; then answer and deliver what is in flight, and end.

    Args:
        sockets: bound by the parent: the public one, and perhaps one for health and metrics behind it.
        ready: called with the public address once requests are answered.

    Raises:
        ConfigError: the schema is not current, or a setting cannot work.
        Unavailable: the database does not answer.
    """
    raise_open_files_limit()
    public, *admin = sockets
    tls = None
    if config.tls_cert is not None and config.tls_key is not None:
        tls = server_context(config.tls_cert, config.tls_key)
    address = origin(public, tls=tls is not None)
    async with AsyncExitStack() as stack:
        book = await stack.enter_async_context(
            open_sportsbook(config, public_url=config.public_url or address)
        )
        await _seed(book)
        await stack.enter_async_context(_background(book))
        stack.push_async_callback(book.bets.drain)
        http_metrics = HttpMetrics(book.registry)
        apps = [book.app()] if not admin else [book.app(doors=("public",)), book.app(doors=("admin",))]
        hubs = [book.hub.find_direct, _no_routes]
        for sock, app, find_hub in zip(sockets, apps, hubs, strict=False):
            server = HttpServer(
                app=app,
                find_hot=_no_routes,
                find_direct=find_hub,
                limits=HttpLimits(connections=config.max_connections),
                trusted_proxies=config.trusted_proxies,
                clock=book.clock,
                metrics=http_metrics,
            )
            await server.start(sock, tls)
            stack.push_async_callback(server.stop, config.stop_grace)
        await stack.enter_async_context(book.hub)  # ends before the server, which waits for its connections
        await book.record_public_url()
        ready(address)
        await stop.wait()
        _log.info("sportsbook_stops")


@asynccontextmanager
async def open_sportsbook(
    config: SportsbookConfig,
    *,
    public_url: str,
    clock: Clock | None = None,
    tokens: Tokens | None = None,
) -> AsyncIterator[Sportsbook]:
    """Build the objects of one process on the database; nothing runs yet."""
    clock = clock or SystemClock()
    currencies = Currencies.default().with_extra(config.extra_currencies)
    vault = Vault.from_settings(config.master_key, config.data_dir)
    registry = CollectorRegistry()
    guard = EgressGuard(config.egress_allow, clock=clock)
    # Per client, as lanes: room for all that one client may have in flight.
    poster = CallbackClient(guard, max_connections_per_destination=config.callback_concurrency, clock=clock)
    bet_poster = CallbackClient(guard, max_connections_per_destination=config.bets_in_flight, clock=clock)
    async with (
        _pool(config, "sportsbook", config.pool_size) as pool,
        _pool(config, "sportsbook callbacks", config.pool_size) as callback_pool,
    ):
        ids = await _lease_ids(pool, clock)
        directory = ClientDirectory(pool, vault, clock)
        await directory.reload()
        metrics = SportsbookMetrics(registry)
        delivery = build_delivery(
            pool=callback_pool,
            targets=directory,
            poster=poster,
            bet_poster=bet_poster,
            clock=clock,
            chance=random.SystemRandom().random,
            worker=f"{socket.gethostname()} {os.getpid()}",
            concurrency=config.callback_concurrency,
            registry=registry,
        )
        access = Access(
            pool,
            directory,
            config=config,
            tokens=tokens or SystemTokens(),
            clock=clock,
            passwords=Passwords(),
        )
        board = Board(pool, clock)
        events = Events(pool, board, currencies=currencies, clock=clock)
        bets = Bets(
            pool,
            delivery.bets,
            ids=ids,
            currencies=currencies,
            clock=clock,
            config=config,
            changed=events.bet_changed,
            decided=metrics.bet_decided,
            queued=delivery.wake,
        )
        reaper = Reaper(pool, ids=ids, currencies=currencies, clock=clock, decided=metrics.bet_decided)
        rulings = Rulings(pool, clock)
        settler = Settler(
            pool,
            ids=ids,
            currencies=currencies,
            clock=clock,
            queued=delivery.wake,
            ruled=metrics.bets_settled,
            chunk=config.settlement_chunk,
        )
        try:
            yield Sportsbook(
                config=config,
                clock=clock,
                pool=pool,
                currencies=currencies,
                directory=directory,
                access=access,
                bets=bets,
                reaper=reaper,
                rulings=rulings,
                settler=settler,
                importer=Importer(pool, rulings, clock),
                board=board,
                events=events,
                hub=page_hub(
                    access, events, bets, public_url=public_url, max_pages=config.max_pages, clock=clock
                ),
                delivery=delivery,
                metrics=metrics,
                registry=registry,
                public_url=public_url.rstrip("/"),
            )
        finally:
            await poster.close()
            await bet_poster.close()


async def _lease_ids(pool: Pool, clock: Clock) -> OwnIds:
    async with pool.acquire() as conn:
        if problems := await check(conn, "sportsbook"):
            raise ConfigError("; ".join(problems))
    return await lease_ids(pool, f"serve {socket.gethostname()} {os.getpid()}", clock)


@asynccontextmanager
async def _pool(config: SportsbookConfig, name: str, size: int) -> AsyncIterator[Pool]:
    pool = await open_pool(
        config.database_url,
        schema="sportsbook",
        role=app_role("sportsbook"),
        min_size=1,
        max_size=size,
        application_name=f"stakewire {name}",
        **SESSION,
    )
    try:
        yield pool
    finally:
        pool.terminate()


async def _seed(book: Sportsbook) -> None:
    """Put our own schedule on offer where no match is, so that a new installation has something to show."""
    async with book.pool.acquire() as conn:
        empty = not await match_store.any_match(conn)
    if empty and not book.config.simulate:
        report = await book.importer.load_own_schedule()
        _log.info("own_schedule_added", matches=report.added)


@asynccontextmanager
async def _background(book: Sportsbook) -> AsyncIterator[None]:
    """Run everything that has no request: delivery, settlement, reaping, events, simulation, housekeeping."""
    stop, ruled = asyncio.Event(), asyncio.Event()
    work: list[Awaitable[None]] = [
        book.delivery.run(stop),
        book.settler.run(stop, ruled),
        book.events.run(stop),
        _every(_DIRECTORY_SECONDS, book.directory.reload, stop),
        _every(_REAPER_SECONDS, book.reap, stop),
        _every(_EXPIRY_SECONDS, book.access.drop_expired, stop),
        _every(_METRICS_SECONDS, book.measure, stop),
    ]
    if book.config.simulate:
        simulation = Simulation(
            book.pool,
            book.rulings,
            clock=book.clock,
            rng=random.SystemRandom(),
            interval=book.config.simulated_interval,
            duration=book.config.simulated_duration,
        )
        work.append(simulation.run(stop, ruled))
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait(tasks, timeout=book.config.stop_grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _every(seconds: float, act: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Do it, wait, do it again, until `stop`; a failure is logged and the next turn tries anew."""
    while not stop.is_set():
        try:
            await act()
        except Exception as error:
            _log.warning("background_failed", act=getattr(act, "__name__", "?"), reason=repr(error))
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            continue


def _no_routes(method: str, path: str) -> None:
    return None
