"""For platforms with a wallet of their own: the callback verified, parsed and deduplicated over their store.

The platform brings a `PlatformStore`: one table of records with a unique key, and its accounts. Everything
the contract asks (order of checks, copies, tombstones, one reversal per target, the first answer for ever) is
decided here, by the same pure ledger as the wallet's own. See `docs/how-to/own-wallet.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC
from decimal import Context, Decimal
from enum import Enum
from typing import Final, Protocol
from uuid import UUID, uuid4

import msgspec
import structlog

from stakewire.clock import Clock, SystemClock
from stakewire.ids import OwnIds
from stakewire.ledger.batch import BatchState, Plan, resolve
from stakewire.ledger.decide import Moment
from stakewire.ledger.limits import Calendar
from stakewire.ledger.types import (
    AccountState,
    Kind,
    LateArrival,
    LedgerRequest,
    Limit,
    LimitKind,
    Outcome,
    Period,
    PlayerState,
    Status,
    Transaction,
)
from stakewire.money import Currencies, from_minor
from stakewire.wallet.answers import CODES, FAILURES, policy_of
from stakewire.wire.sportsbook.answers import success
from stakewire.wire.sportsbook.codes import Code
from stakewire.wire.sportsbook.messages import Action, Endpoint, parse_callback
from stakewire.wire.sportsbook.messages import Transaction as Callback
from stakewire.wire.sportsbook.profile import Profile
from stakewire.wire.sportsbook.signing import Secret, SignatureError, check_signature
from stakewire.wire.sportsbook.strict_json import MAX_BODY_BYTES, RequestInvalid

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 4
ALTERED_KEPT: Final = 16
TOO_LARGE: Final = b'{"error":"BODY_TOO_LARGE"}'
_OPERATOR: Final = 2  # any number: each operator has a store of its own
_ACCOUNT: Final = 1
_WIDE: Final = Context(prec=100)
_KINDS: Final = {Action.BET: Kind.BET, Action.RESULT: Kind.RESULT, Action.ROLLBACK: Kind.ROLLBACK}


class AlreadyKept(Exception):
    """Raised by a store's `keep`: one of the keys exists. The whole transaction is undone and tried again."""


class Missing(Enum):
    """Why there is no account for a callback."""

    USER = "user"
    CURRENCY = "currency"


class Bets(Enum):
    """What the platform says to a bet before its money is looked at."""

    WELCOME = "welcome"
    BLOCKED = "blocked"  # banned, closed or self-excluded: USER_BLOCKED
    OVER_LIMIT = "over_limit"  # this stake would pass a limit of the player's own: LIMIT_EXCEEDED


@dataclass(frozen=True, slots=True)
class PlatformAccount:
    """The player's account in the callback's currency, as read under its lock. `balance` in whole units."""

    balance: Decimal
    bets: Bets = Bets.WELCOME


