"""Recognising an altered copy: what of a request must stay the same when its id comes again.

Compared are action, user, currency, amount *by value* and the rollback's target; spacing, `10.0` for
`10.00` and fields we do not know are no difference (contract section 3).
"""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from hashlib import blake2b
from typing import Final

from stakewire.ledger.types import Kind, LedgerRequest

SIZE: Final = 16
_EXACT: Final = Context(prec=100_000, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Wider than any number that fits a request, so that normalising never rounds."""
_normalize: Final = _EXACT.normalize

_KINDS: Final = {kind: str(int(kind)) for kind in Kind}  # formatting an IntEnum costs more than the rest
_LONGEST_STORED: Final = 60
_LONGEST_CURRENCY: Final = 32


def fingerprint(asked: LedgerRequest) -> bytes:
    """16 bytes that are equal for two requests exactly when one is an unaltered copy of the other."""
    amount = asked.amount
    value = str(_normalize(amount)) if amount else "0"
    # Only `currency` may hold a NUL, so the text can be taken apart in one way alone.
    text = f"{_KINDS[asked.kind]}\0{asked.user_id}\0{asked.currency}\0{value}\0{asked.target_id or ''}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=SIZE).digest()


def storable_amount(amount: Decimal) -> str | None:
    """The amount as asked, in a form that PostgreSQL reads exactly; None if it is absurdly long."""
    text = str(amount)
    if len(text) <= _LONGEST_STORED and (
        "E" not in text or (amount.is_finite() and abs(amount.adjusted()) <= _LONGEST_STORED)
    ):
        return text if amount.is_finite() else None
    return None


def storable_currency(currency: str) -> str:
    """A currency that is none of ours, cut and cleaned for the eye; the raw request keeps what came."""
    return "".join(char if char.isprintable() else "\ufffd" for char in currency[:_LONGEST_CURRENCY])
