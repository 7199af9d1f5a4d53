"""Placing a bet: written, sent once, decided; and what a lost answer leaves behind.

Three steps, each safe to be killed after:

1. one transaction writes the bet as pending together with its callback;
2. the callback is sent, once, and answered within the client's bet timeout;
3. one transaction records the attempt and decides the bet: accepted, refused for good, or refused as
   unknown together with the rollback of its stake.

A bet that never reaches step 3 is refused and rolled back by `Reaper` when its deadline has passed.
Whoever moves the bet out of pending first wins; the other changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import structlog

from stakewire.betting.bets import UNKNOWN, ReturnStake
from stakewire.betting.odds import format_odds, payout_minor
from stakewire.clock import Clock
from stakewire.delivery.outbox import NewCallback
from stakewire.errors import Conflict, NotFound, Refused, Unavailable
from stakewire.ids import OwnIds, slot_of
from stakewire.money import Currencies, Currency, InvalidAmount, format_minor, parse_amount
from stakewire.postgres.connect import DRIVER_ERRORS
from stakewire.postgres.outbox.store import end_lost_bets, enqueue, record_bet_attempt
from stakewire.postgres.sportsbook import bets as store
from stakewire.postgres.sportsbook.bets import BetRow, KnownSlip, NewBet
from stakewire.sportsbook.access import PageSession
from stakewire.sportsbook.callbacks import callbacks_of, stake_callback
from stakewire.sportsbook.config import SportsbookConfig
from stakewire.sportsbook.delivery.bets import BetAccepted, BetAnswer, BetDeclined
from stakewire.sportsbook.delivery.targets import ClientTarget

GRACE = timedelta(seconds=5)  # between the last moment a bet may be answered and the one it is given up at
_DECIDE_PAUSE = 0.25  # seconds between attempts to record an answer while the database is away

_log = structlog.get_logger("stakewire.sportsbook")


class OddsChanged(Conflict):
    """The outcome's odds are no longer those of the slip; `odds` are the present ones."""

    default_code = "ODDS_CHANGED"

    def __init__(self, odds: Decimal) -> None:
        super().__init__("the odds have changed; look at the new ones and place the bet again")
        self.odds = odds

    @property
    def shown(self) -> str:
        """The odds as the page writes them."""
        return format_odds(self.odds)


@dataclass(frozen=True, slots=True)
class Slip:
    """What a player asks for. `slip_id` makes it one bet, however often it arrives."""

    slip_id: UUID
    outcome_id: int
    odds: Decimal
    stake: str


@dataclass(frozen=True, slots=True)
class _Placed:
    """A pending bet that is durable, and the callback that is about to be sent for it."""

    bet: NewBet
    callback: NewCallback
    callback_id: int
    currency: Currency


class SendsBets(Protocol):
    """Sends one bet (`delivery.bets.BetSender`)."""

    async def send(
        self, client: ClientTarget, callback: NewCallback, *, answer_by: datetime | None = None
    ) -> BetAnswer: ...


