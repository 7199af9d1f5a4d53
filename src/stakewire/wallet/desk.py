"""What people and platforms ask of the wallet besides callbacks; admin API and shell both come here.

Amounts come and go as decimal strings. Acts carry an id that is kept for ever: sent twice, done once.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol

import asyncpg

from stakewire.clock import Clock
from stakewire.errors import Conflict, InvalidInput, NotFound, Refused, StakewireError, Unavailable
from stakewire.ids import OwnIds, Tokens
from stakewire.ledger.limits import Calendar
from stakewire.ledger.store import StoreUnavailable
from stakewire.ledger.types import (
    CASHIER,
    CASHIER_POLICY,
    Decline,
    Kind,
    LedgerRequest,
    LimitKind,
    Outcome,
    Period,
    Status,
)
from stakewire.money import Currencies, format_minor, from_minor, parse_amount
from stakewire.postgres.wallet.acts import is_known_act
from stakewire.postgres.wallet.audit import verify
from stakewire.postgres.wallet.debts import Debt, debts
from stakewire.postgres.wallet.faults import available
from stakewire.postgres.wallet.history import HistoryStore
from stakewire.postgres.wallet.players import PlayerStore, PlayerView
from stakewire.postgres.wallet.store import PostgresLedger, lease_ids
from stakewire.postgres.wallet.zone import fix_calendar, read_calendar
from stakewire.wallet.admin import types
from stakewire.wallet.answers import CODES
from stakewire.wallet.committer import Committer
from stakewire.wallet.documents import (
    history_item,
    player_document,
    transaction_document,
    verification_document,
)
from stakewire.wire.sportsbook.messages import MAX_ID_LENGTH, valid_id

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

ACT_ID_BYTES: Final = 16
NAMED_ROWS: Final = 1000  # broken rows per check in an answer over HTTP; the shell names all
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Cashier(Protocol):
    """Applies deposits and withdrawals (`wallet.committer.Committer`)."""

    async def apply(self, request: LedgerRequest) -> Outcome:
        """The outcome, once it is durable."""


class WalletDesk:
    """Acts on players and reads of the ledger.

    Every method raises InvalidInput for a value that cannot be, NotFound for a player or account that is
    not there, Conflict for an id that was used for something else, and Unavailable when the database is away.
    """

    def __init__(
        self,
        pool: Pool,
        cashier: Cashier,
        *,
        ids: OwnIds,
        currencies: Currencies,
        calendar: Calendar,
        clock: Clock,
        tokens: Tokens,
    ) -> None:
        self._pool = pool
        self._cashier = cashier
        self._currencies = currencies
        self._calendar = calendar
        self._clock = clock
        self._tokens = tokens
        self._players = PlayerStore(pool, ids, calendar)
        self._history = HistoryStore(pool)

    async def add_player(
        self, user_id: str, currency: str, deposit: str | None, act_id: str | None
    ) -> types.Player:
        """Make a player, or a further account of a player, with a first deposit if one is given.

        The same id again pays nothing in a second time; with another deposit, or none, it is another act.
        Conflict also when the account is there already.
        """
        _check_user(user_id)
        known = self._currencies.get(currency)
        minor = None if deposit is None else parse_amount(deposit, known)
        act = self._act(act_id)
        with available():
            if not await is_known_act(self._pool, act) and await self._has_account(user_id, currency):
                raise Conflict(
                    f"player {user_id!r} has an account in {currency} already", code="ACCOUNT_EXISTS"
                )
            await self._players.add(user_id, currency, act_id=act, at=self._clock.now(), deposit_minor=minor)
        if deposit is not None:
            await self.deposit(user_id, deposit, currency, act)
        return await self.show_player(user_id)

    async def show_player(self, user_id: str) -> types.Player:
        """Status, exclusion, balances and limits."""
        return player_document(await self._show(user_id), self._currencies)

    async def deposit(self, user_id: str, amount: str, currency: str, act_id: str | None) -> types.Movement:
        """Pay in."""
        return await self._move(Kind.DEPOSIT, user_id, amount, currency, act_id)

    async def withdraw(self, user_id: str, amount: str, currency: str, act_id: str | None) -> types.Movement:
        """Pay out. Raises Refused when there is too little money; that id is then refused for ever."""
        return await self._move(Kind.WITHDRAW, user_id, amount, currency, act_id)

    async def set_status(self, user_id: str, status: Status, act_id: str | None) -> types.Player:
        """Block, unblock or close; an exclusion stays as it is. Conflict when the player is closed."""
        _check_user(user_id)
        with available():
            await self._players.set_status(user_id, status, act_id=self._act(act_id), at=self._clock.now())
        return await self.show_player(user_id)

    async def exclude(self, user_id: str, until: str, act_id: str | None) -> types.Player:
        """Self-exclude until a date (its first moment in the wallet's zone) or a time. Never shortened."""
        _check_user(user_id)
        moment = self._moment(until)
        with available():
            await self._players.exclude(user_id, moment, act_id=self._act(act_id), at=self._clock.now())
        return await self.show_player(user_id)

    async def limit(
        self,
        user_id: str,
        kind: LimitKind,
        amount: str | None,
        currency: str,
        per: Period,
        act_id: str | None,
    ) -> types.Player:
        """Set a limit, or remove it with `amount` None."""
        _check_user(user_id)
        known = self._currencies.get(currency)
        minor = None if amount is None else parse_amount(amount, known)
        with available():
            await self._players.set_limit(
                user_id, currency, kind, per, minor, act_id=self._act(act_id), at=self._clock.now()
            )
        return await self.show_player(user_id)

    async def history(
        self, user_id: str, *, limit: int, after: str | None, currency: str | None
    ) -> types.HistoryPage:
        """Newest first; after a cursor, what came since, oldest first. `next` goes on from the newest."""
        _check_user(user_id)
        if currency is not None:
            self._currencies.get(currency)
        with available():
            page = await self._history.history(user_id, currency=currency, after=after, limit=limit)
        items = [history_item(item, self._currencies) for item in page.items]
        return types.HistoryPage(items=items, next=page.next)

    async def transactions(self, any_id: str) -> types.Transactions:
        """Every transaction with this id, the wallet's own or an operator's."""
        if not valid_id(any_id):
            raise NotFound(f"no transaction {any_id!r}")
        with available():
            found = await self._history.find(any_id)
        return types.Transactions(
            transactions=[transaction_document(view, self._currencies) for view in found]
        )

    async def verify(self) -> types.Verification:
        """Recompute every invariant of the ledger; names at most 1,000 broken rows per check."""
        return await _verify(self._pool, self._currencies, self._calendar, self._clock, NAMED_ROWS)

    async def debts(self) -> list[tuple[str, int, float]]:
        """(currency, accounts below zero, what they owe in whole units), for the metrics alone: a float."""
        with available():
            found = await debts(self._pool)
        return [(debt.currency, debt.accounts, self._whole_units(debt)) for debt in found]

    def _whole_units(self, debt: Debt) -> float:
        return float(from_minor(debt.owed_minor, self._currencies.get(debt.currency)))

    async def _move(
        self, kind: Kind, user_id: str, amount: str, currency: str, act_id: str | None
    ) -> types.Movement:
        _check_user(user_id)
        known = self._currencies.get(currency)
        minor = parse_amount(amount, known)
        act = self._act(act_id)
        outcome = await self._cashier.apply(
            LedgerRequest(
                CASHIER,
                act,
                kind,
                user_id,
                currency,
                Decimal(amount),
                policy=CASHIER_POLICY,
                received_at=self._clock.monotonic(),
            )
        )
        if outcome.decline is not None:
            raise _refusal(outcome.decline, user_id, currency, act)
        with available():
            done = [view for view in await self._history.find(act) if view.own_id == outcome.own_id]
        balance = done[0].balance_after
        assert balance is not None, "an accepted movement has an account"
        return types.Movement(
            id=str(outcome.own_id),
            transaction_id=act,
            user_id=user_id,
            currency=currency,
            amount=format_minor(minor, known),
            balance=format_minor(balance, known),
            replay=outcome.replay,
        )

    async def _show(self, user_id: str) -> PlayerView:
        _check_user(user_id)
        with available():
            return await self._players.show(user_id, self._clock.now())

    async def _has_account(self, user_id: str, currency: str) -> bool:
        try:
            player = await self._show(user_id)
        except NotFound:
            return False
        return any(account.currency == currency for account in player.accounts)

    def _act(self, act_id: str | None) -> str:
        if act_id is None:
            return f"act-{self._tokens.token(ACT_ID_BYTES)}"
        if not valid_id(act_id):
            raise InvalidInput(f"an act's id has 1 to {MAX_ID_LENGTH} characters, no control characters")
        return act_id

    def _moment(self, text: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise InvalidInput(f"{text!r} is no date; write 2027-01-31 or 2027-01-31T12:00:00Z") from None
        if moment.tzinfo is None:
            if not _DATE.fullmatch(text):
                raise InvalidInput(f"{text!r} says no offset from UTC; write 2027-01-31T12:00:00Z")
            moment = moment.replace(tzinfo=self._calendar.zone)
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise InvalidInput(f"{text!r} is outside the calendar") from None


async def verify_ledger(
    pool: Pool, *, currencies: Currencies, time_zone: str | None, clock: Clock, most: int | None = None
) -> types.Verification:
    """Recompute every invariant, without a desk: it only reads. `time_zone` as in `open_desk`.

    Names every broken row, or at most `most` per check.
    """
    with available():
        calendar = await read_calendar(pool, time_zone)
    return await _verify(pool, currencies, calendar, clock, most)


async def _verify(
    pool: Pool, currencies: Currencies, calendar: Calendar, clock: Clock, most: int | None
) -> types.Verification:
    with available():
        audit = await verify(pool, currencies=currencies, calendar=calendar, now=clock.now(), limit=most)
    return verification_document(audit)


@asynccontextmanager
async def open_desk(
    pool: Pool, *, currencies: Currencies, time_zone: str | None, clock: Clock, tokens: Tokens
) -> AsyncIterator[WalletDesk]:
    """A desk with a committer of its own, for a command; `pool` needs at least two connections.

    Raises:
        ConfigError: `time_zone` is not the one that the ledger counts its days in; None takes the ledger's.
    """
    with available():
        calendar = await fix_calendar(pool, time_zone, clock.now())
        ids = await lease_ids(pool, process_name("desk"), clock.now())
    committer = Committer([PostgresLedger(pool)], ids, clock, currencies=currencies, calendar=calendar)
    await start_committer(committer)
    try:
        yield WalletDesk(
            pool, committer, ids=ids, currencies=currencies, calendar=calendar, clock=clock, tokens=tokens
        )
    finally:
        await committer.stop()


async def start_committer(committer: Committer) -> None:
    """Start it; raises Unavailable when the database does not answer."""
    try:
        await committer.start()
    except StoreUnavailable as error:
        raise Unavailable(f"the wallet's database does not answer: {error}") from error


def process_name(what: str) -> str:
    """Who this process is, for whoever looks at the leased writer numbers."""
    return f"{what} {socket.gethostname()} {os.getpid()}"


def _check_user(user_id: str) -> None:
    if not valid_id(user_id):
        raise InvalidInput(f"a player's name has 1 to {MAX_ID_LENGTH} characters, no control characters")


def _refusal(decline: Decline, user_id: str, currency: str, act: str) -> StakewireError:
    match decline:
        case Decline.USER_NOT_FOUND:
            return NotFound(f"no player {user_id!r}", code=decline.value)
        case Decline.CURRENCY_MISMATCH:
            return NotFound(f"player {user_id!r} has no account in {currency}", code=decline.value)
        case Decline.TRANSACTION_MISMATCH:
            return Conflict(f"the id {act!r} was used for another act; use a new one", code="ID_REUSED")
        case Decline.INSUFFICIENT_FUNDS:
            code = CODES[decline].value
            return Refused(
                f"player {user_id!r} has too little money in {currency}; act {act!r} stays refused", code=code
            )
        case Decline.UNAVAILABLE:
            return Unavailable("it is not known whether the money moved; send the same id again")
        case _:
            return InvalidInput(f"refused: {decline.value}")
