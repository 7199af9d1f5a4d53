"""A platform's own wallet in memory, for the tests of the library."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from stakewire.wallet.library import ALTERED_KEPT, AlreadyKept, Bets, Missing, PlatformAccount
from stakewire.wire.sportsbook.messages import Transaction


@dataclass
class Books:
    """The platform's players, shared by all its operators."""

    balances: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    bets: dict[str, Bets] = field(default_factory=dict)


class MemoryPlatform:
    """A `PlatformStore` for one operator. With `locks` False, twins meet at the unique keys only."""

    def __init__(self, books: Books, *, locks: bool = True) -> None:
        self.books = books
        self.records: dict[str, str] = {}
        self.altered: dict[tuple[str, str], bytes] = {}
        self.fail_commit = False
        self._lock = asyncio.Lock() if locks else None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryWork]:
        if self._lock is not None:
            await self._lock.acquire()
        work = MemoryWork(self)
        try:
            yield work
            await asyncio.sleep(0)  # a commit takes a while, and others come in between
            work.commit()
        finally:
            if self._lock is not None:
                self._lock.release()


class MemoryWork:
    """What a transaction did, applied at its commit."""

    def __init__(self, platform: MemoryPlatform) -> None:
        self._platform = platform
        self._altered: dict[tuple[str, str], bytes] = {}
        self._records: dict[str, str] = {}
        self._moves: list[tuple[str, str, Decimal]] = []

    async def account(self, callback: Transaction) -> PlatformAccount | Missing:
        books = self._platform.books
        balance = books.balances.get((callback.user_id, callback.currency))
        if balance is None:
            known = any(user == callback.user_id for user, _ in books.balances)
            return Missing.CURRENCY if known else Missing.USER
        return PlatformAccount(balance, books.bets.get(callback.user_id, Bets.WELCOME))

    async def recall(self, keys: Sequence[str]) -> Mapping[str, str]:
        await asyncio.sleep(0)
        return {key: self._platform.records[key] for key in keys if key in self._platform.records}

    async def keep(self, records: Mapping[str, str]) -> None:
        if self._platform.records.keys() & records.keys():
            raise AlreadyKept
        self._records = copy.copy(dict(records))

    async def keep_altered(self, callback: Transaction, mark: str, raw: bytes) -> None:
        kept = sum(tx == callback.transaction_id for tx, _ in self._platform.altered)
        if kept < ALTERED_KEPT:
            self._altered[callback.transaction_id, mark] = raw

    async def move(self, callback: Transaction, delta: Decimal, own_id: str) -> None:
        assert own_id
        self._moves.append((callback.user_id, callback.currency, delta))

    def commit(self) -> None:
        if self._platform.fail_commit:
            raise ConnectionError("the connection was lost at the commit")
        if self._platform.records.keys() & self._records.keys():
            raise AlreadyKept
        self._platform.records |= self._records
        self._platform.altered = self._altered | self._platform.altered
        for user, currency, delta in self._moves:
            self._platform.books.balances[user, currency] += delta
