"""The demo's matches: one kicks off every minute or two, ends a few minutes later, now and then one is void.

Match number n kicks off at n intervals after the epoch and is the same match whoever makes it, so several
processes may simulate at once: the unique number decides who writes it, and the ruling's lock who ends it.
"""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from stakewire.betting.markets import Market
from stakewire.betting.schedule import SIMULATED_LEAGUE, own_fixture
from stakewire.betting.simulate import draw_score, drift
from stakewire.clock import Clock
from stakewire.errors import Conflict
from stakewire.postgres.sportsbook import matches as store
from stakewire.postgres.sportsbook.matches import OutcomeRow
from stakewire.sportsbook.importer import offers_of
from stakewire.sportsbook.settlement import Rulings

_AHEAD = 10  # matches on offer
_STEP_SECONDS = 1.0
_DRIFT_ONE_IN = 8  # steps
_VOID_ONE_IN = 12  # matches
_AT_ONCE = 32

_log = structlog.get_logger("stakewire.sportsbook")


class Simulation:
    """Makes matches, moves their odds and ends them. `ruled` is told after each ruling."""

    def __init__(
        self,
        pool: Any,
        rulings: Rulings,
        *,
        clock: Clock,
        rng: random.Random,
        interval: timedelta,
        duration: timedelta,
    ) -> None:
        self._pool = pool
        self._rulings = rulings
        self._clock = clock
        self._rng = rng
        self._interval = interval
        self._duration = duration
        self._offered = 0  # the last match number this process has put on offer

    async def run(self, stop: asyncio.Event, ruled: asyncio.Event) -> None:
        """One step a second until `stop`."""
        while not stop.is_set():
            try:
                if await self.step():
                    ruled.set()
            except Exception as error:  # the next step tries anew
                _log.warning("simulation_paused", reason=repr(error))
            try:
                await asyncio.wait_for(stop.wait(), _STEP_SECONDS)
            except TimeoutError:
                continue

    async def step(self) -> bool:
        """Put missing matches on offer, perhaps move some odds, end what is over; whether any ended."""
        now = self._clock.now()
        await self._offer(now)
        if self._rng.randrange(_DRIFT_ONE_IN) == 0:
            await self._move_odds(now)
        return await self._end(now)

    async def _offer(self, now: datetime) -> None:
        epoch = datetime.fromtimestamp(0, UTC)
        next_number = (now - epoch) // self._interval + 1
        missing = range(max(next_number, self._offered + 1), next_number + _AHEAD)
        if not missing:
            return
        async with self._pool.acquire() as conn, conn.transaction():
            for number in missing:
                fixture = own_fixture(number, epoch + number * self._interval, SIMULATED_LEAGUE)
                match_id = await store.add_simulated_match(conn, number, fixture, now)
                if match_id is not None:
                    await store.set_odds(conn, offers_of(match_id, fixture))
        self._offered = missing[-1]

    async def _move_odds(self, now: datetime) -> None:
        async with self._pool.acquire() as conn, conn.transaction():
            open_matches = await store.open_simulated(conn, now, limit=_AHEAD)
            if not open_matches:
                return
            match_id = self._rng.choice(open_matches)
            prices = _prices(await store.list_outcomes(conn, [match_id]))
            market = self._rng.choice(sorted(prices))
            moved = drift(prices[market], self._rng)
            await store.set_odds(conn, [(match_id, market, name, odds) for name, odds in moved.items()])

    async def _end(self, now: datetime) -> bool:
        async with self._pool.acquire() as conn:
            over = await store.due_simulated(conn, now - self._duration, limit=_AT_ONCE)
            prices = {match_id: _prices(await store.list_outcomes(conn, [match_id])) for match_id in over}
        for match_id in over:
            try:
                if self._rng.randrange(_VOID_ONE_IN) == 0:
                    await self._rulings.void(match_id, reason="simulated abandonment")
                else:
                    score = draw_score(prices[match_id], self._rng)
                    await self._rulings.result(match_id, score, reason="simulated result")
            except Conflict:
                continue  # another process ended it first
        return bool(over)


def _prices(outcomes: list[OutcomeRow]) -> dict[Market, dict[str, Any]]:
    prices: dict[Market, dict[str, Any]] = {}
    for outcome in outcomes:
        prices.setdefault(outcome.market, {})[outcome.name] = outcome.odds
    return prices
