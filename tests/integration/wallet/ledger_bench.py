"""A wallet's ledger on a real database, opened and closed for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import asyncpg

from stakewire.clock import Clock, SystemClock
from stakewire.ids import OwnIds
from stakewire.ledger.limits import Calendar
from stakewire.ledger.types import CASHIER, CASHIER_POLICY, Kind, LedgerRequest, Outcome, Policy
from stakewire.money import Currencies
from stakewire.postgres.connect import open_pool
from stakewire.postgres.wallet.audit import Audit, verify
from stakewire.postgres.wallet.history import HistoryStore
from stakewire.postgres.wallet.players import PlayerStore
from stakewire.postgres.wallet.store import PostgresLedger, lease_ids
from stakewire.wallet.committer import Committer

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

CURRENCIES = Currencies({"EUR": 2, "JPY": 0, "BTC": 8})
CALENDAR = Calendar(UTC)
OPERATOR = 2


@dataclass
class Bench:
    """One wallet process, as far as the ledger goes: acts as the least privileged role."""

    pool: Pool
    ids: OwnIds
    clock: Clock
    players: PlayerStore
    history: HistoryStore
    committer: Committer

    async def open_player(self, user: str, *currencies: str, deposit: str = "0") -> None:
        """A player with empty accounts, the first of which gets the deposit."""
        for currency in currencies:
            await self.players.add(user, currency, act_id=f"add {user} {currency}", at=self.clock.now())
        if Decimal(deposit):
            assert (await self.committer.apply(deposit_of(user, deposit, currencies[0]))).decline is None

    async def balance(self, user: str, currency: str = "EUR") -> int:
        """Minor units, from the database."""
        shown = await self.players.show(user, self.clock.now())
        return next(account.balance_minor for account in shown.accounts if account.currency == currency)

    async def at_once(self, requests: Sequence[LedgerRequest]) -> list[Outcome]:
        """Submitted in one go: they wait together, and so are one batch."""
        return await asyncio.gather(*[self.committer.apply(request) for request in requests])

    async def audit(self, now: datetime | None = None) -> Audit:
        """`verify` on everything in the database."""
        return await verify(self.pool, currencies=CURRENCIES, calendar=CALENDAR, now=now or self.clock.now())


@asynccontextmanager
async def open_bench(
    dsn: str,
    *,
    clock: Clock | None = None,
    seconds: float = 5.0,
    connect_to: str | None = None,
    currencies: Currencies = CURRENCIES,
    lanes: int = 1,
    **options: Any,
) -> AsyncIterator[Bench]:
    """A bench on a migrated database; `connect_to` is another way to it, for the committer alone."""
    clock = clock or SystemClock()
    pool = await open_pool(dsn, schema="wallet", role="stakewire_wallet_app", min_size=1, max_size=4)
    writing = (
        pool
        if connect_to is None
        else await open_pool(connect_to, schema="wallet", role="stakewire_wallet_app", min_size=0, max_size=2)
    )
    ids = await lease_ids(pool, "tests", datetime.now(UTC))
    stores = [PostgresLedger(writing, statement_seconds=seconds) for _ in range(lanes)]
    committer = Committer(stores, ids, clock, currencies=currencies, calendar=CALENDAR, **options)
    await committer.start()
    try:
        players = PlayerStore(pool, ids, CALENDAR)
        yield Bench(pool, ids, clock, players, HistoryStore(pool), committer)
    finally:
        await committer.stop()
        for each in {pool, writing}:
            await each.close()


async def add_operators(dsn: str, *numbers: int) -> None:
    """Operators with these ids, which the history needs for their names."""
    conn = await asyncpg.connect(dsn)
    try:
        for number in numbers:
            await conn.execute(
                "INSERT INTO wallet.operator (id, name, created_at) VALUES ($1, $2, now())",
                number,
                f"operator-{number}",
            )
    finally:
        await conn.close()


def ask(
    kind: Kind,
    tx_id: str,
    amount: str = "1.00",
    *,
    user: str = "ann",
    currency: str = "EUR",
    target: str | None = None,
    operator: int = OPERATOR,
    policy: Policy | None = None,
) -> LedgerRequest:
    """A request with the defaults of these tests."""
    raw = f"{tx_id} {amount}".encode()
    return LedgerRequest(
        operator, tx_id, kind, user, currency, Decimal(amount), target, raw, policy or Policy()
    )


def deposit_of(user: str, amount: str, currency: str = "EUR", act_id: str | None = None) -> LedgerRequest:
    """A deposit by the cashier."""
    act_id = act_id or f"deposit {user} {currency} {amount}"
    return ask(
        Kind.DEPOSIT, act_id, amount, user=user, currency=currency, operator=CASHIER, policy=CASHIER_POLICY
    )
