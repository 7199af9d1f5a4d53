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
CURSOR_PATTERN = r"^[A-Z0-9]{2,12}\.[0-9]{1,18}(~[A-Z0-9]{2,12}\.[0-9]{1,18})*$"
CURRENCY_PATTERN = r"^[A-Z0-9]{2,12}$"

UserId = Annotated[
    str, msgspec.Meta(min_length=1, max_length=128, pattern=NO_CONTROL, description="The player's name")
]
Currency = Annotated[
    str, msgspec.Meta(pattern=CURRENCY_PATTERN, description="ISO 4217 or crypto code", examples=["EUR"])
]
Amount = Annotated[
    str,
    msgspec.Meta(pattern=AMOUNT_PATTERN, description="Decimal string, never negative", examples=["10.00"]),
]
SignedAmount = Annotated[
    str, msgspec.Meta(pattern=SIGNED_AMOUNT_PATTERN, description="Decimal string", examples=["-3.50"])
]
OperatorName = Annotated[
    str, msgspec.Meta(pattern=OPERATOR_PATTERN, description="Part of the callback URL", examples=["acme"])
]
SecurityHash = Annotated[str, msgspec.Meta(min_length=16, max_length=256, pattern=NO_CONTROL)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
ProfileFields = Annotated[
    dict[str, Any],
    msgspec.Meta(
        description="What this operator does differently; keys left out keep their defaults",
        extra_json_schema={
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "altered_replay": {"enum": ["first_answer", "refuse"]},
                "bad_signature_status": {"enum": [200, 401]},
                "unknown_rollback": {"enum": ["succeed", "refuse"]},
                "rollback_of_result": {"enum": ["allow_negative", "refuse"]},
                "hash_headers": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 8,
                    "items": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$"},
                },
                "bet_timeout": {"type": "number", "minimum": 0.1, "maximum": 60},
                "retry_schedule": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 1000,
                    "items": {"type": "number", "minimum": 0, "maximum": 604800},
                },
            },
        },
    ),
]
LimitKind = Literal["stake", "loss"]
TransactionKind = Literal["bet", "result", "rollback", "deposit", "withdraw", "tombstone"]
AsAsked = Annotated[
    str | None,
    msgspec.Meta(description="The amount as asked; null when too long for the database, see `raw`"),
]
Cursor = Annotated[
    str, msgspec.Meta(pattern=CURSOR_PATTERN, description="For `after`: what came later", examples=["EUR.12"])
]
Period = Literal["day", "week", "month"]
PlayerStatus = Literal["active", "blocked", "closed"]


class Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A request body."""


class Answer(msgspec.Struct, kw_only=True):
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
    profile: ProfileFields | None = None


class ProfileChange(Body):
    """The whole profile of an operator: what is left out has its default."""

    profile: ProfileFields


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
    excluded_until: Moment | None
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

    seq: Cursor
    id: Annotated[str, msgspec.Meta(description="The wallet's own id")]
    operator: str
    transaction_id: str
    kind: TransactionKind
    amount: AsAsked
    delta: SignedAmount
    balance_after: SignedAmount
    currency: Currency
    error: Annotated[str | None, msgspec.Meta(description="The code answered; null for a success")]
    target_id: str | None
    at: Moment
    altered: Annotated[int, msgspec.Meta(ge=0, description="Copies of this id that asked for something else")]


class HistoryPage(Answer):
    """A page of a player's history."""

    items: list[HistoryItem]
    next: Cursor


class TransactionCopy(Answer):
    """What came under a known id and moved nothing: late (after its rollback), or altered."""

    at: Moment
    kind: TransactionKind
    user_id: str
    currency: str
    amount: AsAsked
    error: str | None
    late: bool
    raw: str


class Transaction(Answer):
    """One stored transaction with everything known of it."""

    id: str
    operator: str
    transaction_id: str
    kind: TransactionKind
    user_id: str
    currency: str
    amount: AsAsked
    delta: SignedAmount | None
    balance_after: SignedAmount | None
    error: str | None
    target_id: str | None
    rolled_back_by: Annotated[str | None, msgspec.Meta(description="The rollback that undid it")]
    altered_amount: Annotated[
        bool, msgspec.Meta(description="A rollback that named another amount than its target's")
    ]
    at: Moment
    raw: Annotated[str, msgspec.Meta(description="The body as it came")]
    copies: list[TransactionCopy]


class Transactions(Answer):
    """Every transaction that carries an id: the wallet's own, or one or several operators'."""

    transactions: list[Transaction]


class OperatorSecret(Answer):
    """A live or retired secret; the secret itself is never shown again."""

    id: int
    created_at: Moment
    retire_at: Moment | None
    retired_at: Moment | None
    last_used_at: Moment | None
    last_header: Annotated[
        str | None, msgspec.Meta(description="The name of the header that its last signature came under")
    ]


class Operator(Answer):
    """An operator and the paths it sends its callbacks to."""

    name: OperatorName
    callback_path: Annotated[
        str, msgspec.Meta(description="The callback URL is this path on the wallet's address")
    ]
    profile: dict[str, Any]
    secrets: list[OperatorSecret]
    created_at: Moment


class Operators(Answer):
    """All operators, by name."""

    operators: list[Operator]


class OperatorKey(Answer):
    """The only answer that carries a security hash: shown once, when it is made."""

    name: OperatorName
    callback_path: str
    security_hash: Annotated[
        str | None, msgspec.Meta(description="Null when old secrets were retired and none was made")
    ]
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
    broken: Annotated[int, msgspec.Meta(ge=0, description="Rows that break an invariant, named or not")]
    problems: list[Problem]
    unnamed: Annotated[
        dict[str, int],
        msgspec.Meta(description="Broken rows per check beyond the named ones; over HTTP 1,000 are named"),
    ]


class Failure(Answer):
    """Every answer that is not a success."""

    error: Annotated[str, msgspec.Meta(description="A code for programs, UPPER_SNAKE")]
    message: Annotated[str, msgspec.Meta(description="A sentence for people: what was wrong and what to do")]
