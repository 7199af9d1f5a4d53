"""One lane of the committer: carries one batch after another out, however often each takes.

A batch is first decided from remembered accounts and written with their versions checked; when somebody
else changed one of them, it is decided again under locks.
"""

from __future__ import annotations

import asyncio
import logging
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
from stakewire.ledger.types import UNAVAILABLE, LedgerRequest, Outcome, PlayerState
from stakewire.money import Currencies
from stakewire.wallet.cache import LedgerCache
from stakewire.wallet.queue import Asked

HELD_SECONDS = 0.005
"""How long durable answers may wait for the start of the next batch's write."""
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


class Lane:
    """One connection to the ledger, one batch at a time.

    `guess` False decides every batch under locks. `observe` is called after every batch.
    """

    def __init__(
        self,
        store: LedgerStore,
        cache: LedgerCache,
        ids: OwnIds,
        clock: Clock,
        *,
        currencies: Currencies,
        calendar: Calendar,
        guess: bool,
        observe: Callable[[BatchReport], None] | None,
    ) -> None:
        self.store = store
        self._cache = cache
        self._ids = ids
        self._clock = clock
        self._currencies = currencies
        self._calendar = calendar
        self._guesses = guess
        self._observe = observe
        self._locked = _Run()
        self._look_up_all = _Run()
        self._attempts = 0
        self._held: tuple[list[Asked], list[Outcome]] | None = None

    def hold(self, asked: list[Asked], outcomes: list[Outcome]) -> None:
        """Keep the answers of a durable batch back until the next batch is on its way.

        So PostgreSQL works while they are written and while the requests that they set off are read. If that
        batch is not on its way within HELD_SECONDS, or has to be decided again, they go first.
        """
        self.answer_held()
        self._held = (asked, outcomes)
        asyncio.get_running_loop().call_later(HELD_SECONDS, self.answer_held)

    def answer_held(self) -> None:
        """Write the answers that were kept back, if there are any."""
        if self._held is not None:
            asked, outcomes = self._held
            self._held = None
            _answer_all(asked, outcomes)

    async def settle(self, requests: Sequence[LedgerRequest]) -> list[Outcome]:
        """Carry a batch out; the outcomes are durable, or UNAVAILABLE, when this returns. Never raises."""
        started = self._clock.monotonic()
        locked = self._locked.left > 0
        self._attempts = 0
        outcomes = await self._settle(requests, started + GIVE_UP_SECONDS)
        if self._observe is not None:
            unavailable = outcomes.count(UNAVAILABLE)
            seconds = self._clock.monotonic() - started
            locked = locked or self._attempts > 1
            try:
                self._observe(BatchReport(len(requests), seconds, self._attempts, locked, unavailable))
            except Exception:
                _log.exception("the report of a batch could not be given")
        return outcomes

    async def _settle(self, requests: Sequence[LedgerRequest], give_up_at: float) -> list[Outcome]:
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
                if optimistic:
                    return await self._guess(requests, look_up_all=look_up_all)
                return await self._decide_locked(requests)
            except IdTaken as taken:
                self.answer_held()
                _log.debug("batch is decided again: %s", taken)
                self._cache.forget(requests)
                optimistic = optimistic and not look_up_all
                look_up_all = True
                self._look_up_all.begin()
                continue
            except BatchConflict as conflict:
                self.answer_held()
                _log.debug("batch is decided again: %s", conflict)
                self._cache.forget(requests)
                if optimistic:
                    self._locked.begin()
            except BatchRefused as refused:
                self.answer_held()
                return await self._split(requests, refused, give_up_at)
            except (OutcomeUnknown, StoreUnavailable) as lost:
                self.answer_held()
                _log.warning("batch of %d is looked up again: %s", len(requests), lost)
                self._cache.forget(requests)
                if not await self._reconnected():
                    break
            except Exception as error:  # a fault of ours; it must cost one request its answer, not all
                self.answer_held()
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
            await self.store.reconnect()
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
            read = await self.store.read_players(list(missing), self._since(moment))
            players.update((player.user_id, player) for player in read)
            self._cache.remember(read)
        plan = await self._resolve(requests, players, moment, look_up_all=look_up_all)
        if not look_up_all and any(outcome.own_id is None for outcome in plan.outcomes):
            plan = await self._resolve(requests, players, moment, look_up_all=True)
        if not plan.is_empty:
            asyncio.get_running_loop().call_soon(self.answer_held)
            await self.store.write(plan)
        self._cache.adopt(plan)
        self._locked.went_well()
        if not look_up_all:
            self._look_up_all.went_well()
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
        known = await self.store.read_known(keys) if keys else ()
        state = BatchState(players, {(tx.operator_id, tx.tx_id): tx for tx in known})
        return resolve(requests, state, moment=moment, ids=self._ids)

    async def _decide_locked(self, requests: Sequence[LedgerRequest]) -> list[Outcome]:
        """Lock the accounts first, then read everything afresh."""
        moment = self._moment()
        names = sorted({asked.user_id for asked in requests})
        async with self.store.locked(names) as held:
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


def _answer_all(asked: list[Asked], outcomes: list[Outcome]) -> None:
    for (request, answer), outcome in zip(asked, outcomes, strict=True):
        try:
            answer(outcome)
        except Exception:
            _log.exception("the answer to %r could not be given", request.tx_id)
