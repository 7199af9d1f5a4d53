"""Group commit: requests that wait are decided and committed together, each with its own answer.

No timer: a batch is taken as soon as the one before is durable, so a lone request waits for nobody
and a flood makes its own batches. A batch is first decided from remembered accounts and written with their
versions checked; when somebody else changed one of them, it is decided again under locks. Under load the
next batch is decided while the present one is being written (see `Draft`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple

from stakewire.clock import Clock
from stakewire.ids import OwnIds
from stakewire.ledger.batch import BatchState, Plan, keys_of, resolve
from stakewire.ledger.decide import Moment
from stakewire.ledger.limits import Calendar
from stakewire.ledger.store import (
    BatchConflict,
    BatchRefused,
    IdTaken,
    LedgerStore,
    OutcomeUnknown,
    StoreUnavailable,
)
from stakewire.ledger.types import UNAVAILABLE, Answer, LedgerRequest, Outcome, PlayerState
from stakewire.money import Currencies
from stakewire.wallet.cache import CACHED_PLAYERS, RECENT_IDS, LedgerCache
from stakewire.wallet.draft import Asked, Draft

MAX_BATCH = 512
MAX_WAITING = 20_000
HELD_SECONDS = 0.005
"""How long durable answers may wait for the start of the next batch's write."""
DRAFT_FROM_SECONDS = 0.002
"""How long a write takes when it pays to decide the next batch meanwhile; else that only makes it smaller."""
MAX_ATTEMPTS = 8
GIVE_UP_SECONDS = 4.0
"""How long a batch is tried; a bet's sender waits 5 s."""
MAX_RUN = 256
"""Batches at most before the cheaper way is tried again."""

_log = logging.getLogger(__name__)


class BatchReport(NamedTuple):
    """What the metrics are told of a batch. Seconds are from its start until it was durable."""

    size: int
    seconds: float
    attempts: int
    locked: bool
    unavailable: int


