"""What players look at: the list of matches with their odds, read once a second for everybody.

`Board` keeps the list as plain JSON values and tells what changed between two looks; the event
streams and the page's first request are both served from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class BoardChange:
    """Matches that appeared or changed, and ids of those that left."""

    matches: list[Json]
    gone: list[int]

    def __bool__(self) -> bool:
        return bool(self.matches or self.gone)


class Board:
    """The page's matches, at most a second old."""

    def __init__(self, pool: Any, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._shown: dict[int, Json] = {}
        self._read_at: float | None = None

    async def matches(self) -> list[Json]:
        """The list by kick-off, as the page's API gives it."""
        if self._read_at is None or self._clock.monotonic() - self._read_at >= _FRESH:
            await self.refresh()
        return list(self._shown.values())

    async def refresh(self) -> BoardChange:
        """Read the list again and return what changed since it was last read."""
        now = self._clock.now()
        async with self._pool.acquire() as conn:
            rows = await store.list_board(conn, now, limit=MAX_MATCHES, started=_STARTED, decided=_DECIDED)
            outcomes = await store.list_outcomes(conn, [row.id for row in rows])
        by_match: dict[int, list[OutcomeRow]] = {row.id: [] for row in rows}
        for outcome in outcomes:
            by_match[outcome.match_id].append(outcome)
        shown = {row.id: match_json(row, by_match[row.id], now) for row in rows}
        before, self._shown = self._shown, shown
        self._read_at = self._clock.monotonic()
        return BoardChange(
            [match for match_id, match in shown.items() if before.get(match_id) != match],
            [match_id for match_id in before if match_id not in shown],
        )


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
