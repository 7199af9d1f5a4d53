"""Callbacks, OPERATOR to CLIENT: what they say, read strictly, written in one form (contract section 3)."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from stakewire.money import Currency, format_minor, to_minor
from stakewire.wire.sportsbook.strict_json import MAX_BODY_BYTES, RequestInvalid, parse_object

MAX_ID_LENGTH: Final = 128
_NOT_IN_IDS: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_STORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class Action(StrEnum):
    """What a callback asks for: bet withdraws, result deposits, rollback undoes one of them."""

    BET = "bet"
    RESULT = "result"
    ROLLBACK = "rollback"


class Endpoint(StrEnum):
    """The two paths under the callback URL."""

    TRANSACTION = "transaction"
    ROLLBACK = "transaction-rollback"


class Transaction(msgspec.Struct, frozen=True, gc=False):
    """One callback. A msgspec struct, so that the ordinary body becomes one without a copy in between.

    Attributes:
        transaction_id: OPERATOR's id of this callback.
        amount: as sent, any JSON number; whether it is an amount of money is for `money.to_minor` to say.
        currency: as sent, any text; whether it is a currency is for the wallet to say.
        target_id: the transaction to undo; None unless `action` is ROLLBACK.
    """

    transaction_id: str
    action: Action
    user_id: str
    currency: str
    amount: Decimal
    target_id: str | None = msgspec.field(name="rollback_transaction_id", default=None)


_ACTIONS: Final = {
    Endpoint.TRANSACTION: frozenset({Action.BET, Action.RESULT}),
    Endpoint.ROLLBACK: frozenset({Action.ROLLBACK}),
}
_DECODER: Final = msgspec.json.Decoder(Transaction)
# Looked up once: what an enum names is found in Python.
_ROLLBACK, _AT_ROLLBACK = Action.ROLLBACK, Endpoint.ROLLBACK
_QUOTES: Final = 2 * (5 + 4)  # five names, four of them with string values


def valid_id(text: str) -> bool:
    """Whether this may be a transaction id or a user name.

    1 to 128 characters, any Unicode but control characters and lone surrogates.
    """
    # isprintable answers for nearly all ids at once; it also refuses some spaces, which are allowed.
    return 0 < len(text) <= MAX_ID_LENGTH and (text.isprintable() or not _NOT_IN_IDS.search(text))


def storable(text: str) -> str:
    """The text with NUL and lone surrogates, which PostgreSQL cannot hold, replaced by U+FFFD."""
    return text if text.isprintable() else _NOT_STORABLE.sub("\ufffd", text)


def parse_callback(endpoint: Endpoint, raw: bytes) -> Transaction:
    """The callback in `raw`, whose signature was checked before.

    The values of amount and currency are not judged here, only their JSON types: the contract looks at the
    known id (and, for a rollback, at its target) before them. A currency comes back `storable`, which changes
    no known one.

    Raises:
        RequestInvalid: not strict JSON, a field of this endpoint missing or of another JSON type, an action
            of the other endpoint, or an id or user name outside the rules.
    """
    asked = _parse_ordinary(endpoint, raw) or _parse_any(endpoint, raw)
    if not valid_id(asked.transaction_id):
        raise _invalid_id("transaction_id")
    if not valid_id(asked.user_id):
        raise _invalid_id("user_id")
    if asked.target_id is not None and not valid_id(asked.target_id):
        raise _invalid_id("rollback_transaction_id")
    return asked


def _parse_ordinary(endpoint: Endpoint, raw: bytes) -> Transaction | None:
    """The fast path: a body with this endpoint's fields and no others, or None if `_parse_any` must decide.

    By the count of quotes, as in `strict_json`: the fields that must have come need exactly these many, so
    nothing else came, none came twice, and the amount is not a string.
    """
    if len(raw) > MAX_BODY_BYTES:
        return None
    try:
        asked = _DECODER.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    quotes = raw.count(b'"')
    if endpoint is _AT_ROLLBACK:
        ordinary = quotes == _QUOTES + 4 and asked.target_id is not None and asked.action is _ROLLBACK
    else:
        ordinary = quotes == _QUOTES and asked.action is not _ROLLBACK
    return asked if ordinary and asked.currency.isprintable() else None


def _parse_any(endpoint: Endpoint, raw: bytes) -> Transaction:
    fields = parse_object(raw)
    action = _text(fields, "action")
    if action not in _ACTIONS[endpoint]:
        raise RequestInvalid(f"`action` {action[:40]!r} is none of the endpoint `{endpoint}`")
    amount = _field(fields, "amount")
    if not isinstance(amount, Decimal):
        raise RequestInvalid("`amount` must be a JSON number")
    return Transaction(
        transaction_id=_text(fields, "transaction_id"),
        action=Action(action),
        user_id=_text(fields, "user_id"),
        currency=storable(_text(fields, "currency")),
        amount=amount,
        target_id=_text(fields, "rollback_transaction_id") if endpoint is Endpoint.ROLLBACK else None,
    )


def _field(fields: dict[str, object], name: str) -> object:
    try:
        return fields[name]
    except KeyError:
        raise RequestInvalid(f"`{name}` is missing") from None


def _text(fields: dict[str, object], name: str) -> str:
    text = _field(fields, name)
    if not isinstance(text, str):
        raise RequestInvalid(f"`{name}` must be a string")
    return text


def _invalid_id(name: str) -> RequestInvalid:
    return RequestInvalid(
        f"`{name}` must have 1 to {MAX_ID_LENGTH} characters, without control characters or lone surrogates"
    )


def write_transaction(tx: Transaction, exponent: int) -> bytes:
    """The body of a callback: the contract's names in its order, no spaces, `exponent` decimals.

    Written once and sent again byte for byte: the receiver signs over bytes, not over meaning.

    Raises:
        ValueError: our own fault: an id outside the rules, an action without its target or the reverse.
        InvalidAmount: negative, or more decimals by value than `exponent`.
    """
    if (tx.target_id is not None) is not (tx.action is Action.ROLLBACK):
        raise ValueError(f"a {tx.action} must{'' if tx.action is Action.ROLLBACK else ' not'} name a target")
    for text in (tx.transaction_id, tx.user_id, tx.target_id):
        if text is not None and not valid_id(text):
            raise ValueError(f"{text[:40]!r} cannot be an id or a user name")
    currency = Currency(tx.currency, exponent)
    fields = {
        "transaction_id": tx.transaction_id,
        "rollback_transaction_id": tx.target_id,
        "action": tx.action,
        "user_id": tx.user_id,
        "currency": tx.currency,
        "amount": msgspec.Raw(format_minor(to_minor(tx.amount, currency), currency).encode()),
    }
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})
