"""Odds and payouts are exact."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakewire.betting.odds import (
    MAX_ODDS,
    MIN_ODDS,
    InvalidOdds,
    fair_probabilities,
    format_odds,
    parse_odds,
    payout_minor,
    price,
)

odds = st.integers(10_100, 100_000_000).map(lambda n: Decimal(n).scaleb(-4))
stakes = st.integers(1, 10**36)


@given(stakes, odds)
def test_a_payout_is_the_exact_product_rounded_once_half_up(stake: int, taken: Decimal) -> None:
    """No payout is more than half a minor unit away from stake times odds, and a tie goes to the player."""
    exact = stake * Fraction(taken)
    assert Fraction(-1, 2) < payout_minor(stake, taken) - exact <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("stake", "taken", "paid"),
    [
        (100, "2.10", 210),
        (1, "1.50", 2),
        (1, "1.49", 1),
        (333, "1.35", 450),
        (5, "1.1", 6),
        (10**36, "10000", 10**40),
    ],
)
def test_payouts_reckoned_by_hand(stake: int, taken: str, paid: int) -> None:
    """The half goes up: 1 at 1.50 pays 2, 5 at 1.1 (5.5) pays 6."""
    assert payout_minor(stake, Decimal(taken)) == paid


@given(odds)
def test_written_odds_read_back_as_the_same_number(taken: Decimal) -> None:
    """Showing odds loses nothing, and shows two decimals at least."""
    text = format_odds(taken)
    assert parse_odds(text) == taken
    assert len(text.partition(".")[2]) >= 2


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.00", "1.009", "10000.01", "2.12345", "+2", "-2", "2e1", "NaN", " 2", "2,5", "٢", "99999999"],
)
def test_what_is_no_price_is_refused(text: str) -> None:
    """Only plain decimals between 1.01 and 10000 with at most four decimals are odds."""
    with pytest.raises(InvalidOdds):
        parse_odds(text)


@given(st.lists(odds, min_size=2, max_size=5))
def test_fair_chances_sum_to_one(prices: list[Decimal]) -> None:
    """Whatever the margin, the chances of a market sum to exactly 1, in the order of the prices."""
    chances = fair_probabilities(prices)
    assert sum(chances) == 1
    assert all(
        (a < b) == (x > y) for a, b, x, y in zip(chances, chances[1:], prices, prices[1:], strict=False)
    )


@given(st.fractions(Fraction(1, 10**6), 1), st.fractions(0, Fraction(1, 2)))
def test_a_price_never_promises_more_than_its_chance(chance: Fraction, margin: Fraction) -> None:
    """Prices are cut down, and stay in the range that can be taken."""
    given_price = price(chance, margin)
    assert MIN_ODDS <= given_price <= MAX_ODDS
    assert given_price == MIN_ODDS or Fraction(given_price) * chance * (1 + margin) <= 1
