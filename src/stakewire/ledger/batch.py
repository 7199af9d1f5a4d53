"""A batch of requests, decided in the order of arrival: one plan, written entirely or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from stakewire.ids import OwnIds, slot_of
from stakewire.ledger.decide import Decision, Moment, decide_move, decide_rollback, mismatched
from stakewire.ledger.fingerprint import fingerprint, storable_amount, storable_currency
from stakewire.ledger.limits import day_change
from stakewire.ledger.types import (
    AccountState,
    DayUse,
    Decline,
    Kind,
    LateArrival,
    LedgerRequest,
    Outcome,
    PlayerState,
    Transaction,
    TxKey,
)


class BatchState(Struct, gc=False):
    """What was read for a batch: players by name, stored transactions (ids and targets) by key."""

    players: dict[str, PlayerState]
    known: dict[TxKey, Transaction]


class AccountChange(Struct, gc=False):
    """An account after the batch, and what it must still be when the batch is written."""

    user_id: str
    old_version: int
    old_balance: int
    new: AccountState


class HousePosting(Struct, gc=False):
    """The other side of all postings of one operator and currency in an entry."""

    slot: int
    operator_id: int
    currency: str
    delta: int


class Reversal(Struct, frozen=True, gc=False):
    """`by_tx_id` undid `target_id`; at most one such row can exist per target."""

    operator_id: int
    target_id: str
    by_tx_id: str
    slot: int


class AlteredCopy(Struct, frozen=True, gc=False):
    """A copy of a known id that asked for something else; kept to be shown, moves nothing."""

    operator_id: int
    tx_id: str
    slot: int
    kind: Kind
    user_id: str
    currency: str
    amount: str | None
    fingerprint: bytes
    raw: bytes


class Plan(Struct, gc=False):
    """What a batch comes to: the answers, in the order asked, and the rows that make them true."""

    at: datetime
    entry_id: int
    outcomes: list[Outcome] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    accounts: dict[int, AccountChange] = field(default_factory=dict)
    house: list[HousePosting] = field(default_factory=list)
    reversals: list[Reversal] = field(default_factory=list)
    late: list[tuple[Transaction, LateArrival]] = field(default_factory=list)
    altered: list[AlteredCopy] = field(default_factory=list)
    days: dict[tuple[int, date], tuple[int, DayUse]] = field(default_factory=dict)
    """(account, day) -> (slot, what to add to that day)."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write: only copies and requests that are never stored."""
        return not (self.transactions or self.late or self.altered)


def resolve(requests: Sequence[LedgerRequest], state: BatchState, *, moment: Moment, ids: OwnIds) -> Plan:
    """Decide every request in order; each sees the effects of those before it.

    `state` holds every existing player, id and target that the requests name, and is not changed.
    """
    resolver = _Resolver(state, moment, ids)
    for asked in requests:
        resolver.take(asked)
    return resolver.finish()


def keys_of(requests: Sequence[LedgerRequest]) -> set[TxKey]:
    """Every id and target whose stored transaction `resolve` must be told of."""
    keys = {(asked.operator_id, asked.tx_id) for asked in requests}
    keys.update((asked.operator_id, asked.target_id) for asked in requests if asked.target_id is not None)
    return keys


_ROLLBACK: Final = Kind.ROLLBACK  # reading an enum's member costs several times as much as a name


