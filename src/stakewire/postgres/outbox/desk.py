"""The outbox as people see it: what waits, what was tried, and sending again on demand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stakewire.delivery.action import Action
from stakewire.delivery.outcome import Attempt, Outcome
from stakewire.delivery.state import State
from stakewire.errors import Conflict, NotFound
from stakewire.postgres.outbox.store import QUERIES

MAX_LISTED = 10_000
MAX_SHOWN_ATTEMPTS = 1_000

_BIGINT = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackRow:
    """One callback as it stands. `due_at` is the end of the lease while it is `sending`."""

    id: int
    client_id: int
    bet_id: int | None
    n: int
    transaction_id: str
    action: Action
    target_id: str | None
    user_id: str
    currency: str
    amount_minor: int
    path: str
    body: bytes
    state: State
    due_at: datetime | None
    leased_by: str | None
    attempts: int
    last_reason: str | None
    client_transaction_id: str | None
    created_at: datetime
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class NumberedAttempt:
    """One attempt and its number, from 1."""

    n: int
    attempt: Attempt


async def list_callbacks(
    pool: Any, *, state: State | None = None, client_id: int | None = None, limit: int = 50
) -> list[CallbackRow]:
    """The newest callbacks, at most `limit`, of one state or client if named."""
    match state:
        case State.DUE:
            name = "list_queued"
        case State.BLOCKED | State.PARKED:
            name = "list_held"
        case _:
            name = "list_newest"
    word = None if state is None else state.value
    rows = await pool.fetch(QUERIES[name], word, client_id, min(limit, MAX_LISTED))
    return [_row(row) for row in rows]


async def find_callback(pool: Any, key: str) -> CallbackRow:
    """One callback by our number for it, or by its transaction id.

    Raises:
        NotFound: there is no such callback.
        Conflict: several clients have one of this transaction id.
    """
    row = None
    if key.isascii() and key.isdigit() and int(key) < _BIGINT:
        row = await pool.fetchrow(QUERIES["show"], int(key))
    if row is None:
        ids = await pool.fetch(QUERIES["find_by_transaction"], key)
        if len(ids) > 1:
            numbers = " or ".join(str(found[0]) for found in ids)
            raise Conflict(
                f"several callbacks have the transaction id {key!r}; name one by number: {numbers}"
            )
        if ids:
            row = await pool.fetchrow(QUERIES["show"], ids[0][0])
    if row is None:
        raise NotFound(f"there is no callback {key!r}; see `stakewire sportsbook callbacks list`")
    return _row(row)


async def attempts_of(pool: Any, callback_id: int) -> list[NumberedAttempt]:
    """Every attempt that was recorded, oldest first."""
    rows = await pool.fetch(QUERIES["attempts_of"], callback_id, MAX_SHOWN_ATTEMPTS)
    return [
        NumberedAttempt(
            row["n"],
            Attempt(
                outcome=Outcome(row["outcome"]),
                **{key: row[key] for key in ("at", "ms", "address", "status", "reason", "answer")},
                client_transaction_id=row["client_transaction_id"],
            ),
        )
        for row in reversed(rows)
    ]


async def retry(pool: Any, callback: CallbackRow, *, now: datetime) -> None:
    """Make a parked or waiting callback due now; a parked one runs through its whole schedule again.

    Raises:
        Conflict: it has ended, is being sent, waits for another of its bet, or is a bet.
    """
    async with pool.acquire() as conn, conn.transaction():
        if await conn.fetchval(QUERIES["retry"], callback.id, now) is None:
            raise Conflict(f"callback {callback.id} is not sent again: {_why_not(callback)}")
        await conn.execute(QUERIES["announce"])


async def retry_parked(pool: Any, *, client_id: int | None = None, now: datetime) -> list[int]:
    """Make every parked callback, or one client's, due now; give their numbers."""
    async with pool.acquire() as conn, conn.transaction():
        rows = await conn.fetch(QUERIES["retry_parked"], client_id, now)
        if rows:
            await conn.execute(QUERIES["announce"])
    return sorted(row[0] for row in rows)


def _why_not(callback: CallbackRow) -> str:
    if callback.action is Action.BET:
        return "a bet is sent once; without an answer its rollback goes out"
    match callback.state:
        case State.ANSWERED:
            return "it is answered"
        case State.BLOCKED:
            return "it waits until the callback before it of its bet is answered"
        case _:
            return "it is being sent at this moment"


def _row(row: Any) -> CallbackRow:
    values = {name: row[name] for name in CallbackRow.__slots__}
    values["amount_minor"] = int(values["amount_minor"])
    return CallbackRow(**values | {"action": Action(row["action"]), "state": State(row["state"])})
