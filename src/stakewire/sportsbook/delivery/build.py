"""Delivery of one process, put together: what sends bets, and the worker for everything else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from stakewire.clock import Clock
from stakewire.delivery.breaker import BreakerPolicy
from stakewire.delivery.schedule import Chance
from stakewire.postgres.outbox.store import CHANNEL, PostgresOutbox
from stakewire.sportsbook.delivery.bets import BetSender
from stakewire.sportsbook.delivery.lane import LaneLimits, Shared
from stakewire.sportsbook.delivery.metrics import DeliveryMetrics, Unanswered
from stakewire.sportsbook.delivery.recorder import Recorder
from stakewire.sportsbook.delivery.sending import Poster, Sender
from stakewire.sportsbook.delivery.targets import TargetSource
from stakewire.sportsbook.delivery.worker import CallbackWorker

_log = structlog.get_logger(__name__)

QUEUE_LOOK = 10.0  # seconds between two readings of the queue for the metrics
_LISTEN_AGAIN = 1.0

SESSION = PostgresOutbox.SESSION
"""Server settings that the sessions of the pool given to `build_delivery` should have."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """`bets` sends stakes; `worker` the rest. `wake()` after a commit that enqueued something."""

    bets: BetSender
    worker: CallbackWorker
    metrics: DeliveryMetrics
    _pool: Any
    _outbox: PostgresOutbox
    _targets: TargetSource
    _clock: Clock

    def wake(self) -> None:
        """Something was enqueued and committed: look now instead of within a second."""
        self.worker.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set, then finish what is in flight."""
        aside = [asyncio.create_task(self._listen()), asyncio.create_task(self._watch_queue())]
        try:
            await self.worker.run(stop)
        finally:
            for task in aside:
                task.cancel()
            await asyncio.gather(*aside, return_exceptions=True)

    async def _listen(self) -> None:
        """Take the database's hints, over one connection of the pool; a lost one is replaced."""
        while True:
            try:
                async with self._pool.acquire() as conn:
                    await self._listen_on(conn)
            except Exception as fault:  # the poll goes on without hints
                _log.info("no hints from the database", error=str(fault) or type(fault).__name__)
            await asyncio.sleep(_LISTEN_AGAIN)

    async def _listen_on(self, conn: Any) -> None:
        """Pass hints on until the connection is lost."""
        lost = asyncio.Event()

        def end(*_: object) -> None:
            lost.set()

        def hint(*_: object) -> None:
            self.worker.wake()

        conn.add_termination_listener(end)
        await conn.add_listener(CHANNEL, hint)
        try:
            self.worker.wake()  # whatever was announced while nobody listened
            await lost.wait()
        finally:
            conn.remove_termination_listener(end)
            await conn.remove_listener(CHANNEL, hint)

    async def _watch_queue(self) -> None:
        """Show how much waits and how long: read from the database, where other processes' work is too."""
        while True:
            try:
                rows = await self._outbox.unanswered()
                named = [Unanswered(await self._name(row.client_id), row) for row in rows]
                self.metrics.show_queue(named, self._clock.now())
            except Exception as fault:  # metrics must never stop delivery
                _log.warning("the queue cannot be measured", error=str(fault) or type(fault).__name__)
            await asyncio.sleep(QUEUE_LOOK)

    async def _name(self, client_id: int) -> str:
        target = await self._targets.target(client_id)
        return str(client_id) if target is None else target.name


def build_delivery(
    *,
    pool: Any,
    targets: TargetSource,
    poster: Poster,
    bet_poster: Poster,
    clock: Clock,
    chance: Chance,
    worker: str,
    concurrency: int,
    registry: CollectorRegistry,
    limits: LaneLimits | None = None,
) -> Delivery:
    """Build delivery on a pool of the sportsbook's schema, its sessions opened with `SESSION`.

    `worker` names this process in the leases (shown, not relied on); `concurrency` is the number of
    callbacks in flight per client. Bets have a poster of their own, so that a queue of results never keeps
    a bet waiting for a connection.
    """
    look = asyncio.Event()
    outbox = PostgresOutbox(pool)
    metrics = DeliveryMetrics(registry)
    sender = Sender(poster, clock)
    if limits is None:
        limits = LaneLimits(
            breaker=BreakerPolicy(first_window=min(8, concurrency), widest_window=concurrency)
        )
    shared = Shared(
        outbox=outbox,
        recorder=Recorder(outbox, clock, look),
        sender=sender,
        targets=targets,
        metrics=metrics,
        clock=clock,
        chance=chance,
        worker=worker,
        limits=limits,
        look=look,
    )
    bets = BetSender(Sender(bet_poster, clock), clock, metrics)
    return Delivery(bets, CallbackWorker(shared), metrics, pool, outbox, targets, clock)