class PlatformWork(Protocol):
    """One open transaction of the platform's database, for one callback."""

    async def account(self, callback: Callback) -> PlatformAccount | Missing:
        """Lock the account of the callback's user and currency until the transaction ends, and read it.

        Called first. `bets` need only be right when `callback.action` is a bet.
        """

    async def recall(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The records that exist under these keys; in a statement of its own, after the lock."""

    async def keep(self, records: Mapping[str, str]) -> None:
        """Insert the records; keys are unique in the database. Raises AlreadyKept when one exists."""

    async def move(self, callback: Callback, delta: Decimal, own_id: str) -> None:
        """Add `delta` (negative takes away) to the account; only a rollback takes it below zero."""

    async def keep_altered(self, callback: Callback, mark: str, raw: bytes) -> None:
        """Keep a callback that asked for something else than its id or its target stands for, to be shown.

        It moves nothing. `mark` is equal for equal requests: what is kept under this id and mark stays as it
        is, and of one id at most `ALTERED_KEPT` are kept, since anybody may send the next one.
        """


class PlatformStore(Protocol):
    """The platform's database for one operator. Records live as long as the ledger, never shorter."""

    def transaction(self) -> AbstractAsyncContextManager[PlatformWork]:
        """Begin; commit when the context ends well, undo when an exception leaves it.

        An error while committing must be raised: the answer is then INTERNAL_ERROR and it comes again.
        """


class _UuidIds(OwnIds):
    """Own ids without a leased writer number: the platform runs as many processes as it likes."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(1)

    def next(self) -> int:
        return uuid4().int


async def handle_callback(
    endpoint: Endpoint | str,
    raw: bytes,
    headers: Iterable[tuple[bytes | str, bytes | str]],
    *,
    secrets: Sequence[Secret],
    store: PlatformStore,
    profile: Profile | None = None,
    currencies: Currencies | None = None,
    clock: Clock | None = None,
) -> tuple[int, bytes]:
    """Answer one callback: the HTTP status and the JSON body to send back.

    Args:
        endpoint: `transaction` or `transaction-rollback`, the end of the path.
        raw: the body as it came; nothing may have decoded and re-encoded it.
        headers: all headers of the request, in any case of their names.
        secrets: the operator's live security hashes, the usual one first.
        store: where records and money are.
        profile: what this operator is known to do differently; default: nothing.
        currencies: default: ISO 4217 and the common coins.
        clock: default: the machine's.

    Never raises for what a request says. Whatever the store raises is logged and answered INTERNAL_ERROR.
    """
    known = profile or Profile()
    if len(raw) > MAX_BODY_BYTES:
        return 413, TOO_LARGE
    try:
        check_signature(raw, _lower(headers), secrets, known.hash_header_names())
    except SignatureError:
        return known.bad_signature_status, FAILURES[Code.INVALID_SIGNATURE]
    try:
        callback = parse_callback(Endpoint(endpoint), raw)
    except RequestInvalid:
        return 200, FAILURES[Code.INVALID_REQUEST]
    decider = _Decider(store, known, currencies or Currencies.default(), clock or SystemClock())
    try:
        outcome = await decider.decide(callback, raw)
    except Exception:
        log.exception("callback_failed", transaction_id=callback.transaction_id)
        return 200, FAILURES[Code.INTERNAL_ERROR]
    if outcome.decline is not None:
        return 200, FAILURES[CODES[outcome.decline]]
    assert outcome.own_id is not None
    return 200, success(_own_id(outcome.own_id))


class _Decider:
    def __init__(self, store: PlatformStore, profile: Profile, currencies: Currencies, clock: Clock) -> None:
        self._store = store
        self._policy = policy_of(profile)
        self._currencies = currencies
        self._clock = clock

    async def decide(self, callback: Callback, raw: bytes) -> Outcome:
        """Decide in one transaction; again if a twin of the callback was faster."""
        asked = LedgerRequest(
            _OPERATOR,
            callback.transaction_id,
            _KINDS[callback.action],
            callback.user_id,
            callback.currency,
            callback.amount,
            callback.target_id,
            raw,
            self._policy,
        )
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._store.transaction() as work:
                    return await self._decide_once(work, callback, asked)
            except AlreadyKept:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("the loop returns or raises")

    async def _decide_once(self, work: PlatformWork, callback: Callback, asked: LedgerRequest) -> Outcome:
        account = await work.account(callback)
        records = await work.recall(_keys(asked))
        state = BatchState(self._players(asked, account), _known(asked, records))
        now = self._clock.now()
        moment = Moment(now, now.date(), Calendar(UTC), self._currencies)
        plan = resolve([asked], state, moment=moment, ids=_UuidIds())
        outcome = plan.outcomes[0]
        if outcome.altered:
            log.warning("callback_altered", transaction_id=asked.tx_id, user_id=asked.user_id)
        await self._write(work, callback, plan)
        marks = [copy.fingerprint for copy in plan.altered]
        marks += [row.fingerprint for row in plan.transactions if row.altered]  # rollbacks of another amount
        for mark in marks:
            await work.keep_altered(callback, mark.hex(), asked.raw)
        return outcome

    def _players(self, asked: LedgerRequest, account: PlatformAccount | Missing) -> dict[str, PlayerState]:
        if account is Missing.USER:
            return {}
        player = PlayerState(asked.user_id, 0)
        currency = self._currencies.find(asked.currency)
        if isinstance(account, PlatformAccount) and currency is not None:
            state = AccountState(
                _ACCOUNT, 0, asked.currency, _signed_minor(account.balance, currency.exponent), 0, 0
            )
            player.accounts[asked.currency] = state
            if account.bets is Bets.BLOCKED:
                player.status = Status.BLOCKED
            if account.bets is Bets.OVER_LIMIT:
                state.limits = (Limit(LimitKind.STAKE, Period.DAY, 0),)
        return {asked.user_id: player}

    async def _write(self, work: PlatformWork, callback: Callback, plan: Plan) -> None:
        records = {f"transaction:{row.tx_id}": _encode(row) for row in plan.transactions}
        records |= {f"late:{stone.tx_id}": _encode(late) for stone, late in plan.late}
        records |= {f"reversal:{row.target_id}": _encode(row) for row in plan.reversals}
        if records:
            await work.keep(records)
        change = plan.accounts.get(_ACCOUNT)
        if change is None or change.new.balance == change.old_balance:
            return
        currency = self._currencies.get(callback.currency)
        delta = from_minor(change.new.balance - change.old_balance, currency)
        own_id = plan.outcomes[0].own_id
        assert own_id is not None
        await work.move(callback, delta, _own_id(own_id))


def _keys(asked: LedgerRequest) -> list[str]:
    keys = [f"transaction:{asked.tx_id}", f"late:{asked.tx_id}"]
    if asked.target_id is not None:
        keys += [f"{kind}:{asked.target_id}" for kind in ("transaction", "late", "reversal")]
    return keys


def _known(asked: LedgerRequest, records: Mapping[str, str]) -> dict[tuple[int, str], Transaction]:
    found = {}
    for tx_id in {asked.tx_id, asked.target_id or asked.tx_id}:
        record = records.get(f"transaction:{tx_id}")
        if record is None:
            continue
        transaction = msgspec.json.decode(record, type=Transaction)
        transaction.reversed = f"reversal:{tx_id}" in records
        late = records.get(f"late:{tx_id}")
        transaction.late = None if late is None else msgspec.json.decode(late, type=LateArrival)
        found[_OPERATOR, tx_id] = transaction
    return found


def _encode(row: object) -> str:
    return msgspec.json.encode(row).decode()


def _own_id(number: int) -> str:
    return str(UUID(int=number))


def _signed_minor(balance: Decimal, exponent: int) -> int:
    """A balance read from the platform; more decimals than the currency has would be a fault of its books."""
    minor = balance.scaleb(exponent, _WIDE)
    if minor != minor.to_integral_value(context=_WIDE):
        raise ValueError(f"the platform's balance {balance} has more than {exponent} decimals")
    return int(minor)


def _lower(headers: Iterable[tuple[bytes | str, bytes | str]]) -> list[tuple[bytes, bytes]]:
    return [(_bytes(name).lower(), _bytes(value).strip(b" \t")) for name, value in headers]


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
