"""What happened: a player's transactions in commit order, and one transaction with all its copies."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from stakewire.errors import InvalidInput, NotFound
from stakewire.ids import slot_of
from stakewire.ledger.types import Kind
from stakewire.postgres.wallet.players import QUERIES

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

MAX_PAGE: Final = 1000
_MAX_FOUND: Final = 100
_MAX_OWN_ID: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """A transaction on one of a player's accounts. `amount` is as asked, in whole units.

    `altered` counts what asked for something else: differing copies, and the rollback itself if it
    named another amount than its target's.
    """

    cursor: str
    seq: int
    own_id: int
    operator: str
    tx_id: str
    kind: Kind
    currency: str
    amount: str | None
    delta: int
    balance_after: int
    decline: str | None
    target_id: str | None
    at: datetime
    altered: int


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """`next` continues after the newest item known; give it as `after` to see what comes later."""

    items: list[HistoryItem]
    next: str


@dataclass(frozen=True, slots=True)
class Copy:
    """A request that came under a known id: late (after the id's rollback), or asking for something else."""

    at: datetime
    kind: Kind
    user_id: str
    currency: str
    amount: str | None
    decline: str | None
    raw: bytes
    late: bool


@dataclass(frozen=True, slots=True)
class TransactionView:
    """A stored transaction with everything that is known of it."""

    own_id: int
    operator: str
    tx_id: str
    kind: Kind
    user_id: str
    currency: str
    amount: str | None
    delta: int
    balance_after: int | None
    decline: str | None
    target_id: str | None
    reversed_by: str | None
    altered: bool
    at: datetime
    raw: bytes
    copies: tuple[Copy, ...]


class HistoryStore:
    """Reads of the ledger for people."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def history(
        self, user_id: str, *, currency: str | None = None, after: str | None = None, limit: int = 50
    ) -> HistoryPage:
        """A player's transactions: after a cursor oldest first, without one the newest first.

        The cursor is a place in every account's own numbering, so that nothing committed later is missed,
        whichever process committed it. `after=""` begins at the beginning.

        Raises:
            NotFound: no such player, or no account in `currency`.
            InvalidInput: the cursor was not given by this method, or `limit` is not 1 to 1000.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput(f"limit must be 1 to {MAX_PAGE}, not {limit}")
        accounts = await self._pool.fetch(QUERIES.accounts_of, user_id, slot_of(user_id))
        accounts = [row for row in accounts if currency is None or row["currency"] == currency]
        if not accounts:
            raise NotFound(f"no player {user_id!r}" + (f" with an account in {currency}" if currency else ""))
        if after is None:
            return await self._newest(accounts, limit)
        return await self._following(accounts, parse_cursor(after), limit)

    async def _following(self, accounts: list[Any], places: dict[str, int], limit: int) -> HistoryPage:
        pages = []
        for row in accounts:
            place = places.setdefault(row["currency"], 0)
            found = await self._pool.fetch(QUERIES.history_after, row["id"], row["slot"], place, limit)
            pages.append([(row["currency"], each) for each in found])
        items = []
        for currency, row in list(heapq.merge(*pages, key=lambda pair: pair[1]["at"]))[:limit]:
            places[currency] = row["seq"]
            items.append(_item(currency, row, write_cursor(places)))
        return HistoryPage(items, write_cursor(places))

    async def _newest(self, accounts: list[Any], limit: int) -> HistoryPage:
        pages = []
        places: dict[str, int] = {}
        for row in accounts:
            found = await self._pool.fetch(QUERIES.history_newest, row["id"], row["slot"], limit)
            pages.append([(row["currency"], each) for each in found])
            places[row["currency"]] = found[0]["seq"] if found else 0
        newest = write_cursor(places)
        items = []
        merged = heapq.merge(*pages, key=lambda pair: pair[1]["at"], reverse=True)
        for currency, row in list(merged)[:limit]:
            places[currency] = row["seq"]
            items.append(_item(currency, row, write_cursor(places)))
        return HistoryPage(items, newest)

    async def find(self, any_id: str) -> list[TransactionView]:
        """Every transaction with this id, an operator's or the wallet's own.

        Raises:
            NotFound: none has it.
        """
        own_id = int(any_id) if any_id.isascii() and any_id.isdigit() and len(any_id) <= 19 else -1
        rows = await self._pool.fetch(
            QUERIES.find_transactions, any_id, own_id if own_id <= _MAX_OWN_ID else -1, _MAX_FOUND
        )
        if not rows:
            raise NotFound(f"no transaction {any_id!r}")
        return [_view(row, await self._copies(row)) for row in rows]

    async def _copies(self, row: Any) -> tuple[Copy, ...]:
        found = await self._pool.fetch(QUERIES.late_and_altered_copies, row["tx_id"], row["operator_id"])
        return tuple(
            Copy(
                at=copy["at"],
                kind=Kind(copy["kind"]),
                user_id=copy["user_id"],
                currency=copy["currency"],
                amount=copy["amount"],
                decline=copy["verdict"],
                raw=copy["raw"] or b"",
                late=copy["late"],
            )
            for copy in found
        )


def parse_cursor(text: str) -> dict[str, int]:
    """`EUR.12~USD.3` as places by currency; the empty text is the beginning.

    Raises:
        InvalidInput: the text is no cursor.
    """
    places = {}
    for part in text.split("~") if text else ():
        currency, dot, seq = part.partition(".")
        if not (currency and dot and seq.isascii() and seq.isdigit() and len(seq) <= 18):
            raise InvalidInput(
                f"{text!r} is no cursor of this history; leave it out to begin with the newest"
            )
        places[currency] = int(seq)
    return places


def write_cursor(places: Mapping[str, int]) -> str:
    """The text of a cursor; characters that need no escaping in a URL."""
    return "~".join(f"{currency}.{seq}" for currency, seq in sorted(places.items()))


def _item(currency: str, row: Any, cursor: str) -> HistoryItem:
    return HistoryItem(
        cursor=cursor,
        seq=row["seq"],
        own_id=row["own_id"],
        operator=row["operator"],
        tx_id=row["tx_id"],
        kind=Kind(row["kind"]),
        currency=currency,
        amount=row["amount"],
        delta=int(row["delta"]),
        balance_after=int(row["balance_after"]),
        decline=row["verdict"],
        target_id=row["target_tx_id"],
        at=row["at"],
        altered=row["copies"] + row["altered"],
    )


def _view(row: Any, copies: tuple[Copy, ...]) -> TransactionView:
    return TransactionView(
        own_id=row["own_id"],
        operator=row["operator"],
        tx_id=row["tx_id"],
        kind=Kind(row["kind"]),
        user_id=row["user_id"],
        currency=row["currency"],
        amount=row["amount"],
        delta=int(row["delta"]),
        balance_after=None if row["balance_after"] is None else int(row["balance_after"]),
        decline=row["verdict"],
        target_id=row["target_tx_id"],
        reversed_by=row["reversed_by"],
        altered=row["altered"],
        at=row["at"],
        raw=row["raw"] or b"",
        copies=copies,
    )
