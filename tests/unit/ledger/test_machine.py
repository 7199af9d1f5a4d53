"""The pure ledger against the reference model, in hostile batches."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime

from hypothesis import settings
from tests.ledger_machine import CURRENCIES, LedgerMachine

from stakewire.ids import OwnIds
from stakewire.ledger.batch import BatchState, keys_of, resolve
from stakewire.ledger.decide import Moment
from stakewire.ledger.limits import Calendar
from stakewire.ledger.types import LedgerRequest, Limit, Outcome, Status
from stakewire.testing import MemoryLedger


class PureLedger(LedgerMachine):
    """`resolve` on what the memory twin holds; the plan is written back, checked as a database would."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryLedger()
        self.ids = OwnIds(1)
        self.calendar = Calendar(UTC)

    def open_accounts(self, accounts: dict[str, tuple[str, ...]]) -> None:
        for user, currencies in accounts.items():
            self.memory.add_player(user, *currencies, ids=self.ids)
            for currency in currencies:
                self.memory.players[user].accounts[currency].limited = True

    def carry_out(self, requests: list[LedgerRequest]) -> list[Outcome]:
        now = self.clock.now()
        moment = Moment(now, self.calendar.day_of(now), self.calendar, CURRENCIES)
        known = {
            key: self.memory.transactions[key] for key in keys_of(requests) if key in self.memory.transactions
        }
        plan = resolve(requests, BatchState(self.memory.players, known), moment=moment, ids=self.ids)
        assert plan.is_empty == (not (plan.transactions or plan.late or plan.altered))
        self.memory.apply(plan)
        self._check_entries()
        return plan.outcomes

    def _check_entries(self) -> None:
        """Double entry: postings of every operator and currency, both sides, come to nothing."""
        sums: dict[tuple[int, str], int] = defaultdict(int)
        for transaction in self.memory.transactions.values():
            sums[transaction.operator_id, transaction.currency] += transaction.delta
        for _, posting in self.memory.house:
            sums[posting.operator_id, posting.currency] += posting.delta
        assert not any(sums.values())

    def balances(self) -> dict[tuple[str, str], int]:
        return {
            (user, currency): account.balance
            for user, player in self.memory.players.items()
            for currency, account in player.accounts.items()
        }

    def stand(self, user: str, status: Status, excluded_until: datetime | None) -> None:
        self.memory.set_standing(user, status, excluded_until)

    def limit(self, user: str, currency: str, limits: list[Limit]) -> None:
        self.memory.set_limits(user, currency, limits)


TestPureLedger = PureLedger.TestCase
TestPureLedger.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)
