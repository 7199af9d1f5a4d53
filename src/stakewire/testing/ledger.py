"""The ledger's store in memory: the same promises as PostgreSQL's, for tests of code that commits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from datetime import date, datetime

from stakewire.ids import OwnIds, slot_of
from stakewire.ledger.batch import AlteredCopy, HousePosting, Plan, Reversal
from stakewire.ledger.store import BatchConflict, IdTaken, StoreUnavailable
from stakewire.ledger.types import AccountState, Limit, PlayerState, Status, Transaction, TxKey

_ALTERED_KEPT = 16


class MemoryLedger:
    """A `stakewire.ledger.store.LedgerStore`. It hands out copies; what it keeps is public, to look at.

    `away` True makes every call fail as if the database were gone.
    """

    def __init__(self) -> None:
        self.players: dict[str, PlayerState] = {}
        self.transactions: dict[TxKey, Transaction] = {}
        self.reversals: dict[TxKey, Reversal] = {}
        self.altered: dict[tuple[int, str, bytes], AlteredCopy] = {}
        self.house: list[tuple[int, HousePosting]] = []
        self.away = False

    def add_player(self, user_id: str, *currencies: str, ids: OwnIds) -> None:
        """Make a player with empty accounts; accounts that exist stay as they are."""
        slot = slot_of(user_id)
        player = self.players.setdefault(user_id, PlayerState(user_id, slot))
        for currency in currencies:
            if currency not in player.accounts:
                player.accounts[currency] = AccountState(ids.next(), slot, currency, 0, 0, 0)

    def set_standing(self, user_id: str, status: Status, excluded_until: datetime | None = None) -> None:
        """Block, unblock, close or exclude; decisions made from older copies can no longer be written."""
        player = self.players[user_id]
        player.status, player.excluded_until = status, excluded_until
        for account in player.accounts.values():
            account.version += 1

    def set_limits(self, user_id: str, currency: str, limits: Iterable[Limit]) -> None:
        """Replace an account's limits; days are counted from the first limit on."""
        account = self.players[user_id].accounts[currency]
        account.limits = tuple(limits)
        account.limited = account.limited or bool(account.limits)
        account.version += 1

    def apply(self, plan: Plan) -> None:
        """Write a plan; or nothing, and raise BatchConflict, if an account changed or an id is taken."""
        self._check(plan)
        for change in plan.accounts.values():
            self.players[change.user_id].accounts[change.new.currency] = deepcopy(change.new)
        for transaction in plan.transactions:
            self.transactions[transaction.operator_id, transaction.tx_id] = deepcopy(transaction)
        for reversal in plan.reversals:
            self.reversals[reversal.operator_id, reversal.target_id] = reversal
            self.transactions[reversal.operator_id, reversal.target_id].reversed = True
        for stone, late in plan.late:
            self.transactions[stone.operator_id, stone.tx_id].late = deepcopy(late)
        for copy in plan.altered:
            kept = sum(key[:2] == (copy.operator_id, copy.tx_id) for key in self.altered)
            if kept < _ALTERED_KEPT:
                self.altered.setdefault((copy.operator_id, copy.tx_id, copy.fingerprint), copy)
        self.house += [(plan.entry_id, posting) for posting in plan.house]

    def _check(self, plan: Plan) -> None:
        for account_id, change in plan.accounts.items():
            now = self.players[change.user_id].accounts[change.new.currency]
            was = (now.account_id, now.version, now.balance)
            if was != (account_id, change.old_version, change.old_balance):
                raise BatchConflict("an account was changed by somebody else")
        taken = [(row.operator_id, row.tx_id) for row in plan.transactions]
        if len(set(taken)) < len(taken) or any(key in self.transactions for key in taken):
            raise IdTaken("an id is taken")
        targets = [(row.operator_id, row.target_id) for row in plan.reversals]
        if len(set(targets)) < len(targets) or any(key in self.reversals for key in targets):
            raise IdTaken("a target is undone already")
        new = set(taken)
        for stone, _ in plan.late:
            key = (stone.operator_id, stone.tx_id)
            if key not in new and self.transactions[key].late is not None:
                raise IdTaken("a tombstone was met already")

    async def read_players(self, user_ids: Sequence[str], since: date) -> list[PlayerState]:
        """See `Reader.read_players`."""
        self._check_there()
        players = [deepcopy(self.players[name]) for name in user_ids if name in self.players]
        for player in players:
            for account in player.accounts.values():
                account.days = {day: use for day, use in account.days.items() if day >= since}
        return players

    async def read_known(self, keys: Iterable[TxKey]) -> list[Transaction]:
        """See `Reader.read_known`."""
        self._check_there()
        return [deepcopy(self.transactions[key]) for key in keys if key in self.transactions]

    async def write(self, plan: Plan) -> None:
        """See `LedgerStore.write`."""
        self._check_there()
        self.apply(plan)

    @asynccontextmanager
    async def locked(self, user_ids: Sequence[str]) -> AsyncIterator[MemoryLedger]:
        """See `LedgerStore.locked`: nothing else runs between these reads and this write."""
        self._check_there()
        yield self

    async def reconnect(self) -> None:
        """See `LedgerStore.reconnect`."""
        self._check_there()

    async def close(self) -> None:
        """See `LedgerStore.close`."""

    def _check_there(self) -> None:
        if self.away:
            raise StoreUnavailable("the database is away")
