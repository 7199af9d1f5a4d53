"""Decimal odds, exact from the file to the payout.

Odds are `Decimal` (stake included: 2.50 returns two and a half stakes), money is an integer of the
currency's minor unit. The only rounding in the project's betting is the one in `payout_minor`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from stakewire.errors import InvalidInput

MIN_ODDS = Decimal("1.01")
MAX_ODDS = Decimal("10000")
MAX_DECIMALS = 4
SHOWN_DECIMALS = 2

_PLAIN_DECIMAL = re.compile(r"[0-9]{1,5}(\.[0-9]{1,4})?", re.ASCII)


class InvalidOdds(InvalidInput):
    """The text is not a price a bet can be taken at."""

    default_code = "INVALID_ODDS"


def parse_odds(text: str) -> Decimal:
    """Read decimal odds such as `2.10`, exactly.

    Raises:
        InvalidOdds: not a plain decimal of at most 4 decimals between 1.01 and 10000.
    """
    if not _PLAIN_DECIMAL.fullmatch(text):
        raise InvalidOdds(f"odds are a decimal such as 2.10 (at most {MAX_DECIMALS} decimals), not {text!r}")
    odds = Decimal(text)
    if not MIN_ODDS <= odds <= MAX_ODDS:
        raise InvalidOdds(f"odds lie between {MIN_ODDS} and {MAX_ODDS}, not {text}")
    return odds


def format_odds(odds: Decimal) -> str:
    """Write odds with two decimals at least (`2.5` is shown as `2.50`), and never fewer than they have."""
    whole, _, decimals = f"{odds:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(SHOWN_DECIMALS, '0')}"


def payout_minor(stake_minor: int, odds: Decimal) -> int:
    """Return what a won bet pays, stake included: stake x odds, rounded once, half up, to the minor unit."""
    numerator, denominator = odds.as_integer_ratio()
    return (2 * stake_minor * numerator + denominator) // (2 * denominator)


def fair_probabilities(odds: Sequence[Decimal]) -> tuple[Fraction, ...]:
    """Return each outcome's chance with the margin taken out in proportion: (1/D) / sum(1/D), exactly.

    The outcomes must be all the outcomes of one market with one winner.
    """
    inverses = [1 / Fraction(price) for price in odds]
    book = sum(inverses, Fraction(0))
    return tuple(inverse / book for inverse in inverses)


def price(probability: Fraction, margin: Fraction) -> Decimal:
    """Return the odds for a chance, with `margin` (0.05 is 5 %) in the book, cut down to two decimals.

    The answer never leaves the range of `parse_odds`, so that a certainty still has a price.
    """
    hundredths = 100 / (probability * (1 + margin))
    return min(max(Decimal(int(hundredths)).scaleb(-2), MIN_ODDS), MAX_ODDS)
