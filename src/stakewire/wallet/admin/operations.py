"""The admin API as a table: routes and OpenAPI document are both made from it, so they cannot differ."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import msgspec

from stakewire.wallet.admin import types

PREFIX = "/admin/v1"
MAX_PAGE = 1000
DEFAULT_PAGE = 50


class Key(Enum):
    """Whether an operation takes the header `Idempotency-Key`."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of the query string, as JSON schema."""

    name: str
    schema: dict[str, object]
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method on one path. `errors` are the statuses besides those that every operation can give."""

    id: str
    method: str
    path: str
    tag: str
    summary: str
    answer: type[msgspec.Struct]
    status: int = 200
    body: type[msgspec.Struct] | None = None
    key: Key = Key.NONE
    query: tuple[Query, ...] = ()
    errors: tuple[int, ...] = ()


HISTORY_QUERY = (
    Query(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
        "Most items of a page",
    ),
    Query(
        "after",
        {"type": "string", "pattern": types.CURSOR_PATTERN},
        "A cursor: only what came after it, oldest first. Without it: the newest items, newest first",
    ),
    Query("currency", {"type": "string", "pattern": types.CURRENCY_PATTERN}, "Only this account"),
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        id="add_player",
        method="POST",
        path="/players",
        tag="players",
        status=201,
        key=Key.OPTIONAL,
        summary="Create a player, or a further account; with a deposit the Idempotency-Key is needed",
        body=types.NewPlayer,
        answer=types.Player,
        errors=(409,),
    ),
    Operation(
        id="show_player",
        method="GET",
        path="/players/{user_id}",
        tag="players",
        summary="Status, exclusion, balances and limits",
        answer=types.Player,
        errors=(404,),
    ),
    Operation(
        id="deposit",
        method="POST",
        path="/players/{user_id}/deposits",
        tag="money",
        key=Key.REQUIRED,
        summary="Pay in; the same key twice is done once",
        body=types.MoneyMove,
        answer=types.Movement,
        errors=(404, 409),
    ),
    Operation(
        id="withdraw",
        method="POST",
        path="/players/{user_id}/withdrawals",
        tag="money",
        key=Key.REQUIRED,
        summary="Pay out, never below zero; the same key twice is done once",
        body=types.MoneyMove,
        answer=types.Movement,
        errors=(404, 409, 422),
    ),
    Operation(
        id="block_player",
        method="POST",
        path="/players/{user_id}/block",
        tag="players",
        key=Key.OPTIONAL,
        summary="Refuse every bet until unblocked",
        answer=types.Player,
        errors=(404, 409),
    ),
    Operation(
        id="unblock_player",
        method="POST",
        path="/players/{user_id}/unblock",
        tag="players",
        key=Key.OPTIONAL,
        summary="Lift a block; never ends an exclusion",
        answer=types.Player,
        errors=(404, 409),
    ),
    Operation(
        id="close_player",
        method="POST",
        path="/players/{user_id}/close",
        tag="players",
        key=Key.OPTIONAL,
        summary="Close the player for good: no bets; results and rollbacks are still paid",
        answer=types.Player,
        errors=(404, 409),
    ),
    Operation(
        id="exclude_player",
        method="POST",
        path="/players/{user_id}/exclusion",
        tag="players",
        key=Key.OPTIONAL,
        summary="Self-exclude until a date; can be lengthened, never shortened",
        body=types.NewExclusion,
        answer=types.Player,
        errors=(404, 409),
    ),
    Operation(
        id="limit_player",
        method="PUT",
        path="/players/{user_id}/limits",
        tag="players",
        key=Key.OPTIONAL,
        summary="Set or remove a stake or loss limit",
        body=types.LimitChange,
        answer=types.Player,
        errors=(404, 409),
    ),
    Operation(
        id="show_history",
        method="GET",
        path="/players/{user_id}/history",
        tag="players",
        summary="The player's transactions",
        answer=types.HistoryPage,
        query=HISTORY_QUERY,
        errors=(404,),
    ),
    Operation(
        id="show_transactions",
        method="GET",
        path="/transactions/{transaction_id}",
        tag="money",
        summary="Find by the wallet's own id or an operator's id",
        answer=types.Transactions,
        errors=(404,),
    ),
    Operation(
        id="list_operators",
        method="GET",
        path="/operators",
        tag="operators",
        summary="Operators, their profiles and their secrets' ages",
        answer=types.Operators,
    ),
    Operation(
        id="add_operator",
        method="POST",
        path="/operators",
        tag="operators",
        status=201,
        summary="Let a new operator send callbacks; its security hash is shown once",
        body=types.NewOperator,
        answer=types.OperatorKey,
        errors=(409,),
    ),
    Operation(
        id="set_operator_profile",
        method="PUT",
        path="/operators/{name}/profile",
        tag="operators",
        summary="Replace what an operator does differently; in force everywhere within a second",
        body=types.ProfileChange,
        answer=types.Operator,
        errors=(404,),
    ),
    Operation(
        id="rotate_operator",
        method="POST",
        path="/operators/{name}/rotate",
        tag="operators",
        summary="Add a new security hash (the old one lives on for 7 days), or end the old ones",
        body=types.Rotation,
        answer=types.OperatorKey,
        errors=(404, 409),
    ),
    Operation(
        id="verify",
        method="GET",
        path="/verify",
        tag="money",
        summary="Recompute every invariant of the ledger; slow on a large one",
        answer=types.Verification,
        errors=(409,),
    ),
)

PATH_PARAMETERS: dict[str, dict[str, object]] = {
    "user_id": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": types.NO_CONTROL},
    "transaction_id": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": types.NO_CONTROL},
    "name": {"type": "string", "pattern": types.OPERATOR_PATTERN},
}
KEY_SCHEMA: dict[str, object] = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": r"^[!-~]+$"}