class _Resolver:
    __slots__ = ("_fresh", "_house", "_ids", "_known", "_moment", "_plan", "_players")

    def __init__(self, state: BatchState, moment: Moment, ids: OwnIds) -> None:
        self._players = state.players
        self._known = state.known
        self._fresh: dict[TxKey, Transaction] = {}
        self._house: dict[tuple[int, str], HousePosting] = {}
        self._moment = moment
        self._ids = ids
        self._plan = Plan(moment.now, ids.next())

    def take(self, asked: LedgerRequest) -> None:
        known = self._find((asked.operator_id, asked.tx_id))
        if known is None:
            outcome = self._take_new(asked)
        elif known.kind is Kind.TOMBSTONE:
            outcome = self._take_late(asked, known)
        else:
            outcome = self._answer_again(
                asked, known, known.kind, known.target_id, known.fingerprint, known.decline
            )
        self._plan.outcomes.append(outcome)

    def finish(self) -> Plan:
        self._plan.house = list(self._house.values())
        return self._plan

    def _find(self, key: TxKey) -> Transaction | None:
        return self._fresh.get(key) or self._known.get(key)

    def _account(self, player: PlayerState, currency: str) -> AccountState | None:
        """The account as the requests before this one left it."""
        account = player.accounts.get(currency)
        if account is None:
            return None
        change = self._plan.accounts.get(account.account_id)
        return account if change is None else change.new

    def _take_new(self, asked: LedgerRequest) -> Outcome:
        player = self._players.get(asked.user_id)
        account = None if player is None else self._account(player, asked.currency)
        if asked.kind is not _ROLLBACK:
            target = None
            decision = decide_move(asked, player, account, self._moment)
        else:
            assert asked.target_id is not None, "a rollback names its target"
            target = self._find((asked.operator_id, asked.target_id))
            decision = decide_rollback(asked, target, account, self._moment.currencies)
        if not decision.stored:
            return Outcome(decision.decline, None)
        row = self._store(asked, decision, player, account)
        if decision.tombstone:
            self._bury(asked, row)
        if decision.reverses:
            assert target is not None
            self._reverse(asked, target, row)
        if account is not None and account.limited and decision.delta:
            self._count(row, target)
        return Outcome(decision.decline, row.own_id)

    def _store(
        self,
        asked: LedgerRequest,
        decision: Decision,
        player: PlayerState | None,
        account: AccountState | None,
    ) -> Transaction:
        row = Transaction(
            asked.tx_id,
            asked.operator_id,
            self._ids.next(),
            asked.kind,
            asked.user_id,
            asked.currency if account is not None else storable_currency(asked.currency),
            storable_amount(asked.amount),
            decision.delta,
            decision.decline,
            asked.target_id,
            fingerprint(asked),
            slot_of(asked.user_id) if player is None else player.slot,
            None,
            None,
            None,
            decision.altered,
            asked.raw,
            self._plan.at,
        )
        if account is not None:
            self._post(row, account)
        self._plan.transactions.append(row)
        self._fresh[row.operator_id, row.tx_id] = row
        return row

    def _post(self, row: Transaction, account: AccountState) -> None:
        """Put the row on the batch's own copy of its account, and its counterpart on the house's."""
        change = self._plan.accounts.get(account.account_id)
        if change is None:
            new = replace(account, version=account.version + 1)
            if account.limited:  # only then are days counted
                new.days = {day: replace(use) for day, use in account.days.items()}
            change = AccountChange(row.user_id, account.version, account.balance, new)
            self._plan.accounts[account.account_id] = change
        new = change.new
        new.seq += 1
        new.balance += row.delta
        row.account_id = new.account_id
        row.seq = new.seq
        row.balance_after = new.balance
        if row.delta:
            key = (row.operator_id, row.currency)
            posting = self._house.get(key)
            if posting is None:
                posting = self._house[key] = HousePosting(row.slot, row.operator_id, row.currency, 0)
            posting.delta -= row.delta

    def _bury(self, asked: LedgerRequest, by: Transaction) -> None:
        """Take the unknown target's own id, so that the late transaction meets it whatever it is."""
        assert asked.target_id is not None
        stone = Transaction(
            asked.target_id,
            asked.operator_id,
            self._ids.next(),
            Kind.TOMBSTONE,
            by.user_id,
            by.currency,
            None,
            0,
            None,
            by.tx_id,
            b"",
            by.slot,
            at=self._plan.at,
        )
        self._plan.transactions.append(stone)
        self._fresh[asked.operator_id, asked.target_id] = stone

    def _reverse(self, asked: LedgerRequest, target: Transaction, by: Transaction) -> None:
        target_key = (target.operator_id, target.tx_id)
        if target_key not in self._fresh:  # the caller's state stays as it was read
            self._fresh[target_key] = target = replace(target)
        target.reversed = True
        self._plan.reversals.append(Reversal(asked.operator_id, target.tx_id, by.tx_id, by.slot))

    def _count(self, row: Transaction, target: Transaction | None) -> None:
        """Add a posting to the day of its bet or result, if a running window reaches that day."""
        moment = self._moment
        counted = row if target is None else target
        assert row.account_id is not None
        assert counted.at is not None
        day = moment.calendar.day_of(counted.at)
        stakes, results = day_change(counted.kind, row.delta)
        if day < moment.calendar.earliest(moment.today) or not (stakes or results):
            return
        use = self._plan.accounts[row.account_id].new.days.setdefault(day, DayUse())
        use.stakes_minor += stakes
        use.results_minor += results
        _, added = self._plan.days.setdefault((row.account_id, day), (row.slot, DayUse()))
        added.stakes_minor += stakes
        added.results_minor += results

    def _take_late(self, asked: LedgerRequest, stone: Transaction) -> Outcome:
        """A request under a tombstone's id: never moves money, and only a result succeeds."""
        if stone.late is not None:
            late = stone.late
            return self._answer_again(
                asked, stone, late.kind, asked.target_id, late.fingerprint, late.decline
            )
        decline = None if asked.kind is Kind.RESULT else Decline.TRANSACTION_ROLLED_BACK
        currency = storable_currency(asked.currency)
        late = LateArrival(asked.kind, decline, fingerprint(asked), asked.user_id, currency, asked.raw)
        key = (asked.operator_id, asked.tx_id)
        if key not in self._fresh:
            self._fresh[key] = stone = replace(stone)
        stone.late = late
        self._plan.late.append((stone, late))
        return Outcome(decline, stone.own_id)

    def _answer_again(
        self,
        asked: LedgerRequest,
        known: Transaction,
        kind: Kind,
        target_id: str | None,
        first: bytes,
        decline: Decline | None,
    ) -> Outcome:
        """The first answer; or, if the copy asks for something else, what the profile says."""
        mark = fingerprint(asked)
        altered = mark != first
        if altered:
            copy = AlteredCopy(
                asked.operator_id,
                asked.tx_id,
                known.slot,
                asked.kind,
                asked.user_id,
                storable_currency(asked.currency),
                storable_amount(asked.amount),
                mark,
                asked.raw,
            )
            self._plan.altered.append(copy)
            if mismatched(asked, kind, target_id, altered):
                decline = Decline.TRANSACTION_MISMATCH
        return Outcome(decline, known.own_id, replay=True, altered=altered)
