"""Plans as the parallel arrays of `wallet.write_batch`, rows of the ledger as its own types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import asyncpg
import msgspec

from stakewire.ledger.batch import Plan
from stakewire.ledger.types import (
    AccountState,
    DayUse,
    Decline,
    Kind,
    LateArrival,
    Limit,
    LimitKind,
    Period,
    PlayerState,
    Status,
    Transaction,
)

_KINDS = tuple(Kind)
_json = msgspec.json.Encoder().encode
_DECLINES = {decline.value: decline for decline in Decline}


def plan_arguments(plan: Plan) -> list[Any]:
    """The arguments of the query `write_batch`. Accounts come in id order: so their rows are locked."""
    changes = [change for _, change in sorted(plan.accounts.items())]
    rows, house, reversals = plan.transactions, plan.house, plan.reversals
    return [
        plan.entry_id,
        plan.at,
        number_array([change.new.account_id for change in changes]),
        number_array([change.new.slot for change in changes]),
        number_array([change.old_version for change in changes]),
        number_array([change.old_balance for change in changes]),
        number_array([change.new.balance for change in changes]),
        number_array([change.new.seq for change in changes]),
        text_array([row.tx_id for row in rows]),
        number_array([row.operator_id for row in rows]),
        number_array([row.own_id for row in rows]),
        number_array([row.slot for row in rows]),
        number_array([row.account_id for row in rows]),
        number_array([row.seq for row in rows]),
        number_array([row.kind for row in rows]),
        number_array([row.altered for row in rows]),
        text_array([row.user_id for row in rows]),
        text_array([row.currency for row in rows]),
        number_array([row.amount for row in rows]),
        number_array([row.delta for row in rows]),
        number_array([row.balance_after for row in rows]),
        text_array([row.decline for row in rows]),
        text_array([row.target_id for row in rows]),
        [row.fingerprint for row in rows],
        [row.raw for row in rows],
        number_array([posting.slot for posting in house]),
        number_array([posting.operator_id for posting in house]),
        text_array([posting.currency for posting in house]),
        number_array([posting.delta for posting in house]),
        text_array([reversal.target_id for reversal in reversals]),
        number_array([reversal.operator_id for reversal in reversals]),
        text_array([reversal.by_tx_id for reversal in reversals]),
        number_array([reversal.slot for reversal in reversals]),
        _rare(plan),
    ]


def number_array(values: Sequence[int | str | None]) -> str:
    """Numbers or truth values as PostgreSQL reads an array from text.

    The driver's binary arrays cost the client many times as much: it asks of every element whether it is a
    container itself. A JSON array between braces is such a text, `null` included.
    """
    return f"{{{_json(values)[1:-1].decode()}}}"


def text_array(values: Sequence[str | None]) -> str:
    """Texts as PostgreSQL reads an array from text.

    To PostgreSQL a backslash means "the next character as it is", so JSON serves only while it escapes none.
    """
    array = number_array(values)
    if "\\" in array:
        array = f"{{{','.join('NULL' if value is None else _quoted(value) for value in values)}}}"
    return array


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rare(plan: Plan) -> str | None:
    if not (plan.late or plan.altered or plan.days):
        return None
    return json.dumps(
        {
            "late": [
                {
                    "tx_id": stone.tx_id,
                    "operator_id": stone.operator_id,
                    "slot": stone.slot,
                    "kind": late.kind,
                    "verdict": late.decline,
                    "user_id": late.user_id,
                    "currency": late.currency,
                    "fingerprint": late.fingerprint.hex(),
                    "raw": late.raw.hex(),
                }
                for stone, late in plan.late
            ],
            "altered": [
                {
                    "tx_id": copy.tx_id,
                    "operator_id": copy.operator_id,
                    "slot": copy.slot,
                    "kind": copy.kind,
                    "user_id": copy.user_id,
                    "currency": copy.currency,
                    "amount": copy.amount,
                    "fingerprint": copy.fingerprint.hex(),
                    "raw": copy.raw.hex(),
                }
                for copy in plan.altered
            ],
            "days": [
                {
                    "account_id": account_id,
                    "slot": slot,
                    "day": day.isoformat(),
                    "stakes": str(use.stakes_minor),
                    "results": str(use.results_minor),
                }
                for (account_id, day), (slot, use) in plan.days.items()
            ],
        }
    )


def players_of(rows: Iterable[asyncpg.Record]) -> list[PlayerState]:
    """Rows of `read_players`: one per account, or one without account."""
    players: dict[str, PlayerState] = {}
    for row in rows:
        player = players.get(row["user_id"])
        if player is None:
            status = Status(row["status"])
            player = PlayerState(row["user_id"], row["slot"], status, row["excluded_until"])
            players[player.user_id] = player
        if row["id"] is not None:
            player.accounts[row["currency"]] = AccountState(
                row["id"],
                row["slot"],
                row["currency"],
                int(row["balance"]),
                row["version"],
                row["seq"],
                row["limited"],
                _limits(row["limits"]),
                _days(row["days"]),
            )
    return list(players.values())


def _limits(text: str | None) -> tuple[Limit, ...]:
    if not text:
        return ()
    fields = (part.split(" ") for part in text.split(","))
    return tuple(Limit(LimitKind(kind), Period(period), int(amount)) for kind, period, amount in fields)


def _days(text: str | None) -> dict[date, DayUse]:
    if not text:
        return {}
    fields = (part.split(" ") for part in text.split(","))
    return {date.fromisoformat(day): DayUse(int(stakes), int(results)) for day, stakes, results in fields}


def transaction_of(row: asyncpg.Record) -> Transaction:
    """A row of `read_known`."""
    late = None
    if row["late_kind"] is not None:
        late = LateArrival(
            _KINDS[row["late_kind"] - 1], _decline(row["late_verdict"]), row["late_fingerprint"]
        )
    return Transaction(
        row["tx_id"],
        row["operator_id"],
        row["own_id"],
        _KINDS[row["kind"] - 1],
        row["user_id"],
        row["currency"],
        row["amount"],
        int(row["delta"]),
        _decline(row["verdict"]),
        row["target_tx_id"],
        row["fingerprint"],
        row["slot"],
        row["account_id"],
        at=row["at"],
        reversed=row["reversed"],
        late=late,
    )


def _decline(verdict: str | None) -> Decline | None:
    return None if verdict is None else _DECLINES[verdict]
