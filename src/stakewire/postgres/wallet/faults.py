"""What the driver's errors mean to whoever only asked a question: the database is away, try again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from stakewire.errors import Unavailable

_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection ended while the driver was between two states
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
)


@contextmanager
def available() -> Iterator[None]:
    """Turn errors that a later try may not meet into Unavailable; faults of ours stay what they are."""
    try:
        yield
    except _AWAY as error:
        raise Unavailable(f"the wallet's database is away: {str(error) or type(error).__name__}") from error
