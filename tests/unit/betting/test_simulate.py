"""Our own schedule and simulated results."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from stakewire.betting.markets import OUTCOMES, Market, winning_outcome
from stakewire.betting.odds import MAX_ODDS, MIN_ODDS, fair_probabilities
from stakewire.betting.schedule import CLUBS, own_fixture, own_schedule
from stakewire.betting.simulate import MatchOdds, draw_score, drift

KICKOFF = datetime(2030, 1, 1, tzinfo=UTC)
ODDS: MatchOdds = {
    Market.MATCH_RESULT: {"1": Decimal("1.50"), "X": Decimal("4.00"), "2": Decimal("7.00")},
    Market.TOTAL_2_5: {"over": Decimal("1.60"), "under": Decimal("2.40")},
}


def test_outcomes_come_up_as_often_as_their_odds_say() -> None:
    """Over many draws each outcome's share is its fair chance, within four standard deviations."""
    draws, rng = 20_000, random.Random(7)
    scores = [draw_score(ODDS, rng) for _ in range(draws)]
    for market, prices in ODDS.items():
        came_up = Counter(winning_outcome(market, score) for score in scores)
        for name, chance in zip(OUTCOMES[market], fair_probabilities(list(prices.values())), strict=True):
            expected = float(chance)
            deviation = (expected * (1 - expected) / draws) ** 0.5
            assert abs(came_up[name] / draws - expected) < 4 * deviation


def test_a_match_without_totals_still_gets_a_score() -> None:
    """A market that is not offered does not stand in the way."""
    assert draw_score({Market.MATCH_RESULT: ODDS[Market.MATCH_RESULT]}, random.Random(1)).home >= 0


@given(st.integers(0, 2**32))
def test_odds_drift_one_outcome_at_a_time_and_stay_takable(seed: int) -> None:
    """At most one price moves, and never out of the range that can be bet at."""
    prices = {"1": Decimal("1.01"), "X": Decimal("9999"), "2": Decimal("3.33")}
    moved = drift(prices, random.Random(seed))
    assert sum(moved[name] != prices[name] for name in prices) <= 1
    assert all(MIN_ODDS <= price <= MAX_ODDS for price in moved.values())


@given(st.integers(0, 10_000_000))
def test_every_number_is_a_match_between_two_clubs_at_prices_with_a_margin(number: int) -> None:
    """Whoever asks for a match gets the same one, and no market gives money away."""
    fixture = own_fixture(number, KICKOFF)
    assert fixture == own_fixture(number, KICKOFF)
    assert fixture.home != fixture.away
    for prices in fixture.odds.values():
        assert sum(1 / price for price in prices.values()) > 1


def test_in_a_round_every_club_plays_once_and_in_a_season_each_pair_meets() -> None:
    """The circle method: eight matches a round, fifteen rounds, 120 different pairs."""
    season = [own_fixture(number, KICKOFF) for number in range(120)]
    for first in range(0, 120, 8):
        names = [name for match in season[first : first + 8] for name in (match.home, match.away)]
        assert sorted(names) == sorted(name for name, _ in CLUBS)
    assert len({frozenset((match.home, match.away)) for match in season}) == 120


def test_the_schedule_begins_after_now() -> None:
    """Every match of the own schedule can still be bet on when it is made."""
    now = datetime(2030, 5, 5, 13, 37, tzinfo=UTC)
    schedule = own_schedule(now)
    assert all(fixture.kickoff > now for fixture in schedule)
    assert len({(fixture.league, fixture.source_date, fixture.home) for fixture in schedule}) == len(schedule)