class Bets:
    """Places bets and shows them.

    `changed` is told of every bet placed here, `decided` of the word it was decided with, `queued`
    when the rollback of a stake is ready to go out.
    """

    def __init__(
        self,
        pool: Any,
        sender: SendsBets,
        *,
        ids: OwnIds,
        currencies: Currencies,
        clock: Clock,
        config: SportsbookConfig,
        changed: Callable[[BetRow], Awaitable[None]],
        decided: Callable[[str], None],
        queued: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._sender = sender
        self._ids = ids
        self._currencies = currencies
        self._clock = clock
        self._config = config
        self._changed = changed
        self._decided = decided
        self._queued = queued
        self._running: dict[tuple[int, str, UUID], asyncio.Task[int]] = {}
        self._of_client: Counter[int] = Counter()  # one client that hangs does not turn away the others' bets

    async def place(self, session: PageSession, slip: Slip) -> BetRow:
        """Place a bet and wait until it is decided; the same slip again gives the same bet.

        The work goes on if the caller goes away: a stake that was asked for must be decided.

        Raises:
            NotFound: there is no such outcome.
            OddsChanged: the odds are not those of the slip.
            Refused: MATCH_STARTED, OUTCOME_SUSPENDED or INVALID_STAKE; nothing was sent.
            Conflict: SLIP_REUSED: the slip id stands for another bet.
            Unavailable: too many bets in flight, or the database is away; send the same slip again.
        """
        visit = session.visit
        key = (visit.client_id, visit.user_id, slip.slip_id)
        running = self._running.get(key)
        if running is None:
            if self._of_client[visit.client_id] >= self._config.bets_in_flight:
                raise Unavailable("too many bets at this moment; send the same slip again", code="BUSY")
            running = asyncio.create_task(self._place(session, slip))
            self._running[key] = running
            self._of_client[visit.client_id] += 1
            running.add_done_callback(lambda task: self._forget(key, task))
            bet_id = await asyncio.shield(running)
        else:
            # The twin's answer is for the twin's slip: whether this one is the same is looked up afterwards.
            bet_id = await self._same_slip(session, slip, running)
        return await self._shown(bet_id, visit.user_id)

    async def of_player(self, session: PageSession, *, limit: int = 50) -> list[BetRow]:
        """The player's bets in the session's currency, newest first."""
        visit = session.visit
        async with self._pool.acquire() as conn:
            return await store.bets_of_player(
                conn, visit.client_id, visit.user_id, visit.currency, limit=limit
            )

    async def drain(self) -> None:
        """Wait for the bets in flight; at shutdown, after the last request was taken."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    @property
    def in_flight(self) -> int:
        return len(self._running)

    def _forget(self, key: tuple[int, str, UUID], task: asyncio.Task[int]) -> None:
        del self._running[key]
        self._of_client[key[0]] -= 1
        if not task.cancelled():
            task.exception()  # told to whoever waits; read here so that it is not "never retrieved"

    async def _same_slip(self, session: PageSession, slip: Slip, running: asyncio.Task[int]) -> int:
        bet_id = await asyncio.shield(running)
        visit = session.visit
        async with self._pool.acquire() as conn:
            known = await store.find_slip(
                conn, visit.client_id, visit.user_id, slip.slip_id, slot_of(visit.user_id)
            )
        if known is not None:
            self._check_same(session, slip, known)
        return bet_id

    async def _place(self, session: PageSession, slip: Slip) -> int:
        begun = await self._begin(session, slip)
        if isinstance(begun, KnownSlip):
            return begun.bet_id
        answer = await self._sender.send(
            session.client.target, begun.callback, answer_by=begun.bet.answer_by - GRACE
        )
        await self._decide_durably(begun, answer)
        return begun.bet.id

    async def _begin(self, session: PageSession, slip: Slip) -> _Placed | KnownSlip:
        """Step 1. Of two equal slips at once one finds the other's row, or meets it at the unique key."""
        visit = session.visit
        slot = slot_of(visit.user_id)
        currency = self._currencies.get(visit.currency)
        async with self._pool.acquire() as conn:
            for _ in range(2):
                known = await store.find_slip(conn, visit.client_id, visit.user_id, slip.slip_id, slot)
                if known is not None:
                    self._check_same(session, slip, known)
                    return known
                try:
                    async with conn.transaction():
                        return await self._write(conn, session, slip, currency, slot)
                except asyncpg.UniqueViolationError:
                    continue
        raise Unavailable("the slip is being placed; send the same slip again")

    async def _write(
        self, conn: Any, session: PageSession, slip: Slip, currency: Currency, slot: int
    ) -> _Placed:
        now = self._clock.now()
        offer = await store.find_offer(conn, slip.outcome_id)
        if offer is None:
            raise NotFound(f"there is no outcome {slip.outcome_id}", code="OUTCOME_NOT_FOUND")
        if not offer.scheduled or offer.kickoff <= now:
            raise Refused("the match has started; bets are closed", code="MATCH_STARTED")
        if not offer.active:
            raise Refused("this outcome is not on offer at the moment", code="OUTCOME_SUSPENDED")
        if offer.odds != slip.odds:
            raise OddsChanged(offer.odds)
        stake_minor = self._stake(slip, currency)
        visit, target = session.visit, session.client.target
        bet = NewBet(
            id=self._ids.next(),
            slot=slot,
            client_id=visit.client_id,
            user_id=visit.user_id,
            currency=currency.code,
            match_id=offer.match_id,
            outcome_id=offer.outcome_id,
            stake_minor=stake_minor,
            odds=offer.odds,
            slip_id=slip.slip_id,
            placed_at=now,
            answer_by=now + timedelta(seconds=target.bet_timeout) + GRACE,
        )
        callback = stake_callback(
            client_id=bet.client_id,
            bet_id=bet.id,
            user_id=bet.user_id,
            currency=currency,
            stake_minor=stake_minor,
        )
        await store.add_bet(conn, bet)
        (callback_id,) = await enqueue(conn, [callback], ids=self._ids, now=now)
        return _Placed(bet, callback, callback_id, currency)

    def _stake(self, slip: Slip, currency: Currency) -> int:
        try:
            stake_minor = parse_amount(slip.stake, currency)
        except InvalidAmount as error:
            raise Refused(f"the stake is not valid: {error.message}", code="INVALID_STAKE") from None
        most = self._config.max_payout * 10**currency.exponent
        if stake_minor <= 0:
            raise Refused("the stake must be more than zero", code="INVALID_STAKE")
        if payout_minor(stake_minor, slip.odds) > most:
            limit = format_minor(int(most / slip.odds), currency)
            raise Refused(f"the stake is too high; at these odds at most {limit}", code="INVALID_STAKE")
        return stake_minor

    def _check_same(self, session: PageSession, slip: Slip, known: KnownSlip) -> None:
        currency = self._currencies.get(session.visit.currency)
        same = (
            known.outcome_id == slip.outcome_id
            and known.odds == slip.odds
            and known.currency == currency.code
            and format_minor(known.stake_minor, currency) == _normal(slip.stake, currency)
        )
        if not same:
            raise Conflict("this slip id was used for another bet; use a new one", code="SLIP_REUSED")

    async def _decide_durably(self, placed: _Placed, answer: BetAnswer) -> None:
        """Step 3, tried again while the database is away, until the reaper would decide anyway."""
        while True:
            try:
                return await self._decide(placed, answer)
            except DRIVER_ERRORS as error:
                _log.warning("bet_not_recorded", bet=placed.bet.id, reason=str(error))
                if self._clock.now() >= placed.bet.answer_by:
                    raise Unavailable("the bet's answer could not be recorded; look at your bets") from error
                await asyncio.sleep(_DECIDE_PAUSE)

    async def _decide(self, placed: _Placed, answer: BetAnswer) -> None:
        bet, now = placed.bet, self._clock.now()
        async with self._pool.acquire() as conn, conn.transaction():
            match answer:
                case BetAccepted():
                    word = "accepted"
                    in_time = await store.accept_bet(conn, bet.id, bet.slot, now)
                case BetDeclined(code):
                    word = code
                    in_time = await store.refuse_bet(
                        conn, bet.id, bet.slot, code, stake_returned=False, now=now
                    )
                case _:
                    word = UNKNOWN
                    in_time = await store.refuse_bet(
                        conn, bet.id, bet.slot, UNKNOWN, stake_returned=True, now=now
                    )
                    if in_time:
                        await self._return_stake(conn, placed, now)
            await record_bet_attempt(conn, placed.callback_id, answer.attempt)
        self._decided(word if in_time else "late")
        if word == UNKNOWN and in_time:
            self._queued()

    async def _return_stake(self, conn: Any, placed: _Placed, now: datetime) -> None:
        bet = placed.bet
        rollback = callbacks_of(
            [ReturnStake(bet.stake_minor)],
            client_id=bet.client_id,
            bet_id=bet.id,
            user_id=bet.user_id,
            currency=placed.currency,
        )
        await enqueue(conn, rollback, ids=self._ids, now=now)

    async def _shown(self, bet_id: int, user_id: str) -> BetRow:
        async with self._pool.acquire() as conn:
            bet = await store.find_bet(conn, bet_id, slot_of(user_id))
        if bet is None:
            raise AssertionError(f"bet {bet_id} was written and is not there")
        await self._changed(bet)
        return bet


class Reaper:
    """Gives up bets whose answer can no longer come: refused as unknown, their stakes rolled back."""

    BATCH = 200

    def __init__(
        self,
        pool: Any,
        *,
        ids: OwnIds,
        currencies: Currencies,
        clock: Clock,
        decided: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._ids = ids
        self._currencies = currencies
        self._clock = clock
        self._decided = decided

    async def run_once(self) -> int:
        """Give up one batch of overdue bets and return how many there were."""
        now = self._clock.now()
        async with self._pool.acquire() as conn, conn.transaction():
            overdue = await store.lock_overdue(conn, now, limit=self.BATCH)
            if not overdue:
                return 0
            await store.refuse_overdue(conn, overdue, now)
            await end_lost_bets(conn, [bet.id for bet in overdue], reason="no answer was recorded", now=now)
            rollbacks = [
                callback
                for bet in overdue
                for callback in callbacks_of(
                    [ReturnStake(bet.stake_minor)],
                    client_id=bet.client_id,
                    bet_id=bet.id,
                    user_id=bet.user_id,
                    currency=self._currencies.get(bet.currency),
                )
            ]
            await enqueue(conn, rollbacks, ids=self._ids, now=now)
        for _ in overdue:
            self._decided(UNKNOWN)
        return len(overdue)


def _normal(stake: str, currency: Currency) -> str | None:
    try:
        return format_minor(parse_amount(stake, currency), currency)
    except InvalidAmount:
        return None
