"""What the ledger needs of a database, and the closed set of ways in which it may fail.

`stakewire.postgres.wallet.store.PostgresLedger` is the real one, `stakewire.testing.MemoryLedger` its twin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date
from typing import Protocol

from stakewire.ledger.batch import Plan
from stakewire.ledger.types import PlayerState, Transaction, TxKey


class LedgerFailure(Exception):
    """Why a batch was not carried out, or is not known to be."""


class BatchConflict(LedgerFailure):
    """Nothing was written: somebody else changed an account or used an id meanwhile. Read again."""


class IdTaken(BatchConflict):
    """A transaction id that was taken for new is stored already."""


class BatchRefused(LedgerFailure):
    """Nothing was written: the database refused a value in the batch."""


class StoreUnavailable(LedgerFailure):
    """Nothing was written: there is no connection."""


class OutcomeUnknown(LedgerFailure):
    """The connection was lost, or time ran out, while the batch may have been committed: look its ids up."""


class Reader(Protocol):
    """Reads of one consistent moment, outside or inside a locked batch."""

    async def read_players(self, user_ids: Sequence[str], since: date) -> list[PlayerState]:
        """The players that exist among `user_ids`, with their accounts, and `days` from `since` on."""

    async def read_known(self, keys: Iterable[TxKey]) -> list[Transaction]:
        """The stored transactions, tombstones included, among `keys`."""


class LockedBatch(Reader, Protocol):
    """One open transaction in which the batch's accounts are locked; committed when the context ends well."""

    async def write(self, plan: Plan) -> None:
        """Write; raises BatchConflict or BatchRefused. Durable only once the context has ended."""


class LedgerStore(Reader, Protocol):
    """Every method may raise StoreUnavailable; those that write say what else."""

    async def write(self, plan: Plan) -> None:
        """Write all of the plan in one transaction, or nothing; durable when this returns.

        Raises:
            BatchConflict: an account's version or balance is not the one planned on.
            IdTaken: an id that the plan stores is stored already.
            BatchRefused: the database refuses a value.
            OutcomeUnknown: nobody knows yet.
        """

    def locked(self, user_ids: Sequence[str]) -> AbstractAsyncContextManager[LockedBatch]:
        """Lock all accounts of these players, in id order, before anything is read.

        Leaving the context commits, and raises OutcomeUnknown when that cannot be known.
        """

    async def reconnect(self) -> None:
        """Drop the connection and open a new one; raises StoreUnavailable."""

    async def close(self) -> None:
        """Give the connection back."""
