"""Scores for simulated matches, drawn so that bets win as often as their odds say.

The match result and the total are drawn apart, each from its own market's fair chances; then one of
the scores that fits both. So each market's outcomes come up with exactly the chances its odds imply
(without the margin), whatever the scores inside look like.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from stakewire.betting.markets import OUTCOMES, Market, Score
from stakewire.betting.odds import MAX_ODDS, MIN_ODDS, fair_probabilities

# (result, total) -> scores with their weights, roughly as often as football shows them.
_SCORES: dict[tuple[str, str], tuple[tuple[Score, int], ...]] = {
    ("1", "under"): ((Score(1, 0), 11), (Score(2, 0), 8)),
    ("X", "under"): ((Score(0, 0), 8), (Score(1, 1), 12)),
    ("2", "under"): ((Score(0, 1), 8), (Score(0, 2), 5)),
    ("1", "over"): ((Score(2, 1), 9), (Score(3, 0), 4), (Score(3, 1), 5), (Score(4, 1), 2), (Score(3, 2), 3)),
    ("X", "over"): ((Score(2, 2), 5), (Score(3, 3), 1)),
    ("2", "over"): ((Score(1, 2), 7), (Score(0, 3), 2), (Score(1, 3), 3), (Score(1, 4), 1), (Score(2, 3), 2)),
}

MatchOdds = Mapping[Market, Mapping[str, Decimal]]


def draw_score(odds: MatchOdds, rng: random.Random) -> Score:
    """Draw a final score. A market that is not offered counts as one with equal chances."""
    result = _draw_outcome(Market.MATCH_RESULT, odds, rng)
    total = _draw_outcome(Market.TOTAL_2_5, odds, rng)
    fitting = _SCORES[result, total]
    return fitting[_pick([Fraction(weight) for _, weight in fitting], rng)][0]


def drift(prices: Mapping[str, Decimal], rng: random.Random) -> dict[str, Decimal]:
    """Move one outcome of a market by up to five percent, as prices move before kick-off."""
    moved = rng.choice(sorted(prices))
    percent = rng.choice((-5, -3, -2, 2, 3, 5))
    changed = (prices[moved] * (100 + percent) / 100).quantize(Decimal("0.01"))
    return {**prices, moved: min(max(changed, MIN_ODDS), MAX_ODDS)}


def _draw_outcome(market: Market, odds: MatchOdds, rng: random.Random) -> str:
    names = OUTCOMES[market]
    prices = odds.get(market)
    chances = fair_probabilities([prices[name] for name in names]) if prices else [Fraction(1)] * len(names)
    return names[_pick(chances, rng)]


def _pick(weights: Sequence[Fraction], rng: random.Random) -> int:
    """Return an index, chosen exactly in proportion to the weights (no float is involved)."""
    common = math.lcm(*(weight.denominator for weight in weights))
    whole = [int(weight * common) for weight in weights]
    ticket = rng.randrange(sum(whole))
    for index, size in enumerate(whole):
        ticket -= size
        if ticket < 0:
            return index
    raise AssertionError("a ticket lies below the sum of all weights")
