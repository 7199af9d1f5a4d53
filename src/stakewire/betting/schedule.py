"""A schedule of our own, with invented clubs, for a machine without fixture files.

Everything is a function of a number, so that two processes asked for match 17 say the same match.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from stakewire.betting.markets import OUTCOMES, Market
from stakewire.betting.odds import price
from stakewire.betting.simulate import MatchOdds

LEAGUE = "Harbour League"
SIMULATED_LEAGUE = "Simulated League"
MARGIN = Fraction(1, 20)

# Invented clubs and their strength; the stronger side of a match is priced shorter.
CLUBS: tuple[tuple[str, int], ...] = (
    ("Anchor Vale", 92), ("Brightwater", 88), ("Copper Hill", 84), ("Dunmarsh Rovers", 80),
    ("Eastlight", 76), ("Fenwick Mills", 73), ("Gullhaven", 70), ("Hollow Oak", 67),
    ("Ironbridge Wanderers", 64), ("Juniper Park", 61), ("Kestrel Point", 58), ("Lanternford", 55),
    ("Millstone City", 52), ("Northquay", 49), ("Osprey Town", 46), ("Pinecrest Athletic", 43),
)  # fmt: skip
_ROUNDS = len(CLUBS) - 1
_MATCHES_PER_ROUND = len(CLUBS) // 2
_HOME_ADVANTAGE = 12


@dataclass(frozen=True, slots=True)
class Fixture:
    """A match to come, as the importer and the schedules hand it on.

    `source_date` is the date in the file it came from: with league and home team it names the match
    for ever, even if its kick-off is shifted.
    """

    league: str
    home: str
    away: str
    kickoff: datetime
    odds: MatchOdds
    source_date: date


def own_fixture(number: int, kickoff: datetime, league: str = LEAGUE) -> Fixture:
    """Return match `number` (from 0) of an endless round robin between our clubs."""
    home, away = _pairing(number)
    return Fixture(
        league=league,
        home=home[0],
        away=away[0],
        kickoff=kickoff,
        odds=_prices(home[1] + _HOME_ADVANTAGE, away[1]),
        source_date=kickoff.date(),
    )


def own_schedule(
    start: datetime, *, matches: int = 24, apart: timedelta = timedelta(hours=3)
) -> list[Fixture]:
    """Return the first matches of our league, the first of them one interval after `start`, on the hour.

    A round takes eight intervals and has one source date, so that no club plays twice on one.
    """
    first = start.replace(minute=0, second=0, microsecond=0) + apart
    schedule = [own_fixture(number, first + number * apart) for number in range(matches)]
    return [
        replace(fixture, source_date=first.date() + timedelta(days=number // _MATCHES_PER_ROUND))
        for number, fixture in enumerate(schedule)
    ]


def _pairing(number: int) -> tuple[tuple[str, int], tuple[str, int]]:
    """Pair clubs by the circle method: one stays, the others move on by one place each round."""
    round_number, place = divmod(number, _MATCHES_PER_ROUND)
    turn = round_number % _ROUNDS
    circle = [CLUBS[0], *(CLUBS[1 + (turn + step) % _ROUNDS] for step in range(_ROUNDS))]
    pair = (circle[place], circle[-1 - place])
    return pair if (round_number + place) % 2 == 0 else (pair[1], pair[0])


def _prices(home_strength: int, away_strength: int) -> dict[Market, dict[str, Decimal]]:
    both = home_strength + away_strength
    draw = Fraction(27, 100) - Fraction(abs(home_strength - away_strength), 500)
    home = (1 - draw) * Fraction(home_strength**2, home_strength**2 + away_strength**2)
    over = Fraction(40, 100) + Fraction(both, 1000)
    chances = {
        Market.MATCH_RESULT: (home, draw, 1 - draw - home),
        Market.TOTAL_2_5: (over, 1 - over),
    }
    return {
        market: {name: price(chance, MARGIN) for name, chance in zip(OUTCOMES[market], of, strict=True)}
        for market, of in chances.items()
    }
