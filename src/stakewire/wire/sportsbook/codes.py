"""The error codes of the Sportsbook API (contract sections 3 and 4)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Code(StrEnum):
    """What CLIENT answers instead of success. The first two are the contract's, the rest ours."""

    INTERNAL_ERROR = "INTERNAL_ERROR"
    INSUFFICIENT_FUNDS = "INSUFFICENT_FUNDS"  # the wire's spelling; nowhere else in the project
    INVALID_SIGNATURE = "INVALID_SIGNATURE"
    INVALID_REQUEST = "INVALID_REQUEST"
    USER_NOT_FOUND = "USER_NOT_FOUND"
    USER_BLOCKED = "USER_BLOCKED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    TRANSACTION_ROLLED_BACK = "TRANSACTION_ROLLED_BACK"
    TRANSACTION_MISMATCH = "TRANSACTION_MISMATCH"
    ROLLBACK_NOT_ALLOWED = "ROLLBACK_NOT_ALLOWED"


DEFINITE_DECLINES: Final = frozenset(
    {Code.INSUFFICIENT_FUNDS, Code.USER_BLOCKED, Code.LIMIT_EXCEEDED, Code.TRANSACTION_ROLLED_BACK}
)
"""The declines of a bet that the wallet stores and never revises: no rollback is needed after them."""
