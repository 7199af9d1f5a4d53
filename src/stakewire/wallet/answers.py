"""From the ledger's outcome to the bytes of the answer (contract section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stakewire.ledger.types import Decline, Policy
from stakewire.wire.sportsbook import answers
from stakewire.wire.sportsbook.codes import Code
from stakewire.wire.sportsbook.profile import Profile

CODES: Final[Mapping[Decline, Code]] = {
    Decline.INSUFFICIENT_FUNDS: Code.INSUFFICIENT_FUNDS,
    Decline.USER_BLOCKED: Code.USER_BLOCKED,
    Decline.LIMIT_EXCEEDED: Code.LIMIT_EXCEEDED,
    Decline.TRANSACTION_ROLLED_BACK: Code.TRANSACTION_ROLLED_BACK,
    Decline.TRANSACTION_MISMATCH: Code.TRANSACTION_MISMATCH,
    Decline.ROLLBACK_NOT_ALLOWED: Code.ROLLBACK_NOT_ALLOWED,
    Decline.INVALID_REQUEST: Code.INVALID_REQUEST,
    Decline.USER_NOT_FOUND: Code.USER_NOT_FOUND,
    Decline.CURRENCY_MISMATCH: Code.CURRENCY_MISMATCH,
    Decline.UNAVAILABLE: Code.INTERNAL_ERROR,
}

FAILURES: Final[Mapping[Code, bytes]] = {code: answers.failure(code) for code in Code}

OK: Final = "OK"
"""Stands for a success where answers are counted by code."""


def policy_of(profile: Profile) -> Policy:
    """What of an integration's profile the ledger looks at."""
    return Policy(
        refuse_altered=profile.altered_replay == "refuse",
        refuse_unknown_rollback=profile.unknown_rollback == "refuse",
        refuse_negative_rollback=profile.rollback_of_result == "refuse",
    )
