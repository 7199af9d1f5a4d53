"""The markets offered on a football match, and which of their outcomes a score makes win.

Ninety minutes plus stoppage time count, extra time does not: a score here is the score after those.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stakewire.errors import InvalidInput

MAX_GOALS = 99


class Market(StrEnum):
    """A question about one match with exactly one right answer."""

    MATCH_RESULT = "1x2"
    TOTAL_2_5 = "ou2.5"


OUTCOMES: dict[Market, tuple[str, ...]] = {
    Market.MATCH_RESULT: ("1", "X", "2"),
    Market.TOTAL_2_5: ("over", "under"),
}


class InvalidScore(InvalidInput):
    """The two numbers are no score of a football match."""

    default_code = "INVALID_SCORE"


@dataclass(frozen=True, slots=True)
class Score:
    """Goals after ninety minutes and stoppage time."""

    home: int
    away: int

    def __post_init__(self) -> None:
        if not (0 <= self.home <= MAX_GOALS and 0 <= self.away <= MAX_GOALS):
            raise InvalidScore(f"a score has 0 to {MAX_GOALS} goals a side, not {self.home}-{self.away}")

    def __str__(self) -> str:
        return f"{self.home}-{self.away}"


def winning_outcome(market: Market, score: Score) -> str:
    """Name the one outcome of `market` that wins when the match ends in `score`."""
    match market:
        case Market.MATCH_RESULT:
            return "X" if score.home == score.away else "1" if score.home > score.away else "2"
        case Market.TOTAL_2_5:
            return "over" if score.home + score.away > 2 else "under"
