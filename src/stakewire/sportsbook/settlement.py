"""Rulings on matches, and their way to every bet: in chunks, resumable, by as many settlers as there are.

A ruling (result, correction, void) is one short transaction. What it does to the bets follows from the
rows alone: a bet whose `applied_ruling` is behind its match's has something to come. So a settler can be
killed anywhere, and whoever looks next goes on; two settlers skip each other's chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from stakewire.betting.bets import Ruled, rule
from stakewire.betting.markets import Score
from stakewire.clock import Clock
from stakewire.delivery.outbox import NewCallback
from stakewire.errors import Conflict, NotFound, StakewireError
from stakewire.ids import OwnIds
from stakewire.money import Currencies
from stakewire.postgres.outbox.store import enqueue
from stakewire.postgres.sportsbook import matches as match_store
from stakewire.postgres.sportsbook import settlement as store
from stakewire.postgres.sportsbook.matches import MatchRow
from stakewire.postgres.sportsbook.settlement import RulingInForce, UnruledBet
from stakewire.sportsbook.callbacks import callbacks_of

CHUNK = 1_000
_MATCHES_AT_ONCE = 16
_MATCHES_LISTED = 100_000
_POLL = 1.0  # seconds between looks for rulings made elsewhere

_log = structlog.get_logger("stakewire.sportsbook")

Progress = Callable[[int, int], None]
"""Told how many bets have seen the ruling, and how many there are."""


@dataclass(frozen=True, slots=True)
class Settled:
    """How many bets have seen a ruling by now, and how many are left, in the hands of others."""

    bets: int
    left: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a match. `ruling` is its number; `changed` is false if it was so already."""

    match: MatchRow
    ruling: int
    changed: bool


