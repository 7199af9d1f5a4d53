"""Words of the ledger: what is asked, what is known, what is answered.

Amounts named `*_minor`, balances and deltas are integers of the currency's minor unit; a delta is
signed as the player sees it (a bet is negative). Contract sections in docstrings are those of the
sportsbook API's contract page.

Values are structs without garbage collection, cheap to make by the thousand: none ever refers back to itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from msgspec import Struct, field

CASHIER: Final = 1
"""Operator id of the wallet's own deposits and withdrawals."""


class Kind(IntEnum):
    """What a stored transaction is; the numbers are those of the database."""

    BET = 1
    RESULT = 2
    ROLLBACK = 3
    DEPOSIT = 4
    WITHDRAW = 5
    TOMBSTONE = 6
    """Stands under the id of a transaction that was rolled back before it came; never asked for."""


class Decline(StrEnum):
    """Every way in which a request is not carried out. The values are stored for ever."""

    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    USER_BLOCKED = "USER_BLOCKED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    TRANSACTION_ROLLED_BACK = "TRANSACTION_ROLLED_BACK"
    TRANSACTION_MISMATCH = "TRANSACTION_MISMATCH"
    ROLLBACK_NOT_ALLOWED = "ROLLBACK_NOT_ALLOWED"
    # Never stored: the same id is decided anew when it comes again.
    INVALID_REQUEST = "INVALID_REQUEST"
    USER_NOT_FOUND = "USER_NOT_FOUND"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    UNAVAILABLE = "UNAVAILABLE"
    """Not known, or not tried: INTERNAL_ERROR on the wire, so that it comes again."""


class Status(StrEnum):
    """A player's standing. Only bets look at it."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    CLOSED = "closed"


_ACTIVE: Final = Status.ACTIVE  # reading an enum's member costs several times as much as a name


class LimitKind(StrEnum):
    """What a limit counts: stakes, or stakes minus results."""

    STAKE = "stake"
    LOSS = "loss"


class Period(StrEnum):
    """A calendar window in the wallet's time zone; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Policy(NamedTuple):
    """What an integration's profile changes in the ledger (contract page, head)."""

    refuse_altered: bool = False
    refuse_unknown_rollback: bool = False
    refuse_negative_rollback: bool = False
    """`rollback_of_result = "refuse"`: a rollback that would take the balance below zero is refused."""


DEFAULT_POLICY: Final = Policy()
CASHIER_POLICY: Final = Policy(refuse_altered=True)


class LedgerRequest(Struct, gc=False):
    """One transaction as asked. Ids and user name are valid already; amount and currency are judged here."""

    operator_id: int
    tx_id: str
    kind: Kind
    user_id: str
    currency: str
    amount: Decimal
    target_id: str | None = None
    """The transaction to undo; exactly rollbacks have one."""
    raw: bytes = b""
    policy: Policy = DEFAULT_POLICY
    received_at: float = 0.0
    """Monotonic seconds, for the age of the queue."""


class Outcome(NamedTuple):
    """The answer to one request.

    `own_id` is the wallet's id of the transaction whenever one is stored. `decline` None is success.
    `replay`: the id was known. `altered`: it was known with another user, currency or amount.
    """

    decline: Decline | None
    own_id: int | None
    replay: bool = False
    altered: bool = False


UNAVAILABLE: Final = Outcome(Decline.UNAVAILABLE, None)

Answer = Callable[[Outcome], None]
TxKey = tuple[int, str]
"""(operator id, transaction id): the space in which an id is unique."""


class LateArrival(Struct, gc=False):
    """The first request that came under a tombstone's id; it fixes the id's action, and moved nothing."""

    kind: Kind
    decline: Decline | None
    fingerprint: bytes
    user_id: str = ""
    currency: str = ""
    raw: bytes = b""


class Transaction(Struct, gc=False):
    """A stored transaction, which is also the player's posting. Declined ones have a delta of 0.

    `account_id`, `seq` and `balance_after` are None when the request named no account of ours.
    `amount` is what was asked, as a plain number, or None if no database could hold it (`raw` has it).
    `reversed` and `late` come from rows of their own: a transaction itself never changes.
    """

    tx_id: str
    operator_id: int
    own_id: int
    kind: Kind
    user_id: str
    currency: str
    amount: str | None
    delta: int
    decline: Decline | None
    target_id: str | None
    fingerprint: bytes
    slot: int
    account_id: int | None = None
    seq: int | None = None
    balance_after: int | None = None
    altered: bool = False
    """A rollback that named another amount than its target's."""
    raw: bytes | None = None
    at: datetime | None = None
    reversed: bool = False
    late: LateArrival | None = None


class Limit(Struct, frozen=True, gc=False):
    """A player's own limit on one account."""

    kind: LimitKind
    period: Period
    amount_minor: int


class DayUse(Struct, gc=False):
    """What a limit counts on one calendar day: accepted stakes and results that were not rolled back."""

    stakes_minor: int = 0
    results_minor: int = 0


class AccountState(Struct, gc=False):
    """One currency of one player. `version` changes with every act that touches the account or its player.

    `limited`: the account's days are counted in `days`, since the account has or had a limit.
    """

    account_id: int
    slot: int
    currency: str
    balance: int
    version: int
    seq: int
    limited: bool = False
    limits: tuple[Limit, ...] = ()
    days: dict[date, DayUse] = field(default_factory=dict)


class PlayerState(Struct, gc=False):
    """A player and all of the player's accounts, by currency."""

    user_id: str
    slot: int
    status: Status = Status.ACTIVE
    excluded_until: datetime | None = None
    accounts: dict[str, AccountState] = field(default_factory=dict)

    def may_bet(self, now: datetime) -> bool:
        """Whether neither block, closure nor self-exclusion stands against a bet at `now`."""
        if self.status is not _ACTIVE:
            return False
        return self.excluded_until is None or self.excluded_until <= now
