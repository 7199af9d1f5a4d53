"""One function per action: the contract's checks in the contract's order, and nothing else.

Each is told what is known and returns a `Decision`; `batch.py` carries it out. The first check that
fails answers.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from msgspec import Struct

from stakewire.ledger.limits import Calendar, would_exceed
from stakewire.ledger.types import (
    AccountState,
    Decline,
    Kind,
    LedgerRequest,
    PlayerState,
    Policy,
    Transaction,
)
from stakewire.money import Currencies, Currency, InvalidAmount, to_minor


class Decision(Struct, frozen=True, gc=False):
    """What to do with a request whose id is not known yet.

    `stored` False: answered and forgotten, so that the same id is decided anew. `reverses`: the target
    is undone by this. `tombstone`: the target's id is taken, so that it can never move money.
    """

    decline: Decline | None = None
    delta: int = 0
    stored: bool = True
    reverses: bool = False
    tombstone: bool = False
    altered: bool = False


class Moment(NamedTuple):
    """When a batch is decided, and the installation's settings that decisions need."""

    now: datetime
    today: date
    calendar: Calendar
    currencies: Currencies


_BET: Final = Kind.BET  # reading an enum's member costs several times as much as a name
_WITHDRAW: Final = Kind.WITHDRAW

_INVALID: Final = Decision(Decline.INVALID_REQUEST, stored=False)
_NO_USER: Final = Decision(Decline.USER_NOT_FOUND, stored=False)
_NO_ACCOUNT: Final = Decision(Decline.CURRENCY_MISMATCH, stored=False)
_BLOCKED: Final = Decision(Decline.USER_BLOCKED)
_LIMITED: Final = Decision(Decline.LIMIT_EXCEEDED)
_NO_MONEY: Final = Decision(Decline.INSUFFICIENT_FUNDS)
_NOT_ALLOWED: Final = Decision(Decline.ROLLBACK_NOT_ALLOWED)
_MISMATCH: Final = Decision(Decline.TRANSACTION_MISMATCH)
_MOVES_NOTHING: Final = Decision()


def decide_move(
    asked: LedgerRequest, player: PlayerState | None, account: AccountState | None, moment: Moment
) -> Decision:
    """Bet, result, deposit or withdrawal under a new id. `account` is the player's in this currency."""
    currency = moment.currencies.find(asked.currency)
    if currency is None:
        return _INVALID
    try:
        amount = to_minor(asked.amount, currency)
    except InvalidAmount:
        return _INVALID
    if player is None:
        return _NO_USER
    if account is None:
        return _NO_ACCOUNT
    if asked.kind is _BET:
        return _decide_bet(amount, player, account, moment)
    if asked.kind is _WITHDRAW:
        return _NO_MONEY if amount > max(account.balance, 0) else Decision(None, -amount)
    return Decision(None, amount)


def _decide_bet(amount: int, player: PlayerState, account: AccountState, moment: Moment) -> Decision:
    if not player.may_bet(moment.now):
        return _BLOCKED
    if amount == 0:
        return _MOVES_NOTHING  # neither limits nor money stand against nothing
    if account.limits and would_exceed(account, amount, moment.today, moment.calendar):
        return _LIMITED
    if amount > account.balance:
        return _NO_MONEY
    return Decision(None, -amount)


def decide_rollback(
    asked: LedgerRequest, target: Transaction | None, account: AccountState | None, currencies: Currencies
) -> Decision:
    """A rollback under a new id. The target decides; `account` is the named player's in this currency."""
    if asked.target_id == asked.tx_id:
        return _NOT_ALLOWED
    if target is None or (target.kind is Kind.TOMBSTONE and target.late is None):
        # Never came; a tombstone alone does not make it known, so a second rollback is told the same.
        refuse = asked.policy.refuse_unknown_rollback
        return Decision(Decline.ROLLBACK_NOT_ALLOWED if refuse else None, tombstone=target is None)
    if target.kind is Kind.TOMBSTONE:
        return _MOVES_NOTHING  # undone already, whoever this rollback names
    if target.kind is not Kind.BET and target.kind is not Kind.RESULT:
        return _NOT_ALLOWED
    if target.user_id != asked.user_id or target.currency != asked.currency:
        return _MISMATCH
    altered = is_another_amount(asked.amount, target, currencies.find(target.currency))
    if target.decline is not None or target.reversed:
        return Decision(altered=altered)
    return _undo(target, account, asked.policy, altered)


def _undo(target: Transaction, account: AccountState | None, policy: Policy, altered: bool) -> Decision:
    assert account is not None, "an accepted transaction has an account, and accounts are never deleted"
    delta = -target.delta
    if delta < 0 and policy.refuse_negative_rollback and account.balance + delta < 0:
        return Decision(Decline.ROLLBACK_NOT_ALLOWED, altered=altered)
    return Decision(None, delta, reverses=True, altered=altered)


def is_another_amount(amount: Decimal, target: Transaction, currency: Currency | None) -> bool:
    """Whether a rollback names another amount, by value, than the transaction it undoes."""
    if currency is None:
        return True
    try:
        return target.amount is None or to_minor(amount, currency) != to_minor(
            Decimal(target.amount), currency
        )
    except InvalidAmount:
        return True


def mismatched(asked: LedgerRequest, known_kind: Kind, known_target: str | None, altered: bool) -> bool:
    """Whether a request under a known id is answered TRANSACTION_MISMATCH instead of the first answer.

    Another action or another target always is: success would hide a payout or a refund that never happened.
    """
    if asked.kind is not known_kind or asked.target_id != known_target:
        return True
    return altered and asked.policy.refuse_altered
