"""`verify`: every promise of the ledger recomputed from its rows, on one snapshot, beside running traffic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from stakewire.ledger.limits import Calendar
from stakewire.money import Currencies
from stakewire.postgres.queries import Queries

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

QUERIES: Final = Queries("stakewire.postgres.wallet.queries", "audit.sql")
NAMED_ROWS: Final = 1000
"""Rows named per check; a ledger broken further says how many more there are."""

CHECKS: Final = (
    "entry_sums",
    "currency_sums",
    "balances",
    "running_balances",
    "one_effect_per_id",
    "own_ids",
    "one_reversal_per_target",
    "reversals",
    "deltas",
    "bets_below_zero",
    "accounts",
    "tombstones",
    "days",
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that breaks the promise that `check` is named after."""

    check: str
    row: str
    detail: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What was recomputed. `unnamed` counts, per check, the broken rows beyond those in `problems`."""

    transactions: int
    accounts: int
    problems: tuple[Problem, ...]
    unnamed: dict[str, int]

    @property
    def is_clean(self) -> bool:
        """Whether every promise is kept."""
        return not self.problems


async def verify(
    pool: Pool, *, currencies: Currencies, calendar: Calendar, now: datetime, limit: int = NAMED_ROWS
) -> Audit:
    """Recompute every invariant; reads all transactions, writes nothing, and stands in nobody's way."""
    codes = currencies.codes()
    since = calendar.earliest(calendar.day_of(now))
    more: dict[str, tuple[Any, ...]] = {
        "deltas": (codes, [currencies.get(code).exponent for code in codes]),
        "days": (since, calendar.zone_name),
    }
    problems: list[Problem] = []
    unnamed: dict[str, int] = {}
    async with pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        await conn.execute("SET LOCAL statement_timeout = 0")
        for check in CHECKS:
            rows = await conn.fetch(QUERIES[check], limit, *more.get(check, ()))
            problems += [Problem(check, row["row"], row["detail"]) for row in rows]
            if rows and rows[0]["total"] > len(rows):
                unnamed[check] = rows[0]["total"] - len(rows)
        size = await conn.fetchrow(QUERIES.size)
    assert size is not None, "counting always gives a row"
    return Audit(size["transactions"], size["accounts"], tuple(problems), unnamed)
