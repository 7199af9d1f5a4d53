"""Group commit: requests that wait are decided and committed together, each with its own answer.

No timer: a batch is taken as soon as the one before is durable, so a lone request waits for nobody
and a flood makes its own batches. A batch is first decided from cached accounts and written with their
versions checked; when somebody else changed one of them, it is decided again under locks.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
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
from stakewire.ledger.types import UNAVAILABLE, Answer, LedgerRequest, Outcome, PlayerState, TxKey
from stakewire.money import Currencies

MAX_BATCH = 512
MAX_WAITING = 20_000
CACHED_PLAYERS = 20_000
HELD_SECONDS = 0.005
"""How long durable answers may wait for the start of the next batch's write."""
RECENT_IDS = 50_000
"""Ids of the last stored transactions that are remembered: nearly every copy comes soon after its first."""
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
        self._max_waiting = max_waiting
        self._cached_players = cached_players
        self._recent_ids = recent_ids
        self._guesses = guess
        self._observe = observe
        self._waiting: deque[tuple[LedgerRequest, Answer]] = deque()
        self._held: tuple[list[tuple[LedgerRequest, Answer]], list[Outcome]] | None = None
        self._players: OrderedDict[str, PlayerState] = OrderedDict()
        self._recent: OrderedDict[TxKey, None] = OrderedDict()
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
            if not self._waiting:
                if self._stopping:
                    return
                self._wake = loop.create_future()
                await self._wake
                self._wake = None
                continue
            batch = self._take()
            outcomes = await self._settle_reported([request for request, _ in batch])
            self._answer_held()
            self._held = (batch, outcomes)
            if self._waiting:
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

    def _take(self) -> list[tuple[LedgerRequest, Answer]]:
        waiting = self._waiting
        if len(waiting) <= self._max_batch:
            batch = list(waiting)
            waiting.clear()
            return batch
        return [waiting.popleft() for _ in range(self._max_batch)]

    async def _settle_reported(self, requests: Sequence[LedgerRequest]) -> list[Outcome]:
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
                self._answer_held()
                _log.debug("batch is decided again: %s", taken)
                self._forget(requests)
                optimistic = optimistic and not look_up_all
                look_up_all = True
                self._look_up_all.begin()
                continue
            except BatchConflict as conflict:
                self._answer_held()
                _log.debug("batch is decided again: %s", conflict)
                self._forget(requests)
                if optimistic:
                    self._locked.begin()
            except BatchRefused as refused:
                self._answer_held()
                return await self._split(requests, refused, give_up_at)
            except (OutcomeUnknown, StoreUnavailable) as lost:
                self._answer_held()
                _log.warning("batch of %d is looked up again: %s", len(requests), lost)
                self._forget(requests)
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
        self._forget(requests)
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
        players, missing = self._cached(requests)
        if missing:
            read = await self._store.read_players(list(missing), self._since(moment))
            players.update((player.user_id, player) for player in read)
            self._remember(read)
        plan = await self._resolve(requests, players, moment, look_up_all=look_up_all)
        if not look_up_all and any(outcome.own_id is None for outcome in plan.outcomes):
            plan = await self._resolve(requests, players, moment, look_up_all=True)
        if not plan.is_empty:
            asyncio.get_running_loop().call_soon(self._answer_held)
            await self._store.write(plan)
        self._adopt(plan)
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
        keys = keys_of(requests) if look_up_all else self._suspects(requests)
        known = await self._store.read_known(keys) if keys else ()
        state = BatchState(players, {(tx.operator_id, tx.tx_id): tx for tx in known})
        return resolve(requests, state, moment=moment, ids=self._ids)

    def _suspects(self, requests: Sequence[LedgerRequest]) -> set[TxKey]:
        """The keys that may well be stored: those of recent transactions, and every rollback's target."""
        recent = self._recent
        suspects = set()
        for asked in requests:
            key = (asked.operator_id, asked.tx_id)
            if key in recent:
                suspects.add(key)
            if asked.target_id is not None:
                suspects.add((asked.operator_id, asked.target_id))
        return suspects

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
        self._remember(players)
        self._adopt(plan)
        return plan.outcomes

    def _moment(self) -> Moment:
        now = self._clock.now()
        return Moment(now, self._calendar.day_of(now), self._calendar, self._currencies)

    def _since(self, moment: Moment) -> date:
        return self._calendar.earliest(moment.today)

    def _cached(self, requests: Sequence[LedgerRequest]) -> tuple[dict[str, PlayerState], set[str]]:
        """Cached players of a batch, and the names that have to be read.

        A player without the account asked for is read again: it may have been opened meanwhile, and no
        write would notice.
        """
        cache = self._players
        players: dict[str, PlayerState] = {}
        missing = set()
        for asked in requests:
            name = asked.user_id
            player = cache.get(name)
            if player is not None and asked.currency in player.accounts:
                players[name] = player
            else:
                missing.add(name)
        for name in missing:
            players.pop(name, None)
        return players, missing

    def _adopt(self, plan: Plan) -> None:
        """Keep the committed accounts and ids, and nothing that is not committed."""
        cache, recent = self._players, self._recent
        for change in plan.accounts.values():
            player = cache.get(change.user_id)
            if player is not None:
                player.accounts[change.new.currency] = change.new
        for row in plan.transactions:
            recent[row.operator_id, row.tx_id] = None
        while len(recent) > self._recent_ids:
            recent.popitem(last=False)

    def _remember(self, players: Iterable[PlayerState]) -> None:
        """Cache players that were read; those that have been here longest make room."""
        for player in players:
            self._players[player.user_id] = player
        while len(self._players) > self._cached_players:
            self._players.popitem(last=False)

    def _forget(self, requests: Sequence[LedgerRequest]) -> None:
        for asked in requests:
            self._players.pop(asked.user_id, None)


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


def _answer_all(batch: list[tuple[LedgerRequest, Answer]], outcomes: list[Outcome]) -> None:
    for (request, answer), outcome in zip(batch, outcomes, strict=True):
        try:
            answer(outcome)
        except Exception:
            _log.exception("the answer to %r could not be given", request.tx_id)
