"""A platform's own wallet, as small as it gets: SQLite, one table of accounts, one of records.

Yours is whatever you run today. What matters is kept here too: everything about a callback happens in
one transaction, the account is locked before the records are read, and the keys of records are unique.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

from stakewire.wallet.library import ALTERED_KEPT, AlreadyKept, Bets, Missing, PlatformAccount
from stakewire.wire.sportsbook.messages import Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
    user_id TEXT, currency TEXT, cents INTEGER NOT NULL, banned INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, currency)
);
CREATE TABLE IF NOT EXISTS callback_record (key TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS altered_callback (
    transaction_id TEXT, mark TEXT, raw BLOB NOT NULL, PRIMARY KEY (transaction_id, mark)
);
"""


class SqliteWallet:
    """A `PlatformStore`. SQLite has one writer at a time, so its write lock is the account's lock."""

    def __init__(self, path: str) -> None:
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.executescript(SCHEMA)
        self._turn = asyncio.Lock()

    def open_account(self, user_id: str, currency: str, cents: int) -> None:
        """Make an account with money on it; keep it as it is if there is one."""
        self.db.execute("INSERT OR IGNORE INTO account VALUES (?, ?, ?, 0)", (user_id, currency, cents))

    def balance(self, user_id: str, currency: str) -> Decimal:
        """What the player has."""
        row = self.db.execute(
            "SELECT cents FROM account WHERE user_id = ? AND currency = ?", (user_id, currency)
        ).fetchone()
        return Decimal(row[0]) / 100

    def altered(self, transaction_id: str) -> list[bytes]:
        """The bodies that came under this id and asked for something else, to be shown to your support."""
        query = "SELECT raw FROM altered_callback WHERE transaction_id = ? ORDER BY rowid"
        return [raw for (raw,) in self.db.execute(query, (transaction_id,))]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqliteWork]:
        """See `PlatformStore.transaction`."""
        async with self._turn:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield SqliteWork(self.db)
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")


class SqliteWork:
    """A `PlatformWork`: one open transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    async def account(self, callback: Transaction) -> PlatformAccount | Missing:
        """See `PlatformWork.account`."""
        accounts = {
            currency: (cents, banned)
            for currency, cents, banned in self._db.execute(
                "SELECT currency, cents, banned FROM account WHERE user_id = ?", (callback.user_id,)
            )
        }
        if not accounts:
            return Missing.USER
        if callback.currency not in accounts:
            return Missing.CURRENCY
        cents, banned = accounts[callback.currency]
        return PlatformAccount(Decimal(cents) / 100, Bets.BLOCKED if banned else Bets.WELCOME)

    async def recall(self, keys: Sequence[str]) -> Mapping[str, str]:
        """See `PlatformWork.recall`."""
        marks = ", ".join("?" * len(keys))
        query = f"SELECT key, record FROM callback_record WHERE key IN ({marks})"
        return dict(self._db.execute(query, list(keys)).fetchall())

    async def keep(self, records: Mapping[str, str]) -> None:
        """See `PlatformWork.keep`."""
        try:
            self._db.executemany("INSERT INTO callback_record VALUES (?, ?)", list(records.items()))
        except sqlite3.IntegrityError as error:
            raise AlreadyKept from error

    async def keep_altered(self, callback: Transaction, mark: str, raw: bytes) -> None:
        """See `PlatformWork.keep_altered`."""
        self._db.execute(
            "INSERT OR IGNORE INTO altered_callback SELECT ?, ?, ?"
            " WHERE (SELECT count(*) FROM altered_callback WHERE transaction_id = ?) < ?",
            (callback.transaction_id, mark, raw, callback.transaction_id, ALTERED_KEPT),
        )

    async def move(self, callback: Transaction, delta: Decimal, own_id: str) -> None:
        """See `PlatformWork.move`."""
        self._db.execute(
            "UPDATE account SET cents = cents + ? WHERE user_id = ? AND currency = ?",
            (int(delta * 100), callback.user_id, callback.currency),
        )
