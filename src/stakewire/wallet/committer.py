"""Group commit: requests that wait are decided and committed together, each with its own answer.

No timer: a batch is taken as soon as the one before is durable, so a lone request waits for nobody
and a flood makes its own batches. In a flood a second batch, of other players and other ids, is carried out
beside the first: while one waits for the database, the other is decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from stakewire.clock import Clock
from stakewire.ids import OwnIds
from stakewire.ledger.limits import Calendar
from stakewire.ledger.store import LedgerStore
from stakewire.ledger.types import UNAVAILABLE, Answer, LedgerRequest, Outcome
from stakewire.money import Currencies
from stakewire.wallet.cache import CACHED_PLAYERS, RECENT_IDS, LedgerCache
from stakewire.wallet.lane import BatchReport, Lane
from stakewire.wallet.queue import Queue

MAX_BATCH = 512
MAX_WAITING = 20_000
BESIDE_FROM = 64
"""Requests that must wait before a batch is begun beside another."""


class Committer:
    """The only writer of transactions in this process.

    It has as many lanes as `stores`, each with a connection of its own; batches in flight at once share
    neither player nor id. `guess` False decides every batch under locks, which is the better start where
    several processes share all players. `observe` is called after every batch. Not thread-safe: everything
    happens on one event loop.
    """

    def __init__(
        self,
        stores: Sequence[LedgerStore],
        ids: OwnIds,
        clock: Clock,
        *,
        currencies: Currencies,
        calendar: Calendar,
        max_batch: int = MAX_BATCH,
        max_waiting: int = MAX_WAITING,
        beside_from: int = BESIDE_FROM,
        cached_players: int = CACHED_PLAYERS,
        recent_ids: int = RECENT_IDS,
        guess: bool = True,
        observe: Callable[[BatchReport], None] | None = None,
    ) -> None:
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._queue = Queue(beside_from)
        self._stopping = False
        self._sleeping: list[asyncio.Future[None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        cache = LedgerCache(players=cached_players, ids=recent_ids)
        self._lanes = [
            Lane(
                store,
                cache,
                ids,
                clock,
                currencies=currencies,
                calendar=calendar,
                guess=guess,
                observe=observe,
            )
            for store in stores
        ]

    async def start(self) -> None:
        """Connect, and begin to take batches.

        Raises:
            StoreUnavailable: there is no database; `start` may be called again.
        """
        for lane in self._lanes:
            await lane.store.reconnect()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run(lane), name="committer") for lane in self._lanes]

    async def stop(self) -> None:
        """Commit and answer everything submitted so far, then end. Later requests get UNAVAILABLE."""
        self._stopping = True
        self._wake_all()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await task
        for lane in self._lanes:
            await lane.store.close()

    def submit(self, request: LedgerRequest, answer: Answer) -> None:
        """Queue a request; `answer` is called exactly once, from the event loop, after the COMMIT.

        When the queue is full or the committer has stopped, it is called at once with UNAVAILABLE.
        """
        queue = self._queue
        if self._stopping or len(queue) >= self._max_waiting:
            answer(UNAVAILABLE)
            return
        queue.add(request, answer)
        if self._sleeping and queue.takeable:
            self._wake_one()

    async def apply(self, request: LedgerRequest) -> Outcome:
        """Submit and wait for the answer."""
        answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.submit(request, lambda outcome: None if answered.done() else answered.set_result(outcome))
        return await answered

    @property
    def waiting(self) -> int:
        """Requests queued and not in a batch yet."""
        return len(self._queue)

    @property
    def oldest_received_at(self) -> float | None:
        """`received_at` of the request that has waited longest."""
        oldest = self._queue.oldest
        return None if oldest is None else oldest.received_at

    async def _run(self, lane: Lane) -> None:
        loop, queue = asyncio.get_running_loop(), self._queue
        while True:
            batch = queue.take(self._max_batch)
            if batch is None:
                lane.answer_held()
                if self._stopping and not queue:
                    self._wake_all()
                    return
                sleep: asyncio.Future[None] = loop.create_future()
                self._sleeping.append(sleep)
                await sleep
                continue
            if self._sleeping and queue.takeable:
                self._wake_one()
            outcomes = await lane.settle(batch.requests)
            queue.settled(batch)
            lane.hold(batch.asked, outcomes)

    def _wake_one(self) -> None:
        sleep = self._sleeping.pop()
        if not sleep.done():
            sleep.set_result(None)

    def _wake_all(self) -> None:
        while self._sleeping:
            self._wake_one()
