"""The wallet as a running service: its objects built in one place, its tasks, its start and its end."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
import structlog
from prometheus_client import CollectorRegistry

from stakewire.clock import Clock, SystemClock
from stakewire.errors import ConfigError, Unavailable
from stakewire.ids import SystemTokens
from stakewire.money import Currencies
from stakewire.net.http import AsgiApp, HttpLimits, HttpMetrics, HttpServer
from stakewire.net.ratelimit import RateLimiter
from stakewire.net.sockets import origin, raise_open_files_limit
from stakewire.net.tls import server_context
from stakewire.postgres.connect import app_role, open_pool
from stakewire.postgres.crypto import Vault
from stakewire.postgres.migrate import check
from stakewire.postgres.wallet.operators import OperatorTable
from stakewire.postgres.wallet.store import PostgresLedger, lease_ids
from stakewire.postgres.wallet.zone import fix_calendar
from stakewire.wallet.admin.handlers import Desks
from stakewire.wallet.admin.routes import AdminApi
from stakewire.wallet.asgi import CallbackApp
from stakewire.wallet.committer import Committer
from stakewire.wallet.config import WalletConfig
from stakewire.wallet.desk import WalletDesk, process_name, start_committer
from stakewire.wallet.front import CallbackFront
from stakewire.wallet.metrics import WalletMetrics
from stakewire.wallet.operators import OperatorDesk, OperatorDirectory
from stakewire.wallet.root import RootApp, Scrape
from stakewire.wallet.stats import CallbackStats

log = structlog.get_logger(__name__)

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

METRICS_SECONDS = 1.0
LANES = 2  # of a worker's committer; a third costs more than it brings on two cores
# Requests leave no cycles behind, so the collector has little to find: every 700 objects would be 5 % of the
# work, and its full rounds over the cached players a pause of many milliseconds.
_GC_THRESHOLD = (50_000, 20, 50)
FLUSH_USES_SECONDS = 60.0
DEBTS_SECONDS = 60.0
STUCK_SECONDS = 5.0  # a callback that waits longer has lost its sender


@dataclass(frozen=True, slots=True)
class Wallet:
    """The objects of one worker."""

    config: WalletConfig
    clock: Clock
    pool: Pool
    committer: Committer
    directory: OperatorDirectory
    front: CallbackFront
    callbacks: CallbackApp
    desks: Desks
    registry: CollectorRegistry
    metrics: WalletMetrics
    stats: CallbackStats

    async def check_database(self) -> None:
        """Health: the database answers."""
        await self.pool.fetchval("SELECT 1")

    async def check_queue(self) -> None:
        """Health: callbacks are being committed."""
        oldest = self.committer.oldest_received_at
        if oldest is not None and self.clock.monotonic() - oldest > STUCK_SECONDS:
            raise Unavailable("callbacks wait for a commit", code="QUEUE_STUCK")

    async def update_metrics(self) -> None:
        """Hand the last counts to Prometheus."""
        self.metrics.add(self.stats)
        self.metrics.queue_depth.set(self.committer.waiting)
        oldest = self.committer.oldest_received_at
        self.metrics.queue_age.set(0 if oldest is None else self.clock.monotonic() - oldest)

    async def update_debts(self) -> None:
        """Look for accounts below zero."""
        self.metrics.set_debts(await self.desks.wallet.debts())


async def serve(
    config: WalletConfig,
    sockets: Sequence[socket.socket],
    stop: asyncio.Event,
    *,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Run one worker until `stop` is set; then answer what is in flight and end.

    Args:
        sockets: bound by the parent: the public one, and with `admin_port` the admin one behind it.
        ready: called with the public address once requests are answered.

    Raises:
        ConfigError: the schema is not current, a secret cannot be opened, or a setting cannot work.
        Unavailable: the database does not answer.
    """
    raise_open_files_limit()
    public, *admin = sockets
    async with AsyncExitStack() as stack:
        wallet = await stack.enter_async_context(open_wallet(config))
        tls = (
            None
            if config.tls_cert is None or config.tls_key is None
            else server_context(config.tls_cert, config.tls_key)
        )
        api = AdminApi(wallet.desks, token=config.admin_token)
        http_metrics = HttpMetrics(wallet.registry)
        for sock, app in _doors(wallet, api, public, admin):
            server = HttpServer(
                app=app,
                find_hot=wallet.front.find_hot if sock is public else _no_hot_routes,
                limits=HttpLimits(connections=config.max_connections),
                trusted_proxies=config.trusted_proxies,
                clock=wallet.clock,
                metrics=http_metrics,
            )
            await server.start(sock, tls)
            stack.push_async_callback(server.stop, config.stop_grace)
        gc.collect()
        gc.set_threshold(*_GC_THRESHOLD)
        gc.freeze()  # what lives as long as the process need not be looked at by every collection
        ready(origin(public, tls=tls is not None))
        await stop.wait()
        log.info("wallet_stops")


