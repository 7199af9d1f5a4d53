"""From what the stores give to the documents of the admin API and of `--json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from stakewire.ledger.types import Decline, Kind
from stakewire.money import Currencies, Currency, format_minor
from stakewire.postgres.wallet.audit import Audit
from stakewire.postgres.wallet.history import Copy, HistoryItem, TransactionView
from stakewire.postgres.wallet.operators import OperatorRow
from stakewire.postgres.wallet.players import AccountView, LimitView, PlayerView
from stakewire.wallet.admin import types
from stakewire.wallet.answers import CODES
from stakewire.wallet.operators import MadeKey, callback_path

KINDS: Final[Mapping[Kind, types.TransactionKind]] = {
    Kind.BET: "bet",
    Kind.RESULT: "result",
    Kind.ROLLBACK: "rollback",
    Kind.DEPOSIT: "deposit",
    Kind.WITHDRAW: "withdraw",
    Kind.TOMBSTONE: "tombstone",
}


def player_document(view: PlayerView, currencies: Currencies) -> types.Player:
    """A player, with amounts as decimal strings."""
    return types.Player(
        user_id=view.user_id,
        status=view.status.value,
        excluded_until=view.excluded_until,
        accounts=[_account(account, currencies.get(account.currency)) for account in view.accounts],
    )


def history_item(item: HistoryItem, currencies: Currencies) -> types.HistoryItem:
    """A line of a player's history."""
    currency = currencies.get(item.currency)
    return types.HistoryItem(
        seq=item.cursor,
        id=str(item.own_id),
        operator=item.operator,
        transaction_id=item.tx_id,
        kind=KINDS[item.kind],
        amount=item.amount,
        delta=format_minor(item.delta, currency),
        balance_after=format_minor(item.balance_after, currency),
        currency=item.currency,
        error=error_code(item.decline),
        target_id=item.target_id,
        at=item.at,
        altered=item.altered,
    )


def transaction_document(view: TransactionView, currencies: Currencies) -> types.Transaction:
    """A stored transaction with its copies; without an account, `delta` and `balance_after` are null."""
    currency = currencies.find(view.currency) if view.balance_after is not None else None
    return types.Transaction(
        id=str(view.own_id),
        operator=view.operator,
        transaction_id=view.tx_id,
        kind=KINDS[view.kind],
        user_id=view.user_id,
        currency=view.currency,
        amount=view.amount,
        delta=None if currency is None else format_minor(view.delta, currency),
        balance_after=(
            None
            if currency is None or view.balance_after is None
            else format_minor(view.balance_after, currency)
        ),
        error=error_code(view.decline),
        target_id=view.target_id,
        rolled_back_by=view.reversed_by,
        altered_amount=view.altered,
        at=view.at,
        raw=_text(view.raw),
        copies=[_copy(copy) for copy in view.copies],
    )


def verification_document(audit: Audit) -> types.Verification:
    """What `verify` recomputed, and every row that breaks a promise."""
    return types.Verification(
        ok=audit.is_clean,
        transactions=audit.transactions,
        accounts=audit.accounts,
        broken=audit.broken,
        problems=[
            types.Problem(check=problem.check, row=problem.row, detail=problem.detail)
            for problem in audit.problems
        ],
        unnamed=audit.unnamed,
    )


def operators_document(rows: Iterable[OperatorRow]) -> types.Operators:
    """All operators; secrets by number and age only."""
    return types.Operators(operators=[operator_document(row) for row in rows])


def key_document(made: MadeKey) -> types.OperatorKey:
    """A new security hash, shown this once."""
    return types.OperatorKey(
        name=made.name,
        callback_path=callback_path(made.name),
        security_hash=made.security_hash,
        retired=made.retired,
    )


def error_code(decline: str | None) -> str | None:
    """The code that the operator was answered, in the wire's spelling."""
    return None if decline is None else CODES[Decline(decline)].value


def _account(view: AccountView, currency: Currency) -> types.Account:
    return types.Account(
        currency=view.currency,
        balance=format_minor(view.balance_minor, currency),
        limits=[_limit(limit, currency) for limit in view.limits],
    )


def _limit(view: LimitView, currency: Currency) -> types.Limit:
    return types.Limit(
        kind=view.kind.value,
        per=view.period.value,
        amount=format_minor(view.amount_minor, currency),
        used=format_minor(view.used_minor, currency),
    )


def _copy(copy: Copy) -> types.TransactionCopy:
    return types.TransactionCopy(
        at=copy.at,
        kind=KINDS[copy.kind],
        user_id=copy.user_id,
        currency=copy.currency,
        amount=copy.amount,
        error=error_code(copy.decline),
        late=copy.late,
        raw=_text(copy.raw),
    )


def operator_document(row: OperatorRow) -> types.Operator:
    """One operator, with the profile in force."""
    secrets = [
        types.OperatorSecret(
            id=secret.secret_id,
            created_at=secret.created_at,
            retire_at=secret.retire_at,
            retired_at=secret.retired_at,
            last_used_at=secret.last_used_at,
            last_header=secret.last_header,
        )
        for secret in row.secrets
    ]
    return types.Operator(
        name=row.name,
        callback_path=callback_path(row.name),
        profile=row.profile.as_mapping(),
        secrets=secrets,
        created_at=row.created_at,
    )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
