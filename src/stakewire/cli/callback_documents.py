"""What the commands about callbacks print: documents for programs, lines for people."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from stakewire.delivery.outcome import storable
from stakewire.money import Currencies, Currency, format_minor
from stakewire.postgres.outbox.desk import CallbackRow, NumberedAttempt
from stakewire.sportsbook.delivery.probe import Copy, Probe

_SHOWN_BODY = 4096


def callback_document(row: CallbackRow, names: Mapping[int, str], currencies: Currencies) -> dict[str, Any]:
    """One callback; numbers that may pass 2^53 are strings, amounts are decimal strings."""
    return {
        "id": str(row.id),
        "client": names.get(row.client_id, str(row.client_id)),
        "bet_id": None if row.bet_id is None else str(row.bet_id),
        "n": row.n,
        "transaction_id": row.transaction_id,
        "action": row.action.value,
        "target_id": row.target_id,
        "user_id": row.user_id,
        "amount": _amount(row, currencies),
        "currency": row.currency,
        "state": row.state.value,
        "attempts": row.attempts,
        "due_at": _time(row.due_at),
        "leased_by": row.leased_by,
        "last_reason": row.last_reason,
        "client_transaction_id": row.client_transaction_id,
        "created_at": _time(row.created_at),
        "answered_at": _time(row.answered_at),
        "path": row.path,
        **_bytes("body", row.body),
    }


def callback_line(row: CallbackRow, names: Mapping[int, str], currencies: Currencies) -> str:
    """One callback in one line."""
    client = names.get(row.client_id, str(row.client_id))
    said = row.client_transaction_id or row.last_reason or ""
    return (
        f"{row.id}  {row.state.value:<8}  {client}  {row.action.value:<8}  {storable(row.transaction_id)}  "
        f"{storable(row.user_id)}  {_amount(row, currencies)} {row.currency}  "
        f"attempts {row.attempts}{_due(row)}  {said}".rstrip()
    )


def callback_text(
    row: CallbackRow, attempts: Sequence[NumberedAttempt], names: Mapping[int, str], currencies: Currencies
) -> str:
    """One callback with its bytes and attempts."""
    lines = [callback_line(row, names, currencies), f"> POST {row.path}", f"> {_shown(row.body)}"]
    for one in attempts:
        attempt = one.attempt
        lines.append(
            f"attempt {one.n}  {_time(attempt.at)}  {attempt.ms} ms  {attempt.address or '-'}  "
            f"{attempt.outcome.value}{_why(attempt.reason, attempt.client_transaction_id)}"
        )
        if attempt.status is not None:
            lines += [f"< {attempt.status}", f"< {_shown(attempt.answer)}"]
    return "\n".join(lines)


def attempt_document(one: NumberedAttempt) -> dict[str, Any]:
    """One attempt; `answer` holds the first 4 KiB."""
    attempt = one.attempt
    return {
        "n": one.n,
        "at": _time(attempt.at),
        "ms": attempt.ms,
        "address": attempt.address,
        "status": attempt.status,
        "outcome": attempt.outcome.value,
        "reason": attempt.reason,
        "client_transaction_id": attempt.client_transaction_id,
        **_bytes("answer", attempt.answer),
    }


def probe_document(probe: Probe, copies: Iterable[Copy]) -> dict[str, Any]:
    """What was sent by hand, and what came back for each copy."""
    return {
        "request": {
            "method": "POST",
            "url": probe.url,
            "headers": dict(probe.headers),
            **_bytes("body", probe.body),
        },
        "copies": [_copy_document(copy) for copy in copies],
    }


def probe_text(probe: Probe, copies: Iterable[Copy]) -> str:
    """The same for people: `>` is what we sent, `<` what came back, `=` what it means."""
    lines = [f"> POST {probe.url}"]
    lines += [f"> {name}: {value}" for name, value in probe.headers]
    lines += [">", f"> {_shown(probe.body)}"]
    for copy in copies:
        lines += ["", f"copy {copy.number}  sent {_time(copy.sent_at)}  {copy.ms} ms"]
        if copy.answer is not None:
            lines += [f"< {copy.answer.status} from {copy.answer.address}"]
            lines += [f"< {_shown(name)}: {_shown(value)}" for name, value in copy.answer.headers]
            lines += ["<", f"< {_shown(copy.answer.body)}"]
        lines.append(f"= {copy.outcome.value}{_why(copy.reason, copy.client_transaction_id)}")
    return "\n".join(lines)


def _copy_document(copy: Copy) -> dict[str, Any]:
    answer = copy.answer
    return {
        "copy": copy.number,
        "sent_at": _time(copy.sent_at),
        "answered_at": None if answer is None else _time(copy.ended_at),
        "ms": copy.ms,
        "outcome": copy.outcome.value,
        "reason": copy.reason,
        "client_transaction_id": copy.client_transaction_id,
        "answer": None
        if answer is None
        else {
            "status": answer.status,
            "address": answer.address,
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in answer.headers],
            **_bytes("body", answer.body),
        },
    }


def _amount(row: CallbackRow, currencies: Currencies) -> str:
    """In the currency's decimals; a currency that was taken out of the settings shows minor units."""
    return format_minor(row.amount_minor, currencies.find(row.currency) or Currency(row.currency, 0))


def _bytes(name: str, raw: bytes) -> dict[str, str]:
    """As text where it is text; otherwise readable as far as it goes, and exactly in base64."""
    try:
        return {name: raw.decode()}
    except UnicodeDecodeError:
        return {name: raw.decode(errors="replace"), f"{name}_base64": b64encode(raw).decode()}


def _shown(raw: bytes) -> str:
    """For a terminal: no control codes reach it."""
    return storable(raw.decode(errors="replace"), _SHOWN_BODY)


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _due(row: CallbackRow) -> str:
    return "" if row.due_at is None else f"  due {_time(row.due_at)}"


def _why(reason: str | None, own_id: str | None) -> str:
    if own_id is not None:
        return f", the wallet's id is {own_id}"
    return "" if reason is None else f": {reason}"
