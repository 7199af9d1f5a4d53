"""The ledger on PostgreSQL: one connection of its own, and errors sorted into what they mean for money."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from stakewire.errors import Unavailable
from stakewire.ids import OwnIds, slot_of
from stakewire.ledger.batch import Plan
from stakewire.ledger.store import (
    BatchConflict,
    BatchRefused,
    IdTaken,
    LedgerFailure,
    OutcomeUnknown,
    StoreUnavailable,
)
from stakewire.ledger.types import PlayerState, Transaction, TxKey
from stakewire.postgres.queries import Queries
from stakewire.postgres.wallet.encode import (
    number_array,
    plan_arguments,
    players_of,
    transaction_of,
)

QUERIES: Final = Queries("stakewire.postgres.wallet.queries", "ledger.sql")
if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

STATEMENT_SECONDS: Final = 5.0
"""A statement that takes longer is given up with its connection; bets have 5 s to answer."""

_RECONNECTS: Final = 2
"""The pool may hold a connection that died unnoticed; the one after it is new."""

# Somebody else was there first: a changed account, deadlock, serialization failure, lock timeout.
_CONFLICTS: Final = frozenset({"SW001", "40P01", "40001", "55P03"})
_UNIQUE_VIOLATION: Final = "23505"
# Nothing wrong with the batch: resources, cancelled statements, a standby, system and internal errors.
_SERVER_TROUBLE: Final = ("53", "57", "58", "25", "XX", "F0")


async def lease_ids(pool: Pool, taken_by: str, at: datetime) -> OwnIds:
    """Ids under a writer number that no process had before.

    Raises:
        Unavailable: 20 others took the next number at the same moments.
    """
    for _ in range(20):
        try:
            return OwnIds(await pool.fetchval(QUERIES.take_writer, taken_by, at))
        except asyncpg.UniqueViolationError:
            continue
    raise Unavailable("no writer number could be leased; too many processes start at once, try again")


class PostgresLedger:
    """A `stakewire.ledger.store.LedgerStore` on one connection taken from `pool` and kept."""

    def __init__(self, pool: Pool, *, statement_seconds: float = STATEMENT_SECONDS) -> None:
        self._pool = pool
        self._seconds = statement_seconds
        self._conn: Connection | None = None

    async def reconnect(self) -> None:
        """See `LedgerStore.reconnect`."""
        for attempt in range(_RECONNECTS):
            await self._drop()
            try:
                async with asyncio.timeout(self._seconds):
                    self._conn = await self._pool.acquire()
                    await self._conn.execute(QUERIES.prepare_session)
                return
            except Exception as error:  # whatever it is, there is no connection
                await self._drop()
                if attempt == _RECONNECTS - 1:
                    raise StoreUnavailable(f"no connection to PostgreSQL: {error}") from error

    async def close(self) -> None:
        """See `LedgerStore.close`."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await self._pool.release(conn)

    async def _drop(self) -> None:
        """End the connection, whatever it is doing: the server rolls back what its client left."""
        conn, self._conn = self._conn, None
        if conn is not None:
            _end(conn)
            await self._pool.release(conn)

    async def read_players(self, user_ids: Sequence[str], since: date) -> list[PlayerState]:
        """See `Reader.read_players`."""
        slots = [slot_of(user_id) for user_id in user_ids]
        return players_of(await self._fetch(QUERIES.read_players, list(user_ids), slots, since))

    async def read_known(self, keys: Iterable[TxKey]) -> list[Transaction]:
        """See `Reader.read_known`."""
        keys = list(keys)
        ids = [tx_id for _, tx_id in keys]
        operators = number_array([operator_id for operator_id, _ in keys])
        return [transaction_of(row) for row in await self._fetch(QUERIES.read_known, ids, operators)]

    async def write(self, plan: Plan) -> None:
        """See `LedgerStore.write`: one statement, so one transaction, so one round trip."""
        arguments = plan_arguments(plan)
        with self._deadline() as conn, _sorted_errors(lost=OutcomeUnknown):
            await conn.execute(QUERIES.write_batch, *arguments)

    @asynccontextmanager
    async def locked(self, user_ids: Sequence[str]) -> AsyncIterator[_LockedBatch]:
        """See `LedgerStore.locked`."""
        slots = [slot_of(user_id) for user_id in user_ids]
        await self._execute("BEGIN")
        try:
            await self._fetch(QUERIES.lock_accounts, list(user_ids), slots)
            yield _LockedBatch(self)
        except BaseException:
            await self._roll_back()
            raise
        with self._deadline() as conn, _sorted_errors(lost=OutcomeUnknown):
            if await conn.execute("COMMIT") != "COMMIT":
                raise BatchConflict("PostgreSQL rolled the batch back instead of committing it")

    async def _roll_back(self) -> None:
        try:
            await self._execute("ROLLBACK")
        except LedgerFailure:
            await self._drop()

    async def _fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        with self._deadline() as conn, _sorted_errors(lost=StoreUnavailable):
            return await conn.fetch(query, *arguments)

    async def _execute(self, query: str, *arguments: Any) -> None:
        with self._deadline() as conn, _sorted_errors(lost=StoreUnavailable):
            await conn.execute(query, *arguments)

    @contextmanager
    def _deadline(self) -> Iterator[Connection]:
        """End the connection when time runs out.

        Not by cancelling the statement: a COMMIT that waits for a standby would then count as done.
        """
        conn = self._conn
        if conn is None:
            raise StoreUnavailable("there is no connection to PostgreSQL")
        timer = asyncio.get_running_loop().call_later(self._seconds, _end, conn)
        try:
            yield conn
        finally:
            timer.cancel()


def _end(conn: Connection) -> None:
    """Close at once; the pool has taken a connection back already that was lost while it was idle."""
    with suppress(asyncpg.InterfaceError):
        conn.terminate()


class _LockedBatch:
    """The open transaction of `PostgresLedger.locked`."""

    def __init__(self, ledger: PostgresLedger) -> None:
        self._ledger = ledger
        self.read_players = ledger.read_players
        self.read_known = ledger.read_known

    async def write(self, plan: Plan) -> None:
        """See `LockedBatch.write`."""
        await self._ledger._execute(QUERIES.write_batch, *plan_arguments(plan))


@contextmanager
def _sorted_errors(*, lost: type[LedgerFailure]) -> Iterator[None]:
    """Turn the driver's errors into the ledger's; `lost` is what a lost connection means here."""
    try:
        yield
    except asyncpg.PostgresConnectionError as error:
        raise lost(f"the connection to PostgreSQL was lost: {error}") from error
    except asyncpg.PostgresError as error:
        raise _meaning(error, lost) from error
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise lost(f"the connection to PostgreSQL was lost: {error}") from error


def _meaning(error: asyncpg.PostgresError, lost: type[LedgerFailure]) -> LedgerFailure:
    state = error.sqlstate or ""
    if state == _UNIQUE_VIOLATION:
        return IdTaken(str(error))
    if state in _CONFLICTS:
        return BatchConflict(str(error))
    if state.startswith("57P"):  # the backend was ended; it may have been at its commit
        return lost(f"PostgreSQL ended the connection: {error}")
    if state.startswith(_SERVER_TROUBLE) or not state:
        return StoreUnavailable(f"PostgreSQL cannot write now: {error}")
    return BatchRefused(f"PostgreSQL refused the batch: {error}")
