"""Callbacks in and out of PostgreSQL.

`enqueue`, `record_bet_attempt` and `end_lost_bets` run in the caller's transaction, because what
they write must stand or fall with the decision it belongs to. `PostgresOutbox` is the worker's side.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, TypedDict

import asyncpg

from stakewire.delivery.action import Action
from stakewire.delivery.outbox import (
    BatchRefused,
    Claimed,
    NewCallback,
    QueueLine,
    Recorded,
    Waiting,
    Written,
)
from stakewire.delivery.outcome import Attempt
from stakewire.delivery.state import ENDED, State, after_bet, first_state
from stakewire.ids import OwnIds, slot_of
from stakewire.postgres.queries import Queries

CHANNEL = "stakewire_outbox"
"""NOTIFY on this channel says that something may be due; only a hint."""

QUERIES = Queries("stakewire.postgres.outbox", "outbox.sql")


async def enqueue(conn: Any, callbacks: Sequence[NewCallback], *, ids: OwnIds, now: datetime) -> list[int]:
    """Write callbacks in the caller's transaction; give their ids, in order.

    A bet enters as `sending`: the caller sends it once the transaction is durable, and no worker
    ever will. Results and rollbacks are due, or blocked behind an earlier callback of their bet
    that has not ended. The callbacks of one bet keep the order in which they are given.

    Raises:
        asyncpg.UniqueViolationError: a transaction id of this client is used already, or another
            transaction is writing callbacks of the same bet; the caller's transaction is lost.
    """
    slots = [slot_of(callback.user_id) for callback in callbacks]
    last, open_bets = await _before(conn, callbacks, slots)
    rows = []
    for callback, slot in zip(callbacks, slots, strict=True):
        n = 1
        state = first_state(callback.action, earlier_open=callback.bet_id in open_bets)
        if callback.bet_id is not None:
            n = last[callback.bet_id] = last.get(callback.bet_id, 0) + 1
            open_bets.add(callback.bet_id)  # what follows in this batch waits behind this one
        rows.append((ids.next(), slot, n, state.value, callback))
    await conn.execute(
        QUERIES["insert_callbacks"],
        [row[0] for row in rows],
        slots,
        [callback.client_id for callback in callbacks],
        [callback.bet_id for callback in callbacks],
        [row[2] for row in rows],
        [callback.transaction_id for callback in callbacks],
        [callback.action.value for callback in callbacks],
        [callback.target_id for callback in callbacks],
        [callback.user_id for callback in callbacks],
        [callback.currency for callback in callbacks],
        [str(callback.amount_minor) for callback in callbacks],
        [callback.path for callback in callbacks],
        [callback.body for callback in callbacks],
        [row[3] for row in rows],
        now,
    )
    if any(row[3] == State.DUE for row in rows):
        await conn.execute(QUERIES["announce"])
    return [row[0] for row in rows]


async def _before(
    conn: Any, callbacks: Sequence[NewCallback], slots: Sequence[int]
) -> tuple[dict[int, int], set[int]]:
    """How many callbacks the bets of these have had, and which bets have one that has not ended."""
    wanted = {
        callback.bet_id: slot
        for callback, slot in zip(callbacks, slots, strict=True)
        if callback.bet_id is not None and callback.action != Action.BET  # a bet is its own first callback
    }
    if not wanted:
        return {}, set()
    bets, their_slots = list(wanted), sorted(set(wanted.values()))
    open_rows = await conn.fetch(QUERIES["lock_open_of_bets"], bets, their_slots)
    last_rows = await conn.fetch(QUERIES["last_of_bets"], bets, their_slots)
    return dict(last_rows), {row[0] for row in open_rows}


async def record_bet_attempt(conn: Any, callback_id: int, attempt: Attempt) -> bool:
    """Keep the one attempt of a bet and end its callback, in the transaction that decides the bet.

    Returns False, and changes nothing but the kept attempt, when the callback has ended before:
    an answer after the deadline is kept to be shown and decides nothing.
    """
    await conn.execute(
        QUERIES["keep_attempt"],
        callback_id,
        attempt.at,
        attempt.ms,
        attempt.address,
        attempt.status,
        attempt.outcome.value,
        attempt.reason,
        attempt.client_transaction_id,
        attempt.answer,
    )
    ended = await conn.fetch(
        QUERIES["end_bet"],
        callback_id,
        after_bet(attempt).value,
        attempt.reason,
        attempt.client_transaction_id,
        attempt.at,
    )
    await _release(conn, ended, now=attempt.at)
    return bool(ended)


async def end_lost_bets(conn: Any, bet_ids: Sequence[int], *, reason: str, now: datetime) -> int:
    """End the callbacks of bets whose answer was never recorded (a process died); never sent again.

    For the transaction that refuses those bets and enqueues their rollbacks; the order of the two
    calls does not matter. Returns how many callbacks ended by this call.
    """
    ended = await conn.fetch(QUERIES["end_lost_bets"], list(bet_ids), reason)
    await _release(conn, ended, now=now)
    return len(ended)


async def _release(conn: Any, taken: Sequence[Any], *, now: datetime) -> int:
    """Make due what waited behind those of `taken` (bet_id, n, slot, state) that have ended; count it."""
    ended = [row for row in taken if row[0] is not None and row[3] in ENDED]
    if not ended:
        return 0
    tag: str = await conn.execute(
        QUERIES["release_next"],
        [row[0] for row in ended],
        [row[1] for row in ended],
        [row[2] for row in ended],
        now,
    )
    return int(tag.rpartition(" ")[2])


class QueuePlans(TypedDict):
    """Server settings under which every statement of the outbox is planned by its indexes."""

    enable_seqscan: str
    enable_hashjoin: str
    enable_mergejoin: str


class PostgresOutbox:
    """The `delivery.outbox.Outbox` that workers of any number of processes share.

    The pool's sessions should plan for a queue (see `SESSION`): a plan made while the table is
    empty would read all of it once it is full.
    """

    SESSION: ClassVar[QueuePlans] = {
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
    }

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def waiting(self) -> list[Waiting]:
        """See `Outbox.waiting`."""
        rows = await self._pool.fetch(QUERIES["waiting_clients"])
        return [Waiting(client_id, due_at) for client_id, due_at in rows]

    async def claim(
        self, client_id: int, *, now: datetime, until: datetime, limit: int, worker: str
    ) -> list[Claimed]:
        """See `Outbox.claim`."""
        rows = await self._pool.fetch(QUERIES["claim_due_callbacks"], client_id, now, until, limit, worker)
        return [
            Claimed(id_, slot, Action(action), path, body, attempts, start, until)
            for id_, slot, action, path, body, attempts, start in rows
        ]

    async def record(self, batch: Sequence[Recorded], *, now: datetime) -> Written:
        """See `Outbox.record`."""
        ordered = sorted(batch, key=lambda item: item.claimed.id)  # the order in which `enqueue` locks
        try:
            async with self._pool.acquire() as conn, conn.transaction():
                taken = await conn.fetch(QUERIES["record_attempts"], *_columns(ordered), now)
                released = await _release(conn, taken, now=now)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as fault:
            raise BatchRefused(str(fault)) from fault
        return Written(len(taken), released)

    async def give_back(self, batch: Sequence[Claimed], *, now: datetime) -> None:
        """See `Outbox.give_back`."""
        ordered = sorted(batch, key=lambda claimed: claimed.id)
        await self._pool.execute(
            QUERIES["give_back"],
            [claimed.id for claimed in ordered],
            [claimed.slot for claimed in ordered],
            [claimed.attempts for claimed in ordered],
            now,
        )

    async def unanswered(self) -> list[QueueLine]:
        """Everything without a final answer, summed up; reads the whole queue, so not for every second."""
        rows = await self._pool.fetch(QUERIES["unanswered"])
        return [
            QueueLine(client_id, Action(action), State(state), currency, callbacks, oldest, int(amount_minor))
            for client_id, action, state, currency, callbacks, oldest, amount_minor in rows
        ]


def _columns(batch: Sequence[Recorded]) -> tuple[list[object], ...]:
    """The batch as one array per column, as `record_attempts` wants it."""
    rows = [
        (
            claimed.id,
            claimed.slot,
            claimed.attempts,
            attempt.at,
            attempt.ms,
            attempt.address,
            attempt.status,
            attempt.outcome.value,
            attempt.reason,
            attempt.client_transaction_id,
            attempt.answer,
            step.state.value,
            step.due_at,
        )
        for claimed, attempt, step in ((item.claimed, item.attempt, item.step) for item in batch)
    ]
    return tuple(list(column) for column in zip(*rows, strict=True))