class Rulings:
    """Decides on matches; the bets are dealt with by a `Settler`, here or in another process."""

    def __init__(self, pool: Any, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def result(self, match_id: int, score: Score, *, reason: str = "result") -> Decision:
        """Set a match's first result; the same result again changes nothing.

        Raises:
            NotFound: there is no such match.
            Conflict: it has another result (correct it), or is void.
        """
        return await self._decide(match_id, score, "result", reason)

    async def correct(self, match_id: int, score: Score, *, reason: str = "correction") -> Decision:
        """Replace a match's result: payouts of bets that change are rolled back and paid anew.

        Raises:
            NotFound: there is no such match.
            Conflict: it has no result yet, or is void: a stake that went back cannot be taken again.
        """
        return await self._decide(match_id, score, "correction", reason)

    async def void(self, match_id: int, *, reason: str = "void") -> Decision:
        """Declare a match void, also after its result: every stake goes back. This is final.

        Raises:
            NotFound: there is no such match.
        """
        return await self._decide(match_id, None, "void", reason)

    async def results(self, scores: Sequence[tuple[int, Score]]) -> None:
        """Set the first results of many matches in one transaction: all of them, or none.

        Raises:
            NotFound, Conflict: as for `result`, for any of them.
        """
        async with self._pool.acquire() as conn, conn.transaction():
            for match_id, score in sorted(scores, key=lambda pair: pair[0]):  # one order of locks for all
                await self._decide_in(conn, match_id, score, "result", "imported result")

    async def _decide(self, match_id: int, score: Score | None, kind: str, reason: str) -> Decision:
        async with self._pool.acquire() as conn, conn.transaction():
            return await self._decide_in(conn, match_id, score, kind, reason)

    async def _decide_in(
        self, conn: Any, match_id: int, score: Score | None, kind: str, reason: str
    ) -> Decision:
        match = await match_store.lock_match(conn, match_id)
        if match is None:
            raise NotFound(f"there is no match {match_id}; see `stakewire sportsbook match list`")
        if _stands_already(match, score):
            return Decision(match, match.ruling, changed=False)
        _check_allowed(match, kind)
        now = self._clock.now()
        ruling = await match_store.rule_match(conn, match, kind, score, reason=reason, now=now)
        assert ruling is not None, "the match is locked, nobody else can have ruled on it"
        return Decision(match, ruling, changed=True)


def _stands_already(match: MatchRow, score: Score | None) -> bool:
    if score is None:
        return match.state == "void"
    return match.state == "finished" and match.score == score


def _check_allowed(match: MatchRow, kind: str) -> None:
    if match.state == "void":
        raise Conflict(
            f"match {match.id} is void and its stakes went back; a stake cannot be taken a second time",
            code="MATCH_VOID",
        )
    if kind == "result" and match.state == "finished":
        raise Conflict(
            f"match {match.id} ended {match.score}; use `match correct` to change its result",
            code="RESULT_EXISTS",
        )
    if kind == "correction" and match.state != "finished":
        raise Conflict(f"match {match.id} has no result yet; use `match result`", code="NO_RESULT")


class Settler:
    """Applies rulings to bets. `queued` is told after each chunk whose callbacks are ready to go out."""

    def __init__(
        self,
        pool: Any,
        *,
        ids: OwnIds,
        currencies: Currencies,
        clock: Clock,
        queued: Callable[[], None] = lambda: None,
        ruled: Callable[[str, int], None] = lambda _state, _bets: None,
        chunk: int = CHUNK,
    ) -> None:
        self._pool = pool
        self._ids = ids
        self._currencies = currencies
        self._clock = clock
        self._queued = queued
        self._ruled = ruled
        self._chunk = chunk

    async def settle(self, match_id: int, progress: Progress = lambda _done, _total: None) -> Settled:
        """Apply the match's ruling to all its bets, but for those in other hands.

        Bets whose stake is still being asked for, and chunks of other settlers, are not waited for:
        whoever decides them, or the running sportsbook, goes on.
        """
        async with self._pool.acquire() as conn:
            ruling = await store.ruling_in_force(conn, match_id)
            total = 0 if ruling is None else await store.count_unruled(conn, match_id, ruling.number)
        done = 0
        progress(0, total)
        while dealt_with := await self.settle_chunk(match_id):
            done += dealt_with
            progress(min(done, total), total)
        left = 0 if await self._close(match_id) else await self._left(match_id)
        progress(total - left, total)
        return Settled(total - left, left)

    async def settle_all(self, progress: Progress = lambda _done, _total: None) -> Settled:
        """Apply every ruling that waits, match by match; progress counts matches."""
        async with self._pool.acquire() as conn:
            await store.close_rulings(conn)
            waiting = await store.unpaid_matches(conn, limit=_MATCHES_LISTED)
        bets = left = 0
        for done, match_id in enumerate(waiting, 1):
            settled = await self.settle(match_id)
            bets += settled.bets
            left += settled.left
            progress(done, len(waiting))
        return Settled(bets, left)

    async def settle_chunk(self, match_id: int) -> int:
        """Apply the ruling in force to one chunk of bets, in one transaction."""
        async with self._pool.acquire() as conn, conn.transaction():
            ruling = await store.ruling_in_force(conn, match_id)
            if ruling is None:
                return 0
            bets = await store.claim_unruled(conn, match_id, ruling.number, limit=self._chunk)
            if not bets:
                return 0
            ruled = [rule(bet.taken, ruling.score) for bet in bets]
            await store.apply_ruling(conn, bets, ruled, ruling=ruling.number, now=self._clock.now())
            callbacks = self._callbacks(bets, ruled)
            if callbacks:
                await enqueue(conn, callbacks, ids=self._ids, now=self._clock.now())
        self._count(ruled)
        if callbacks:
            self._queued()
        return len(bets)

    async def run(self, stop: asyncio.Event, wake: asyncio.Event) -> None:
        """Settle whatever is ruled on, by anybody, until `stop`; `wake` saves the wait for the next look."""
        while not stop.is_set():
            wake.clear()
            try:
                busy = await self.run_once()
            except Exception as error:  # whatever it is, what was ruled on must be settled in the end
                _log.error("settlement_paused", reason=repr(error))
                busy = False
            if not busy:
                await _first_of(stop, wake, _POLL)

    async def run_once(self) -> bool:
        """Give every match that waits one chunk, so that a big one does not hold up the others."""
        async with self._pool.acquire() as conn:
            await store.close_rulings(conn)
            waiting = await store.unpaid_matches(conn, limit=_MATCHES_AT_ONCE)
        progress = False
        for match_id in waiting:
            try:
                progress = await self.settle_chunk(match_id) > 0 or progress
            except StakewireError as error:  # one bet that cannot be settled stops its match, not the others
                _log.error("match_not_settled", match=match_id, reason=error.message)
        return progress

    async def _close(self, match_id: int) -> bool:
        async with self._pool.acquire() as conn:
            ruling: RulingInForce | None = await store.ruling_in_force(conn, match_id)
            return ruling is None or await store.close_ruling(conn, match_id, ruling.number)

    async def _left(self, match_id: int) -> int:
        async with self._pool.acquire() as conn:
            ruling = await store.ruling_in_force(conn, match_id)
            return 0 if ruling is None else await store.count_unruled(conn, match_id, ruling.number)

    def _callbacks(self, bets: list[UnruledBet], ruled: list[Ruled]) -> list[NewCallback]:
        return [
            callback
            for bet, after in zip(bets, ruled, strict=True)
            for callback in callbacks_of(
                after.moves,
                client_id=bet.client_id,
                bet_id=bet.id,
                user_id=bet.user_id,
                currency=self._currencies.get(bet.currency),
            )
        ]

    def _count(self, ruled: list[Ruled]) -> None:
        states = [after.state.value for after in ruled]
        for state in set(states):
            self._ruled(state, states.count(state))


async def _first_of(stop: asyncio.Event, wake: asyncio.Event, seconds: float) -> None:
    """Wait until either event is set, or the time is over."""
    waits = [asyncio.create_task(stop.wait()), asyncio.create_task(wake.wait())]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
