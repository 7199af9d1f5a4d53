"""Money at risk: balances below zero, left by results that were rolled back after they were spent."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from stakewire.postgres.queries import Queries

_SQL = Queries("stakewire.postgres.wallet", "queries/debts.sql")


@dataclass(frozen=True, slots=True)
class Debt:
    """All accounts of one currency that are below zero; `owed_minor` is positive, in minor units."""

    currency: str
    accounts: int
    owed_minor: int


async def debts(pool: asyncpg.Pool[asyncpg.Record]) -> list[Debt]:
    """The debts by currency; reads every account once, so ask once a minute, not more often."""
    rows = await pool.fetch(_SQL.debts)
    return [Debt(row["currency"], row["accounts"], int(row["owed"])) for row in rows]
