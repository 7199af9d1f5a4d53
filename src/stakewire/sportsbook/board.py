"""What players look at: the list of matches with their odds, read once a second for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from stakewire.betting.markets import OUTCOMES, Market
from stakewire.betting.odds import format_odds
from stakewire.clock import Clock
from stakewire.postgres.sportsbook import matches as store
from stakewire.postgres.sportsbook.matches import MatchRow, OutcomeRow

MAX_MATCHES = 150
_STARTED = timedelta(hours=4)  # a match without a result leaves the page this long after its kick-off
_DECIDED = timedelta(minutes=15)
_FRESH = 1.0  # seconds

Json = Mapping[str, Any]


class Board:
    """The page's matches, at most a second old."""

    def __init__(self, pool: Any, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._shown: list[Json] = []
        self._read_at: float | None = None

    async def matches(self) -> list[Json]:
        """The list by kick-off, as the page's API gives it."""
        if self._read_at is None or self._clock.monotonic() - self._read_at >= _FRESH:
            await self.refresh()
        return self._shown

    async def refresh(self) -> list[Json]:
        """Read the list again."""
        now = self._clock.now()
        async with self._pool.acquire() as conn:
            rows = await store.list_board(conn, now, limit=MAX_MATCHES, started=_STARTED, decided=_DECIDED)
            outcomes = await store.list_outcomes(conn, [row.id for row in rows])
        by_match: dict[int, list[OutcomeRow]] = {row.id: [] for row in rows}
        for outcome in outcomes:
            by_match[outcome.match_id].append(outcome)
        self._shown = [match_json(row, by_match[row.id], now) for row in rows]
        self._read_at = self._clock.monotonic()
        return self._shown


def match_json(match: MatchRow, outcomes: list[OutcomeRow], now: datetime) -> Json:
    """One match as the page's API gives it; markets and outcomes in their usual order."""
    return {
        "id": str(match.id),
        "league": match.league,
        "home": match.home,
        "away": match.away,
        "kickoff": instant(match.kickoff),
        "state": shown_state(match.state, match.kickoff, now),
        "simulated": match.simulated,
        "score": None if match.score is None else [match.score.home, match.score.away],
        "markets": [
            {"key": market.value, "outcomes": offered}
            for market in Market
            if (offered := _outcomes_json(market, outcomes))
        ],
    }


def _outcomes_json(market: Market, outcomes: list[OutcomeRow]) -> list[Json]:
    names = OUTCOMES[market]
    of_market = sorted(
        (outcome for outcome in outcomes if outcome.market is market),
        key=lambda outcome: names.index(outcome.name),
    )
    return [
        {
            "id": str(outcome.id),
            "name": outcome.name,
            "odds": format_odds(outcome.odds),
            "active": outcome.active,
        }
        for outcome in of_market
    ]


def shown_state(state: str, kickoff: datetime, now: datetime) -> str:
    """A scheduled match whose kick-off has passed is live."""
    return "live" if state == "scheduled" and kickoff <= now else state


def instant(moment: datetime) -> str:
    """ISO 8601 in UTC, to the second, with Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