@asynccontextmanager
async def open_wallet(config: WalletConfig, clock: Clock | None = None) -> AsyncIterator[Wallet]:
    """The objects of one worker, at work; for `serve`, and for mounting `callbacks` elsewhere."""
    clock = clock or SystemClock()
    currencies = Currencies.default().with_extra(config.extra_currencies)
    vault = Vault.from_settings(config.master_key, config.data_dir)
    async with (
        _pool(config, "wallet", config.pool_size) as pool,
        _pool(config, "wallet committer", LANES) as committer_pool,
    ):
        await _check_schema(pool)
        calendar = await fix_calendar(pool, config.time_zone, clock.now())
        table = OperatorTable(pool)
        directory = OperatorDirectory(table, vault, clock, refresh_gap=config.operators_refresh_gap)
        registry = CollectorRegistry()
        metrics, stats = WalletMetrics(registry), CallbackStats()
        ids = await lease_ids(pool, process_name("wallet"), clock.now())
        committer = Committer(
            [PostgresLedger(committer_pool) for _ in range(LANES)],
            ids,
            clock,
            currencies=currencies,
            calendar=calendar,
            observe=metrics.observe_batch,
        )
        front = CallbackFront(
            directory,
            committer.submit,
            wrong_signatures=RateLimiter(
                per_minute=config.wrong_signatures_per_minute,
                burst=config.wrong_signatures_per_minute,
                clock=clock,
            ),
            stats=stats,
        )
        await directory.reload()
        await start_committer(committer)
        tokens = SystemTokens()
        desks = Desks(
            WalletDesk(
                pool, committer, ids=ids, currencies=currencies, calendar=calendar, clock=clock, tokens=tokens
            ),
            OperatorDesk(table, vault, clock, tokens),
        )
        wallet = Wallet(
            config=config,
            clock=clock,
            pool=pool,
            committer=committer,
            directory=directory,
            front=front,
            callbacks=CallbackApp(front, clock),
            desks=desks,
            registry=registry,
            metrics=metrics,
            stats=stats,
        )
        try:
            async with _background(wallet):
                yield wallet
        finally:
            await committer.stop()
            with suppress(Unavailable):  # the last uses of secrets are not worth a failed stop
                await directory.flush_uses()


@asynccontextmanager
async def _pool(config: WalletConfig, name: str, size: int) -> AsyncIterator[Pool]:
    pool = await open_pool(
        config.database_url,
        schema="wallet",
        role=app_role("wallet"),
        min_size=1,
        max_size=size,
        application_name=f"stakewire {name}",
    )
    try:
        yield pool
    finally:
        pool.terminate()


async def _check_schema(pool: Pool) -> None:
    async with pool.acquire() as conn:
        if problems := await check(conn, "wallet"):
            raise ConfigError("; ".join(problems))


def _doors(
    wallet: Wallet, api: AdminApi, public: socket.socket, admin: Sequence[socket.socket]
) -> list[tuple[socket.socket, AsgiApp]]:
    """Which app listens where: with a listener of its own, the admin API and the metrics are only there."""
    checks = {"database": wallet.check_database, "queue": wallet.check_queue}
    metrics = Scrape(wallet.registry, wallet.update_metrics)
    if not admin:
        return [(public, RootApp(checks, callbacks=wallet.callbacks, admin=api, metrics=metrics))]
    return [
        (public, RootApp(checks, callbacks=wallet.callbacks)),
        (admin[0], RootApp(checks, admin=api, metrics=metrics)),
    ]


def _no_hot_routes(method: str, path: str) -> None:
    return None


@asynccontextmanager
async def _background(wallet: Wallet) -> AsyncIterator[None]:
    work: list[tuple[float, Callable[[], Awaitable[None]]]] = [
        (wallet.config.operators_poll, wallet.directory.reload),
        (FLUSH_USES_SECONDS, wallet.directory.flush_uses),
        (METRICS_SECONDS, wallet.update_metrics),
        (DEBTS_SECONDS, wallet.update_debts),
    ]
    tasks = [asyncio.create_task(_every(seconds, act)) for seconds, act in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _every(seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    """Do it, wait, do it again; a database that is away is somebody else's alarm."""
    while True:
        try:
            await act()
        except Exception as error:
            log.warning("background_failed", act=getattr(act, "__name__", "?"), error=repr(error))
        await asyncio.sleep(seconds)
