"""One function per operation of the admin API: from a checked call to the desk, and back to an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from stakewire.errors import InvalidInput
from stakewire.ledger.types import LimitKind, Period, Status
from stakewire.wallet.admin import types
from stakewire.wallet.admin.operations import DEFAULT_PAGE, MAX_PAGE
from stakewire.wallet.desk import WalletDesk
from stakewire.wallet.documents import key_document, operator_document, operators_document
from stakewire.wallet.operators import OperatorDesk
from stakewire.wire.sportsbook.profile import Profile

B = TypeVar("B", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Desks:
    """Whom the operations are passed on to."""

    wallet: WalletDesk
    operators: OperatorDesk


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose shape is right: names from the path, query, Idempotency-Key, decoded body."""

    names: Mapping[str, str]
    query: Mapping[str, str]
    key: str | None
    body: msgspec.Struct | None

    @property
    def user(self) -> str:
        """The player that the path names."""
        return self.names["user_id"]

    def read(self, kind: type[B]) -> B:
        """The body, as the type that the operation declares."""
        assert isinstance(self.body, kind)
        return self.body


Handler = Callable[[Desks, Call], Awaitable[msgspec.Struct]]


async def _add_player(desks: Desks, call: Call) -> msgspec.Struct:
    body = call.read(types.NewPlayer)
    if body.deposit is not None and call.key is None:
        raise InvalidInput("a deposit needs the header Idempotency-Key", code="IDEMPOTENCY_KEY_REQUIRED")
    return await desks.wallet.add_player(body.user_id, body.currency, body.deposit, call.key)


async def _show_player(desks: Desks, call: Call) -> msgspec.Struct:
    return await desks.wallet.show_player(call.user)


async def _deposit(desks: Desks, call: Call) -> msgspec.Struct:
    body = call.read(types.MoneyMove)
    return await desks.wallet.deposit(call.user, body.amount, body.currency, call.key)


async def _withdraw(desks: Desks, call: Call) -> msgspec.Struct:
    body = call.read(types.MoneyMove)
    return await desks.wallet.withdraw(call.user, body.amount, body.currency, call.key)


async def _block(desks: Desks, call: Call) -> msgspec.Struct:
    return await desks.wallet.set_status(call.user, Status.BLOCKED, call.key)


async def _unblock(desks: Desks, call: Call) -> msgspec.Struct:
    return await desks.wallet.set_status(call.user, Status.ACTIVE, call.key)


async def _close(desks: Desks, call: Call) -> msgspec.Struct:
    return await desks.wallet.set_status(call.user, Status.CLOSED, call.key)


async def _exclude(desks: Desks, call: Call) -> msgspec.Struct:
    return await desks.wallet.exclude(call.user, call.read(types.NewExclusion).until, call.key)


async def _limit(desks: Desks, call: Call) -> msgspec.Struct:
    body = call.read(types.LimitChange)
    return await desks.wallet.limit(
        call.user, LimitKind(body.kind), body.amount, body.currency, Period(body.per), call.key
    )


async def _history(desks: Desks, call: Call) -> msgspec.Struct:
    limit = call.query.get("limit", str(DEFAULT_PAGE))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= MAX_PAGE):
        raise InvalidInput(f"limit must be a whole number from 1 to {MAX_PAGE}")
    return await desks.wallet.history(
        call.user, limit=int(limit), after=call.query.get("after"), currency=call.query.get("currency")
    )


async def _transactions(desks: Desks, call: Call) -> msgspec.Struct:
    return await desks.wallet.transactions(call.names["transaction_id"])


async def _operators(desks: Desks, call: Call) -> msgspec.Struct:
    return operators_document(await desks.operators.all())


async def _add_operator(desks: Desks, call: Call) -> msgspec.Struct:
    body = call.read(types.NewOperator)
    profile = None if body.profile is None else Profile.from_mapping(body.profile)
    return key_document(
        await desks.operators.add(body.name, security_hash=body.security_hash, profile=profile)
    )


async def _set_profile(desks: Desks, call: Call) -> msgspec.Struct:
    profile = Profile.from_mapping(call.read(types.ProfileChange).profile)
    return operator_document(await desks.operators.set_profile(call.names["name"], profile))


async def _rotate(desks: Desks, call: Call) -> msgspec.Struct:
    body = call.read(types.Rotation)
    made = await desks.operators.rotate(
        call.names["name"], security_hash=body.security_hash, retire_old=body.retire_old
    )
    return key_document(made)


async def _verify(desks: Desks, call: Call) -> msgspec.Struct:
    return await desks.wallet.verify()


HANDLERS: Final[Mapping[str, Handler]] = {
    "add_player": _add_player,
    "show_player": _show_player,
    "deposit": _deposit,
    "withdraw": _withdraw,
    "block_player": _block,
    "unblock_player": _unblock,
    "close_player": _close,
    "exclude_player": _exclude,
    "limit_player": _limit,
    "show_history": _history,
    "show_transactions": _transactions,
    "list_operators": _operators,
    "add_operator": _add_operator,
    "set_operator_profile": _set_profile,
    "rotate_operator": _rotate,
    "verify": _verify,
}
