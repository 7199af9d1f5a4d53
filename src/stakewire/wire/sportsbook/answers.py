"""Answers, CLIENT to OPERATOR: written by the wallet, read by the sportsbook (contract sections 3, 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from stakewire.wire.sportsbook.codes import DEFINITE_DECLINES, Code
from stakewire.wire.sportsbook.messages import storable
from stakewire.wire.sportsbook.strict_json import RequestInvalid, parse_object

_FAILURES: Final = {code: b'{"error":"' + code.encode() + b'"}' for code in Code}


def success(own_id: str) -> bytes:
    """The body of a success; `own_id` is CLIENT's id, the same each time the callback comes again."""
    return b'{"error":null,"transaction_id":' + msgspec.json.encode(own_id) + b"}"


def success_by_number(own_id: int) -> bytes:
    """`success` with the decimal digits of a number as the id."""
    return b'{"error":null,"transaction_id":"%d"}' % own_id


def failure(code: Code) -> bytes:
    """The body of a failure."""
    return _FAILURES[code]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The callback is answered. The id is CLIENT's, made `storable`."""

    client_transaction_id: str


@dataclass(frozen=True, slots=True)
class Declined:
    """CLIENT answered with an error code.

    Only a `definite` one says that a bet did not happen and never will; any other leaves it unknown.
    """

    code: str
    definite: bool


@dataclass(frozen=True, slots=True)
class Unclear:
    """Not an answer of the contract: nothing is known. `reason` says why, in one sentence."""

    reason: str


def read_answer(status: int, body: bytes) -> Accepted | Declined | Unclear:
    """What an answer says: status 200, a JSON object, `error` null, `transaction_id` a non-empty string.

    Nothing looser is a success, and a decline counts only in the contract's form. Never raises.
    """
    if status != 200:
        return Unclear(f"HTTP status {status}, not 200")
    try:
        fields = parse_object(body)
    except RequestInvalid as invalid:
        return Unclear(f"the answer is not a strict JSON object: {invalid.reason}")
    if "error" not in fields:
        return Unclear("the answer has no `error`")
    error = fields["error"]
    if error is not None:
        if not isinstance(error, str) or not error:
            return Unclear("`error` is neither null nor a code")
        return Declined(storable(error), error in DEFINITE_DECLINES)
    own_id = fields.get("transaction_id")
    if not isinstance(own_id, str) or not own_id:
        return Unclear("`error` is null, but `transaction_id` is not a non-empty string")
    return Accepted(storable(own_id))