class Committer:
    """The only writer of transactions in this process: one connection, one batch in flight.

    `guess` False decides every batch under locks, which is the better start where several processes share
    all players. `observe` is called after every batch. Not thread-safe: everything happens on one event loop.
    """

    def __init__(
        self,
        store: LedgerStore,
        ids: OwnIds,
        clock: Clock,
        *,
        currencies: Currencies,
        calendar: Calendar,
        max_batch: int = MAX_BATCH,
        draft_from_seconds: float = DRAFT_FROM_SECONDS,
        max_waiting: int = MAX_WAITING,
        cached_players: int = CACHED_PLAYERS,
        recent_ids: int = RECENT_IDS,
        guess: bool = True,
        observe: Callable[[BatchReport], None] | None = None,
    ) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._currencies = currencies
        self._calendar = calendar
        self._max_batch = max_batch
        self._draft_from = draft_from_seconds
        self._max_waiting = max_waiting
        self._cache = LedgerCache(players=cached_players, ids=recent_ids)
        self._guesses = guess
        self._observe = observe
        self._waiting: deque[Asked] = deque()
        self._held: tuple[list[Asked], list[Outcome]] | None = None
        self._draft: Draft | None = None
        self._drafting: asyncio.Task[None] | None = None
        self._write_seconds = 0.0
        self._locked = _Run()
        self._look_up_all = _Run()
        self._attempts = 0
        self._wake: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Connect, and begin to take batches.

        Raises:
            StoreUnavailable: there is no database; `start` may be called again.
        """
        await self._store.reconnect()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="committer")

    async def stop(self) -> None:
        """Commit and answer everything submitted so far, then end. Later requests get UNAVAILABLE."""
        self._stopping = True
        self._wake_up()
        if self._task is not None:
            await self._task
            self._task = None
        await self._store.close()

    def submit(self, request: LedgerRequest, answer: Answer) -> None:
        """Queue a request; `answer` is called exactly once, from the event loop, after the COMMIT.

        When the queue is full or the committer has stopped, it is called at once with UNAVAILABLE.
        """
        if self._stopping or len(self._waiting) >= self._max_waiting:
            answer(UNAVAILABLE)
            return
        self._waiting.append((request, answer))
        if self._wake is not None:
            self._wake_up()

    async def apply(self, request: LedgerRequest) -> Outcome:
        """Submit and wait for the answer."""
        answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.submit(request, lambda outcome: None if answered.done() else answered.set_result(outcome))
        return await answered

    @property
    def waiting(self) -> int:
        """Requests queued and not in a batch yet."""
        return len(self._waiting)

    @property
    def oldest_received_at(self) -> float | None:
        """`received_at` of the request that has waited longest."""
        return self._waiting[0][0].received_at if self._waiting else None

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            draft = await self._finished_draft()
            if draft is None and not self._waiting:
                if self._stopping:
                    return
                self._wake = loop.create_future()
                await self._wake
                self._wake = None
                continue
            batch = self._take() if draft is None else draft.batch
            outcomes = await self._settle_reported([request for request, _ in batch], draft)
            self._answer_held()
            self._held = (batch, outcomes)
            if self._waiting or self._draft is not None:
                loop.call_later(HELD_SECONDS, self._answer_held)
            else:
                self._answer_held()

    def _answer_held(self) -> None:
        """Write the answers of the last durable batch.

        They are held back until the next batch is on its way: so PostgreSQL works while they are written
        and while the requests that they set off are read. If that batch is not on its way within
        HELD_SECONDS, or has to be decided again, they go first.
        """
        if self._held is not None:
            batch, outcomes = self._held
            self._held = None
            _answer_all(batch, outcomes)

    def _take(self) -> list[Asked]:
        waiting = self._waiting
        if len(waiting) <= self._max_batch:
            batch = list(waiting)
            waiting.clear()
            return batch
        return [waiting.popleft() for _ in range(self._max_batch)]

    async def _settle_reported(self, requests: Sequence[LedgerRequest], draft: Draft | None) -> list[Outcome]:
        started = self._clock.monotonic()
        locked = self._locked.left > 0
        self._attempts = 0
        outcomes = await self._settle(requests, started + GIVE_UP_SECONDS, draft)
        if self._observe is not None:
            unavailable = outcomes.count(UNAVAILABLE)
            seconds = self._clock.monotonic() - started
            locked = locked or self._attempts > 1
            try:
                self._observe(BatchReport(len(requests), seconds, self._attempts, locked, unavailable))
            except Exception:
                _log.exception("the report of a batch could not be given")
        return outcomes

    async def _settle(
        self, requests: Sequence[LedgerRequest], give_up_at: float, draft: Draft | None = None
    ) -> list[Outcome]:
        """Carry a batch out, however often that takes.

        An unknown outcome is settled by deciding the same ids once more on a new connection: those that
        were committed are found and get their stored answer, the others are new.
        """
        # After a failed guess a run of batches goes straight to locks: somebody shares our players.
        optimistic = self._guesses and not self._locked.goes_on()
        look_up_all = self._look_up_all.goes_on()
        for _ in range(MAX_ATTEMPTS):
            self._attempts += 1
            try:
                if draft is not None:
                    plan, draft = draft.plan(), None
                    return await self._guessed(plan)
                if optimistic:
                    return await self._guess(requests, look_up_all=look_up_all)
                return await self._decide_locked(requests)
            except IdTaken as taken:
                self._answer_held()
                _log.debug("batch is decided again: %s", taken)
                self._cache.forget(requests)
                optimistic = optimistic and not look_up_all
                look_up_all = True
                self._look_up_all.begin()
                continue
            except BatchConflict as conflict:
                self._answer_held()
                _log.debug("batch is decided again: %s", conflict)
                self._cache.forget(requests)
                if optimistic:
                    self._locked.begin()
            except BatchRefused as refused:
                self._answer_held()
                return await self._split(requests, refused, give_up_at)
            except (OutcomeUnknown, StoreUnavailable) as lost:
                self._answer_held()
                _log.warning("batch of %d is looked up again: %s", len(requests), lost)
                self._cache.forget(requests)
                if not await self._reconnected():
                    break
            except Exception as error:  # a fault of ours; it must cost one request its answer, not all
                self._answer_held()
                _log.exception("a batch of %d failed", len(requests))
                if not await self._reconnected():
                    break
                return await self._split(requests, error, give_up_at)
            if self._clock.monotonic() > give_up_at:
                break
            optimistic = False
        return [UNAVAILABLE] * len(requests)

    async def _split(
        self, requests: Sequence[LedgerRequest], reason: Exception, give_up_at: float
    ) -> list[Outcome]:
        """Part a batch that cannot be carried out, until only the request that is to blame is left out."""
        self._cache.forget(requests)
        if len(requests) == 1:
            asked = requests[0]
            _log.error("operator %d, transaction %r: %s", asked.operator_id, asked.tx_id, reason)
            return [UNAVAILABLE]
        half = len(requests) // 2
        first = await self._settle(requests[:half], give_up_at)
        return first + await self._settle(requests[half:], give_up_at)

    async def _reconnected(self) -> bool:
        try:
            await self._store.reconnect()
        except StoreUnavailable as away:
            _log.warning("the database is away: %s", away)
            return False
        return True

    async def _guess(self, requests: Sequence[LedgerRequest], *, look_up_all: bool) -> list[Outcome]:
        """Decide from cached accounts, and take ids that are not among the recent ones for new.

        The write checks both: an account must still be what it was, and an id can be stored only once. What
        is not stored is not checked, so a batch with such an answer looks all its ids up before it gives it.
        """
        moment = self._moment()
        players, missing = self._cache.find(requests)
        if missing:
            read = await self._store.read_players(list(missing), self._since(moment))
            players.update((player.user_id, player) for player in read)
            self._cache.remember(read)
        plan = await self._resolve(requests, players, moment, look_up_all=look_up_all)
        if not look_up_all and any(outcome.own_id is None for outcome in plan.outcomes):
            plan = await self._resolve(requests, players, moment, look_up_all=True)
        outcomes = await self._guessed(plan)
        if not look_up_all:
            self._look_up_all.went_well()
        return outcomes

    async def _guessed(self, plan: Plan) -> list[Outcome]:
        """Write a guess; meanwhile the next batch may be decided, upon the accounts as it leaves them."""
        if plan.is_empty:
            self._locked.went_well()
            return plan.outcomes
        loop = asyncio.get_running_loop()
        loop.call_soon(self._answer_held)
        self._cache.adopt(plan)
        started = self._clock.monotonic()
        drafts = None
        if self._write_seconds >= self._draft_from:
            drafts = loop.call_later(self._write_seconds / 2, self._begin_draft, plan)
        try:
            await self._store.write(plan)
        except BaseException:
            self._drop_draft()
            raise
        finally:
            if drafts is not None:
                drafts.cancel()
        self._write_seconds += (self._clock.monotonic() - started - self._write_seconds) / 8
        self._locked.went_well()
        return plan.outcomes

    async def _resolve(
        self,
        requests: Sequence[LedgerRequest],
        players: dict[str, PlayerState],
        moment: Moment,
        *,
        look_up_all: bool,
    ) -> Plan:
        keys = keys_of(requests) if look_up_all else self._cache.suspects(requests)
        known = await self._store.read_known(keys) if keys else ()
        state = BatchState(players, {(tx.operator_id, tx.tx_id): tx for tx in known})
        return resolve(requests, state, moment=moment, ids=self._ids)

    def _begin_draft(self, written: Plan) -> None:
        """A good part of a write is over: begin to decide what waits now."""
        if self._waiting and not (self._look_up_all.left or self._locked.left):
            moment = self._moment()
            self._draft = Draft(self._take(), written, self._cache, moment, self._ids)
            self._drafting = asyncio.get_running_loop().create_task(self._decide_draft(self._draft, moment))

    async def _decide_draft(self, draft: Draft, moment: Moment) -> None:
        try:
            if await draft.decide(self._store.beside, self._since(moment)):
                return
        except StoreUnavailable as away:
            _log.debug("no draft: %s", away)
        except Exception:  # whose fault it is comes out when the batch is decided in its turn
            _log.exception("a draft of %d failed", len(draft.batch))
        self._give_back()

    async def _finished_draft(self) -> Draft | None:
        """The next batch, decided upon what has been committed by now; None if there is none."""
        drafting, self._drafting = self._drafting, None
        if drafting is not None:
            await drafting
        if self._draft is not None and not self._draft.grow(self._waiting, self._max_batch):
            self._give_back()
        draft, self._draft = self._draft, None
        return draft

    def _drop_draft(self) -> None:
        """The write that it was decided upon has failed."""
        if self._drafting is not None:
            self._drafting.cancel()
            self._drafting = None
        self._give_back()

    def _give_back(self) -> None:
        draft, self._draft = self._draft, None
        if draft is not None:
            self._waiting.extendleft(reversed(draft.batch))

    async def _decide_locked(self, requests: Sequence[LedgerRequest]) -> list[Outcome]:
        """Lock the accounts first, then read everything afresh."""
        moment = self._moment()
        names = sorted({asked.user_id for asked in requests})
        async with self._store.locked(names) as held:
            players = await held.read_players(names, self._since(moment))
            known = await held.read_known(keys_of(requests))
            state = BatchState(
                {player.user_id: player for player in players},
                {(tx.operator_id, tx.tx_id): tx for tx in known},
            )
            plan = resolve(requests, state, moment=moment, ids=self._ids)
            if not plan.is_empty:
                await held.write(plan)
        self._cache.remember(players)
        self._cache.adopt(plan)
        return plan.outcomes

    def _moment(self) -> Moment:
        now = self._clock.now()
        return Moment(now, self._calendar.day_of(now), self._calendar, self._currencies)

    def _since(self, moment: Moment) -> date:
        return self._calendar.earliest(moment.today)


class _Run:
    """For how many batches a costlier way is taken after the cheap one failed: twice as many each time."""

    __slots__ = ("_length", "left")

    def __init__(self) -> None:
        self.left = 0
        self._length = 1

    def begin(self) -> None:
        """The cheap way failed."""
        self.left = self._length
        self._length = min(self._length * 2, MAX_RUN)

    def goes_on(self) -> bool:
        """Whether the next batch still takes the costlier way; counts it."""
        if self.left == 0:
            return False
        self.left -= 1
        return True

    def went_well(self) -> None:
        """The cheap way worked: a later failure costs a shorter run."""
        self._length = max(self._length // 2, 1)


def _answer_all(batch: list[Asked], outcomes: list[Outcome]) -> None:
    for (request, answer), outcome in zip(batch, outcomes, strict=True):
        try:
            answer(outcome)
        except Exception:
            _log.exception("the answer to %r could not be given", request.tx_id)
