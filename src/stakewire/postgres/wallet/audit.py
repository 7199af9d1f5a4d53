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
PAGE: Final = 1000  # broken rows fetched at once

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
    def broken(self) -> int:
        """How many rows break a promise, named or not."""
        return len(self.problems) + sum(self.unnamed.values())

    @property
    def is_clean(self) -> bool:
        """Whether every promise is kept."""
        return not self.problems


async def verify(
    pool: Pool, *, currencies: Currencies, calendar: Calendar, now: datetime, limit: int | None = None
) -> Audit:
    """Recompute every invariant; reads all transactions, writes nothing, and stands in nobody's way.

    Every broken row is named; with `limit`, at most so many per check, and how many more there are.
    """
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
            named = total = 0
            async for row in conn.cursor(QUERIES[check], limit, *more.get(check, ()), prefetch=PAGE):
                problems.append(Problem(check, row["row"], row["detail"]))
                named, total = named + 1, row["total"]
            if total > named:
                unnamed[check] = total - named
        size = await conn.fetchrow(QUERIES.size)
    assert size is not None, "counting always gives a row"
    return Audit(size["transactions"], size["accounts"], tuple(problems), unnamed)
