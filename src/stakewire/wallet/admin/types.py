"""Every body of the admin API, once: they decode requests, encode answers, and make the OpenAPI document.

Amounts are decimal strings in the currency's own decimals ("12.50"), never JSON numbers: a client
that reads JSON numbers as floats would lose digits. Times are ISO 8601 in UTC. Fields that the API
does not know are refused, so that a misspelt field cannot silently do nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

NO_CONTROL = r"^[^\x00-\x1f\x7f-\x9f]+$"
AMOUNT_PATTERN = r"^(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?$"
SIGNED_AMOUNT_PATTERN = r"^-?[0-9]+(\.[0-9]{1,18})?$"
OPERATOR_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
CURRENCY_PATTERN = r"^[A-Z0-9]{2,12}$"

UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=NO_CONTROL, description="The player's name")]
Currency = Annotated[str, msgspec.Meta(pattern=CURRENCY_PATTERN, description="ISO 4217 or crypto code", examples=["EUR"])]
Amount = Annotated[str, msgspec.Meta(pattern=AMOUNT_PATTERN, description="Decimal string, never negative", examples=["10.00"])]
SignedAmount = Annotated[str, msgspec.Meta(pattern=SIGNED_AMOUNT_PATTERN, description="Decimal string", examples=["-3.50"])]
OperatorName = Annotated[str, msgspec.Meta(pattern=OPERATOR_PATTERN, description="Part of the callback URL", examples=["acme"])]
SecurityHash = Annotated[str, msgspec.Meta(min_length=16, max_length=256, pattern=NO_CONTROL)]
LimitKind = Literal["stake", "loss"]
Period = Literal["day", "week", "month"]
PlayerStatus = Literal["active", "blocked", "closed"]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request body."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer body."""


# --- requests ---------------------------------------------------------------------------------


class NewPlayer(Body):
    """A player, or a further account of a player in another currency."""

    user_id: UserId
    currency: Currency
    deposit: Amount | None = None


class MoneyMove(Body):
    """A deposit or withdrawal by the platform's cashier."""

    amount: Amount
    currency: Currency


class NewExclusion(Body):
    """A self-exclusion; it can be lengthened, never shortened."""

    until: Annotated[
        str,
        msgspec.Meta(
            min_length=10,
            max_length=40,
            description="A date (its first moment in the wallet's time zone) or a time with its offset",
            examples=["2027-01-31", "2027-01-31T12:00:00Z"],
        ),
    ]


class LimitChange(Body):
    """A player's own limit; `amount` null removes it."""

    kind: LimitKind
    amount: Amount | None
    currency: Currency
    per: Period


class NewOperator(Body):
    """An operator that may send callbacks. Without `security_hash` the wallet makes 32 random bytes."""

    name: OperatorName
    security_hash: SecurityHash | None = None
    profile: Annotated[str, msgspec.Meta(max_length=16_384, description="The integration's profile, as TOML")] = ""


class Rotation(Body):
    """A new secret beside the old one, or the end of the old ones."""

    security_hash: SecurityHash | None = None
    retire_old: bool = False


# --- answers ----------------------------------------------------------------------------------


class Limit(Answer):
    """A limit, and what of it is used in the running period."""

    kind: LimitKind
    per: Period
    amount: Amount
    used: SignedAmount


class Account(Answer):
    """One currency of a player. A negative balance is a debt left by a rolled-back result."""

    currency: Currency
    balance: SignedAmount
    limits: list[Limit]


class Player(Answer):
    """A player as the wallet knows it."""

    user_id: UserId
    status: PlayerStatus
    excluded_until: datetime | None
    accounts: list[Account]


class Movement(Answer):
    """A deposit or withdrawal that was done, now or when the same key came first."""

    id: Annotated[str, msgspec.Meta(description="The wallet's own id")]
    transaction_id: Annotated[str, msgspec.Meta(description="The Idempotency-Key")]
    user_id: UserId
    currency: Currency
    amount: Amount
    balance: Annotated[SignedAmount, msgspec.Meta(description="The balance right after this movement")]
    replay: Annotated[bool, msgspec.Meta(description="True when this key was done before")]


class HistoryItem(Answer):
    """One transaction of a player, declined ones included."""

    seq: Annotated[str, msgspec.Meta(description="Cursor of this item")]
    id: str
    operator: str
    transaction_id: str
    kind: str
    amount: str
    delta: SignedAmount
    balance_after: SignedAmount
    currency: Currency
    error: str | None
    target_id: str | None
    at: datetime
    altered: Annotated[int, msgspec.Meta(ge=0, description="Copies of this id that asked for something else")]


class HistoryPage(Answer):
    """A page of a player's history."""

    items: list[HistoryItem]
    next: Annotated[str | None, msgspec.Meta(description="Cursor for `after`; null when there is nothing to continue from")]


class AlteredCopy(Answer):
    """A later copy of an id that asked for something else; it moved nothing."""

    at: datetime
    user_id: str
    currency: str
    amount: str
    raw: Annotated[str, msgspec.Meta(description="The body as it came")]


class Transaction(Answer):
    """One stored transaction with everything known of it."""

    id: str
    operator: str
    transaction_id: str
    kind: str
    user_id: str
    currency: str
    amount: str
    delta: str | None
    balance_after: str | None
    error: str | None
    target_id: str | None
    rolled_back_by: str | None
    at: datetime
    raw: str
    altered: list[AlteredCopy]


class Transactions(Answer):
    """Every transaction that carries an id: the wallet's own, or one or several operators'."""

    transactions: list[Transaction]


class OperatorSecret(Answer):
    """A live or retired secret; the secret itself is never shown again."""

    id: int
    created_at: datetime
    retire_at: datetime | None
    retired_at: datetime | None
    last_used_at: datetime | None


class Operator(Answer):
    """An operator and the paths it sends its callbacks to."""

    name: OperatorName
    callback_path: Annotated[str, msgspec.Meta(description="The callback URL is this path on the wallet's address")]
    profile: dict[str, Any]
    secrets: list[OperatorSecret]
    created_at: datetime


class Operators(Answer):
    """All operators, by name."""

    operators: list[Operator]


class OperatorKey(Answer):
    """The only answer that carries a security hash: shown once, when it is made."""

    name: OperatorName
    callback_path: str
    security_hash: Annotated[str | None, msgspec.Meta(description="Null when old secrets were retired and none was made")]
    retired: Annotated[int, msgspec.Meta(ge=0, description="How many older secrets this act ended")]


class Problem(Answer):
    """A row that breaks an invariant."""

    check: str
    row: str
    detail: str


class Verification(Answer):
    """The result of recomputing every invariant."""

    ok: bool
    transactions: Annotated[int, msgspec.Meta(ge=0)]
    accounts: Annotated[int, msgspec.Meta(ge=0)]
    problems: list[Problem]


class Failure(Answer):
    """Every answer that is not a success."""

    error: Annotated[str, msgspec.Meta(description="A code for programs, UPPER_SNAKE")]
    message: Annotated[str, msgspec.Meta(description="A sentence for people: what was wrong and what to do")]
